"""The summary that a terminal shows: a line a cell, medians over the repeats, in units people read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from greenbench.analysis.summary import summary
from greenbench.metrics import METRICS, RATES, WORST
from greenbench.provenance import as_text
from greenbench.report import layout
from greenbench.report.sentences import repeats
from greenbench.results.comparability import primary
from greenbench.results.flags import FLAGS
from greenbench.results.record import KEYS

TableRow = dict[str, Any]

JOULES = "J/audio s"
"""The column of energies, each with its method."""


def figures(rows: pd.DataFrame) -> list[TableRow]:
    """Return each cell's key, state and median metrics in SI units, None where nothing was measured.

    Args:
        rows: as ``frames.load`` gives them.
    """
    names = [
        *KEYS[1:-2],
        "status",
        "reason",
        "flags",
        "flag_notes",
        "n_rounds",
        "n_repeats",
        *METRICS,
        "decoding",
        "wer_slice",
        "cer_slice",
        "slice_note",
        "orthography_note",
        "energy_method",
        "energy_scope",
    ]
    return [{name: _plain(line[name]) for name in names} for line in _lines(rows)]


def table(rows: pd.DataFrame) -> list[TableRow]:
    """Return the same for reading: the metrics that matter most, as text.

    Args:
        rows: as ``frames.load`` gives them.
    """
    return _table(list(_lines(rows)))


def _table(lines: Sequence[Mapping[str, Any]]) -> list[TableRow]:
    rates = {primary(line) for line in lines}
    decodings = {line["decoding"] for line in lines if line["status"] == "ok" and line["decoding"]}
    return [
        {
            "variant": line["variant"],
            **({"decoding": line["decoding"]} if len(decodings) > 1 else {}),
            "dataset": line["dataset"],
            "scenario": scenario(line) + _served(line),
            **_error_rates(line, [name for name in RATES if name in rates]),
            "RTFx": _number(line["rtfx"], 1, "{:.1f}"),
            "p50 ms": _number(line["latency_p50_s"], 1e3, "{:.0f}") or _number(line["final_p50_s"], 1e3, "{:.0f}"),
            "peak MB": _number(line["peak_rss_bytes"], 1e-6, "{:.0f}"),
            "model MB": _number(line["model_bytes"], 1e-6, "{:.1f}"),
            JOULES: _energy(line),
            "notes": ", ".join(line["flags"]) or line["reason"] or line["reference_note"],
        }
        for line in lines
    ]


def _served(line: Mapping[str, Any]) -> str:
    """Return the load that was given or found, to be put behind the scenario: a server's rate, or streams at once."""
    rate = _number(line["server_rate_hz"], 1, " {:.3g}/s")
    found = rate or _number(line["max_streams"], 1, ", at most {:g} at once")
    return found or (
        f", {line['streams']} at once" if str(line["streams"]).isdigit() and line["streams"] != "1" else ""
    )


def shown(rows: pd.DataFrame, width: int) -> list[str]:
    """Return the lines that show a run: over what its medians are, what all cells share, the rest, and notes below.

    Args:
        rows: as ``frames.load`` gives them.
        width: characters in a line.
    """
    cells = list(_lines(rows))
    lines = [{name: value or "" for name, value in line.items() if name != "notes"} for line in _table(cells)]
    row_notes = [line["flags"] or [line["reason"] or line["reference_note"] or ""] for line in cells]
    same, lines = layout.folded(lines, ("decoding", "dataset", "scenario"))
    method, lines = layout.unmarked(lines, [JOULES])
    measured = [line["status"] == "ok" for line in cells]
    facts = [*same, *([f"energy {method}"] if method else [])]
    told = [*_notes(lines, measured, row_notes), *_worst_slices(lines, cells)]
    notes = [line for note in told for line in layout.paragraph(note, width)]
    heading = layout.paragraph("; ".join([_title(cells), *facts]), width)
    return [*heading, *layout.table(lines, width), *(["", *notes] if notes else [])]


def _name(line: TableRow) -> str:
    """Return what tells a line from the others."""
    return " ".join(line[name] for name in ("variant", "decoding", "dataset", "scenario") if name in line)


