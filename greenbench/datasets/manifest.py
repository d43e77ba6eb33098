"""A manifest: any corpus as JSON lines, a line for each utterance, which is a file or a part of one."""

import codecs
import json
import os.path
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from greenbench.datasets.audio import audio_digest, read_audio, read_duration_s
from greenbench.datasets.labels import labels
from greenbench.datasets.wordtimes import word_times
from greenbench.errors import InputError, MissingError
from greenbench.files import readback
from greenbench.files.limits import limits
from greenbench.files.pointers import stand_in
from greenbench.plugins import Clip, SuitePath
from greenbench.registry import first_problem
from greenbench.text.characters import as_read

_PART = "says which part is meant: write it as `offset` and `duration`, in seconds"
_CHANNEL = "says which channel is meant: write that channel to a file of its own"
_CHANGED = "says that the audio is to be changed: write what it becomes to a file of its own"

FOREIGN: Mapping[str, tuple[Any, str]] = {
    **dict.fromkeys(("start", "begin", "start_time", "start_sample", "frame_offset"), (0, _PART)),
    **dict.fromkeys(("end", "stop", "end_time", "stop_time", "end_sample", "num_frames"), (None, _PART)),
    **dict.fromkeys(("segments", "recording", "supervisions"), (None, _PART)),
    **dict.fromkeys(("channel", "channel_selector", "target_channel"), (None, _CHANNEL)),
    **dict.fromkeys(("speed", "tempo", "speed_factor"), (1, _CHANGED)),
}
"""Keys that other tools read a part or a change of the audio from -> the value that means none, and what to do."""

_IN_A_UNIT = re.compile(
    r"(start|begin|end|stop|offset)(_time)?_?(s|secs?|seconds?|ms|msecs?|milliseconds?|samples?|frames?)"
)
"""The same keys with a unit."""


def _a_text(value: Any) -> Any:
    if not isinstance(value, str | None):
        raise ValueError(f"a text is expected, not {_shown(value)}")  # noqa: TRY004 (pydantic takes no other)
    return value


