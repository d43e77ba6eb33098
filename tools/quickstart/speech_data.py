"""Training speech of the teacher: utterances in memory, augmentation, and batches of like length."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

SAMPLE_RATE = 16000
BUCKET = 4000  # samples; batches are padded to a multiple of it
VALID_SPEAKERS = 8  # AN4 training speakers kept for validation


@dataclass(frozen=True)
class Utterance:
    """One transcribed recording: int16 (n_samples,) at 16 kHz, and where it comes from."""

    audio: np.ndarray
    text: str
    source: str


def read_manifest(path: Path) -> list[dict]:
    """Read the rows of a JSON-lines manifest."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def load_packed(stem: Path) -> list[Utterance]:
    """Load the utterances that make_corpus.py packed into `stem`.npy and `stem`.jsonl."""
    samples = np.load(stem.with_suffix(".npy"), mmap_mode="r")
    utterances = []
    for fields in read_manifest(stem.with_suffix(".jsonl")):
        audio = samples[fields["offset"] : fields["offset"] + fields["n_samples"]]
        utterances.append(Utterance(audio, fields["text"], "code" if fields["kind"] == "code" else "sentence"))
    return utterances


def load_an4(folder: Path) -> tuple[list[Utterance], list[Utterance]]:
    """Load the AN4 training recordings as (training, validation), split by speaker."""
    rows = read_manifest(folder / "train.jsonl")
    held_out = set(sorted({row["speaker"] for row in rows})[::9][:VALID_SPEAKERS])
    parts: tuple[list[Utterance], list[Utterance]] = ([], [])
    for fields in rows:
        audio, _ = soundfile.read(folder / fields["audio_filepath"], dtype="int16")
        parts[fields["speaker"] in held_out].append(Utterance(audio, fields["text"].lower(), "an4"))
    return parts


def normalise(audio: np.ndarray) -> np.ndarray:
    """Scale to zero mean and unit variance, as Wav2Vec2FeatureExtractor does."""
    audio = audio.astype(np.float32)
    return (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)


def augment(audio: np.ndarray, factor: float, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Change vocal-tract length and pitch, colour, reverberate and add noise.

    Args:
        audio: float (n_samples,).
        factor: Resampling factor; 1.1 sounds like a smaller, faster speaker.
        strength: 0 only resamples; 1 is a distant microphone in a noisy room at worst.
        rng: Source of chance.

    Returns:
        float32 (n_samples / factor,).
    """
    audio = audio.astype(np.float32)
    audio = np.interp(np.arange(0, len(audio) - 1, factor), np.arange(len(audio)), audio)
    n = len(audio)
    spectrum = np.fft.rfft(audio, n + 4096)
    knots = rng.normal(0, 6 * strength, 8)
    gain_db = np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, 8) ** 2, knots)
    response = np.exp(-np.arange(4000) / rng.uniform(300, 1200)) * rng.normal(0, 0.06, 4000)
    response *= strength * rng.random()
    response[0] = 1
    spectrum *= 10 ** (gain_db / 20) * np.fft.rfft(response, n + 4096)
    audio = np.fft.irfft(spectrum, n + 4096)[:n]
    noise = rng.normal(size=n)
    snr_db = rng.uniform(40 - 30 * strength, 40)
    return (audio + noise * audio.std() * 10 ** (-snr_db / 20)).astype(np.float32)


@dataclass(frozen=True)
class Mix:
    """What one pass draws from the utterances.

    Attributes:
        shares: Share of each source among the utterances drawn.
        max_s: Longest utterance in seconds.
        strength: Strength of the augmentation, 0 to 1.
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
    fit = [u for u in utterances if len(u.audio) <= mix.max_s * SAMPLE_RATE]
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
            yield collate([(augment(u.audio, f, mix.strength, rng), u.text) for u, f in groups[i]])


def grouped(
    drawn: list[tuple[Utterance, float]], batch_s: float, rng: np.random.Generator
) -> list[list[tuple[Utterance, float]]]:
    """Cut one pass into full batches of like length: few shapes, for which kernels are prepared once."""
    buckets: dict[int, list[tuple[Utterance, float]]] = defaultdict(list)
    for i in rng.permutation(len(drawn)):
        utterance, factor = drawn[i]
        buckets[math.ceil(len(utterance.audio) / factor / BUCKET)].append(drawn[i])
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
