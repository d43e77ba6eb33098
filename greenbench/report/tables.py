"""The results as a table for a paper: LaTeX or Markdown, a line a cell, with what is not ranked or estimated marked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from greenbench.analysis import summary
from greenbench.analysis.summary import ENERGY
from greenbench.errors import InputError
from greenbench.files.unicode import for_markdown, visible
from greenbench.metrics import ENERGY_UNITS, FELT, METRICS
from greenbench.report import sentences
from greenbench.report.figures import number, scale
from greenbench.results import store

COLUMNS = (
    "wer", "rtfx", ENERGY, "latency_p50_s", "server_rate_hz", *FELT, "max_streams", "peak_rss_bytes", "peak_gpu_bytes",
    "model_bytes",
)  # fmt: skip
"""The metrics of a paper's table, where there is data."""

_PLACES = {"dataset": "data set", "device_name": "platform", "device": "device", "scenario": "scenario",
           "batch_size": "batch"}  # fmt: skip
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "*": r"$^*$", "†": r"$^\dagger$",
}  # fmt: skip


def write(lines: pd.DataFrame, path: Path) -> Path:
    """Write the ok lines of a summary.

    Args:
        lines: from ``summary.summary``.
        path: ends in ``.tex`` (needs the package booktabs) or ``.md``.

    Raises:
        InputError: it ends in something else.
        StoreError: it cannot be written.
    """
    forms = {".tex": _latex, ".md": _markdown}
    if path.suffix not in forms:
        raise InputError(f"--table {path}: the file must end in .tex or .md")
    ok = lines[lines["status"] == "ok"]
    heading, body = table(ok)
    text = forms[path.suffix](heading, body, notes(ok))
    store.write_file(path, text, "cannot write the table", "Choose another file.")
    return path


def table(ok: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the lines as text; what is the same everywhere is left to ``notes``."""
    places = [name for name in _PLACES if ok[name].nunique(dropna=False) > 1]
    metrics = [name for name in COLUMNS if ok[name].notna().any()]
    units = {name: scale(name)[1] for name in metrics}
    heading = ["variant", *(_PLACES[name] for name in places)]
    heading += [METRICS[name].label + (f" ({units[name]})" if units[name] else "") for name in metrics]
    body = [
        [line["variant"] + ("" if ranked else " †"), *(str(line[name]) for name in places)]
        + [_entry(line, name) for name in metrics]
        for line, ranked in zip(ok.to_dict("records"), summary.rankable(ok), strict=True)
    ]
    return heading, body


def _entry(line: Mapping[Any, Any], metric: str) -> str:
    if pd.isna(line[metric]):
        return "–"
    low, high = (number(metric, end) for end in summary.interval(line, metric))
    spread = f" [{low}, {high}]" if low != high else ""
    guess = " *" if METRICS[metric].unit in ENERGY_UNITS and summary.is_estimated(line) else ""
    return number(metric, line[metric]) + spread + guess


def notes(ok: pd.DataFrame) -> list[str]:
    """Say what the table leaves out of its lines: where and how all was measured, and what the marks mean."""
    same = [f"{label}: {ok[name].iloc[0]}" for name, label in _PLACES.items() if ok[name].nunique() == 1]
    rules = {
        "protocol": "protocol",
        "normalizer": "normaliser",
        "scorer": "scorer",
        "decoding": "decoding",
        "energy_scope": "energy scope",
    }
    notes = [
        f"{label}: {sentences.listed(ok[name].dropna())}" for name, label in rules.items() if ok[name].notna().any()
    ]
    marks = [
        *(["†: carries a flag, not ranked"] if not summary.rankable(ok).all() else []),
        *(["*: estimated, not measured"] if summary.estimated(ok).any() else []),
    ]
    spread = "Medians; in brackets the 95 % interval of WER, else least and most over the repeats."
    return [part for part in (spread, "; ".join([*same, *notes]), "; ".join(marks)) if part]


def _latex(heading: Sequence[str], body: Sequence[Sequence[str]], below: Sequence[str]) -> str:
    rows = [" & ".join(_for_latex(cell) for cell in row) + r" \\" for row in (heading, *body)]
    shape = "l" * (len(heading) - _n_numbers(heading)) + "r" * _n_numbers(heading)
    lines = ["% \\usepackage{booktabs}", f"\\begin{{tabular}}{{{shape}}}", r"\toprule", rows[0], r"\midrule", *rows[1:]]
    comments = [f"% {_for_latex(note)}" for note in below]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *comments]) + "\n"


def _markdown(heading: Sequence[str], body: Sequence[Sequence[str]], below: Sequence[str]) -> str:
    rows = ["| " + " | ".join(for_markdown(cell) for cell in row) + " |" for row in (heading, *body)]
    n_numbers = _n_numbers(heading)
    rule = "|" + "---|" * (len(heading) - n_numbers) + "---:|" * n_numbers
    return "\n".join([rows[0], rule, *rows[1:], "", *(for_markdown(note) + "  " for note in below)]) + "\n"


def _n_numbers(heading: Sequence[str]) -> int:
    return len(heading) - 1 - sum(name in heading for name in _PLACES.values())


def _for_latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in visible(" ".join(text.split())))
