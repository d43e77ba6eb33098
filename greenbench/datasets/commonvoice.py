"""Common Voice: a language's folder of a release, with a table for each split and the recordings in ``clips``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from greenbench.datasets.rows import Listed
from greenbench.datasets.table import TSV, records
from greenbench.errors import MissingError
from greenbench.plugins import SuitePath

_SLICES = {"gender": "gender", "age": "age", "accents": "accents", "accent": "accents"}
"""Column -> what it is called as a slice; releases before 8.0 write ``accent``."""


@dataclass(frozen=True)
class CommonVoice(Listed):
    """One split of a language in a release of Common Voice (Ardila et al., 2020), read sentences, CC0.

    ``client_id`` is the speaker, and ``gender``, ``age`` and ``accents`` are slices where they are stated.

    Attributes:
        root: the language's folder of the release, such as ``cv-corpus-21.0-2025-03-14/en``, with ``clips`` in it.
        split: which table is read: ``test``, ``dev``, ``train``, ``validated`` or another that is there.
        transcribed: whether sentences are read; false for speech to distil from.
        slice_by: further columns that are slices, such as ``variant``.
    """

    root: SuitePath
    split: str = "test"
    transcribed: bool = True
    slice_by: tuple[str, ...] = ()
    WHAT: ClassVar[str] = "the table of the split"
    REMEDY: ClassVar[str] = "Set 'root' to the language's folder of a release, and 'split' to a table in it."
    EMPTY: ClassVar[str] = "the split has no rows"

    @property
    def label(self) -> str:
        """``commonvoice/<language>/<split>``."""
        return f"commonvoice/{self.root.absolute().name}/{self.split}"

    @property
    def base(self) -> Path:
        """The table of the split."""
        return self.root / f"{self.split}.tsv"

    @property
    def audio_folder(self) -> Path:
        """The folder of the recordings."""
        return self.root / "clips"

    def files(self) -> Sequence[Path]:
        """Return the table of the split.

        Raises:
            MissingError: the folder or its recordings are not there.
        """
        for folder in (self.root, self.audio_folder):
            if not folder.is_dir():
                raise MissingError(f"{folder}: there is no such folder. {self.REMEDY}")
        return (self.base,)

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what each row states with where it stands.

        Raises:
            InputError: a column is not there, or a row has another number of fields; ``file:line: problem``.
        """
        needed = dict.fromkeys(("path", "sentence") if self.transcribed else ("path",), "split")
        for where, fields in records(self.base, TSV, needed):
            stated = {name: fields[column] for column, name in _SLICES.items() if column in fields}
            stated |= {name: fields[name] for name in self.slice_by if name in fields}
            row = {"audio_filepath": fields["path"].strip(), "text": fields.get("sentence"), "slices": stated}
            yield where, {**row, "speaker": fields.get("client_id")}
