"""What a waveform is made of: any file that libsndfile decodes, mixed to mono and resampled to one rate."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from greenbench.errors import BadAudioError
from greenbench.plugins import SAMPLE_RATE_HZ, Waveform

# libsndfile's log where a WAV header promises another number of bytes than the file has
_WAV_BYTES = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# from here on the number is a placeholder of a program that wrote to a pipe, not a promise
_PIPED_BYTES = 0x7FFF_0000


def read_audio(path: Path) -> Waveform:
    """Decode an audio file as a mono waveform at ``SAMPLE_RATE_HZ``.

    Channels are averaged; other rates go through soxr's ``HQ`` resampler. A WAV, FLAC or MP3 file that
    breaks off is refused; in Ogg a missing end cannot be told from a shorter recording.

    Args:
        path: a file in any format of libsndfile (FLAC, WAV, Ogg, MP3 ...).

    Returns:
        float32 samples of shape ``(n_samples,)``, at least one, all finite.

    Raises:
        BadAudioError: the file cannot be opened or decoded, breaks off, has no samples or non-finite ones.
    """
    import soxr

    samples, rate_hz = _decode(path)
    with np.errstate(all="ignore"):  # inf - inf is reported as non-finite below, not as a warning here
        mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise _bad(path, "it has samples that are NaN or infinite")
    audio: Waveform = soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, quality="HQ") if mono.size else mono
    if not audio.size:
        raise _bad(path, "it has no samples")
    return audio


def read_duration_s(path: Path) -> float:
    """Read an audio file's length in seconds from its header.

    Raises:
        BadAudioError: the file cannot be opened, or is no audio.
    """
    import soundfile

    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            return float(sound.frames / sound.samplerate)
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError) as error:
        raise _bad(path, f"its length cannot be read ({error})") from error


def _decode(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Return the file's samples, shape ``(n_frames, n_channels)``, and its sample rate in Hz."""
    import soundfile

    try:
        # Python opens the file because libsndfile calls every failure to open a "System error".
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            samples = sound.read(dtype="float32", always_2d=True)
            n_promised, rate_hz, log = sound.frames, sound.samplerate, sound.extra_info
    except soundfile.LibsndfileError as error:
        cause = error.error_string.removeprefix("Error : ").rstrip(".")
        empty = path.stat().st_size == 0
        raise _bad(path, "it is empty" if empty else f"it cannot be decoded ({cause})") from error
    except OSError as error:
        raise _bad(path, f"it cannot be opened ({error.strerror})") from error
    except (TypeError, ValueError, MemoryError) as error:  # headerless format, NUL in the name, absurd length
        raise _bad(path, f"it cannot be decoded ({error})") from error
    if len(samples) < n_promised or _is_cut_short(log):
        raise _bad(path, f"it breaks off after {len(samples)} samples")
    return samples, rate_hz


def _is_cut_short(log: str) -> bool:
    """Tell whether a WAV file has fewer bytes than its header says; libsndfile only logs that."""
    found = _WAV_BYTES.search(log)
    return found is not None and int(found[2]) < int(found[1]) < _PIPED_BYTES


def _bad(path: Path, cause: str) -> BadAudioError:
    return BadAudioError(f"{path}: bad audio: {cause}")
