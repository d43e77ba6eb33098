"""What a waveform is made of: any file that libsndfile decodes, or a part of one, mixed to mono and resampled."""

import hashlib
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from greenbench.datasets import containers, decoding
from greenbench.datasets.decoding import bad, blocks_of, opened, too_long
from greenbench.plugins import SAMPLE_RATE_HZ, Waveform

if TYPE_CHECKING:
    from soundfile import SoundFile

MAX_LEVEL = 8.0
"""The largest sample of a float file: full scale is 1, mixing and filters overshoot it; integers stored as floats
exceed this at once."""

MIN_MIXED_POWER = 0.05
"""Channels whose mean keeps less of their power than this cancel each other (two independent ones keep half)."""

_SLACK_S = 0.01  # times in manifests are rounded
_LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")


class AudioWarning(UserWarning):
    """Audio that was decoded, and that a model may not understand for a reason of its own.

    Attributes:
        what: the reason, with its figures.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Name the file."""
        super().__init__(f"{path}: {what}")
        self.what = what


def read_audio(
    path: Path, offset_s: float | None = None, duration_s: float | None = None, channel: int | None = None
) -> Waveform:
    """Decode an audio file, or a part of it, as a mono waveform at ``SAMPLE_RATE_HZ``.

    Channels are averaged; other rates go through soxr's ``HQ`` resampler. Reading ends where the decoder gives
    no more; a file of which the header promises more than that is refused.

    Args:
        path: a file in any format of libsndfile (FLAC, WAV, Ogg, MP3 ...).
        offset_s: where the part begins, to the nearest sample of the file; None: the whole file.
        duration_s: how long the part is (None: to the end of the file); of a whole file what it should last.
        channel: the channel that is read, counted from 0; None: the mean of all.

    Returns:
        float32 samples of shape ``(n_samples,)``, at least one, all finite.

    Raises:
        BadAudioError: the file cannot be opened or decoded, breaks off, was joined from several, contradicts its
            header or ``duration_s``, ends before the part does, is not scaled to -1..1, has no samples or
            non-finite ones, lacks the channel, or lasts longer than ``MAX_S``.

    Warns:
        AudioWarning: the channels cancel each other.
    """
    with opened(path) as sound:
        _refuse_contradictions(path, sound)
        _refuse_channel(path, sound, channel)
        start = round((offset_s or 0.0) * sound.samplerate)
        asked = None if offset_s is None or duration_s is None else round(duration_s * sound.samplerate)
        if offset_s is None:
            _refuse_other_length(path, sound, duration_s)
        audio, n_read = _mixed(path, sound, start, asked, channel)
        _refuse_short(path, sound, start, asked, n_read)
        if offset_s is None and duration_s is not None:
            _refuse_other_length(path, sound, duration_s, n_read / sound.samplerate)
    if not audio.size:
        raise bad(path, "it has no samples")
    return audio


def read_duration_s(path: Path, offset_s: float | None = None, duration_s: float | None = None) -> float:
    """Read the length of a file, or of a part of it, in seconds, without decoding: about, where a header may be wrong.

    Args:
        path: as ``read_audio`` takes it.
        offset_s: likewise.
        duration_s: likewise; taken at its word for a part of a file of which no header says the length.

    Raises:
        BadAudioError: the file cannot be opened, is no audio, says no length, or the part is not within it.
    """
    with opened(path) as sound:
        start = round((offset_s or 0.0) * sound.samplerate)
        is_promise = containers.is_promise(path, sound)
        if offset_s is not None and duration_s is not None:
            asked = round(duration_s * sound.samplerate)
            if is_promise:
                _refuse_short(path, sound, start, asked, max(0, min(asked, sound.frames - start)))
            return duration_s
        n_left = sound.frames - start if is_promise else sum(map(len, blocks_of(path, sound, start, None)))
        _refuse_past_end(path, sound, start, n_left)
        return float(n_left / sound.samplerate)


def audio_digest(
    path: Path, offset_s: float | None = None, duration_s: float | None = None, channel: int | None = None
) -> str | None:
    """Return what identifies the audio of a file, or of a part of it, on every machine.

    Of lossless formats it is made of the samples as stored, before mixing and resampling, whose last bits differ
    between processors; so FLAC and WAV of the same samples agree. Lossy decoders differ between versions: their
    files' bytes are taken.

    Returns:
        Hexadecimal digits; None where ``read_audio`` gives the very samples that are stored, so that
        ``samples_digest`` of them is the answer.

    Raises:
        BadAudioError: as ``read_audio``.
    """
    with opened(path) as sound:
        if sound.subtype in _LOSSY:
            part = "" if offset_s is None else f"{offset_s!r} {duration_s!r}"
            part += "" if channel is None else f" channel {channel}"
            found = path.stat()
            return samples_digest(f"{_bytes_digest(path, found.st_size, found.st_mtime_ns)} {part}".encode())
        _refuse_channel(path, sound, channel)
        n_channels = sound.channels if channel is None else 1
        if sound.samplerate == SAMPLE_RATE_HZ and n_channels == 1:
            return None
        start = round((offset_s or 0.0) * sound.samplerate)
        asked = None if offset_s is None or duration_s is None else round(duration_s * sound.samplerate)
        digest = hashlib.sha256(f"{sound.samplerate} {n_channels}\n".encode())
        for block in blocks_of(path, sound, start, asked):
            digest.update(np.ascontiguousarray(block if channel is None else block[:, channel]).data)
    return digest.hexdigest()[:N_DIGEST]


