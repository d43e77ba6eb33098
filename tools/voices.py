"""How a row's texts were scored, and its error rates on voices that the bundled teacher knows and on others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench import tasks
from greenbench.assets import QUICKSTART
from greenbench.results import store
from greenbench.text import scorers
from greenbench.text import wer as text_wer


def scoring(row: Mapping[str, Any]) -> str:
    """Name how the texts of a row were scored."""
    return tasks.of(row).scoring_of(row)


def by_voice(folder: Path, row: Mapping[str, Any]) -> tuple[float, float]:
    """Count a row's texts by voices that the teacher knows and others.

    Args:
        folder: of the run.
        row: one of its rows, of the bundled speech.

    Returns:
        WER on the voices that it knows, and on the others, fractions.
    """
    manifest = (QUICKSTART / "evaluation" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    seen = {line["speaker"] for line in map(json.loads, manifest) if line["seen"]}
    how = scorers.create(scoring(row))
    key = {name: row[name] for name in store.KEYS}
    texts = [t for t in store.read_rows(folder / store.HYPOTHESES) if all(t[n] == v for n, v in key.items())]
    rates = []
    for known in (True, False):
        pairs = [(t["reference"], t["hypothesis"]) for t in texts if (t["speaker"] in seen) == known]
        counted = text_wer.total(text_wer.score(*zip(*pairs, strict=True), how.normalize, how.count_words).words)
        rates.append(counted.edits / counted.n)
    return rates[0], rates[1]