def _notes(lines: Sequence[TableRow], measured: Sequence[bool], notes: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield each note once, after the lines that it is about; of a flag the name comes first."""
    for note in dict.fromkeys(note for own in notes for note in own if note):
        whose = _whose([note in own for own in notes], lines, measured)
        yield f"{note}: {whose}" if note in FLAGS else f"{whose}: {note}"


def _whose(chosen: Sequence[bool], lines: Sequence[TableRow], measured: Sequence[bool]) -> str:
    """Name the lines that a note is about: all, those that were measured, a variant's, or each by itself."""
    if sum(chosen) > 1 and list(chosen) in ([True] * len(lines), list(measured)):
        return "all" if all(chosen) else "all that were measured"
    about = [line for line, is_chosen in zip(lines, chosen, strict=True) if is_chosen]
    n_about, n_all = (Counter(line["variant"] for line in some) for some in (about, lines))
    whole = {variant for variant in n_about if n_about[variant] == n_all[variant]}
    return ", ".join(dict.fromkeys(one["variant"] if one["variant"] in whole else _name(one) for one in about))


def title(rows: pd.DataFrame) -> str:
    """Say over what the medians are.

    Args:
        rows: as ``frames.load`` gives them.
    """
    return _title(_lines(rows))


def _title(lines: Iterable[Mapping[str, Any]]) -> str:
    counts = {repeats(line) for line in lines if line["status"] == "ok"}
    if not counts:
        return "nothing was measured"
    return f"medians over {counts.pop() if len(counts) == 1 else 'repeats'}"


def _lines(rows: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    return (line for _, line in summary(rows).iterrows())  # type: ignore[misc]


def scenario(line: Mapping[str, Any]) -> str:
    """Return how a line's utterances were sent: scenario, batch size and device."""
    size = f" x{line['batch_size']}" if line["scenario"] == "offline" else ""
    device = "" if line["device"] == "cpu" else f", {line['device']}"
    return f"{line['scenario']}{size}{device}"


def _error_rates(line: Mapping[str, Any], rates: Sequence[str]) -> TableRow:
    """Return a line's primary error rate under its name, or what became of it; nothing under another's name."""
    shown = error_rate(line, primary(line)) if line["status"] == "ok" else line["status"]
    return {f"{METRICS[rate].label} % [95 % interval]": shown if rate == primary(line) else None for rate in rates}


def error_rate(line: Mapping[str, Any], rate: str) -> str | None:
    """Return an error rate of a line in percent with its interval, or None where it has none."""
    if pd.isna(line[rate]):
        return None
    low, high = line[f"{rate}_ci_low"], line[f"{rate}_ci_high"]
    interval = "" if pd.isna(low) else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * line[rate]:.2f}{interval}"


def _worst_slices(lines: Sequence[TableRow], cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield for each slice that is the worst of some lines how much those err in it: one figure, or least and most."""
    found: dict[str, list[tuple[float, str, str]]] = {}
    for line, cell in zip(lines, cells, strict=True):
        rate = primary(cell)
        worst = f"{rate}_worst_slice"
        figures = error_rate(cell, worst) if cell["status"] == "ok" and worst in WORST else None
        if figures:
            where = f"worst slice {cell[f'{rate}_slice']}, {METRICS[rate].label}"
            found.setdefault(where, []).append((cell[worst], f"{figures} %", _name(line)))
    for where, own in found.items():
        (_, least, name), (_, most, other) = min(own), max(own)
        yield f"{name}: {where} {least}" if len(own) == 1 else f"{where} from {least} ({name}) to {most} ({other})"


def _energy(line: Mapping[str, Any]) -> str | None:
    joules = _number(line["energy_j_per_audio_s"], 1, "{:.3g}")
    return joules and f"{joules} ({line['energy_method']})"


def _number(value: float | None, scale: float, form: str) -> str | None:
    return None if value is None or pd.isna(value) else form.format(value * scale)


def _plain(value: Any) -> Any:
    """Return a JSON-ready value: numpy scalars unwrapped, NaN as None, mixed values as text."""
    if isinstance(value, list):
        return value
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else as_text(value)
