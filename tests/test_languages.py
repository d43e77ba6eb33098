"""Manifests in German and in Mandarin, from audio to row: error rates as a reader counts them by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from greenbench.harness.runner import Options, run
from greenbench.results import store

RATE = 16_000

RECOGNISER = """
TEXTS = {texts}

def transcribe(waveforms):
    return [TEXTS[round(len(waveform) / {rate} * 10) - 5] for waveform in waveforms]
"""
"""Says the text whose number follows from the length of the audio: 0.5 s, 0.6 s and so on."""


def measured(folder: Path, pairs: Sequence[tuple[str, str]], **asked: Any) -> dict[str, Any]:
    """Measure a recogniser that says the second text of each pair; return its row."""
    lines = []
    for number, (reference, _) in enumerate(pairs):
        samples = np.random.default_rng(number).normal(0, 0.1, int((5 + number) * RATE / 10)).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", samples, RATE)
        lines.append({"audio_filepath": f"{number}.wav", "text": reference, "speaker": f"s{number}"})
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "speech.jsonl").write_text(text, encoding="utf-8")
    said = RECOGNISER.format(texts=[hypothesis for _, hypothesis in pairs], rate=RATE)
    (folder / "recogniser.py").write_text(said, encoding="utf-8")
    suite = {
        "name": "language", "datasets": [{"use": "manifest", "path": str(folder / "speech.jsonl")}], "control": False,
        "variants": [{"use": "python", "call": "recogniser:transcribe", "name": "mine"}], "trace_hz": 0,
        "protocol": {"use": "quick", "idle_s": 0.0, "window_s": 0.0}, **asked,
    }  # fmt: skip
    (folder / "suite.yaml").write_text(json.dumps(suite))
    run(folder / "suite.yaml", Options(out=folder / "run"))
    (row, *_) = store.read_rows(folder / "run" / store.RECORDS)
    assert row["status"] == "ok", row["reason"]
    return row


def test_german(tmp_path: Path) -> None:
    """Number words are digits; umlauts and the sharp s are letters of their own; case and punctuation do not count.

    "sie hat 21 äpfel" against "sie hat 21 apfel": 1 word of 4, 1 character of 16. "über 1000 gäste kamen" without its
    last word: 1 of 4, 6 of 21. "straße" against "strasse": 1 of 1, and of 6 characters one is another and one too many.
    """
    row = measured(
        tmp_path,
        [
            ("Sie hat einundzwanzig Äpfel.", "sie hat 21 apfel"),
            ("Über tausend Gäste kamen.", "über 1.000 Gäste"),
            ("Straße", "Strasse"),
        ],
        normalizer="german",
    )
    assert (row["n_ref_words"], row["n_word_substitutions"], row["n_word_deletions"], row["n_word_insertions"]) == (
        9, 2, 1, 0,
    )  # fmt: skip
    assert row["wer"] == 3 / 9
    assert (row["n_ref_chars"], row["n_char_substitutions"], row["n_char_deletions"], row["n_char_insertions"]) == (
        43, 2, 6, 1,
    )  # fmt: skip
    assert row["cer"] == 9 / 43


def test_mandarin(tmp_path: Path) -> None:
    """Numerals are digits, and neither spaces nor punctuation count; characters decide.

    "我有21个苹果" as it is: 0 of 7. "今天天气很好" with another 气: 1 of 6. "你好世界" without its last: 1 of 4.
    """
    row = measured(
        tmp_path,
        [("我有二十一个苹果。", "我有21个苹果"), ("今天 天气 很好", "今天天汽很好"), ("你好，世界！", "你好世")],  # noqa: RUF001
        normalizer="chinese",
        primary="cer",
    )
    assert (row["n_ref_chars"], row["n_char_substitutions"], row["n_char_deletions"], row["n_char_insertions"]) == (
        17, 1, 1, 0,
    )  # fmt: skip
    assert (row["cer"], row["primary"]) == (2 / 17, "cer")
