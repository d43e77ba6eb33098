"""Make the quick-start corpus: training speech, validation sets, an evaluation set and unlabelled speech."""

import argparse
import hashlib
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import grammar
import neural
import numpy as np
import soundfile
import synthesize
from synthesize import SAMPLE_RATE, Voice

from greenbench.datasets.corruptions import Corrupted, Corruption
from greenbench.files import whole
from greenbench.plugins import Clip

ASSETS = Path(__file__).resolve().parents[2] / "greenbench" / "assets" / "quickstart"
CHUNK = 100  # readings of a robot a process
OPUS = {"format": "OGG", "subtype": "OPUS", "compression_level": 0.9}
FLAC = {"format": "FLAC", "subtype": "PCM_16", "compression_level": 1.0}

EVERY = 5  # of the evaluation set's utterances is noisy
SNR_DB = 10.0
NOISY = tuple(
    Corruption(rt60_s=rt60_s, noise=noise, noise_snr_db=SNR_DB) for rt60_s in (0.3, 0.6) for noise in ("pink", "babble")
)
CLEAN_BITS, NOISY_BITS = 12, 10  # that samples keep: FLAC stores the zeros below them for nothing

Text = tuple[str, grammar.Kind]
Range = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One part of the corpus.

    Attributes:
        split: Whose sentences are read.
        voices: Who reads.
        pitch: Lowest and highest factor on a robot's pitch.
        speed: Lowest and highest factor on a voice's rate.
    """

    split: grammar.Split
    voices: Sequence[Voice]
    pitch: Range = (0.88, 1.15)
    speed: Range = (0.9, 1.25)


WIDE: dict[str, Range] = {"pitch": (0.7, 1.4), "speed": (0.85, 1.35)}
RATES: dict[str, Range] = {"speed": (0.8, 1.3)}
PARTS = {
    "train": Part("train", synthesize.ROBOTS),
    "train-more": Part("train", synthesize.MORE_ROBOTS, **WIDE),
    "train-robots": Part("train", synthesize.TRAINED_ROBOTS, **WIDE),
    "train-kokoro": Part("train", synthesize.TRAINED, **RATES),
    "valid": Part("valid", synthesize.ROBOTS),
    "valid-kokoro": Part("valid", synthesize.TRAINED, **RATES),
    "valid-unseen": Part("valid", synthesize.VALID_ROBOTS),
    "valid-unseen-kokoro": Part("valid", synthesize.VALID, **RATES),
    "unlabelled": Part("distil", synthesize.SEEN, **RATES),
    "evaluation": Part("test", synthesize.EVALUATED),
}
SHIPPED = ("unlabelled", "evaluation")


@dataclass(frozen=True)
class Reading:
    """One sentence and how it is read aloud.

    Attributes:
        text: What is said.
        kind: `sentence`, `compound` or `code`.
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

    @property
    def clip(self) -> str:
        """Name of the file that the reading is in: no two have the same."""
        how = (self.text, self.voice.engine, self.voice.voice, self.pitch, self.speed, self.level_db, self.pause)
        return f"{self.voice.engine}-{hashlib.sha256(repr(how).encode()).hexdigest()[:16]}.wav"


# --- what is read, and how -------------------------------------------------------------------------------


def mixed(split: grammar.Split, counts: dict[grammar.Kind, int], seed: int) -> list[Text]:
    """Draw sentences of one split, so many of each kind, in one shuffled list."""
    texts = [(text, kind) for kind, n in counts.items() for text in grammar.sentences(split, kind, n, seed)]
    random.Random(seed).shuffle(texts)
    return texts


def plan(texts: list[Text], part: Part, seed: int) -> list[Reading]:
    """Draw a voice (by share of training), pitch, speed and level for each sentence."""
    shares = [voice.share or 1.0 for voice in part.voices]
    rng = random.Random(seed)
    return [
        Reading(
            text=text,
            kind=kind,
            voice=rng.choices(part.voices, shares)[0],
            pitch=rng.uniform(*part.pitch),
            speed=rng.uniform(*part.speed),
            level_db=rng.uniform(-20, -2),
            pause=rng.random() < 0.5,
        )
        for text, kind in texts
    ]


