"""Corruptions: speed, noise and gain make another data set of one, the same in every run and on every machine."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from greenbench.datasets.audio import N_DIGEST, samples_digest
from greenbench.errors import InputError
from greenbench.plugins import SAMPLE_RATE_HZ, Clip, Waveform

VERSION = 1
"""Of what a corruption does; part of the digest of the audio."""

N_VOICES = 6
"""Utterances that make babble; of so many at once hardly a word is understood."""

Clips = Callable[[], Iterator[Clip]]

_Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Corruption:
    """What is done to each utterance, in this order.

    Attributes:
        speed: factor of speed and pitch, as of a tape (Ko et al., "Audio augmentation for speech recognition", 2015).
        noise_snr_db: power of the utterance, its pauses included, over that of the noise added, in dB.
        noise: ``white``, or ``babble`` of other utterances of the data set.
        noise_seed: of the noise, together with the utterance's id.
        gain_db: amplification in dB; what exceeds full scale is clipped, as a recorder does.
    """

    speed: float | None = None
    noise_snr_db: float | None = None
    noise: Literal["white", "babble"] = "white"
    noise_seed: int = 0
    gain_db: float | None = None

    @property
    def label(self) -> str:
        """What is done, as in a name: ``speed=1.1,babble=5dB,gain=-6dB``; empty where nothing is."""
        parts = (
            self.speed is not None and f"speed={self.speed:g}",
            self.noise_snr_db is not None and f"{self.noise}={self.noise_snr_db:g}dB",
            self.noise_seed != 0 and f"seed={self.noise_seed}",
            self.gain_db is not None and f"gain={self.gain_db:g}dB",
        )
        return ",".join(part for part in parts if part)


class Corrupted:
    """A data set whose utterances are corrupted when they are read."""

    def __init__(self, clips: Clips, corruption: Corruption) -> None:
        """Describe the data set; nothing is read yet.

        Args:
            clips: yields the clips of one pass, always the same.
            corruption: what is done to each.
        """
        self._clips, self._corruption = clips, corruption
        self._digests: dict[str, str] = {}

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips of one pass.

        Raises:
            InputError: (when a clip is read) babble is asked for, and there is no other utterance.
        """
        return map(self._corrupted, self._clips())

    def _corrupted(self, clip: Clip) -> Clip:
        speed = self._corruption.speed or 1.0
        duration_s = None if clip.duration_s is None else partial(_shorter, clip.duration_s, speed)
        read, digest = partial(self._read, clip), partial(self._digest, clip)
        words = tuple(replace(word, start_s=word.start_s / speed, end_s=word.end_s / speed) for word in clip.words)
        return replace(clip, read=read, duration_s=duration_s, digest=digest, words=words)

    def _read(self, clip: Clip) -> Waveform:
        what, audio = self._corruption, clip.read()
        if what.speed is not None:
            audio = faster(audio, what.speed)
        if what.noise_snr_db is not None:
            audio = with_noise(audio, self._noise(clip, len(audio)), what.noise_snr_db)
        return audio if what.gain_db is None else amplified(audio, what.gain_db)

    def _noise(self, clip: Clip, n_samples: int) -> _Samples:
        random = _generator(self._corruption.noise_seed, clip.id)
        if self._corruption.noise == "white":
            return white(random, n_samples)
        return babble(random, [voice.read() for voice in self._voices(clip)], n_samples)

    def _voices(self, clip: Clip) -> list[Clip]:
        """Return the utterances that are the babble behind one: others' where speakers are known, chosen by its id."""
        others = [one for one in self._pool if one.id != clip.id]
        strangers = [one for one in others if one.speaker != clip.speaker] if clip.speaker else []
        among = strangers or others
        if not among:
            raise InputError("noise: babble is made of other utterances, and the data set has one: set noise: white")
        drawn = _generator(self._corruption.noise_seed, f"{clip.id}\0voices").random_raw(4 * N_VOICES)
        return [among[number] for number in list(dict.fromkeys(int(raw) % len(among) for raw in drawn))[:N_VOICES]]

    @cached_property
    def _pool(self) -> list[Clip]:
        return list(self._clips())

    def _digest(self, clip: Clip) -> str:
        """Identify corrupted audio by what it is made of: samples may differ in their last bits between machines."""
        babbles = self._corruption.noise_snr_db is not None and self._corruption.noise == "babble"
        voices = self._voices(clip) if babbles else []
        parts = [f"{VERSION} {self._corruption}", clip.id, *map(self._of_clean, (clip, *voices))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:N_DIGEST]

    def _of_clean(self, clip: Clip) -> str:
        if clip.id not in self._digests:
            self._digests[clip.id] = (clip.digest and clip.digest()) or samples_digest(clip.read())
        return self._digests[clip.id]


def _shorter(duration_s: Callable[[], float], speed: float) -> float:
    return duration_s() / speed


def _generator(seed: int, name: str) -> np.random.PCG64:
    """Return a stream of bits, which no version of numpy changes, of its own for each name."""
    return np.random.PCG64(int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:16], "big"))


# --- what is done ----------------------------------------------------------------------------------------


def faster(audio: Waveform, speed: float) -> Waveform:
    """Return a waveform that is ``speed`` times as fast and high, resampled by soxr's ``HQ``."""
    import soxr

    resampled: Waveform = soxr.resample(audio, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ, quality="HQ")
    return resampled.astype(np.float32)


def amplified(audio: Waveform, gain_db: float) -> Waveform:
    """Return a waveform at another level, clipped at full scale."""
    clipped: Waveform = np.clip(audio * 10 ** (gain_db / 20), -1, 1).astype(np.float32)
    return clipped


def with_noise(audio: Waveform, noise: _Samples, snr_db: float) -> Waveform:
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


def white(random: np.random.PCG64, n_samples: int) -> _Samples:
    """Return white noise: independent samples, evenly distributed within -1..1."""
    return random.random_raw(n_samples) / 2.0**63 - 1.0


def babble(random: np.random.PCG64, voices: list[Waveform], n_samples: int) -> _Samples:
    """Return voices at once, each equally loud, from a place of its own, again from its beginning where it ends."""
    total = np.zeros(n_samples)
    for voice in voices:
        power = float(np.mean(np.square(voice, dtype=np.float64)))
        start = int(random.random_raw()) % len(voice)
        total += np.resize(np.roll(voice, -start), n_samples) / np.sqrt(power) if power else 0.0
    return total
