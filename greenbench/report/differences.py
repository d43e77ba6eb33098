"""What a comparison says on a terminal: a block a pair, a line a metric, in units people read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from greenbench.analysis import summary
from greenbench.analysis.cells import CellSummary
from greenbench.analysis.findings import CellComparison, Comparison, MetricFinding
from greenbench.analysis.gains import weakest
from greenbench.analysis.thresholds import Regression
from greenbench.metrics import ABSOLUTE, ENERGY_UNITS, METRICS
from greenbench.report.figures import number, quantity
from greenbench.results import comparability
from greenbench.results.record import CELL

LEGEND = (
    "difference: of error rates and recall in percentage points on the same utterances, of the others new / baseline "
    "by round, with 95 % intervals",
    "p: adjusted over all pairs of a metric (Holm); n: utterances, or rounds; resolves: the smallest difference that "
    "4 of 5 such comparisons find",
)
HINTS = {
    "too few repeats": "one process a side does not show how processes differ; run both with --protocol standard, "
    "or with --set protocol.rounds=5",
    "not comparable": "a condition that differs on purpose is allowed with --across, such as --across threads",
}
"""Verdict -> what would help."""

_PLACE = ("dataset", "device", "scenario")


@dataclass(frozen=True)
class Block:
    """A pair on a terminal.

    Attributes:
        heading: names it.
        lines: a metric each, text by column.
        remarks: refusals, what the controls say, how the two decode.
    """

    heading: str
    lines: tuple[dict[str, str], ...]
    remarks: tuple[str, ...]


def title(comparison: Comparison) -> str:
    """Name both runs, and what all pairs have in common."""
    first = comparison.pairs[0]
    runs = dict.fromkeys(str(line.shared["run_id"]) for line in (first.a, first.b))
    return " | ".join([" -> ".join(runs), *(_part(first.b, name) for name in _PLACE if _common(comparison, name))])


def blocks(comparison: Comparison) -> list[Block]:
    """Return each pair: its metrics, and what is said of it; metrics that share a refusal share a remark."""
    shown = [name for name in _PLACE if not _common(comparison, name)]
    return [
        Block(
            _heading(pair, shown),
            tuple(_line(pair, f) for f in pair.findings if not _refused(f)),
            tuple(_remarks(pair)),
        )
        for pair in comparison.pairs
    ]


def _refused(finding: MetricFinding) -> str | None:
    return finding.why if finding.verdict == "not comparable" else None


def hints(comparison: Comparison) -> list[str]:
    """Return whom rates speak of, what would help where a verdict is missing, and where interval and p disagree."""
    met = [finding for pair in comparison.pairs for finding in pair.findings]
    units = dict.fromkeys(f"{f.metric}: its interval is for {f.unit}" for f in met if f.unit)
    doubts = dict.fromkeys(f"{f.metric}: {f.why}" for f in met if f.why and f.verdict == "no difference shown")
    verdicts = {finding.verdict for finding in met}
    return [*units, *doubts, *(f"{verdict}: {hint}" for verdict, hint in HINTS.items() if verdict in verdicts)]


def _common(comparison: Comparison, name: str) -> bool:
    return len({_part(pair.b, name) for pair in comparison.pairs}) == 1


def _heading(pair: CellComparison, parts: Sequence[str]) -> str:
    a, b = set(pair.a.flags), set(pair.b.flags)
    sides = {"both": a & b, "baseline": a - b, "new": b - a}
    flags = [f"{side}: {', '.join(sorted(found))}" for side, found in sides.items() if found]
    return label(pair, parts) + (f"  (flags of {'; '.join(flags)})" if flags else "")


def label(pair: CellComparison, parts: Sequence[str] = _PLACE) -> str:
    """Name a pair: its variants, and where it was measured."""
    variants = dict.fromkeys(str(line.shared["variant"]) for line in (pair.a, pair.b))
    return " | ".join([" -> ".join(variants), *(_part(pair.b, name) for name in parts)])


def alone(line: CellSummary) -> str:
    """Name a cell that has no partner."""
    return " | ".join([str(line.shared["variant"]), *(_part(line, name) for name in _PLACE)])


def _part(line: CellSummary, name: str) -> str:
    batch = f" x{line.shared['batch_size']}" if (name, line.shared["scenario"]) == ("scenario", "offline") else ""
    return f"{line.shared[name]}{batch}"


def _remarks(pair: CellComparison) -> Iterator[str]:
    if pair.failure:
        yield f"not comparable: {pair.failure}"
    for refusal, findings in groupby(pair.findings, key=_refused):
        if refusal is not None:
            yield f"{', '.join(f.metric for f in findings)}: not comparable: {refusal}"
    yield from _controls(pair)
    decoded = comparability.decodings(pair.a.shared, pair.b.shared)
    if decoded and pair.a.shared["variant"] != pair.b.shared["variant"]:
        yield comparability.describe(decoded)


def _controls(pair: CellComparison) -> list[str]:
    """Return what the control cells say of the pair's machines, each once."""
    return list(dict.fromkeys(f.control.said for f in pair.findings if f.control and f.control.said))