def evaluation_plan(part: Part, per_voice: dict[grammar.Kind, int], seed: int) -> list[Reading]:
    """Plan the evaluation set: the voices take turns, and each reads equally many sentences of each kind."""
    n_voices = len(part.voices)
    drawn = {kind: grammar.sentences(part.split, kind, n * n_voices, seed) for kind, n in per_voice.items()}
    texts = [(text, kind) for kind, sentences in drawn.items() for text in sentences]
    by_voice = []
    for i, voice in enumerate(part.voices):
        own = texts[i::n_voices]
        random.Random(seed + i).shuffle(own)
        by_voice.append(plan(own, replace(part, voices=[voice]), seed + i))
    return [reading for turn in zip(*by_voice, strict=True) for reading in turn]


# --- it is read aloud ------------------------------------------------------------------------------------


def read_aloud(readings: list[Reading], clips: Path, until_s: float) -> None:
    """Write the clip of each reading, 16-bit WAV at its level, as long as there is time.

    A robot reads all of them, as it repeats its bytes only in the same order from a fresh start; Kokoro those that are
    not there yet.

    Args:
        readings: of one engine.
        clips: folder of the clips.
        until_s: time of the clock (`time.time`) after which none is begun.
    """
    for i, reading in enumerate(readings):
        if i % CHUNK == 0:
            print(f"{time.strftime('%H:%M:%S')} {reading.voice.engine}: {i} of {len(readings)}", flush=True)
        path = clips / reading.clip
        if path.exists() and reading.voice.engine in synthesize.REPEATABLE:
            continue
        if time.time() > until_s:
            return
        audio = synthesize.speak(reading.voice, reading.text, reading.pitch, reading.speed, reading.pause)
        with whole.file(path) as aside:
            soundfile.write(aside, at_level(audio, reading.level_db), SAMPLE_RATE, format="WAV", subtype="PCM_16")


def at_level(audio: np.ndarray, level_db: float) -> np.ndarray:
    """Return int16 samples whose peak is at a level relative to full scale."""
    return np.round(audio * 10 ** (level_db / 20) / np.abs(audio).max() * 32767).astype(np.int16)


def synthesise_all(readings: list[Reading], clips: Path, workers: int, minutes: float) -> list[Reading]:
    """Read aloud what is not yet there, each chunk in a process of its own; Kokoro, slow to start, has one a worker.

    Returns:
        The readings whose clips are there: all of them, unless the time was too short.
    """
    clips.mkdir(parents=True, exist_ok=True)
    by_engine = defaultdict(list)
    for reading in readings:
        by_engine[reading.voice.engine].append(reading)
    if "kokoro" in by_engine:
        neural.prepare()
    chunks = []
    for engine, of in by_engine.items():
        size = math.ceil(len(of) / workers) if engine in synthesize.REPEATABLE else CHUNK
        chunks += [of[i : i + size] for i in range(0, len(of), size)]
    missing = [chunk for chunk in chunks if not all((clips / reading.clip).exists() for reading in chunk)]
    work = partial(read_aloud, clips=clips, until_s=time.time() + 60 * minutes)
    with ProcessPoolExecutor(workers, max_tasks_per_child=1) as pool:
        list(pool.map(work, missing))
    return [reading for reading in readings if (clips / reading.clip).exists()]


# --- what is written -------------------------------------------------------------------------------------


def row(reading: Reading, path: str, duration_s: float, more: dict[str, object] | None = None) -> str:
    """Write the manifest line of one utterance."""
    about = {
        "audio_filepath": path,
        "duration": round(duration_s, 3),
        "speaker": reading.voice.name,
        "engine": reading.voice.engine,
        "seen": reading.voice.seen,
    }
    return json.dumps(about | (more or {})) + "\n"


