"""What corruptions do to samples: speed, rooms, noise, gain and the telephone, as functions of waveforms."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from greenbench.plugins import SAMPLE_RATE_HZ, Waveform

Samples = npt.NDArray[np.float64]

TELEPHONE_HZ = 8_000
"""Samples a second on a telephone line."""

BAND_HZ = (300.0, 3_400.0)
"""What a telephone line carries (ITU-T G.712)."""

MU = 255
"""Of the companding of ITU-T G.711, in 8 bits."""

_N_TAPS = 255


def faster(audio: Waveform, speed: float) -> Waveform:
    """Return a waveform that is ``speed`` times as fast and high, resampled by soxr's ``HQ``."""
    import soxr

    resampled: Waveform = soxr.resample(audio, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ, quality="HQ")
    return resampled.astype(np.float32)


def amplified(audio: Waveform, gain_db: float) -> Waveform:
    """Return a waveform at another level, clipped at full scale."""
    clipped: Waveform = np.clip(audio * 10 ** (gain_db / 20), -1, 1).astype(np.float32)
    return clipped


def with_noise(audio: Waveform, noise: Samples, snr_db: float) -> Waveform:
    """Add noise at a ratio of powers; to silence nothing is added, as no ratio is defined.

    Args:
        audio: shape ``(n_samples,)``.
        noise: of any power, same shape.
        snr_db: power of the audio over that of the noise, in dB.
    """
    powers = [float(np.mean(np.square(samples, dtype=np.float64))) for samples in (audio, noise)]
    if 0.0 in powers:
        return audio
    factor = np.sqrt(powers[0] / powers[1] / 10 ** (snr_db / 10))
    noisy: Waveform = (audio + factor * noise).astype(np.float32)
    return noisy


def white(random: np.random.PCG64, n_samples: int) -> Samples:
    """Return white noise: independent samples, evenly distributed within -1..1."""
    return random.random_raw(n_samples) / 2.0**63 - 1.0


def babble(random: np.random.PCG64, voices: Sequence[Waveform], n_samples: int) -> Samples:
    """Return voices at once, each equally loud, from a place of its own, again from its beginning where it ends."""
    total = np.zeros(n_samples)
    for voice in voices:
        power = float(np.mean(np.square(voice, dtype=np.float64)))
        start = int(random.random_raw()) % len(voice)
        total += np.resize(np.roll(voice, -start), n_samples) / np.sqrt(power) if power else 0.0
    return total


def pink(random: np.random.PCG64, n_samples: int) -> Samples:
    """Return pink noise: white noise whose power falls with the frequency, so that each octave has as much."""
    spectrum = np.fft.rfft(white(random, n_samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0.0
    return np.fft.irfft(spectrum, n_samples)


def stretch(random: np.random.PCG64, recording: Waveform, n_samples: int) -> Samples:
    """Return a part of a recording from a random place on, again from its beginning where it ends."""
    start = int(random.random_raw()) % len(recording)
    places = np.arange(start, start + n_samples) % len(recording)
    return recording[places].astype(np.float64)


def decaying(random: np.random.PCG64, rt60_s: float) -> Samples:
    """Return the impulse response of a room: the direct sound, and as much energy of decaying noise after it.

    This is Polack's model ("La transmission de l'énergie sonore dans les salles", 1988) at the critical distance, where
    both are equally strong by definition. The noise has lost 60 dB after ``rt60_s`` seconds, and ends there.
    """
    times = np.arange(1, max(2, round(rt60_s * SAMPLE_RATE_HZ)))
    tail = white(random, len(times)) * 10 ** (-3 * times / (rt60_s * SAMPLE_RATE_HZ))
    return np.concatenate([[1.0], tail / np.sqrt(np.sum(np.square(tail)))])


def in_room(audio: Waveform, response: npt.NDArray[np.floating]) -> Waveform:
    """Return a waveform as it is heard in a room, with the power that it had, and no later than it was.

    Args:
        audio: shape ``(n_samples,)``.
        response: of the room, shape ``(n_taps,)``; what is before its largest sample, the direct sound, is left out.

    Returns:
        Shape ``(n_samples,)``: what still sounds after the end is cut off.
    """
    from scipy.signal import fftconvolve

    direct = response[int(np.abs(response).argmax()) :].astype(np.float64)
    heard = fftconvolve(audio, direct)[: len(audio)]
    powers = [float(np.mean(np.square(samples, dtype=np.float64))) for samples in (audio, heard)]
    level = np.sqrt(powers[0] / powers[1]) if powers[1] else 0.0
    scaled: Waveform = (heard * level).astype(np.float32)
    return scaled


def telephone(audio: Waveform) -> Waveform:
    """Return a waveform as a telephone line carries it: its band, 8000 samples a second, 8 bits by the mu-law."""
    import soxr

    narrow = soxr.resample(audio, SAMPLE_RATE_HZ, TELEPHONE_HZ, quality="HQ")
    passed = np.convolve(narrow, _band())[_N_TAPS // 2 :][: len(narrow)]
    wide = soxr.resample(companded(passed).astype(np.float32), TELEPHONE_HZ, SAMPLE_RATE_HZ, quality="HQ")
    line: Waveform = np.resize(np.pad(wide, (0, max(0, len(audio) - len(wide)))), len(audio)).astype(np.float32)
    return line


def companded(samples: Samples) -> Samples:
    """Return samples within -1..1 as 8 bits of the mu-law keep them: small ones finer than large ones."""
    clipped = np.clip(samples, -1, 1)
    levels = np.round(np.sign(clipped) * np.log1p(MU * np.abs(clipped)) / np.log1p(MU) * 127) / 127
    kept: Samples = np.sign(levels) * ((1 + MU) ** np.abs(levels) - 1) / MU
    return kept


def _band() -> Samples:
    """Return the taps of the band's filter: ideal low passes at both ends, one less the other, in Hamming's window."""
    places = np.arange(_N_TAPS) - _N_TAPS // 2
    low, high = (2 * hz / TELEPHONE_HZ * np.sinc(2 * hz / TELEPHONE_HZ * places) for hz in BAND_HZ)
    taps: Samples = (high - low) * np.hamming(_N_TAPS)
    return taps
