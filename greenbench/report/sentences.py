"""What the numbers say in words: what was compared, what leads, what cannot be ranked and why."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from greenbench.analysis import summary
from greenbench.analysis.summary import ENERGY, Setting
from greenbench.hardware import control, roofline
from greenbench.metrics import METRICS, RATES
from greenbench.report import leaders
from greenbench.report.figures import number, quantity
from greenbench.report.leaders import Leader
from greenbench.results.comparability import primary
from greenbench.results.flags import FLAGS, barring, explain
from greenbench.text import normalizers

N_NAMED = 3
"""Rivals of a leader that are named; of more, the number is."""

_LEADS = {
    "wer": "Lowest WER",
    "cer": "Lowest CER",
    "eer": "Lowest EER",
    "rtfx": "Fastest",
    "server_rate_hz": "Most utterances a second",
    "max_streams": "Most streams at once",
    ENERGY: "Least energy per audio second",
}


def compared(lines: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what was compared on what, as (how many of which kind, their names)."""
    kinds = {"variant": "variant", "dataset": "data set", "device": "device", "scenario": "scenario"}
    return [(_n(lines[key].nunique(), kind), listed(lines[key])) for key, kind in kinds.items()]


def tally(lines: pd.DataFrame) -> str:
    """Say in one sentence how many cells there are, and what became of them."""
    status, ranked = lines["status"], summary.rankable(lines)
    n_ranked, n_outside = int(ranked.sum()), int((ranked & lines["outside"].notna()).sum())
    fates = {
        "can be ranked": n_ranked - n_outside,
        f"by {_rates(lines)} alone": n_outside,
        "measured but flagged": int((status == "ok").sum()) - n_ranked,
        "failed": int((status == "error").sum()),
        "skipped": int((status == "skipped").sum()),
    }
    counts = [repeats(line) for line in lines.loc[status == "ok", ["n_rounds", "n_repeats"]].to_dict("records")]
    each = f" ({' or '.join(dict.fromkeys(counts))} each)" if counts else ""
    parts = [f"{n} {fate}" for fate, n in fates.items() if n]
    return f"Of {_n(len(lines), 'cell')}{each}, {', '.join(parts)}."


def _rates(lines: pd.DataFrame) -> str:
    """Name the error rates by which lines are judged."""
    return " or ".join(dict.fromkeys(METRICS[primary(line)].label for line in lines[["primary"]].to_dict("records")))


def repeats(line: Mapping[Any, Any]) -> str:
    """Say how a line was repeated: fresh processes, and windows inside each."""
    n_rounds, n_windows = line["n_rounds"], line["n_repeats"]
    if n_rounds == 0 or n_windows % n_rounds:
        return f"{_n(n_windows, 'window')} in {_n(n_rounds, 'process', 'processes')}"
    return f"{_n(n_rounds, 'process', 'processes')} x {_n(n_windows // n_rounds, 'window')}"