def write_list(manifest: Path, readings: list[Reading], clips: Path) -> None:
    """List the clips of a part, with what is said."""
    lines = []
    for reading in readings:
        path = clips / reading.clip
        said = {"text": reading.text, "kind": reading.kind}
        lines.append(row(reading, str(path.relative_to(manifest.parent)), soundfile.info(path).duration, said))
    whole.write(manifest, "".join(lines))


def write_evaluation(folder: Path, readings: list[Reading], clips: Path) -> None:
    """Write one FLAC file an utterance and the manifest beside them; every fifth utterance is noisy."""
    clean = [Clip(r.clip, partial(read_clip, clips / r.clip), r.text, r.voice.name) for r in readings]
    noisy = [list(Corrupted(lambda: iter(clean), corruption)()) for corruption in NOISY]
    lines = []
    with whole.folder(folder) as aside:
        (aside / "audio").mkdir()
        for i, reading in enumerate(readings):
            kind = i // EVERY % len(NOISY) if i % EVERY == 0 else None
            audio = (clean if kind is None else noisy[kind])[i].read()
            samples = at_level(audio, reading.level_db) & -(1 << (16 - (CLEAN_BITS if kind is None else NOISY_BITS)))
            path = f"audio/{reading.voice.name}-{i:04d}.flac"
            soundfile.write(aside / path, samples, SAMPLE_RATE, **FLAC)
            said = {"text": reading.text, "kind": reading.kind}
            lines.append(row(reading, path, len(samples) / SAMPLE_RATE, said | condition(kind)))
        whole.write(aside / "manifest.jsonl", "".join(lines))


def condition(kind: int | None) -> dict[str, object]:
    """Say whether an utterance is noisy, and how it was made so."""
    return {"noise": "clean"} if kind is None else {"noise": "noisy", "corruption": NOISY[kind].label}


def read_clip(path: Path) -> np.ndarray:
    """Read a clip as float32."""
    return soundfile.read(path, dtype="float32")[0]


def write_unlabelled(folder: Path, readings: list[Reading], clips: Path) -> None:
    """Write one Ogg Opus file an utterance and a manifest without transcripts."""
    lines = []
    with whole.folder(folder) as aside:
        (aside / "audio").mkdir()
        for i, reading in enumerate(readings):
            audio = read_clip(clips / reading.clip)
            path = f"audio/{reading.voice.name}-{i:04d}.opus"
            soundfile.write(aside / path, audio, SAMPLE_RATE, **OPUS)
            lines.append(row(reading, path, len(audio) / SAMPLE_RATE))
        whole.write(aside / "manifest.jsonl", "".join(lines))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--scratch", type=Path, default=Path("build/quickstart"), help="clips, and lists of them")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="where the parts go that ship")
    parser.add_argument("--sentences", type=int, default=120, help="of the evaluation set: of each voice")
    parser.add_argument("--compounds", type=int, default=40)
    parser.add_argument("--codes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="a part is as large as this allows")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Make one part; what of it is there already is kept."""
    args = arguments()
    part = PARTS[args.part]
    counts: dict[grammar.Kind, int] = {"sentence": args.sentences, "compound": args.compounds, "code": args.codes}
    if args.part == "evaluation":
        readings = evaluation_plan(part, counts, args.seed)
    else:
        readings = plan(mixed(part.split, counts, args.seed), part, args.seed)
    clips = args.scratch / "clips"
    there = synthesise_all(readings, clips, args.workers, args.minutes)
    print(f"{args.part}: {len(there)} of {len(readings)} utterances", flush=True)
    if args.part in SHIPPED and len(there) < len(readings):
        raise SystemExit(f"{args.part}: clips are missing: give more --minutes")
    if args.part == "evaluation":
        write_evaluation(args.assets / "evaluation", there, clips)
    elif args.part == "unlabelled":
        write_unlabelled(args.assets / "unlabelled", there, clips)
    else:
        write_list(args.scratch / f"{args.part}-{args.seed}.jsonl", there, clips)


if __name__ == "__main__":
    main()
