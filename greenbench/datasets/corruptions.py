"""Corruptions: speed, rooms, noise ... make another data set of one, the same in every run and on every machine."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from greenbench import cache
from greenbench.datasets import signals
from greenbench.datasets.audio import N_DIGEST, read_audio, read_duration_s, samples_digest
from greenbench.errors import InputError
from greenbench.plugins import SAMPLE_RATE_HZ, Clip, Waveform

VERSION = 1
"""Of what a corruption does; part of the digest of the audio."""

N_VOICES = 6
"""Utterances that make babble; of so many at once hardly a word is understood."""

NOISES = ("white", "pink", "babble")
"""Kinds of noise that need no recordings."""

RECORDINGS = (".flac", ".wav", ".ogg", ".opus", ".mp3")
"""Files of a folder that are recordings of noise, or impulse responses of rooms."""

Clips = Callable[[], Iterator[Clip]]


@dataclass(frozen=True)
class Corruption:
    """What is done to each utterance, in this order.

    Attributes:
        speed: factor of speed and pitch, as of a tape (Ko et al., "Audio augmentation for speech recognition", 2015).
        rt60_s: seconds in which the sound of a simulated room decays by 60 dB.
        rir: folder with impulse responses of rooms, of which each utterance gets one.
        noise_snr_db: power of the utterance, its pauses included, over that of the noise added, in dB.
        noise: one of ``NOISES``, or a folder with recordings, of which each utterance gets a part of one.
        noise_seed: of noise and rooms, together with the utterance's id.
        gain_db: amplification in dB; what exceeds full scale is clipped, as a recorder does.
        telephone: whether it passes a telephone line in the end.
    """

    speed: float | None = None
    noise_snr_db: float | None = None
    noise: str = "white"
    noise_seed: int = 0
    gain_db: float | None = None
    rt60_s: float | None = field(default=None, repr=False)
    rir: str | None = field(default=None, repr=False)
    telephone: bool = field(default=False, repr=False)

    @property
    def label(self) -> str:
        """What is done, as in a name: ``speed=1.1,babble=5dB,gain=-6dB``; empty where nothing is."""
        parts = (
            self.speed is not None and f"speed={self.speed:g}",
            self.rt60_s is not None and f"room={self.rt60_s:g}s",
            self.rir is not None and f"room={Path(self.rir).name}",
            self.noise_snr_db is not None and f"{Path(self.noise).name}={self.noise_snr_db:g}dB",
            self.noise_seed != 0 and f"seed={self.noise_seed}",
            self.gain_db is not None and f"gain={self.gain_db:g}dB",
            self.telephone and "telephone",
        )
        return ",".join(part for part in parts if part)

    @property
    def written(self) -> str:
        """What is done, as it stands in digests: no path, and of what an earlier version knew what it wrote."""
        earlier = replace(self, noise=self.noise if self.noise in NOISES else "recorded")
        later = (self.rt60_s is not None and f" rt60_s={self.rt60_s}", self.telephone and " telephone")
        return f"{earlier}{''.join(part for part in later if part)}"


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
            audio = signals.faster(audio, what.speed)
        if what.rt60_s is not None:
            audio = signals.in_room(audio, signals.decaying(self._random(clip, "room"), what.rt60_s))
        if what.rir is not None:
            response = read_audio(self._drawn(clip, "rir", self._rooms), channel=0)
            audio = signals.in_room(audio, response)
        if what.noise_snr_db is not None:
            audio = signals.with_noise(audio, self._noise(clip, len(audio)), what.noise_snr_db)
        if what.gain_db is not None:
            audio = signals.amplified(audio, what.gain_db)
        return signals.telephone(audio) if what.telephone else audio

    def _noise(self, clip: Clip, n_samples: int) -> signals.Samples:
        random, kind = _generator(self._corruption.noise_seed, clip.id), self._corruption.noise
        if kind == "babble":
            return signals.babble(random, [voice.read() for voice in self._voices(clip)], n_samples)
        if kind in NOISES:
            return {"white": signals.white, "pink": signals.pink}[kind](random, n_samples)
        path = self._drawn(clip, "noise", self._backgrounds)
        part = _part(path, random, n_samples)
        if not part.any():
            raise InputError(
                f"noise: {path} is silent for {n_samples / SAMPLE_RATE_HZ:.1f} s: take it out of the folder"
            )
        return part

    @cached_property
    def _backgrounds(self) -> Sequence[Path]:
        """The recordings of noise."""
        return recordings("noise", self._corruption.noise)

    @cached_property
    def _rooms(self) -> Sequence[Path]:
        """The impulse responses."""
        return recordings("rir", str(self._corruption.rir))

    def _drawn(self, clip: Clip, use: str, files: Sequence[Path]) -> Path:
        """Return the one of some files that an utterance gets."""
        return files[int(self._random(clip, use).random_raw()) % len(files)]

    def _random(self, clip: Clip, use: str) -> np.random.PCG64:
        return _generator(self._corruption.noise_seed, f"{clip.id}\0{use}")

    def _voices(self, clip: Clip) -> list[Clip]:
        """Return the utterances that are the babble behind one: others' where speakers are known, chosen by its id."""
        others = [one for one in self._pool if one.id != clip.id]
        strangers = [one for one in others if one.speaker != clip.speaker] if clip.speaker else []
        among = strangers or others
        if not among:
            raise InputError("noise: babble is made of other utterances, and the data set has one: set noise: white")
        drawn = self._random(clip, "voices").random_raw(4 * N_VOICES)
        return [among[number] for number in list(dict.fromkeys(int(raw) % len(among) for raw in drawn))[:N_VOICES]]

    @cached_property
    def _pool(self) -> list[Clip]:
        return list(self._clips())

    def _digest(self, clip: Clip) -> str:
        """Identify corrupted audio by what it is made of: samples may differ in their last bits between machines."""
        what, is_noisy = self._corruption, self._corruption.noise_snr_db is not None
        voices = self._voices(clip) if is_noisy and what.noise == "babble" else []
        parts = [f"{VERSION} {what.written}", clip.id, *map(self._of_clean, (clip, *voices))]
        files = [self._drawn(clip, "rir", self._rooms)] if what.rir is not None else []
        files += [self._drawn(clip, "noise", self._backgrounds)] if is_noisy and what.noise not in NOISES else []
        parts += map(cache.digest, files)
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


def recordings(key: str, folder: str) -> Sequence[Path]:
    """Return the audio files of a folder and those below it, in the order of their paths.

    Args:
        key: of the setting, for the message.
        folder: with the recordings.

    Raises:
        InputError: there is none.
    """
    files = [path for path in Path(folder).rglob("*") if path.suffix.lower() in RECORDINGS and path.is_file()]
    if not files:
        kinds = f"one of {', '.join(NOISES)}, or a folder" if key == "noise" else "a folder"
        raise InputError(f"{key}: {folder} holds no audio files ({', '.join(RECORDINGS)}); give {kinds} with some")
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _part(path: Path, random: np.random.PCG64, n_samples: int) -> signals.Samples:
    """Return a part of a recording's first channel; of a long one no more than that is read."""
    needed_s = n_samples / SAMPLE_RATE_HZ
    spare_s = read_duration_s(path) - needed_s - _SLACK_S
    if spare_s <= 0:
        return signals.stretch(random, read_audio(path, channel=0), n_samples)
    start_s = spare_s * int(random.random_raw()) / 2.0**64
    return np.resize(read_audio(path, start_s, needed_s, channel=0).astype(np.float64), n_samples)


_SLACK_S = 0.02
"""Times are rounded to a file's samples."""
