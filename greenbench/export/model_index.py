"""Results as Hugging Face model cards hold them: a ``model-index`` with WER, speed and energy, a card a variant."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from greenbench.analysis import summary
from greenbench.analysis.summary import ENERGY
from greenbench.export import Documents, Results
from greenbench.export.cards import PERCENT, by_variant, shown
from greenbench.metrics import METRICS
from greenbench.provenance import as_text
from greenbench.report import terminal
from greenbench.results import comparability

TASKS = {
    "transcribe": {"type": "automatic-speech-recognition", "name": "Automatic Speech Recognition"},
    "detect": {"type": "audio-classification", "name": "Keyword Spotting"},
    "verify": {"type": "audio-classification", "name": "Speaker Verification"},
}
"""Task of a row -> the hub's name of it; a cell of any other is left out."""

_METRICS = (*PERCENT, "rtfx", ENERGY)
"""A figure's unit and origin stand in its name."""


def documents(results: Results) -> Documents:
    """Return a card's metadata for each variant, as YAML that goes between the lines ``---`` of a model card.

    The form is that of ``huggingface_hub.EvalResult``. Figures are medians. A cell that failed or carries a flag is
    left out: a card has no place for the reason. Estimated energy says so in its name and its arguments.
    """
    lines = summary.summary(results.rows)
    fit = lines[summary.rankable(lines) & summary.conditions(lines, ["task"])["task"].isin(list(TASKS))]
    cards = {
        str(variant): {"model-index": [{"name": str(variant), "results": list(map(_result, own.to_dict("records")))}]}
        for variant, own in fit.groupby("variant", sort=False)
    }
    return by_variant(cards)


def _result(line: Mapping[Any, Any]) -> dict[str, Any]:
    """Return one cell: the data, and each figure with what it depends on."""
    name = str(line["dataset"])
    return {
        "task": dict(TASKS[_task(line)]),
        "dataset": {"name": name, "type": name, "args": {"data_hash": line["data_hash"]}},
        "metrics": [_metric(line, metric) for metric in _METRICS if pd.notna(line[metric])],
    }


def _task(line: Mapping[Any, Any]) -> str:
    return str(comparability.value(line, "task"))


def _metric(line: Mapping[Any, Any], name: str) -> dict[str, Any]:
    arguments = {key: _plain(comparability.value(line, key)) for key in _conditions(name)}
    arguments["interval"] = [shown(name, end) for end in summary.interval(line, name)]
    return {
        "type": name,
        "value": shown(name, line[name]),
        "name": _named(line, name),
        "args": {key: value for key, value in arguments.items() if value is not None},
    }


def _conditions(name: str) -> tuple[str, ...]:
    """Return what a figure depends on in addition to the data."""
    return tuple(key for key in comparability.columns(name) if key not in ("task", "dataset", "data_hash"))


def _named(line: Mapping[Any, Any], name: str) -> str:
    at = terminal.scenario(line)
    if name in PERCENT:
        return f"{METRICS[name].label} % ({at})"
    if name != ENERGY:
        return f"{METRICS[name].label} ({at})"
    method = "estimated" if summary.is_estimated(line) else "measured"
    return f"J per second of audio ({method}, {line['energy_scope']}, {at})"


def _plain(value: Any) -> Any:
    """Return what YAML can write: numpy's number as Python's, mixed values as text."""
    return value.item() if hasattr(value, "item") else as_text(value)
