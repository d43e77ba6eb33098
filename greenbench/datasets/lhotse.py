"""Lhotse: a manifest of cuts as JSON lines, read without Lhotse: single recordings in files, or parts of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from greenbench.datasets.lines import decoded, lines
from greenbench.datasets.rows import Listed
from greenbench.errors import InputError
from greenbench.files import readback
from greenbench.plugins import SuitePath
from greenbench.registry import first_problem

_SLACK_S = 0.05
"""Times of supervisions are rounded, and those of aligners are of frames."""

_SAVED = "write the audio to files with `cuts.save_audios(..)`, and take the cuts that it returns"

_OTHER_CUTS = {
    "MultiCut": "it has several channels: make a MonoCut of each with `cut.to_mono()`",
    "MixedCut": f"it is put together of several tracks: {_SAVED}",
    "PaddingCut": "it is silence without a recording: leave it out",
}
"""Types of cuts that are no recording, or more than one -> what to do."""

_NO_CUT = "it is no cut: make cuts of recordings and supervisions with `CutSet.from_manifests(..).to_file(..)`"


@dataclass(frozen=True)
class _AudioSource:
    type: str
    channels: list[int]
    source: str


@dataclass(frozen=True)
class _Recording:
    sources: list[_AudioSource]
    duration: float
    transforms: list[Any] | None = None


@dataclass(frozen=True)
class _Supervision:
    start: float
    duration: float
    text: str | None = None
    language: str | None = None
    speaker: str | None = None
    gender: str | None = None
    custom: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Cut:
    """The fields of a MonoCut that are read (lhotse/cut/data.py), with those of its recording and supervisions."""

    id: str
    start: float
    duration: float
    channel: int
    recording: _Recording
    supervisions: list[_Supervision] = field(default_factory=list)
    custom: dict[str, Any] | None = None


_CUT = TypeAdapter(_Cut)


@dataclass(frozen=True)
class Lhotse(Listed):
    """The cuts of a manifest of Lhotse: MonoCuts of recordings in files, each with one supervision.

    ``language`` and ``gender`` of the supervision are slices where they are stated.

    Attributes:
        path: the manifest, ``cuts.jsonl`` or ``cuts.jsonl.gz``.
        root: the folder that relative paths of recordings start from, which in Lhotse is the working directory; by
            default the manifest's.
        transcribed: whether every cut must have a text; false for speech to distil from.
        slice_by: keys of ``custom``, of the supervision or the cut, that are slices, too.
    """

    path: SuitePath
    root: SuitePath | None = None
    transcribed: bool = True
    slice_by: tuple[str, ...] = ()
    WHAT: ClassVar[str] = "the manifest of cuts"
    REMEDY: ClassVar[str] = "Set 'path' to a file of cuts, `.jsonl` or `.jsonl.gz`, as `CutSet.to_file` writes it."
    EMPTY: ClassVar[str] = "the manifest has no cuts"

    @property
    def label(self) -> str:
        """The file's folder and name without its suffixes, e.g. ``fbank/cuts_test``."""
        path = self.path.absolute()
        return f"{path.parent.name}/{path.name.removesuffix('.gz').removesuffix('.jsonl')}"

    @property
    def base(self) -> Path:
        """The file."""
        return self.path

    @property
    def audio_folder(self) -> Path:
        """The folder that relative paths of recordings start from."""
        return self.root or super().audio_folder

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what each cut states with where it stands.

        Raises:
            InputError: a line is no MonoCut of a recording in a file; ``file:line: problem``.
        """
        for where, raw in lines(self.path):
            if line := raw.strip():
                try:
                    stated = self._stated(_cut(line))
                except ValidationError as error:
                    raise InputError(f"{where}: {first_problem(error)}") from error
                except ValueError as error:
                    raise InputError(f"{where}: {error}") from error
                yield where, stated

    def _stated(self, cut: _Cut) -> dict[str, Any]:
        """Return what a cut states by the keys of a manifest.

        Raises:
            ValueError: its supervisions are several, or not within it.
        """
        if len(cut.supervisions) > 1:
            n = len(cut.supervisions)
            raise ValueError(f"it has {n} supervisions: make cuts of one each with `cuts.trim_to_supervisions()`")
        said = cut.supervisions[0] if cut.supervisions else None
        if said and not -_SLACK_S <= said.start <= said.start + said.duration <= cut.duration + _SLACK_S:
            raise ValueError("its supervision reaches beyond it: make cuts that fit with `cuts.trim_to_supervisions()`")
        custom = {**(cut.custom or {}), **((said and said.custom) or {})}
        slices = {"language": said and said.language, "gender": said and said.gender}
        slices |= {key: custom[key] for key in self.slice_by if key in custom}
        text, speaker = (said.text, said.speaker) if said else (None, None)
        return {"id": cut.id, "text": text, "speaker": speaker, "slices": slices, **_audio(cut)}


def _cut(line: bytes) -> _Cut:
    """Return the cut that a line holds.

    Raises:
        ValueError: it is no JSON, or no MonoCut of a recording.
    """
    decoded(line)
    if line.startswith(b"["):
        raise ValueError("cuts are JSON lines, one object a line: write them with `cuts.to_file('cuts.jsonl.gz')`")
    content = readback.parse_object(line)
    kind = content.get("type")
    if kind not in ("MonoCut", "Cut"):
        raise ValueError(_OTHER_CUTS.get(str(kind), _NO_CUT))
    if content.get("recording") is None:
        raise ValueError("recording: it has none, and features are not read: make the cuts of recordings")
    cut: _Cut = _CUT.validate_python(content)
    return cut


def _audio(cut: _Cut) -> dict[str, Any]:
    """Return the file of a cut, the part of it and the channel.

    Raises:
        ValueError: its recording is not in a file, or is to be changed.
    """
    if cut.recording.transforms:
        raise ValueError(f"recording: it is to be changed by `transforms`: {_SAVED}")
    source = next((one for one in cut.recording.sources if cut.channel in one.channels), None)
    if source is None:
        raise ValueError(f"recording: none of its sources has the channel {cut.channel}")
    if source.type != "file":
        raise ValueError(f"recording: its source is a {source.type!r:.30}, not a file: {_SAVED}")
    is_whole = cut.start == 0 and abs(cut.duration - cut.recording.duration) <= _SLACK_S
    part = {"duration": cut.recording.duration} if is_whole else {"offset": cut.start, "duration": cut.duration}
    channel = source.channels.index(cut.channel) if len(source.channels) > 1 else None
    return {"audio_filepath": source.source, **part, "channel": channel}
