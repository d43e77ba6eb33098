"""A data set as the harness sees it: decoded chunk by chunk in bounded memory, counted and hashed."""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np

from greenbench.datasets.audio import AudioWarning, samples_digest
from greenbench.errors import BadAudioError, InputError
from greenbench.plugins import SAMPLE_RATE_HZ, Clip, Utterance, Waveform
from greenbench.text.characters import as_read

N_HASH = 16
"""Hexadecimal digits of a data set's digest."""

HASH_VERSION = 2
"""Of the form of a data set's digest. 1, without a prefix, was of ids, references and lengths; 2 takes in the audio."""

MIN_LEVEL = 1e-4
"""A waveform that nowhere exceeds this (-80 dB, three steps of 16 bits) is silent, or was divided once too often."""

MAX_LETTERS_PER_S, FEW_LETTERS = 25.0, 16
"""Nobody speaks faster: read English has 12 letters a second, hurried speech up to 20. Texts with fewer letters, which
may be cut tightly, are not judged."""

CHUNK_S = 3600.0
"""Seconds of audio held in memory at once (float32 at 16 kHz: 230 MB)."""


@dataclass
class DatasetStats:
    """What one whole pass over a data set found.

    Attributes:
        n_utterances: good ones.
        audio_s: their length in seconds.
        skipped: why each bad file was left out.
        data_hash: digest of every id, reference, length in samples and the audio, in order.
        doubts: what each utterance's audio was warned of.
    """

    n_utterances: int = 0
    audio_s: float = 0.0
    skipped: list[str] = field(default_factory=list)
    data_hash: str = ""
    doubts: list[str] = field(default_factory=list)


class Corpus:
    """A data set that can be passed over again and again.

    One that fits into a single chunk is decoded once and kept; a larger one is decoded anew at every pass, so
    memory stays bounded whatever its size.
    """

    def __init__(
        self,
        clips: Callable[[], Iterator[Clip]],
        limit: int | None = None,
        on_bad_audio: Literal["fail", "skip"] = "fail",
        chunk_s: float = CHUNK_S,
        has_transcripts: bool = True,
    ) -> None:
        """Describe the corpus; nothing is read yet.

        Args:
            clips: yields the clips of one pass, always the same.
            limit: take the first so many clips.
            on_bad_audio: raise at a bad file, or leave it out and count it.
            chunk_s: seconds of audio held at once.
            has_transcripts: references are what is said, by which audio can be doubted.
        """
        self._clips, self._limit, self._on_bad_audio, self._chunk_s = clips, limit, on_bad_audio, chunk_s
        self._has_transcripts = has_transcripts
        self._kept: list[Utterance] | None = None
        self._digests: dict[str, str] = {}
        self.stats: DatasetStats | None = None

    @property
    def in_memory(self) -> bool:
        """Whether a pass is a single chunk that is kept (known after the first pass)."""
        return self._kept is not None

    def clips(self) -> Iterator[Clip]:
        """Yield the clips of one pass, bad files included, without decoding any."""
        return islice(self._clips(), self._limit)

    def check(self, n_clips: int) -> None:
        """Look up the lengths of the first clips: where their files are missing, the others' may be too.

        Raises:
            BadAudioError: one cannot be read, under ``on_bad_audio: fail``.
        """
        for clip in islice(self.clips() if self._on_bad_audio == "fail" else (), n_clips):
            try:
                _ = clip.duration_s and clip.duration_s()
            except BadAudioError as error:
                raise self._refused(clip, error) from error

    def chunks(self) -> Iterator[list[Utterance]]:
        """Yield the chunks of one pass; decoding happens between the chunks.

        Raises:
            BadAudioError: a bad file under ``on_bad_audio: fail``.
            InputError: the data set has no usable utterance.
        """
        if self._kept is not None:
            yield self._kept
            return
        stats, digest, ids = DatasetStats(), hashlib.sha256(), set[str]()
        chunk, chunk_s, n_chunks = list[Utterance](), 0.0, 0
        for utterance in self._decode(stats):
            if as_read(utterance.id) in ids:  # what looks the same is the same to whoever reads of it
                raise InputError(f"the data set has two utterances '{utterance.id}'; ids must be unique")
            ids.add(as_read(utterance.id))
            stats.n_utterances += 1
            stats.audio_s += utterance.duration_s
            digest.update(identity(utterance.id, utterance.reference, utterance.n_samples, utterance.audio_digest))
            if chunk and chunk_s + utterance.duration_s > self._chunk_s:
                yield chunk
                chunk, chunk_s, n_chunks = [], 0.0, n_chunks + 1
            chunk.append(utterance)
            chunk_s += utterance.duration_s
        if not stats.n_utterances:
            raise InputError(f"the data set has no usable utterance ({len(stats.skipped)} bad files were skipped)")
        stats.data_hash = f"v{HASH_VERSION}-{digest.hexdigest()[:N_HASH]}"
        self.stats = stats
        if n_chunks == 0:
            self._kept = chunk
        yield chunk

    def _decode(self, stats: DatasetStats) -> Iterator[Utterance]:
        for clip in self.clips():
            try:
                with _noting(stats.doubts, clip.id):
                    audio = clip.read()
                stats.doubts += [*_silent(clip, audio), *(_hurried(clip, audio) if self._has_transcripts else ())]
                digest = self._digests.get(clip.id) or (clip.digest and clip.digest()) or samples_digest(audio)
            except BadAudioError as error:
                if self._on_bad_audio == "fail":
                    raise self._refused(clip, error) from error
                stats.skipped.append(str(error))
                continue
            self._digests[clip.id] = digest  # what a later pass reads is the same
            yield Utterance(clip.id, audio, clip.reference, clip.speaker, digest, clip.slices, clip.terms, clip.words)

    def _refused(self, clip: Clip, error: BadAudioError) -> BadAudioError:
        cause = f"{error}{self._missing_too(clip.id) if _is_missing(error) else ''}"
        return BadAudioError(f"{cause}. Replace the file, or set on_bad_audio: skip.")

    def _missing_too(self, clip_id: str) -> str:
        """Name the other files that are not there."""
        missing: dict[str, None] = {}
        for clip in self.clips():
            try:
                _ = clip.duration_s and clip.id != clip_id and clip.duration_s()
            except BadAudioError as error:
                if _is_missing(error):
                    missing[str(error).partition(": bad audio: ")[0]] = None
        few = ", ".join([*missing][:3]) + (" .." if len(missing) > 3 else "")
        return f"; {len(missing)} more files are missing: {few}" if missing else ""


