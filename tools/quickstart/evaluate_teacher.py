"""Score a teacher on the shipped evaluation set, voice by voice, and on AN4 where its folder is given."""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import soundfile
import speech_data
import torch
from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor
from transformers.utils import logging as transformers_logging

from greenbench.files import whole
from greenbench.statistics.bootstrap import bootstrap_rate
from greenbench.text import wer

ASSETS = Path(__file__).resolve().parents[2] / "greenbench" / "assets" / "quickstart"


def recognise(model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, path: Path) -> str:
    """Transcribe one file in float32 at batch size 1, greedily."""
    audio, rate = soundfile.read(path, dtype="float32")
    inputs = processor(audio, sampling_rate=rate, return_tensors="pt")
    with torch.inference_mode():
        logits = model(inputs.input_values).logits
    return processor.batch_decode(logits.argmax(-1))[0]


def slices_of(row: dict[str, object]) -> list[str]:
    """Name the slices that an utterance counts in."""
    if "seen" not in row:
        return ["AN4 test"]
    names = ["all", str(row["speaker"]), "seen voices" if row["seen"] else "unseen voices"]
    if not row["seen"]:
        names.append(f"unseen voices of {row['engine']}")
    return names + ([f"{row['noise']} speech"] if "noise" in row else [])


def score(model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, manifest: Path) -> dict[str, dict[str, float | None]]:
    """Return the error counts and rates of every slice of a manifest."""
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in speech_data.read_manifest(manifest):
        heard = recognise(model, processor, manifest.parent / row["audio_filepath"])
        for name in slices_of(row):
            pairs[name].append((row["text"].lower(), heard))
    return {name: rates(said_heard) for name, said_heard in pairs.items()}


def rates(said_heard: list[tuple[str, str]]) -> dict[str, float | None]:
    """Return utterances, words, errors by kind, WER with its 95 % interval over utterances, and CER of one slice."""
    references, hypotheses = zip(*said_heard, strict=True)
    result = wer.score(references, hypotheses, str)
    words, letters = wer.total(result.words), wer.total(result.chars)
    interval = bootstrap_rate([c.edits for c in result.words], [c.n for c in result.words], blocks=None)
    low, high = (round(end, 4) for end in interval) if interval else (None, None)  # one utterance has none
    return {
        "utterances": len(references),
        "words": words.n,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "wer": round(words.edits / words.n, 4),
        "wer_ci_low": low,
        "wer_ci_high": high,
        "cer": round(letters.edits / letters.n, 4),
    }


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, default=ASSETS / "teacher")
    parser.add_argument("--evaluation", type=Path, default=ASSETS / "evaluation" / "manifest.jsonl")
    parser.add_argument("--an4", type=Path, help="folder of AN4 with test.jsonl")
    return parser.parse_args()


def main() -> None:
    """Print, and write beside the model, the table of the model card."""
    args = arguments()
    transformers_logging.set_verbosity_error()
    model = Wav2Vec2ForCTC.from_pretrained(args.teacher, dtype=torch.float32).eval()
    processor = Wav2Vec2Processor.from_pretrained(args.teacher)
    results = score(model, processor, args.evaluation)
    if args.an4:
        results |= score(model, processor, args.an4 / "test.jsonl")
    for name, rate in sorted(results.items()):
        print(f"{name:16} " + "  ".join(f"{key} {value}" for key, value in rate.items()))
    whole.write(args.teacher / "scores.json", json.dumps(results, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
