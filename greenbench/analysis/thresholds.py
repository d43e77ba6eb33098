"""When a comparison fails: a metric is worse beyond noise, and by more than a stated threshold."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from greenbench.analysis.compare import check_metrics
from greenbench.analysis.findings import CellComparison, Comparison, MetricFinding
from greenbench.errors import InputError
from greenbench.metrics import ABSOLUTE, METRICS

_FORM = re.compile(r"(?P<metric>\w+):(?P<sign>[+-])(?P<number>\d+(?:\.\d+)?)(?P<unit>%|pp)")


@dataclass(frozen=True)
class Threshold:
    """How much worse a metric may become.

    Attributes:
        metric: name from METRICS.
        change: the threshold in the unit of ``MetricFinding.difference``; its sign is the direction of worsening.
        text: as the user wrote it.
    """

    metric: str
    change: float
    text: str


@dataclass(frozen=True)
class Regression:
    """A finding that is beyond its threshold, or a pair whose new cell no longer works."""

    pair: CellComparison
    finding: MetricFinding | None
    threshold: Threshold | None


def parse(text: str) -> Threshold:
    """Read ``energy_j_per_audio_s:+5%``, ``rtfx:-5%`` or ``wer:+0.2pp``.

    Raises:
        InputError: another form, an unknown metric, the other unit, or the sign of an improvement.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InputError(
            f"--fail-on '{text}': write METRIC:+5%, or METRIC:-5% where higher is better, or wer:+0.2pp "
            "(percentage points)"
        )
    metric, sign, unit = found["metric"], found["sign"], found["unit"]
    check_metrics([metric], "--fail-on")
    right_unit = "pp" if metric in ABSOLUTE else "%"
    right_sign = "-" if METRICS[metric].better == "higher" else "+"
    right = f"{metric}:{right_sign}{found['number']}{right_unit}"
    if unit != right_unit:
        kind = "an error rate changes by percentage points" if metric in ABSOLUTE else "this metric changes by per cent"
        raise InputError(f"--fail-on '{text}': {kind}; write {right}")
    if sign != right_sign:
        raise InputError(f"--fail-on '{text}': that would be an improvement; write {right}")
    return Threshold(metric, float(sign + found["number"]) / 100, text)


def regressions(comparison: Comparison, thresholds: Sequence[Threshold]) -> list[Regression]:
    """Return what fails: findings that are ``worse`` and by more than a threshold, and cells that broke.

    A difference within noise never fails, however large; one beyond noise does as soon as its best estimate is
    beyond the threshold. (Asking for the whole interval to lie beyond the threshold would let a change of
    just that size pass in most runs.)
    """
    pairs = comparison.pairs if thresholds else ()
    broken = [Regression(pair, None, None) for pair in pairs if pair.a.rows and not pair.b.rows]
    worse = [
        Regression(pair, finding, threshold)
        for pair in pairs
        for finding in pair.findings
        for threshold in thresholds
        if finding.metric == threshold.metric and finding.verdict == "worse" and _beyond(finding, threshold)
    ]
    return broken + worse


def _beyond(finding: MetricFinding, threshold: Threshold) -> bool:
    return finding.difference is not None and abs(finding.difference) > abs(threshold.change)


def check_decided(comparison: Comparison, thresholds: Iterable[Threshold]) -> None:
    """Refuse to pass a threshold that no pair could be judged by: a gate that cannot shut is none.

    Raises:
        InputError: says which, and why.
    """
    for threshold in thresholds:
        found = [f for pair in comparison.pairs for f in pair.findings if f.metric == threshold.metric]
        if all(f.low is None for f in found):
            reasons = dict.fromkeys(f.why or f.verdict for f in found)
            raise InputError(
                f"--fail-on '{threshold.text}': could not be judged ({'; '.join(reasons) or 'measured in neither'})"
            )


def n_blind(comparison: Comparison, threshold: Threshold) -> tuple[int, int]:
    """Return how many pairs could not have shown so small a change, and of how many.

    Args:
        comparison: whose findings are looked at.
        threshold: one that did not fail.
    """
    found = [f for pair in comparison.pairs for f in pair.findings if f.metric == threshold.metric]
    blind = [f for f in found if f.low is None or (f.smallest or 0) > abs(threshold.change)]
    return len(blind), len(found)
