"""Make the quick-start corpus: training speech, a validation set, an evaluation set and unlabelled speech."""

import argparse
import json
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import grammar
import numpy as np
import soundfile
import synthesize
from synthesize import SAMPLE_RATE, VOICES, Voice

ASSETS = Path(__file__).resolve().parents[2] / "greenbench" / "assets" / "quickstart"
CHUNK = 400  # sentences a process: an engine repeats its bytes only in the same order from a fresh start


@dataclass(frozen=True)
class Reading:
    """One sentence and how it is read aloud.

    Attributes:
        text: What is said.
        voice: Who says it.
        pitch: Factor on the voice's pitch.
        speed: Factor on the voice's rate.
        level_db: Peak level relative to full scale.
        pause: Whether spelled letters are set apart.
    """

    text: str
    voice: Voice
    pitch: float
    speed: float
    level_db: float
    pause: bool


def plan(texts: list[str], voices: list[Voice], shares: list[float], seed: int) -> list[Reading]:
    """Draw a voice, pitch, speed and level for each sentence."""
    rng = random.Random(seed)
    return [
        Reading(
            text=text,
            voice=rng.choices(voices, shares)[0],
            pitch=rng.uniform(0.88, 1.15),
            speed=rng.uniform(0.9, 1.25),
            level_db=rng.uniform(-20, -2),
            pause=rng.random() < 0.5,
        )
        for text in texts
    ]


def read_aloud(readings: list[Reading]) -> list[np.ndarray]:
    """Synthesise readings as 16-bit samples at their levels."""
    spoken = []
    for reading in readings:
        audio = synthesize.speak(reading.voice, reading.text, reading.pitch, reading.speed, reading.pause)
        peak = 10 ** (reading.level_db / 20) / np.abs(audio).max()
        spoken.append(np.round(audio * peak * 32767).astype(np.int16))
    return spoken


def synthesise_all(readings: list[Reading], workers: int) -> list[np.ndarray]:
    """Synthesise readings chunk by chunk, each chunk in a fresh process."""
    chunks = [readings[i : i + CHUNK] for i in range(0, len(readings), CHUNK)]
    with ProcessPoolExecutor(workers, max_tasks_per_child=1) as pool:
        return [audio for chunk in pool.map(read_aloud, chunks) for audio in chunk]


def row(reading: Reading, audio: np.ndarray, where: dict[str, object]) -> str:
    """Write the manifest line of one utterance."""
    fields = where | {
        "text": reading.text,
        "duration": round(len(audio) / SAMPLE_RATE, 3),
        "speaker": reading.voice.name,
        "engine": reading.voice.engine,
        "seen": reading.voice.seen,
    }
    return json.dumps(fields) + "\n"


def write_packed(folder: Path, name: str, readings: list[Reading], workers: int) -> None:
    """Write utterances back to back in one int16 array, with offsets in the manifest."""
    spoken = synthesise_all(readings, workers)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", np.concatenate(spoken))
    offset = 0
    with open(folder / f"{name}.jsonl", "w") as manifest:
        for reading, audio in zip(readings, spoken, strict=True):
            manifest.write(row(reading, audio, {"offset": offset, "n_samples": len(audio)}))
            offset += len(audio)


def write_files(folder: Path, readings: list[Reading], suffix: str, workers: int) -> None:
    """Write one audio file an utterance and the manifest beside them."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    spoken = synthesise_all(readings, workers)
    with open(folder / "manifest.jsonl", "w") as manifest:
        for i, (reading, audio) in enumerate(zip(readings, spoken, strict=True)):
            path = f"audio/{reading.voice.name}-{i:04d}.{suffix}"
            if suffix == "flac":
                audio = audio & ~15  # 12 significant bits: FLAC drops the zeros without loss
            soundfile.write(folder / path, audio, SAMPLE_RATE, **FORMATS[suffix])
            manifest.write(row(reading, audio, {"audio_filepath": path}))


FORMATS: dict[str, dict[str, object]] = {
    "flac": {"format": "FLAC", "subtype": "PCM_16", "compression_level": 1.0},
    "opus": {"format": "OGG", "subtype": "OPUS", "compression_level": 0.9},
}


def mixed(split: grammar.Split, sentences: int, codes: int, seed: int) -> list[str]:
    """Draw sentences and codes of one split in one shuffled list."""
    texts = grammar.sentences(split, "sentence", sentences, seed) + grammar.sentences(split, "code", codes, seed)
    random.Random(seed).shuffle(texts)
    return texts


def evaluation_plan(per_voice: int, seed: int) -> list[Reading]:
    """Plan the evaluation set: every voice, seen or not, reads equally many test sentences."""
    texts = mixed("test", per_voice * len(VOICES) * 4 // 5, per_voice * len(VOICES) // 5, seed)
    readings = []
    for i, voice in enumerate(VOICES):
        readings += plan(texts[i * per_voice : (i + 1) * per_voice], [voice], [1.0], seed + i)
    return readings


def main() -> None:
    """Make the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["train", "valid", "evaluation", "unlabelled"])
    parser.add_argument("--scratch", type=Path, default=Path("build/quickstart"), help="training speech")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="shipped speech")
    parser.add_argument("--count", type=int, default=6000, help="sentences of the training part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    seen = [voice for voice in VOICES if voice.seen]
    shares = [voice.share for voice in seen]
    if args.part == "train":
        texts = mixed("train", args.count * 3 // 4, args.count // 4, args.seed)
        write_packed(args.scratch, f"train-{args.seed}", plan(texts, seen, shares, args.seed), args.workers)
    elif args.part == "valid":
        texts = mixed("valid", 160, 40, args.seed)
        write_packed(args.scratch, "valid", plan(texts, seen, shares, args.seed), args.workers)
    elif args.part == "evaluation":
        write_files(args.assets / "evaluation", evaluation_plan(30, args.seed), "flac", args.workers)
    else:
        readings = plan(mixed("distil", 480, 120, args.seed), seen, shares, args.seed)
        write_files(args.assets / "unlabelled", readings, "opus", args.workers)


if __name__ == "__main__":
    main()