N_DIGEST = 16
"""Hexadecimal digits of an utterance's digest."""


def samples_digest(samples: Any) -> str:
    """Return a digest of samples or other bytes."""
    return hashlib.sha256(samples).hexdigest()[:N_DIGEST]


@lru_cache(maxsize=64)
def _bytes_digest(path: Path, _n_bytes: int, _changed_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**18):
            digest.update(block)
    return digest.hexdigest()


# --- mixing -----------------------------------------------------------------------------------------------


def _mixed(
    path: Path, sound: "SoundFile", start: int, n_asked: int | None, channel: int | None
) -> tuple[Waveform, int]:
    """Return a part as a waveform, and how many of the file's samples it is made of."""
    import soxr

    as_it_is = sound.samplerate == SAMPLE_RATE_HZ
    to_rate = soxr.ResampleStream(sound.samplerate, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    samples, n_read = bytearray(), 0  # grows in place, where joining blocks would hold them twice
    power, mixed_power = 0.0, 0.0
    for block in blocks_of(path, sound, start, n_asked):
        _refuse_samples(path, block)
        mono = block.mean(axis=1) if channel is None else np.ascontiguousarray(block[:, channel])
        n_read += len(block)
        if sound.channels > 1 and channel is None:
            power += float(np.vdot(block, block)) / sound.channels
            mixed_power += float(np.vdot(mono, mono))
        samples += (mono if as_it_is else to_rate.resample_chunk(mono)).data
    if n_read and not as_it_is:
        samples += to_rate.resample_chunk(np.empty(0, np.float32), last=True).data
    if mixed_power < min(MIN_MIXED_POWER, 0.5 / sound.channels) * power:
        _warn_cancelled(path, sound.channels, mixed_power / power)
    return np.frombuffer(samples, np.float32), n_read


def _warn_cancelled(path: Path, n_channels: int, share: float) -> None:
    what = f"its {n_channels} channels cancel each other: their mean keeps {100 * share:.2g} % of their power"
    warnings.warn(AudioWarning(path, f"{what}. Write one channel to a file of its own"), stacklevel=4)


# --- what is refused -------------------------------------------------------------------------------------


def _refuse_contradictions(path: Path, sound: "SoundFile") -> None:
    """Refuse a file whose container says that its samples are not what its header declares, or not all."""
    cause = containers.contradiction(path, sound)
    if cause:
        raise bad(path, cause)


def _refuse_channel(path: Path, sound: "SoundFile", channel: int | None) -> None:
    """Refuse a file without the channel that is meant."""
    if channel is not None and channel >= sound.channels:
        raise bad(path, f"it has {sound.channels} channels, and no channel {channel}, counted from 0")


def _refuse_other_length(
    path: Path, sound: "SoundFile", stated_s: float | None, decoded_s: float | None = None
) -> None:
    """Refuse a whole file that is longer than ``MAX_S`` by its header, or lasts otherwise than is stated."""
    header_s = sound.frames / sound.samplerate if containers.is_promise(path, sound) else None
    if header_s is not None and header_s > decoding.MAX_S:
        raise too_long(path)
    found_s = header_s if decoded_s is None else decoded_s
    if stated_s is None or found_s is None or abs(found_s - stated_s) <= max(0.1, 0.01 * stated_s):
        return
    header = "says no length" if header_s is None else f"{header_s:.3f} s at {sound.samplerate} Hz"
    decoder = "" if decoded_s is None else f", the decoder gives {decoded_s:.3f} s"
    raise bad(
        path, f"the manifest's duration is {stated_s:.3f} s, its header {header}{decoder}; give `offset` to read a part"
    )


def _refuse_short(path: Path, sound: "SoundFile", start: int, asked: int | None, n_read: int) -> None:
    """Refuse a file with fewer samples than its header promises, and a part that reaches past the end."""
    promised = containers.is_promise(path, sound)
    if asked is None and promised and start + n_read < sound.frames:
        raise bad(path, f"it breaks off after {start + n_read} samples of {sound.frames}")
    if asked is not None and asked - n_read > _SLACK_S * sound.samplerate:
        part = f"{start / sound.samplerate:.3f} to {(start + asked) / sound.samplerate:.3f} s"
        end_s = (sound.frames if promised else start + n_read) / sound.samplerate
        raise bad(path, f"the part from {part} reaches past its end, {end_s:.3f} s")
    if asked is None:
        _refuse_past_end(path, sound, start, n_read)


def _refuse_past_end(path: Path, sound: "SoundFile", start: int, n_left: int) -> None:
    """Refuse a part of which nothing is left."""
    if start and n_left <= 0:
        raise bad(path, f"the part from {start / sound.samplerate:.3f} s on begins at its end or past it")


def _refuse_samples(path: Path, block: npt.NDArray[np.float32]) -> None:
    """Refuse samples that are no numbers, and those whose full scale is not 1."""
    level = max(block.max(initial=0.0), -block.min(initial=0.0))
    if not np.isfinite(level):
        raise bad(path, "it has samples that are NaN or infinite")
    if level > MAX_LEVEL:
        full = next((n for n in (2**15, 2**23, 2**31) if level <= n), level)
        raise bad(path, f"it has samples up to {level:.6g}, not within -1..1: divide them (by {full:.10g})")
