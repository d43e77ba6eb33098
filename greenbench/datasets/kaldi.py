"""Kaldi: a data folder (``wav.scp``, ``segments``, ``text``, ``utt2spk``), its files checked against each other."""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from greenbench.datasets.lines import texts
from greenbench.datasets.rows import Listed
from greenbench.errors import InputError, MissingError
from greenbench.plugins import SuitePath

_SCP, _SEGMENTS, _TEXT, _SPEAKERS = "wav.scp", "segments", "text", "utt2spk"

_COMMAND = (
    "it is a command, and commands from data are not run: write the audio that it prints to a file "
    "(run it yourself with `> FILE` in place of the `|`), and name that file"
)
_ARCHIVE = "it is a place in an archive: write the audio to files (in Kaldi: `wav-copy`), and name these"

_REPAIR = "Kaldi's `utils/fix_data_dir.sh` keeps what is in all files"

_TO_THE_END = -1.0
"""The end of a segment that lasts as long as its recording."""


class _Line(NamedTuple):
    """Where a line stands (``file:line``), and what follows its id."""

    where: str
    rest: str


@dataclass(frozen=True)
class Kaldi(Listed):
    """The utterances of a Kaldi data folder.

    ``wav.scp`` has the recordings, ``segments`` (if it is there) the parts of them that are utterances, ``text`` the
    transcripts, ``utt2spk`` (if it is there) the speakers. Each utterance must be in all of them.

    Attributes:
        path: the data folder, such as ``data/test``.
        root: the folder that relative paths in ``wav.scp`` start from, which in Kaldi is that of the recipe; by
            default the data folder.
        transcribed: whether ``text`` is read; false for speech to distil from.
        slice_by: slices by the names of further files: ``gender`` is read from ``utt2gender`` or ``spk2gender``.
    """

    path: SuitePath
    root: SuitePath | None = None
    transcribed: bool = True
    slice_by: tuple[str, ...] = ()
    WHAT: ClassVar[str] = "a file of the Kaldi data folder"
    REMEDY: ClassVar[str] = "Set 'path' to a folder with `wav.scp` and `text`; `transcribed: false` needs no `text`."
    EMPTY: ClassVar[str] = "the data folder has no utterances"

    @property
    def label(self) -> str:
        """``kaldi/<folder>``."""
        return f"kaldi/{self.path.absolute().name}"

    @property
    def base(self) -> Path:
        """The data folder."""
        return self.path

    @property
    def audio_folder(self) -> Path:
        """The folder that relative paths of recordings start from."""
        return self.root or self.path

    def files(self) -> Sequence[Path]:
        """Return the files that are read.

        Raises:
            MissingError: the folder, or the file of a slice, is not there.
        """
        if not self.path.is_dir():
            raise MissingError(f"{self.path}: there is no such folder. {self.REMEDY}")
        needed = (_SCP, _TEXT) if self.transcribed else (_SCP,)
        there = [name for name in (_SEGMENTS, _SPEAKERS) if (self.path / name).exists()]
        return [*(self.path / name for name in (*needed, *there)), *map(self._file_of, self.slice_by)]

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what is stated of each utterance, in the order of ``segments``, or without it of ``wav.scp``.

        Raises:
            InputError: a line is malformed or names a command, or an id is missing from a file; the first are named.
        """
        recordings, segments = _read(self.path / _SCP), self._optional(_SEGMENTS)
        listed = recordings if segments is None else segments
        spoken, speakers = self._optional(_TEXT) if self.transcribed else None, self._optional(_SPEAKERS)
        named = _SCP if segments is None else _SEGMENTS
        for name, found in ((_TEXT, spoken), (_SPEAKERS, speakers)):
            if found is not None:
                _refuse_missing(self.path / name, listed.keys() - found.keys(), f"utterances of {named}")
                _refuse_missing(self.path / named, found.keys() - listed.keys(), f"utterances of {name}")
        about = {key: (self._file_of(key).name[:3], _read(self._file_of(key))) for key in self.slice_by}
        for utterance, line in listed.items():
            audio = _file(line) if segments is None else self._part(line, recordings)
            speaker = speakers[utterance].rest if speakers else None
            text = spoken[utterance].rest if spoken else None
            found_by = {"utt": utterance, "spk": speaker or ""}
            slices = {key: of[found_by[whose]].rest for key, (whose, of) in about.items() if found_by[whose] in of}
            yield line.where, {"id": utterance, **audio, "text": text, "speaker": speaker, "slices": slices}

    def _optional(self, name: str) -> dict[str, _Line] | None:
        return _read(self.path / name) if (self.path / name).exists() else None

    def _file_of(self, key: str) -> Path:
        """Return the file that has the values of a slice, by utterances or by speakers.

        Raises:
            MissingError: there is none.
        """
        names = (self.path / f"utt2{key}", self.path / f"spk2{key}")
        if not any(map(Path.exists, names)):
            raise MissingError(
                f"{self.path}: slice_by: {key} is read from utt2{key} or spk2{key}, and neither is there"
            )
        return next(filter(Path.exists, names))

    def _part(self, line: _Line, recordings: Mapping[str, _Line]) -> dict[str, Any]:
        """Return the part of a recording that a line of ``segments`` names."""
        try:
            recording, start, end, *channels = line.rest.split()
            start_s, end_s, channel = float(start), float(end), int(channels[0]) if channels else None
        except ValueError as error:
            raise InputError(
                f"{line.where}: `utterance recording start end [channel]` is expected, such as `a-1 a 0.5 2.25`"
            ) from error
        if recording not in recordings:
            raise InputError(f"{line.where}: the recording {recording} is not in {self.path / _SCP}; {_REPAIR}")
        if end_s != _TO_THE_END and not end_s > start_s:
            raise InputError(f"{line.where}: it ends at {end_s:g} s, and does not start before that")
        duration_s = None if end_s == _TO_THE_END else end_s - start_s
        part = {"offset": start_s, "duration": duration_s, "channel": channel}
        return {**_file(recordings[recording]), **part}


def _file(line: _Line) -> dict[str, Any]:
    """Return the file that a line of ``wav.scp`` names.

    Raises:
        InputError: it names a command, or a place in an archive.
    """
    if line.rest.startswith("|") or line.rest.endswith("|"):
        raise InputError(f"{line.where}: {_COMMAND}")
    if re.search(r":\d+(\[.*\])?$", line.rest):
        raise InputError(f"{line.where}: {_ARCHIVE}")
    return {"audio_filepath": line.rest}


def _read(path: Path) -> dict[str, _Line]:
    """Return the lines of a file by their ids, in order.

    Raises:
        InputError: an id is there twice; ``file:line: problem``.
    """
    found = dict[str, _Line]()
    for where, text in texts(path):
        name, *rest = re.split(r"[ \t]+", text.strip(" \t\r\n"), maxsplit=1)
        if name in found:
            raise InputError(f"{where}: the id {name} is there twice; {_REPAIR}")
        if name:
            found[name] = _Line(where, "".join(rest))
    return found


def _refuse_missing(path: Path, missing: Set[str], what: str) -> None:
    if missing:
        few = ", ".join(sorted(missing)[:3]) + (" .." if len(missing) > 3 else "")
        raise InputError(f"{path}: {len(missing)} {what} are missing: {few}; {_REPAIR}")
