"""Results as Hugging Face model cards hold them: a ``model-index`` with WER, speed and energy, a card a variant."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml

from greenbench.analysis import summary
from greenbench.analysis.summary import ENERGY
from greenbench.export import Documents, Results
from greenbench.metrics import METRICS
from greenbench.provenance import as_text
from greenbench.report import terminal
from greenbench.results import comparability

TASK = {"type": "automatic-speech-recognition", "name": "Automatic Speech Recognition"}

_PERCENT = ("wer", "cer")
_METRICS = (*_PERCENT, "rtfx", ENERGY)
"""Error rates are in percent there, and a figure's unit and origin stand in its name."""


def documents(results: Results) -> Documents:
    """Return a card's metadata for each variant, as YAML that goes between the lines ``---`` of a model card.

    The form is that of ``huggingface_hub.EvalResult``. Figures are medians. A cell that failed or carries a flag is
    left out: a card has no place for the reason. Estimated energy says so in its name and its arguments.
    """
    lines = summary.summary(results.rows)
    fit = lines[summary.rankable(lines)]
    found: dict[str, bytes] = {}
    for variant, own in fit.groupby("variant", sort=False):
        entries = [_result(line) for line in own.to_dict("records")]
        index = {"model-index": [{"name": str(variant), "results": entries}]}
        found[_part(str(variant), found)] = yaml.safe_dump(index, sort_keys=False, allow_unicode=True).encode()
    return {"": found.popitem()[1]} if len(found) == 1 else found


def _part(variant: str, taken: Mapping[str, Any]) -> str:
    """Return what a variant's file is called, other than those before."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", variant).strip("-.") or "variant"
    return name if name not in taken else f"{name}-{len(taken)}"


def _result(line: Mapping[Any, Any]) -> dict[str, Any]:
    """Return one cell: the data, and each figure with what it depends on."""
    name = str(line["dataset"])
    return {
        "task": dict(TASK),
        "dataset": {"name": name, "type": name, "args": {"data_hash": line["data_hash"]}},
        "metrics": [_metric(line, metric) for metric in _METRICS if pd.notna(line[metric])],
    }


def _metric(line: Mapping[Any, Any], name: str) -> dict[str, Any]:
    scale = 100 if name in _PERCENT else 1
    arguments = {key: _plain(comparability.value(line, key)) for key in _conditions(name)}
    arguments["interval"] = [round(scale * float(end), 9) for end in summary.interval(line, name)]
    return {
        "type": name,
        "value": round(scale * float(line[name]), 9),
        "name": _named(line, name),
        "args": {key: value for key, value in arguments.items() if value is not None},
    }


def _conditions(name: str) -> tuple[str, ...]:
    """Return what a figure depends on in addition to the data."""
    return tuple(key for key in comparability.columns(name) if key not in ("dataset", "data_hash"))


def _named(line: Mapping[Any, Any], name: str) -> str:
    at = terminal.scenario(line)
    if name in _PERCENT:
        return f"{METRICS[name].label} % ({at})"
    if name != ENERGY:
        return f"{METRICS[name].label} ({at})"
    method = "estimated" if summary.is_estimated(line) else "measured"
    return f"J per second of audio ({method}, {line['energy_scope']}, {at})"


def _plain(value: Any) -> Any:
    """Return what YAML can write: numpy's number as Python's, mixed values as text."""
    return value.item() if hasattr(value, "item") else as_text(value)