@contextmanager
def _noting(doubts: list[str], clip_id: str) -> Iterator[None]:
    """Note what audio is warned of, and let all warnings pass."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", AudioWarning)
        yield
    for warning in found:
        if isinstance(warning.message, AudioWarning):
            doubts.append(f"{clip_id}: {warning.message.what}")
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _silent(clip: Clip, audio: Waveform) -> list[str]:
    """Doubt words over inaudible speech; silence without words may be meant."""
    level = float(np.abs(audio).max(initial=0.0))
    if level >= MIN_LEVEL or not clip.reference.strip():
        return []
    return [f"{clip.id}: its loudest sample is {level:.2g} of full scale: silence, or integers divided twice"]


def _hurried(clip: Clip, audio: Waveform) -> list[str]:
    """Doubt audio that is over before anybody could have said its words, as where a header declares twice its rate."""
    n_letters, seconds = len("".join(clip.reference.split())), len(audio) / SAMPLE_RATE_HZ
    if n_letters < FEW_LETTERS or n_letters <= MAX_LETTERS_PER_S * seconds:
        return []
    pace = f"{n_letters} letters in {seconds:.2f} s, faster than anybody speaks"
    return [f"{clip.id}: {pace}: is it cut, or is its sampling rate lower than its header says?"]


def _is_missing(error: BadAudioError) -> bool:
    return isinstance(error.__cause__, FileNotFoundError)


def identity(utterance_id: str, reference: str, n_samples: int, audio_digest: str | None = None) -> bytes:
    """Return what one utterance adds to the data set's digest; without the audio's digest, to one of version 1."""
    audio = "" if audio_digest is None else f"\0{audio_digest}"
    return f"{utterance_id}\0{reference}\0{n_samples}{audio}\n".encode()


def hash_version(data_hash: str) -> int:
    """Return the version of a data set's digest."""
    found = re.match(r"v(\d+)-", data_hash)
    return int(found[1]) if found else 1


def data_hash(utterances: Iterable[tuple[str, str, int, str | None]], version: int = HASH_VERSION) -> str:
    """Return a data set's digest.

    Args:
        utterances: id, reference, length in samples and digest of the audio of each, in order.
        version: of the digest's form; version 1 takes in no audio.
    """
    parts = ((*spoken[:3], spoken[3] if version > 1 else None) for spoken in utterances)
    found = hashlib.sha256(b"".join(identity(*part) for part in parts)).hexdigest()[:N_HASH]
    return f"v{version}-{found}" if version > 1 else found
