"""Make the quick-start corpus: training speech, a validation set, an evaluation set and unlabelled speech."""

import argparse
import json
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grammar
import numpy as np
import soundfile
import synthesize
from synthesize import MORE_VOICES, SAMPLE_RATE, VALID_VOICES, VOICES, Voice

from greenbench.files import whole

ASSETS = Path(__file__).resolve().parents[2] / "greenbench" / "assets" / "quickstart"
ENCODINGS = {"flac": ("FLAC", "PCM_16", 1.0), "opus": ("OGG", "OPUS", 0.9)}  # container, subtype, level
SPLIT_OF_PART: dict[str, grammar.Split] = {
    "train": "train",
    "train-more": "train",
    "valid": "valid",
    "valid-unseen": "valid",
    "unlabelled": "distil",
    "unlabelled-more": "distil",
}
VOICES_OF_PART = {"train-more": MORE_VOICES, "unlabelled-more": MORE_VOICES, "valid-unseen": VALID_VOICES}
SPREAD = dict.fromkeys(("train-more", "unlabelled-more"), ((0.7, 1.4), (0.85, 1.35)))  # of pitch and speed
USUAL_SPREAD = ((0.88, 1.15), (0.9, 1.25))
CHUNK = 400  # sentences a process: an engine repeats its bytes only in the same order from a fresh start


Text = tuple[str, grammar.Kind]
Spread = tuple[tuple[float, float], tuple[float, float]]  # lowest and highest pitch, and speed


@dataclass(frozen=True)
class Reading:
    """One sentence and how it is read aloud.

    Attributes:
        text: What is said.
        kind: `sentence` or `code`.
        voice: Who says it.
        pitch: Factor on the voice's pitch.
        speed: Factor on the voice's rate.
        level_db: Peak level relative to full scale.
        pause: Whether spelled letters are set apart.
    """

    text: str
    kind: grammar.Kind
    voice: Voice
    pitch: float
    speed: float
    level_db: float
    pause: bool


def plan(texts: list[Text], voices: Sequence[Voice], seed: int, spread: Spread = USUAL_SPREAD) -> list[Reading]:
    """Draw a voice (by share of training), pitch, speed (both within `spread`) and level for each sentence."""
    shares = [voice.share or 1.0 for voice in voices]
    rng = random.Random(seed)
    return [
        Reading(
            text=text,
            kind=kind,
            voice=rng.choices(voices, shares)[0],
            pitch=rng.uniform(*spread[0]),
            speed=rng.uniform(*spread[1]),
            level_db=rng.uniform(-20, -2),
            pause=rng.random() < 0.5,
        )
        for text, kind in texts
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


def row(reading: Reading, audio: np.ndarray, where: dict[str, object], labelled: bool = True) -> str:
    """Write the manifest line of one utterance, with or without what is said."""
    label = {"text": reading.text, "kind": reading.kind} if labelled else {}
    about = {
        "duration": round(len(audio) / SAMPLE_RATE, 3),
        "speaker": reading.voice.name,
        "engine": reading.voice.engine,
        "seen": reading.voice.seen,
    }
    return json.dumps(where | label | about) + "\n"


def write_packed(folder: Path, name: str, readings: list[Reading], workers: int) -> None:
    """Write utterances back to back in one int16 array, with offsets in the manifest."""
    spoken = synthesise_all(readings, workers)
    folder.mkdir(parents=True, exist_ok=True)
    with whole.file(folder / f"{name}.npy") as aside, aside.open("xb") as buffer:
        np.save(buffer, np.concatenate(spoken))
    offset = 0
    with whole.file(folder / f"{name}.jsonl") as aside, aside.open("x", encoding="utf-8") as manifest:
        for reading, audio in zip(readings, spoken, strict=True):
            manifest.write(row(reading, audio, {"offset": offset, "n_samples": len(audio)}))
            offset += len(audio)


def write_evaluation(folder: Path, readings: list[Reading], workers: int) -> None:
    """Write one FLAC file an utterance and the manifest beside them.

    The samples keep 12 significant bits, 72 dB: FLAC stores the zeros below them for nothing.
    """
    write_files(folder, readings, [audio & ~15 for audio in synthesise_all(readings, workers)], "flac")
    take_turns(folder / "manifest.jsonl", len(VOICES))


def take_turns(manifest: Path, n_voices: int) -> None:
    """Reorder a manifest that goes voice by voice, so that its first lines hold every voice."""
    lines = manifest.read_text("utf-8").splitlines(keepends=True)
    per_voice = len(lines) // n_voices
    whole.write(
        manifest, "".join(lines[turn + voice * per_voice] for turn in range(per_voice) for voice in range(n_voices))
    )


def write_unlabelled(folder: Path, readings: list[Reading], workers: int) -> None:
    """Write one Ogg Opus file an utterance and a manifest without transcripts."""
    write_files(folder, readings, synthesise_all(readings, workers), "opus")


def write_files(folder: Path, readings: list[Reading], spoken: list[np.ndarray], suffix: str) -> None:
    """Encode utterances one by one and list them."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    with whole.file(folder / "manifest.jsonl") as aside, aside.open("x", encoding="utf-8") as manifest:
        for i, (reading, audio) in enumerate(zip(readings, spoken, strict=True)):
            path = f"audio/{reading.voice.name}-{i:04d}.{suffix}"
            container, subtype, level = ENCODINGS[suffix]
            settings = {"format": container, "subtype": subtype, "compression_level": level}
            soundfile.write(folder / path, audio, SAMPLE_RATE, **settings)
            manifest.write(row(reading, audio, {"audio_filepath": path}, labelled=suffix == "flac"))


def mixed(split: grammar.Split, counts: dict[grammar.Kind, int], seed: int) -> list[Text]:
    """Draw sentences of one split, so many of each kind, in one shuffled list."""
    texts = [(text, kind) for kind, n in counts.items() for text in grammar.sentences(split, kind, n, seed)]
    random.Random(seed).shuffle(texts)
    return texts


def evaluation_plan(per_voice: int, seed: int) -> list[Reading]:
    """Plan the evaluation set: every voice, seen or not, reads equally many test sentences."""
    n = per_voice * len(VOICES)
    texts = mixed("test", {"sentence": n * 3 // 5, "compound": n // 5, "code": n // 5}, seed)
    readings = []
    for i, voice in enumerate(VOICES):
        readings += plan(texts[i * per_voice : (i + 1) * per_voice], [voice], seed + i)
    return readings


def main() -> None:
    """Make the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=[*SPLIT_OF_PART, "evaluation"])
    parser.add_argument("--scratch", type=Path, default=Path("build/quickstart"), help="training speech")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="where the parts go that are not packed")
    parser.add_argument("--sentences", type=int, default=120)
    parser.add_argument("--compounds", type=int, default=40)
    parser.add_argument("--codes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    if args.part == "evaluation":
        write_evaluation(args.assets / "evaluation", evaluation_plan(30, args.seed), args.workers)
        return
    counts: dict[grammar.Kind, int] = {
        "sentence": args.sentences,
        "compound": args.compounds,
        "code": args.codes,
    }
    voices = VOICES_OF_PART.get(args.part, [voice for voice in VOICES if voice.seen])
    texts = mixed(SPLIT_OF_PART[args.part], counts, args.seed)
    readings = plan(texts, voices, args.seed, SPREAD.get(args.part, USUAL_SPREAD))
    if args.part in ("unlabelled", "unlabelled-more"):
        write_unlabelled(args.assets / args.part, readings, args.workers)
    else:
        write_packed(args.scratch, f"{args.part}-{args.seed}", readings, args.workers)


if __name__ == "__main__":
    main()
