"""A manifest: any corpus as JSON lines, a line for each utterance, which is a file or a part of one."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from greenbench.datasets.lines import decoded, lines
from greenbench.datasets.rows import Listed, shown
from greenbench.errors import InputError
from greenbench.files import readback
from greenbench.plugins import SuitePath


@dataclass(frozen=True)
class Manifest(Listed):
    """The utterances that a JSON-lines file lists.

    Attributes:
        path: the file. A line is an object with ``audio_filepath`` (relative to the file) and ``text``, optionally
            ``speaker``, ``offset`` and ``duration`` (seconds: the part of the file that is meant; a ``duration``
            without ``offset`` is what the whole file lasts), ``channel`` (counted from 0; by default all are mixed) and
            ``id`` (default: the path below the common folder of all audio files without its suffix, the channel and the
            part). ``slices`` is an object of properties of the
            utterance, each of which gets an error rate: ``{"accent": "scottish", "noise": "street"}``. ``words`` are
            their times in seconds from the beginning: ``[{"word": "hello", "start": 0.1, "end": 0.4}]``.
        transcribed: whether every line must have ``text``; false for speech to distil from, whose ``text`` is ignored.
        slice_by: further keys of a line that are slices, such as ``accent`` in manifests of NeMo.
    """

    path: SuitePath
    transcribed: bool = True
    slice_by: tuple[str, ...] = ()
    WHAT: ClassVar[str] = "the manifest"
    REMEDY: ClassVar[str] = "Set 'path' to a JSON-lines file, relative to the suite file or the working directory."
    EMPTY: ClassVar[str] = "the manifest is empty; write one JSON object a line"

    @property
    def label(self) -> str:
        """The file's folder and stem, e.g. ``an4/test``."""
        path = self.path.absolute()
        return f"{path.parent.name}/{path.stem}"

    @property
    def base(self) -> Path:
        """The file."""
        return self.path

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the object of each line that is not blank with where it stands.

        Raises:
            InputError: a line is no JSON object; ``file:line: problem``.
        """
        for where, raw in lines(self.path):
            if line := raw.strip():
                try:
                    content = _object(line)
                except ValueError as error:
                    raise InputError(f"{where}: {error}") from error
                yield where, content


# --- one line --------------------------------------------------------------------------------------------


def _object(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line.

    Raises:
        ValueError: it is none.
    """
    content = _json(line)
    if isinstance(content, list):
        raise ValueError(_NO_ARRAY)  # noqa: TRY004 (one kind for all that a line can be)
    if not isinstance(content, dict):
        raise ValueError(f"one JSON object a line is expected, not {shown(content)}")  # noqa: TRY004
    return content


_NO_ARRAY = "a manifest is JSON lines: one object a line, not an array, nor an object over several lines"
_NO_TABLE = (
    "a manifest is JSON lines, not a table (CSV, TSV) or plain text: write one object a line, such as "
    '{"audio_filepath": "a.wav", "text": "what is said"}; tables are read with `use: csv`'
)


def _json(line: bytes) -> Any:
    decoded(line)
    try:
        return readback.parse(line)
    except readback.NotJsonError as error:
        if line in {b"[", b"{"} or line.startswith(b"["):
            raise ValueError(_NO_ARRAY) from error
        if line.endswith(b",") and _is_json(line[:-1]):
            raise ValueError("a comma after the object: one object a line, and nothing between them") from error
        if not line.startswith(b"{"):
            raise ValueError(_NO_TABLE) from error
        what = re.sub(r"line 1 | \(char \d+\)", "", str(error))
        raise ValueError(f"invalid JSON: {what[:1].lower()}{what[1:]}") from error


def _is_json(text: bytes) -> bool:
    try:
        readback.parse(text)
    except ValueError:
        return False
    return True
