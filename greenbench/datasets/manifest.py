"""A manifest: any corpus as JSON lines, one utterance a line, with paths relative to the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from greenbench.datasets.audio import read_audio, read_duration_s
from greenbench.errors import InputError, MissingError
from greenbench.plugins import Clip, SuitePath
from greenbench.registry import first_problem


@dataclass(frozen=True)
class _Line:
    """The keys of a line that are read; others, ``duration`` among them, are ignored."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(coerce_numbers_to_str=True)

    audio_filepath: Annotated[str, Field(min_length=1)]
    text: str | None = None
    id: Annotated[str, Field(min_length=1)] | None = None
    speaker: str | None = None


_LINE = TypeAdapter(_Line)


@dataclass(frozen=True)
class Manifest:
    """The utterances that a JSON-lines file lists.

    Attributes:
        path: the file. A line is an object with ``audio_filepath`` (relative to the file) and ``text``,
            optionally ``id`` (default: ``audio_filepath`` without its suffix) and ``speaker``.
        transcribed: every line must have ``text``; false for speech to distil from, whose ``text`` is not read.
    """

    path: SuitePath
    transcribed: bool = True

    @property
    def label(self) -> str:
        """The file's folder and stem, e.g. ``an4/test``."""
        path = self.path.absolute()
        return f"{path.parent.name}/{path.stem}"

    def prepare(self) -> None:
        """Check that the file can be opened.

        Raises:
            MissingError: it cannot.
        """
        try:
            self.path.open("rb").close()
        except OSError as error:
            raise MissingError(
                f"{self.path}: the manifest cannot be opened ({error.strerror}). "
                "Set 'path' to a JSON-lines file, relative to the suite file or the working directory."
            ) from error

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips in the order of the lines, one line read at a time.

        Raises:
            MissingError: the file cannot be opened.
            InputError: a line is malformed or repeats an id, or there is no line; ``file:line: problem``.
        """
        self.prepare()
        seen = set[str]()
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                clip = self._clip(line, f"{self.path}:{number}")
                if clip.id in seen:
                    raise InputError(
                        f"{self.path}:{number}: the id '{clip.id}' occurs twice; give each line its own 'id'"
                    )
                seen.add(clip.id)
                yield clip
        if not seen:
            raise InputError(f"{self.path}: the manifest is empty; write one JSON object a line")

    def _clip(self, line: bytes, where: str) -> Clip:
        try:
            entry = _LINE.validate_json(line)
        except ValidationError as error:
            raise InputError(f"{where}: {first_problem(error)}") from error
        name = PurePath(entry.audio_filepath)
        clip_id = (name.parent / name.stem).as_posix() if entry.id is None else entry.id
        audio = self.path.parent / name
        if self.transcribed and entry.text is None:
            raise InputError(
                f"{where}: text: there is none. Speech to distil from needs none: set `transcribed: false`"
            )
        text = (entry.text or "") if self.transcribed else ""
        return Clip(clip_id, partial(read_audio, audio), text, entry.speaker, partial(read_duration_s, audio))