def _n(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def listed(values: Iterable[Any]) -> str:
    """Join the distinct values, in their order; pandas made floats of integers where some are missing."""
    whole = (int(v) if isinstance(v, float) and v.is_integer() else v for v in values)
    return ", ".join(dict.fromkeys(str(value) for value in whole))


def heading(metric: str) -> str:
    """Return a metric's label with a capital."""
    label = METRICS[metric].label
    return label[0].upper() + label[1:]


def findings(setting: Setting, counted: leaders.CountedCells) -> list[tuple[str, str, str, str]]:
    """Return a setting's leaders as (what, who, number, what to know about it)."""
    return [
        (
            _lead(leader),
            leader.line["label"],
            quantity(leader.metric, leader.line[leader.metric]),
            _caveat(leader),
        )
        for metric in _LEADS
        if metric not in RATES or metric == setting.rate
        for leader in leaders.leaders(setting.lines, metric, counted)
    ]


def _lead(leader: Leader) -> str:
    """Name what was led; a field of one has no best."""
    kind = ""
    if leader.metric == ENERGY:
        kind = ", estimated" if summary.is_estimated(leader.line) else ", measured"
    if leader.n_ranked == 1:
        return heading(leader.metric) + kind
    return _LEADS[leader.metric] + kind


def _caveat(leader: Leader) -> str:
    low, high = number(leader.metric, leader.low), number(leader.metric, leader.high)
    repeats = leader.line["n_repeats"]
    if leader.metric in RATES and pd.notna(leader.line[f"{leader.metric}_ci_low"]):
        spread = f"95 % interval {low}–{high}"
    else:
        spread = f"{low}–{high} over {repeats} repeats" if repeats > 1 else "one repeat, spread unknown"
    others = rivals(leader).removeprefix("; ")
    among = f"first of {leader.n_ranked} ranked" if leader.n_ranked > 1 else ""
    origin = summary.energy_details(leader.line) if leader.metric == ENERGY else None
    return "; ".join(part for part in (spread, among, others, origin) if part)


def rivals(leader: Leader) -> str:
    """Name the others that a leader is not shown to differ from, after a semicolon; nothing where there are none."""
    if not leader.rivals:
        return ""
    more = f" and {len(leader.rivals) - N_NAMED} more" if len(leader.rivals) > N_NAMED else ""
    return f"; not shown to differ from {', '.join(leader.rivals[:N_NAMED])}{more} ({leader.by})"


def no_energy(lines: pd.DataFrame, runs: Sequence[Mapping[str, Any]]) -> str | None:
    """Say in one sentence why no line has an energy, or None where one has."""
    if lines[ENERGY].notna().any():
        return None
    reasons = {f"{name}: {why}" for run in runs for name, why in (run.get("meters") or {}).items() if why}
    because = "; ".join(sorted(reasons)) or "run.json names no meter that could not answer"
    return f"No energy was measured or estimated here ({because})."


def misfits(rows: pd.DataFrame) -> list[str]:
    """Say of each data set once where the normaliser of its rows does not fit its texts.

    Args:
        rows: with ``dataset``, ``normalizer`` and ``non_english_pct``.
    """
    scored = rows[rows["normalizer"].notna() & rows["non_english_pct"].notna()]
    pairs = scored.groupby(["dataset", "normalizer"], sort=False)["non_english_pct"].max()
    found = {str(dataset): normalizers.misfit(name, share) for (dataset, name), share in pairs.items()}
    return [f"{dataset}: {problem}" for dataset, problem in found.items() if problem]


def harness(run: Mapping[str, Any]) -> str | None:
    """Say what the harness itself cost in a run, or None where that was not measured."""
    known = run.get("harness_overhead") or {}
    if known.get("s_per_batch") is None or known.get("s_per_window") is None:
        return None
    batch, window = f"{1e6 * known['s_per_batch']:.2g} µs", f"{1e3 * known['s_per_window']:.2g} ms"
    return (
        f"adds {batch} to the time of each batch; its meters take {window} at the edges of a window, outside its time"
    )


def peaks(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each device of a run and what it reached at most."""
    return [(device, roofline.describe(found)) for device, found in roofline.of_run(run).items()]


def controls(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each device of a run and how fast its control cell was, or that nobody knows."""
    known = run.get("control")
    if isinstance(known, Mapping) and known:
        return [(device, control.describe(found)) for device, found in known.items()]
    asked = (run.get("suite") or {}).get("control")
    why = "switched off (control: false)" if asked is False else "not measured"
    return [("control", f"{why}: whether the machine changed meanwhile is not known")]


def standing(line: Mapping[Any, Any]) -> tuple[str, str]:
    """Say whether a line is ranked (a word), and why not (the small print)."""
    failed = f"{line['n_failed']} more failed: {line['reason']}" if line["n_failed"] else ""
    if line["status"] != "ok":
        return ("failed" if line["status"] == "error" else "skipped"), line["reason"] or "no reason recorded"
    unfit = barring(line["flags"])
    word = "not ranked" if unfit else f"ranked by {METRICS[primary(line)].label} alone" if line["outside"] else "ranked"
    notes = (
        line["outside"],
        None if unfit else line["reference_note"],
        explain(line["flags"], line["flag_notes"]),
        failed,
    )
    return word, "; ".join(part for part in notes if part)


def flag_meanings(lines: pd.DataFrame) -> dict[str, str]:
    """Return what the flags on this page mean; one that this version does not know says so."""
    met = sorted({flag for flags in lines["flags"] for flag in flags})
    return {flag: FLAGS.get(flag, "not known to this version of greenbench") for flag in met}
