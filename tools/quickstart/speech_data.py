"""Training speech of the teacher: utterances in files, augmentation, and batches of like length."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from greenbench.datasets import signals

SAMPLE_RATE = 16000
BUCKET = 4000  # samples; batches are padded to a multiple of it
N_BABBLE = 5  # utterances at once
VALID_SPEAKERS = 8  # AN4 training speakers kept for validation


@dataclass(frozen=True)
class Utterance:
    """One transcribed recording of `n_samples` at 16 kHz, and where it comes from."""

    path: Path
    n_samples: int
    text: str
    source: str

    def read(self) -> np.ndarray:
        """Return int16 (n_samples,)."""
        return soundfile.read(self.path, dtype="int16")[0]


def read_manifest(path: Path) -> list[dict]:
    """Read the rows of a JSON-lines manifest."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def load(manifest: Path, fields: dict, source: str) -> Utterance:
    """Describe the utterance of a manifest's row; nothing is read yet."""
    path = manifest.parent / fields["audio_filepath"]
    return Utterance(path, round(fields["duration"] * SAMPLE_RATE), fields["text"].lower(), source)


def load_part(manifest: Path) -> list[Utterance]:
    """Load what make_corpus.py listed; letters, digits and dates are a source of their own."""
    return [
        load(manifest, fields, "code" if fields["kind"] == "code" else "sentence") for fields in read_manifest(manifest)
    ]


def load_an4(folder: Path) -> tuple[list[Utterance], list[Utterance]]:
    """Load the AN4 training recordings as (training, validation), split by speaker."""
    rows = read_manifest(folder / "train.jsonl")
    held_out = set(sorted({row["speaker"] for row in rows})[::9][:VALID_SPEAKERS])
    parts: tuple[list[Utterance], list[Utterance]] = ([], [])
    for fields in rows:
        parts[fields["speaker"] in held_out].append(load(folder / "train.jsonl", fields, "an4"))
    return parts


def normalise(audio: np.ndarray) -> np.ndarray:
    """Scale to zero mean and unit variance, as Wav2Vec2FeatureExtractor does."""
    audio = audio.astype(np.float32)
    return (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)


def augment(
    audio: np.ndarray, factor: float, strength: float, others: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Change vocal-tract length and pitch, colour, put into a room and add noise.

    Args:
        audio: float (n_samples,).
        factor: Resampling factor; 1.1 sounds like a smaller, faster speaker.
        strength: 0 only resamples; 1 is a distant microphone in a noisy room at worst: 5 dB of signal to noise.
        others: Other speech, which makes babble; white and pink noise are made too.
        rng: Source of chance.

    Returns:
        float32 (n_samples / factor,).
    """
    audio = audio.astype(np.float32)
    audio = np.interp(np.arange(0, len(audio) - 1, factor), np.arange(len(audio)), audio)
    audio = coloured(audio, rng.normal(0, 6 * strength, 8))
    room = signals.decaying(rng.bit_generator, rng.uniform(0.1, 0.8))
    room[1:] *= strength * rng.random()
    audio = signals.in_room(audio, room)
    kinds = (signals.white, signals.pink, lambda bits, n: signals.babble(bits, others, n))
    noise = kinds[rng.integers(len(kinds))](rng.bit_generator, len(audio))
    return signals.with_noise(audio, noise, rng.uniform(40 - 35 * strength, 40))


def coloured(audio: np.ndarray, gains_db: np.ndarray) -> np.ndarray:
    """Filter with gains at frequencies that lie the denser the lower they are."""
    n = 1 << (len(audio) - 1).bit_length()  # a power of two: other lengths may take ten times as long
    spectrum = np.fft.rfft(audio, n)
    places = np.linspace(0, 1, len(gains_db)) ** 2
    gains = 10 ** (np.interp(np.linspace(0, 1, len(spectrum)), places, gains_db) / 20)
    return np.fft.irfft(spectrum * gains, n)[: len(audio)]


@dataclass(frozen=True)
class Mix:
    """What one pass draws from the utterances.

    Attributes:
        shares: Share of each source among the utterances drawn.
        max_s: Longest utterance in seconds.
        strength: Largest strength of the augmentation, 0 to 1; each utterance has its own.
        warp: Largest relative change of vocal-tract length.
        batch_s: Seconds of audio a batch.
    """

    shares: dict[str, float]
    max_s: float
    strength: float
    warp: float
    batch_s: float


def draw(utterances: list[Utterance], mix: Mix, rng: np.random.Generator) -> list[tuple[Utterance, float]]:
    """Draw one pass: utterances in the shares of the mix, each with a resampling factor."""
    fit = [u for u in utterances if u.n_samples <= mix.max_s * SAMPLE_RATE]
    count = len(fit)
    drawn: list[tuple[Utterance, float]] = []
    for source, share in mix.shares.items():
        pool = [u for u in fit if u.source == source]
        picks = rng.permutation(np.resize(rng.permutation(len(pool)), round(count * share)))
        drawn += [(pool[i], float(1 + rng.uniform(-mix.warp, mix.warp))) for i in picks]
    return drawn


def batches(
    utterances: list[Utterance], mix: Mix, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[str]]]:
    """Yield batches without end.

    Yields:
        float32 (batch, samples) zero-padded, int64 (batch,) lengths in samples, transcripts.
    """
    while True:
        groups = grouped(draw(utterances, mix, rng), mix.batch_s, rng)
        for i in rng.permutation(len(groups)):
            spoken = [utterance.read() for utterance, _ in groups[i]]
            items = []
            for (utterance, factor), audio in zip(groups[i], spoken, strict=True):
                others = [spoken[j] for j in rng.integers(len(spoken), size=N_BABBLE)]
                items.append((augment(audio, factor, mix.strength * rng.random(), others, rng), utterance.text))
            yield collate(items)


def grouped(
    drawn: list[tuple[Utterance, float]], batch_s: float, rng: np.random.Generator
) -> list[list[tuple[Utterance, float]]]:
    """Cut one pass into full batches of like length: few shapes, for which kernels are prepared once."""
    buckets: dict[int, list[tuple[Utterance, float]]] = defaultdict(list)
    for i in rng.permutation(len(drawn)):
        utterance, factor = drawn[i]
        buckets[math.ceil(utterance.n_samples / factor / BUCKET)].append(drawn[i])
    groups = []
    for length, items in buckets.items():
        size = max(1, int(batch_s * SAMPLE_RATE // (length * BUCKET)))
        groups += [items[start : start + size] for start in range(0, len(items) - size + 1, size)]
    return groups


def collate(items: list[tuple[np.ndarray, str]]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Normalise and pad utterances to one batch."""
    audio = [torch.from_numpy(normalise(samples)) for samples, _ in items]
    lengths = torch.tensor([len(samples) for samples in audio])
    padded = torch.zeros(len(audio), math.ceil(int(lengths.max()) / BUCKET) * BUCKET)
    for row, samples in zip(padded, audio, strict=True):
        row[: len(samples)] = samples
    return padded, lengths, [text for _, text in items]
