"""What the numbers say in words: what was compared, what leads, what cannot be ranked and why."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from greenbench.analysis import references, summary
from greenbench.analysis.summary import ENERGY, Setting
from greenbench.hardware import control, roofline
from greenbench.metrics import METRICS
from greenbench.report import leaders
from greenbench.report.figures import number, quantity
from greenbench.report.leaders import Leader
from greenbench.results.flags import FLAGS, RANKABLE, explain
from greenbench.text import normalizers

N_NAMED = 3
"""Rivals of a leader that are named; of more, the number is."""

_LEADS = {
    "wer": "Lowest WER",
    "rtfx": "Fastest",
    "server_rate_hz": "Most utterances a second",
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
        "by WER alone": n_outside,
        "measured but flagged": int((status == "ok").sum()) - n_ranked,
        "failed": int((status == "error").sum()),
        "skipped": int((status == "skipped").sum()),
    }
    counts = [repeats(line) for line in lines.loc[status == "ok", ["n_rounds", "n_repeats"]].to_dict("records")]
    each = f" ({' or '.join(dict.fromkeys(counts))} each)" if counts else ""
    parts = [f"{n} {fate}" for fate, n in fates.items() if n]
    return f"Of {_n(len(lines), 'cell')}{each}, {', '.join(parts)}."


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
        for leader in leaders.leaders(setting.lines, metric, counted)
    ]


def _lead(leader: Leader) -> str:
    """Name what was led; a field of one has no best."""
    kind = ""
    if leader.metric == ENERGY:
        kind = ", estimated" if summary.is_estimated(leader.line) else ", measured"
    if leader.n_ranked == 1:
        return f"{heading(leader.metric)}{kind} (the only one ranked)"
    return _LEADS[leader.metric] + kind


def _caveat(leader: Leader) -> str:
    low, high = number(leader.metric, leader.low), number(leader.metric, leader.high)
    repeats = leader.line["n_repeats"]
    if leader.metric == "wer" and pd.notna(leader.line["wer_ci_low"]):
        spread = f"95 % interval {low}–{high}"
    else:
        spread = f"{low}–{high} over {repeats} repeats" if repeats > 1 else "one repeat, spread unknown"
    rivals = _rivals(leader).removeprefix("; ")
    among = f"first of {leader.n_ranked} ranked" if leader.n_ranked > 1 else ""
    origin = summary.energy_details(leader.line) if leader.metric == ENERGY else None
    return "; ".join(part for part in (spread, among, rivals, origin) if part)


def headline(settings: Sequence[Setting], counted: leaders.CountedCells) -> tuple[str, list[str]]:
    """Return the sentences that matter: who recognises best, who is fastest, who needs least energy.

    Who is best is said only where that is shown: a lead that is smaller than its interval is none.

    Args:
        settings: what may be compared.
        counted: the errors of cells' texts, by which their WER is compared.

    Returns:
        The setting they are about, that with the most ranked lines, and the sentences; none where nothing is ranked.
    """
    if not settings:
        return "", []
    main = max(settings, key=lambda setting: int(summary.rankable(setting.lines).sum()))
    best = next(iter(leaders.leaders(main.lines, "wer", counted)), None)
    if best is None:
        return main.label, []
    claims, field = [_best(best)], (main, best, counted)
    fastest = next(iter(leaders.leaders(main.lines, "rtfx")), None)
    if fastest:
        claims.append(_against(fastest, field, _Claim("is fastest", "be fastest", _times_as_fast)))
    thriftiest = sorted(leaders.leaders(main.lines, ENERGY), key=lambda leader: summary.is_estimated(leader.line))
    for leader in thriftiest[:1]:
        kind = "estimated" if summary.is_estimated(leader.line) else f"measured, scope {leader.line['energy_scope']}"
        claim = _Claim(f"needs least energy ({kind})", f"need least energy ({kind})", _less_energy)
        claims.append(_against(leader, field, claim))
    return main.label, claims


@dataclass(frozen=True)
class _Claim:
    """How a lead is said: of the leader, of nobody, and by the leader's share of another's figure."""

    is_best: str
    be_best: str
    than: Callable[[float], str]


def _times_as_fast(share: float) -> str:
    return "as fast as" if f"{share:.3g}" == "1" else f"{share:.3g} times as fast as"


def _less_energy(share: float) -> str:
    """Say a share in percent less or more; twice and above as a multiple."""
    percent = 100 * abs(1 - share)
    if share >= 2:
        return f"{share:.3g} times the energy of"
    if percent < 0.5:
        return "as much energy as"
    figure = f"{percent:.0f}" if percent < 99 else f"{percent:.3g}"
    return f"{figure} % {'less' if share < 1 else 'more'} energy than"


def _best(leader: Leader) -> str:
    low, high = number("wer", leader.low), number("wer", leader.high)
    spread = f" (95 % interval {low}–{high})" if pd.notna(leader.line["wer_ci_low"]) else ""
    wer = f"{quantity('wer', leader.line['wer'])}{spread}"
    if leader.n_ranked == 1:
        return f"{leader.line['label']} is the only one ranked: WER {wer}."
    if leader.rivals:
        return f"No variant is shown to recognise best: {leader.line['label']} has WER {wer}{_rivals(leader)}."
    return f"{leader.line['label']} recognises best: WER {wer}."


def _against(leader: Leader, field: tuple[Setting, Leader, leaders.CountedCells], claim: _Claim) -> str:
    """Say who leads by a metric, and set that against what the leader was made of, else against who recognises best."""
    (setting, best, counted), line = field, leader.line
    value = quantity(leader.metric, line[leader.metric])
    if leader.metric == ENERGY:
        value += " per second of audio"
    if leader.n_ranked == 1:
        return f"{line['label']} is the only one ranked by {METRICS[leader.metric].label}: {value}."
    claimed = f"{line['label']} {claim.is_best}: {value}"
    if leader.rivals:
        claimed = f"No variant is shown to {claim.be_best}: {line['label']} has {value}"
    parents = dict(zip(setting.lines["label"], references.parents(setting.lines.to_dict("records")), strict=True))
    parent = parents[line["label"]]
    other, who = (parent, f"its {references.relation(line, parent)} ") if parent else (best.line, "")
    if other["label"] in (line["label"], *leader.rivals) or pd.isna(other[leader.metric]):
        return f"{claimed}{_rivals(leader)}."
    compared = claim.than(line[leader.metric] / other[leader.metric])
    return f"{claimed}, {compared} {who}{other['label']}{_cost(line, other, counted)}{_rivals(leader)}."


def _cost(line: Mapping[Any, Any], other: Mapping[Any, Any], counted: leaders.CountedCells) -> str:
    """Say what a lead costs in WER, with the interval of the difference where the texts tell it."""
    wer = 100 * (line["wer"] - other["wer"])
    if pd.isna(wer):
        return ""
    found = leaders.difference(other, line, counted)
    interval = f" [{100 * found.low:+.2f}, {100 * found.high:+.2f}]" if found else ""
    return f", at {wer:+.2f}{interval} percentage points of WER"


def _rivals(leader: Leader) -> str:
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
    unfit = [flag for flag in line["flags"] if flag not in RANKABLE]
    word = "not ranked" if unfit else "ranked by WER alone" if line["outside"] else "ranked"
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