def _a_name(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    if not is_number and not isinstance(value, str | None):
        raise ValueError(f"a text or a number is expected, not {_shown(value)}")
    return str(value) if is_number else value


def _shown(value: Any) -> str:
    return text if len(text := json.dumps(value)) <= 60 else f"{text[:60]}..."


@dataclass(frozen=True)
class _ManifestLine:
    """The keys of a line that are read; others are ignored, but those of ``FOREIGN``."""

    audio_filepath: Annotated[str, Field(min_length=1, strict=True)]
    text: Annotated[str | None, BeforeValidator(_a_text)] = None
    id: Annotated[str | None, Field(min_length=1), BeforeValidator(_a_name)] = None
    speaker: Annotated[str | None, BeforeValidator(_a_name)] = None
    offset: Annotated[float | None, Field(ge=0, allow_inf_nan=False, strict=True)] = None
    duration: Annotated[float | None, Field(gt=0, allow_inf_nan=False, strict=True)] = None
    slices: Annotated[dict[str, str], BeforeValidator(labels)] = field(default_factory=dict)
    words: Annotated[Any, BeforeValidator(word_times)] = ()


_LINE = TypeAdapter(_ManifestLine)
_KEYS = ", ".join(key.name for key in fields(_ManifestLine))


@dataclass(frozen=True)
class Manifest:
    """The utterances that a JSON-lines file lists.

    Attributes:
        path: the file. A line is an object with ``audio_filepath`` (relative to the file) and ``text``, optionally
            ``speaker``, ``offset`` and ``duration`` (seconds: the part of the file that is meant; a ``duration``
            without ``offset`` is what the whole file lasts) and ``id`` (default: the path below the common folder of
            all audio files without its suffix, and the part). ``slices`` is an object of properties of the
            utterance, each of which gets an error rate: ``{"accent": "scottish", "noise": "street"}``. ``words`` are
            their times in seconds from the beginning: ``[{"word": "hello", "start": 0.1, "end": 0.4}]``.
        transcribed: whether every line must have ``text``; false for speech to distil from, whose ``text`` is ignored.
        slice_by: further keys of a line that are slices, such as ``accent`` in manifests of NeMo.
    """

    path: SuitePath
    transcribed: bool = True
    slice_by: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The file's folder and stem, e.g. ``an4/test``."""
        path = self.path.absolute()
        return f"{path.parent.name}/{path.stem}"

    def prepare(self) -> None:
        """Check that the file can be opened, and every line of it.

        Raises:
            MissingError: it cannot be opened.
            InputError: a line is malformed, or there is none; ``file:line: problem``.
        """
        self._folder()

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips in the order of the lines.

        Raises:
            MissingError: the file cannot be opened; nothing is yielded.
            InputError: a line is malformed or repeats an id, or there is no line; ``file:line: problem``. Nothing is
                yielded but where an id is repeated.
        """
        folder = self._folder()
        seen = set[str]()
        for where, line in self._lines():
            clip = self._clip(line, folder)
            if as_read(clip.id) in seen:
                raise InputError(f"{where}: the id '{clip.id}' occurs twice; give each line its own 'id'")
            seen.add(as_read(clip.id))
            yield clip

    def _folder(self) -> Path:
        """Check all lines, and return the common folder of the audio files, below which they have their ids."""
        try:
            found = self.path.stat()
            if stat.S_ISFIFO(found.st_mode):  # which is read once, and waited for
                raise OSError(0, "it is a pipe")
            self.path.open("rb").close()
        except OSError as error:
            raise MissingError(
                f"{self.path}: the manifest cannot be opened ({error.strerror}). "
                "Set 'path' to a JSON-lines file, relative to the suite file or the working directory."
            ) from error
        return _common_folder(self, found.st_size, found.st_mtime_ns)

    def _lines(self) -> Iterator[tuple[str, _ManifestLine]]:
        """Yield each line that is not blank with where it stands."""
        for number, raw in readback.numbered(self.path):
            where = f"{self.path}:{number}"
            if raw is None:
                raise InputError(f"{where}: the line is longer than {limits().max_line_bytes / 1e6:.0f} MB")
            line = raw.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").strip()
            if line:
                yield where, self._line(line, where)

    def _line(self, line: bytes, where: str) -> _ManifestLine:
        try:
            content = _object(line)
            entry = _LINE.validate_python(self._meant(content))
        except ValidationError as error:
            missing = error.errors()[0]["type"] == "missing"
            problem = _keys_found(content) if missing else first_problem(error)
            raise InputError(f"{where}: {problem}") from error
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
        if self.transcribed and entry.text is None:
            keys = "" if "text" in content else f"; {_keys_found(content)}"
            raise InputError(
                f"{where}: text: there is none{keys}. Speech to distil from needs none: set `transcribed: false`"
            )
        return entry

    def _meant(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return what of a line is read: no text of speech to distil from, and what its own keys state of it."""
        own, stated = {key: content[key] for key in self.slice_by if key in content}, content.get("slices")
        slices = {**stated, **own} if own and isinstance(stated, dict) else own or stated
        return {**content, "slices": slices, **({} if self.transcribed else {"text": None})}

    def _clip(self, line: _ManifestLine, folder: Path) -> Clip:
        audio = self.audio(line)
        part = () if line.offset is None and line.duration is None else (line.offset, line.duration)
        name = line.id if line.id is not None else _name(audio.relative_to(folder), line)
        text = (line.text or "") if self.transcribed else ""
        read, duration_s = partial(read_audio, audio, *part), partial(read_duration_s, audio, *part)
        speaker = as_read(line.speaker or "").strip() or None  # who is written alike is one speaker
        digest = partial(audio_digest, audio, *part)
        return Clip(name, read, text, speaker, duration_s, digest, line.slices, words=line.words)

    def audio(self, line: _ManifestLine) -> Path:
        """Return where a line's audio is, without links followed."""
        name = os.path.expanduser(line.audio_filepath)  # noqa: PTH111 (a user who is not known is no error)
        if "\\" in name and not (self.path.parent / name).exists():  # of a manifest that was written on Windows
            name = name.replace("\\", "/")
        return Path(os.path.abspath(self.path.parent / name))  # noqa: PTH100 (which follows links)


@lru_cache(maxsize=16)
def _common_folder(manifest: Manifest, _n_bytes: int, _changed_ns: int) -> Path:
    """Read a manifest through, and return the common folder of its audio files.

    Raises:
        InputError: a line is malformed, there is none, or the files are on several drives.
    """
    folder, unknown = None, set(manifest.slice_by)
    for where, line in manifest._lines():
        unknown -= line.slices.keys()
        parent = str(manifest.audio(line).parent)
        try:
            folder = parent if folder is None else os.path.commonpath((folder, parent))
        except ValueError as error:
            raise InputError(f"{where}: audio_filepath: the files are on several drives: keep them on one") from error
    if folder is None:
        raise InputError(f"{manifest.path}: the manifest is empty; write one JSON object a line")
    if unknown:
        raise InputError(f"{manifest.path}: slice_by: no line states {', '.join(sorted(unknown))}")
    return Path(folder)


def _name(path: Path, line: _ManifestLine) -> str:
    """Return the default id of a line: its file, and the part of it."""
    stem = unicodedata.normalize("NFC", (path.parent / path.stem).as_posix())  # macOS stores names decomposed
    if line.offset is None:
        return stem
    end = "" if line.duration is None else f"{line.offset + line.duration:.3f}"
    return f"{stem}@{line.offset:.3f}-{end}"


# --- one line --------------------------------------------------------------------------------------------


def _object(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line.

    Raises:
        ValueError: it is none, or has a key that other tools read as a part or a change of the audio.
    """
    content = _json(line)
    if isinstance(content, list):
        raise ValueError(_NO_ARRAY)  # noqa: TRY004 (one kind for all that a line can be)
    if not isinstance(content, dict):
        raise ValueError(f"one JSON object a line is expected, not {_shown(content)}")  # noqa: TRY004
    for key, (none, meaning) in FOREIGN.items():
        if content.get(key) is not None and content[key] != none:
            raise ValueError(f"{key}: {meaning} (got {_shown(content[key])})")
    for key in content:
        known = as_read(key).strip().lower()
        if _IN_A_UNIT.fullmatch(known) and content[key] not in (None, 0):
            raise ValueError(f"{key}: {_PART} (got {_shown(content[key])})")
        if key != known and (known in FOREIGN or known in _KEYS.split(", ")):
            raise ValueError(f"{key}: keys are in lower case: write {known}")
    name = content.get("audio_filepath")
    if isinstance(name, str) and re.match(r"\w{2,}://", name):
        raise ValueError(f"audio_filepath: {name} is an address, not a file: download it")
    return content


_NO_ARRAY = "a manifest is JSON lines: one object a line, not an array, nor an object over several lines"
_NO_TABLE = (
    "a manifest is JSON lines, not a table (CSV, TSV) or plain text: write one object a line, such as "
    '{"audio_filepath": "a.wav", "text": "what is said"}'
)


def _json(line: bytes) -> Any:
    if b"\0" in line:
        raise ValueError("it looks like UTF-16: save the file as UTF-8")
    try:
        line.decode()
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise ValueError(
            f"not UTF-8: byte 0x{byte:02x} ({bytes([byte]).decode('cp1252', 'replace')!r} in Windows-1252) at column "
            f"{error.start + 1}: save the file as UTF-8"
        ) from error
    if other := stand_in(line):
        raise ValueError(other)
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


def _keys_found(content: Mapping[str, Any]) -> str:
    return f"the keys are {', '.join(map(str, content)) or 'none'}; expected are {_KEYS}"
