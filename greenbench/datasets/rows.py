"""What data sets share that are listed in files: rows, each an audio file or a part of one, become utterances."""

import json
import os.path
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from greenbench.datasets.audio import audio_digest, read_audio, read_duration_s
from greenbench.datasets.labels import labels
from greenbench.datasets.lines import Stamp, stamp
from greenbench.datasets.wordtimes import word_times
from greenbench.errors import InputError
from greenbench.plugins import Clip
from greenbench.registry import first_problem
from greenbench.text.characters import as_read

_PART = "says which part is meant: write it as `offset` and `duration`, in seconds"
_CHANNEL = "says which channel is meant: write it as `channel`, counted from 0"
_CHANGED = "says that the audio is to be changed: write what it becomes to a file of its own"

FOREIGN: Mapping[str, tuple[Any, str]] = {
    **dict.fromkeys(("start", "begin", "start_time", "start_sample", "frame_offset"), (0, _PART)),
    **dict.fromkeys(("end", "stop", "end_time", "stop_time", "end_sample", "num_frames"), (None, _PART)),
    **dict.fromkeys(("segments", "recording", "supervisions"), (None, _PART)),
    **dict.fromkeys(("channel_selector", "target_channel"), (None, _CHANNEL)),
    **dict.fromkeys(("speed", "tempo", "speed_factor"), (1, _CHANGED)),
}
"""Keys that other tools read a part or a change of the audio from -> the value that means none, and what to do."""

_IN_A_UNIT = re.compile(
    r"(start|begin|end|stop|offset)(_time)?_?(s|secs?|seconds?|ms|msecs?|milliseconds?|samples?|frames?)"
)
"""The same keys with a unit."""


def _a_text(value: Any) -> Any:
    if not isinstance(value, str | None):
        raise ValueError(f"a text is expected, not {shown(value)}")  # noqa: TRY004 (pydantic takes no other)
    return value