def _named(pair: CellComparison, finding: MetricFinding) -> str:
    """Name a metric, and that it is estimated where it is."""
    return f"{finding.metric} (estimated)" if is_estimated(pair, finding.metric) else finding.metric


def is_estimated(pair: CellComparison, metric: str) -> bool:
    """Say whether a metric derives from joules which on a side are estimated, wholly or in part."""
    return _is_energy(metric) and any(summary.is_estimated(cell.shared) for cell in (pair.a, pair.b))


def _is_energy(metric: str) -> bool:
    return METRICS[metric].unit in ENERGY_UNITS


def _line(pair: CellComparison, finding: MetricFinding) -> dict[str, str]:
    form = number if finding.metric == "rtfx" else quantity  # its name is its unit
    return {
        "metric": _named(pair, finding),
        "baseline": form(finding.metric, finding.baseline),
        "new": form(finding.metric, finding.new),
        "difference": difference(finding),
        "verdict": finding.verdict,
        "p": "" if finding.p is None else "<0.001" if finding.p < 0.001 else f"{finding.p:.3f}",
        "n": "" if finding.n is None else str(finding.n),
        "resolves": "" if finding.smallest is None else f"{digits(finding.smallest)} {_unit(finding)}",
    }


def difference(finding: MetricFinding) -> str:
    """Write a difference with its interval: ``+0.39 pp [-0.21, +0.98]``; what does not vary has no interval."""
    if finding.difference is None:
        return ""
    shown = f"{digits(finding.difference, '+')} {_unit(finding)}"
    if finding.low is None or finding.high is None or finding.low == finding.high:
        return shown
    return f"{shown} [{digits(finding.low, '+')}, {digits(finding.high, '+')}]"


def digits(fraction: float, sign: str = "") -> str:
    """Write a fraction times 100, with as many decimals as it can need."""
    value = 100 * fraction
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0  # so that 9.999 is 10.0
    return f"{value:{sign},.{decimals}f}"


def _unit(finding: MetricFinding) -> str:
    return "pp" if finding.metric in ABSOLUTE else "%"


def regressed(regression: Regression) -> str:
    """Say in one line what got worse."""
    where = label(regression.pair)
    if regression.finding is None or regression.threshold is None:
        return f"{where}: {regression.pair.failure}"
    named = _named(regression.pair, regression.finding)
    return f"{where}: {named} {difference(regression.finding)}, beyond {regression.threshold.text}"


def plain(
    comparison: Comparison, regressions: Sequence[Regression], conditions: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return a comparison as JSON-ready data: fractions and SI units; a rate's difference is absolute.

    Args:
        comparison: all of it.
        regressions: what fails it.
        conditions: what came of an acceptance, from ``Acceptance.plain``.
    """
    return {
        "pairs": [_plain_pair(pair) for pair in comparison.pairs],
        "only_baseline": [_identity(line) for line in comparison.only_a],
        "only_new": [_identity(line) for line in comparison.only_b],
        "regressions": [regressed(regression) for regression in regressions],
        "conditions": list(conditions),
    }


def _plain_pair(pair: CellComparison) -> dict[str, Any]:
    findings = [asdict(finding) | _nature(pair, finding) for finding in pair.findings]
    return {"baseline": _identity(pair.a), "new": _identity(pair.b), "failure": pair.failure, "findings": findings}


def _nature(pair: CellComparison, finding: MetricFinding) -> dict[str, str | None]:
    """Return what kind of difference a finding is, and of energies the weakest origin of both sides."""
    methods = (cell.shared.get("energy_method") for cell in (pair.a, pair.b))
    method = weakest(*methods) if _is_energy(finding.metric) else None
    return {"kind": "absolute" if finding.metric in ABSOLUTE else "relative", "energy_method": method}


def _identity(line: CellSummary) -> Mapping[str, Any]:
    return {name: line.shared[name] for name in CELL} | {"flags": list(line.flags)}
