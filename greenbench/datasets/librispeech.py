"""LibriSpeech and Mini LibriSpeech: which subsets there are, and how OpenSLR's folders are read."""

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from greenbench import extras
from greenbench.datasets.archives import fetch_folder
from greenbench.datasets.audio import audio_digest, read_audio, read_duration_s
from greenbench.errors import InputError, MissingError
from greenbench.files import readback
from greenbench.plugins import Clip, SuitePath

OPENSLR_URL = "https://www.openslr.org/resources"

Subset = Literal[
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean-2",
    "train-clean-5",
]

ARCHIVES: Mapping[Subset, tuple[str, str]] = {
    "dev-clean": ("12", "42e2234ba48799c1f50f24a7926300a1"),
    "dev-other": ("12", "c8d0bcc9cca99d4f8b62fcc847357931"),
    "test-clean": ("12", "32fa31d27d2e1cad72775fee3f4849a9"),
    "test-other": ("12", "fb5a50374b501bb3bac4815ee91d3135"),
    "train-clean-100": ("12", "2a93770f6d5c6c964bc36631d331a522"),
    "train-clean-360": ("12", "c0e676e450a7ff2f54aeade5171606fa"),
    "train-other-500": ("12", "d1a0fd59409feb2c614ce4d30c387708"),
    "dev-clean-2": ("31", "6d7ab67ac6a1d2c993d050e16d61080d"),
    "train-clean-5": ("31", "5df7d4e78065366204ca6845bb08f490"),
}
"""OpenSLR resource and md5 of each subset's archive, from md5sum.txt of SLR12 and SLR31."""


@dataclass(frozen=True)
class LibriSpeech:
    """One subset of LibriSpeech (Panayotov et al., 2015), read speech from audiobooks, CC BY 4.0.

    Attributes:
        root: the folder that holds the subset's folder; what is missing there is downloaded to it.
        subset: an official subset, or one of Mini LibriSpeech.
    """

    root: SuitePath
    subset: Subset

    @property
    def label(self) -> str:
        """``librispeech/<subset>``."""
        return f"librispeech/{self.subset}"

    @property
    def _folder(self) -> Path:
        return self.root / self.subset

    def prepare(self) -> None:
        """Download the subset where its folder is missing, and check that it is complete.

        Raises:
            MissingError: it can neither be found nor downloaded, or it is incomplete.
            InputError: a transcript is malformed.
        """
        if not self._folder.is_dir():
            self._fetch()
        self._check()

    def to_fetch(self) -> str | None:
        """Say what would be downloaded.

        Raises:
            MissingError: the package that downloads is not installed.
        """
        if self._folder.is_dir():
            return None
        extras.need("librispeech")
        return f"{self.label} from {OPENSLR_URL}, since {self._folder} is not here"

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips in the order of their names: speaker, chapter, utterance.

        Raises:
            MissingError: a file or a transcript is missing; nothing is yielded.
            InputError: a transcript is malformed; nothing is yielded.
        """
        self._check()
        for chapter in self._chapters():
            for clip_id, text in sorted(_transcripts(chapter).items()):
                audio = chapter / f"{clip_id}.flac"
                looked_up = partial(read_duration_s, audio), partial(audio_digest, audio)
                yield Clip(clip_id, partial(read_audio, audio), text, chapter.parent.name, *looked_up)

    def _chapters(self) -> list[Path]:
        return sorted(path for path in _visible(self._folder, "*/*") if path.is_dir())

    def _fetch(self) -> None:
        resource, md5 = ARCHIVES[self.subset]
        url = f"{OPENSLR_URL}/{resource}/{self.subset}.tar.gz"
        try:
            fetch_folder(url, md5, f"LibriSpeech/{self.subset}", self._folder)
        except MissingError as error:
            raise MissingError(
                f"{self.label} is not at {self._folder} and could not be downloaded: {error}. "
                f"Set 'root' to the folder that holds {self.subset}/ (LibriSpeech/ in the archive)."
            ) from error

    def _check(self) -> None:
        """Compare transcripts and audio files of the whole subset, without opening any audio."""
        n_clips, no_audio, no_text = 0, list[Path](), list[Path]()
        for chapter in self._chapters():
            clip_ids = _transcripts(chapter).keys()
            audio_ids = {path.stem for path in _visible(chapter, "*.flac")}
            n_clips += len(clip_ids)
            no_audio += [chapter / f"{clip_id}.flac" for clip_id in sorted(clip_ids - audio_ids)]
            no_text += [chapter / f"{clip_id}.flac" for clip_id in sorted(audio_ids - clip_ids)]
        remedy = f"Complete it, or remove {self._folder} to have it downloaded."
        if no_audio:
            raise MissingError(
                f"{no_audio[0]}: has a transcript but no audio (files missing: {len(no_audio)}). {remedy}"
            )
        if no_text:
            raise MissingError(f"{no_text[0]}: has audio but no transcript (files like it: {len(no_text)}). {remedy}")
        if not n_clips:
            raise MissingError(f"{self._folder}: has no speaker/chapter/*.trans.txt. {remedy}")


def _visible(folder: Path, pattern: str) -> list[Path]:
    """Return what matches, but for what macOS adds to files that it copies (``._84-121123-0000.flac``)."""
    return [path for path in folder.glob(pattern) if not path.name.startswith(".")]


def _transcripts(chapter: Path) -> dict[str, str]:
    """Return the transcripts of a chapter's folder by utterance id."""
    texts: dict[str, str] = {}
    pattern = re.compile(rf"({re.escape(chapter.parent.name)}-{re.escape(chapter.name)}-\d+)\s+(\S.*)")
    for path in sorted(_visible(chapter, "*.trans.txt")):
        for number, line in enumerate(readback.read_whole(path).removeprefix(codecs.BOM_UTF8).splitlines(), 1):
            if not line.strip():
                continue
            found = pattern.fullmatch(_decode(line).rstrip())
            if found is None:
                raise InputError(f"{path}:{number}: not an id of this chapter and its text (got {line!r:.60})")
            if found[1] in texts:
                raise InputError(f"{path}:{number}: '{found[1]}' has a transcript already; remove one of the two")
            texts[found[1]] = found[2]
    return texts


def _decode(line: bytes) -> str:
    """Return the line's text, or nothing where it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return ""