def _a_name(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    if not is_number and not isinstance(value, str | None):
        raise ValueError(f"a text or a number is expected, not {shown(value)}")
    return str(value) if is_number else value


def shown(value: Any) -> str:
    """Return a value of JSON, or its beginning, for a message."""
    return text if len(text := json.dumps(value)) <= 60 else f"{text[:60]}..."


@dataclass(frozen=True)
class ListedRow:
    """The keys of a row that are read, those of a manifest; others are ignored, but those of ``FOREIGN``."""

    audio_filepath: Annotated[str, Field(min_length=1, strict=True)]
    text: Annotated[str | None, BeforeValidator(_a_text)] = None
    id: Annotated[str | None, Field(min_length=1), BeforeValidator(_a_name)] = None
    speaker: Annotated[str | None, BeforeValidator(_a_name)] = None
    offset: Annotated[float | None, Field(ge=0, allow_inf_nan=False, strict=True)] = None
    duration: Annotated[float | None, Field(gt=0, allow_inf_nan=False, strict=True)] = None
    slices: Annotated[dict[str, str], BeforeValidator(labels)] = field(default_factory=dict)
    words: Annotated[Any, BeforeValidator(word_times)] = ()
    channel: Annotated[int | None, Field(ge=0, strict=True)] = None


_ROW = TypeAdapter(ListedRow)
KEYS = tuple(key.name for key in fields(ListedRow))
"""The keys of a row."""


class Listed(ABC):
    """A data set that files list. A subclass is a frozen dataclass that says which files, and what their rows state.

    Attributes:
        transcribed: whether every row must have a text; where not, none is read.
        slice_by: further keys of a row that are slices.
        WHAT: what lists it, for messages.
        REMEDY: what to do where a file cannot be opened.
        EMPTY: what is expected of files without a row.
    """

    transcribed: bool
    slice_by: tuple[str, ...]
    WHAT: ClassVar[str]
    REMEDY: ClassVar[str]
    EMPTY: ClassVar[str]

    @property
    @abstractmethod
    def base(self) -> Path:
        """The file or folder that messages about the whole name."""

    @property
    def audio_folder(self) -> Path:
        """The folder that relative paths of audio start from; by default that of ``base``."""
        return self.base.parent

    def files(self) -> Sequence[Path]:
        """Return the files that list it, whether they are there or not; by default ``base`` alone."""
        return (self.base,)

    @abstractmethod
    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what each row states, by the keys of a manifest, with where it stands: ``file:line``.

        Raises:
            InputError: a line is malformed; ``file:line: problem``.
        """

    def prepare(self) -> None:
        """Check that the files can be opened, and every row of them.

        Raises:
            MissingError: one cannot be opened.
            InputError: a row is malformed, or there is none; ``file:line: problem``.
        """
        self._folder()

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips in the order of the rows.

        Raises:
            MissingError: a file cannot be opened; nothing is yielded.
            InputError: a row is malformed or repeats an id, or there is none; ``file:line: problem``. Nothing is
                yielded but where an id is repeated.
        """
        folder = self._folder()
        seen = set[str]()
        for where, row in self.checked():
            clip = self._clip(row, folder)
            refuse_twice(where, clip.id, seen)
            yield clip

    def _folder(self) -> Path:
        """Check all rows, and return the common folder of the audio files, below which they have their ids."""
        return _common_folder(self, tuple(stamp(path, self.WHAT, self.REMEDY) for path in self.files()))

    def checked(self) -> Iterator[tuple[str, ListedRow]]:
        """Yield each row with where it stands.

        Raises:
            InputError: one is malformed; ``file:line: problem``.
        """
        for where, content in self.rows():
            yield where, checked_row(where, content, self.transcribed, self.slice_by)

    def _clip(self, row: ListedRow, folder: Path) -> Clip:
        audio = self.audio_of(row)
        part = (row.offset, row.duration)
        name = row.id if row.id is not None else _name(audio.relative_to(folder), row)
        text = (row.text or "") if self.transcribed else ""
        read, duration_s = partial(read_audio, audio, *part, row.channel), partial(read_duration_s, audio, *part)
        digest = partial(audio_digest, audio, *part, row.channel)
        return Clip(name, read, text, speaker_of(row), duration_s, digest, row.slices, words=row.words)

    def audio_of(self, row: ListedRow) -> Path:
        """Return where a row's audio is, without links followed."""
        name = os.path.expanduser(row.audio_filepath)  # noqa: PTH111 (a user who is not known is no error)
        if "\\" in name and not (self.audio_folder / name).exists():  # of a list that was written on Windows
            name = name.replace("\\", "/")
        return Path(os.path.abspath(self.audio_folder / name))  # noqa: PTH100 (which follows links)


def checked_row(where: str, content: Mapping[str, Any], transcribed: bool, slice_by: Sequence[str]) -> ListedRow:
    """Return what a row states, checked.

    Args:
        where: it stands, for messages.
        content: what it states, by the keys of a manifest.
        transcribed: whether it must have a text; where not, none is read.
        slice_by: further keys that are slices.

    Raises:
        InputError: it is malformed; ``where: problem``.
    """
    try:
        _refuse_foreign(content)
        row = _row(_meant(content, transcribed, slice_by))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    if transcribed and row.text is None:
        keys = "" if "text" in content else f"; {_keys_found(content)}"
        remedy = "Speech to distil from needs none: set `transcribed: false`"
        raise InputError(f"{where}: text: there is none{keys}. {remedy}")
    return row


def _row(content: Mapping[str, Any]) -> ListedRow:
    try:
        row: ListedRow = _ROW.validate_python(content)
    except ValidationError as error:
        missing = error.errors()[0]["type"] == "missing"
        raise ValueError(_keys_found(content) if missing else first_problem(error)) from error
    return row


def _meant(content: Mapping[str, Any], transcribed: bool, slice_by: Sequence[str]) -> dict[str, Any]:
    """Return what of a row is read: no text of speech to distil from, and what its own keys state of it."""
    own, stated = {key: content[key] for key in slice_by if key in content}, content.get("slices")
    slices = {**stated, **own} if own and isinstance(stated, dict) else own or stated
    return {**content, **({"slices": slices} if slices is not None else {}), **({} if transcribed else {"text": None})}


def refuse_twice(where: str, clip_id: str, seen: set[str]) -> None:
    """Add an id to those that were seen.

    Raises:
        InputError: it, or one that reads the same, is among them.
    """
    if as_read(clip_id) in seen:
        raise InputError(f"{where}: the id '{clip_id}' occurs twice; give each line its own 'id'")
    seen.add(as_read(clip_id))


def speaker_of(row: ListedRow) -> str | None:
    """Return who speaks, where that is stated; who is written alike is one speaker."""
    return as_read(row.speaker or "").strip() or None


@lru_cache(maxsize=16)
def _common_folder(listed: Listed, _stamps: tuple[Stamp, ...]) -> Path:
    """Read a list through, and return the common folder of its audio files.

    Raises:
        InputError: a row is malformed, there is none, or the files are on several drives.
    """
    folder, unknown = None, set(listed.slice_by)
    for where, row in listed.checked():
        unknown -= row.slices.keys()
        parent = str(listed.audio_of(row).parent)
        try:
            folder = parent if folder is None else os.path.commonpath((folder, parent))
        except ValueError as error:
            raise InputError(f"{where}: audio_filepath: the files are on several drives: keep them on one") from error
    if folder is None:
        raise InputError(f"{listed.base}: {listed.EMPTY}")
    if unknown:
        raise InputError(f"{listed.base}: slice_by: no line states {', '.join(sorted(unknown))}")
    return Path(folder)


def _name(path: Path, row: ListedRow) -> str:
    """Return the default id of a row: its file, the channel, and the part of it."""
    stem = unicodedata.normalize("NFC", (path.parent / path.stem).as_posix())  # macOS stores names decomposed
    stem += "" if row.channel is None else f"@ch{row.channel}"
    if row.offset is None:
        return stem
    end = "" if row.duration is None else f"{row.offset + row.duration:.3f}"
    return f"{stem}@{row.offset:.3f}-{end}"


def _refuse_foreign(content: Mapping[str, Any]) -> None:
    """Refuse a key that other tools read as a part or a change of the audio, and an address in place of a file."""
    for key, (none, meaning) in FOREIGN.items():
        if content.get(key) is not None and content[key] != none:
            raise ValueError(f"{key}: {meaning} (got {shown(content[key])})")
    for key in content:
        known = as_read(key).strip().lower()
        if _IN_A_UNIT.fullmatch(known) and content[key] not in (None, 0):
            raise ValueError(f"{key}: {_PART} (got {shown(content[key])})")
        if key != known and (known in FOREIGN or known in KEYS):
            raise ValueError(f"{key}: keys are in lower case: write {known}")
    name = content.get("audio_filepath")
    if isinstance(name, str) and re.match(r"\w{2,}://", name):
        raise ValueError(f"audio_filepath: {name} is an address, not a file: download it")


def _keys_found(content: Mapping[str, Any]) -> str:
    return f"the keys are {', '.join(map(str, content)) or 'none'}; expected are {', '.join(KEYS)}"
