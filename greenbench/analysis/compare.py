"""Whether one side of a comparison is better than the other: cells are paired, each metric gets a verdict."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import geometric_mean

from greenbench.analysis import error_rates, steadiness, tails
from greenbench.analysis.cells import CellPair, CellSummary, by_unit, failure, median_of
from greenbench.analysis.error_rates import CellKey, Counted, RecountError, cell_of
from greenbench.analysis.findings import CellComparison, Comparison, MetricFinding
from greenbench.analysis.pairing import pair
from greenbench.analysis.selection import Side
from greenbench.errors import InputError, did_you_mean
from greenbench.metrics import (
    ABSOLUTE,
    ACCURACY,
    ERROR_RATES,
    FELT,
    METRICS,
    ORTHOGRAPHIC,
    RATES,
    TERM_RECALL,
    WORST,
)
from greenbench.results import comparability
from greenbench.results.comparability import CROSSABLE, FIXED, describe, differing
from greenbench.statistics.repeats import ratio_by_round
from greenbench.statistics.student import LEVEL

DEFAULT_METRICS = (
    "wer", "rtfx", "latency_p50_s", "server_rate_hz", *FELT, "max_streams", "energy_j_per_audio_s", "peak_rss_bytes",
    "model_bytes",
)  # fmt: skip

_ONLY_P = "p is small and the interval holds 0: the errors differ in these texts, which other speakers may not confirm"
_ONLY_INTERVAL = "the interval excludes 0 and p is not small: with so many pairs, or errors so few, chance can do this"

_Counts = tuple[Counted | RecountError | None, Counted | RecountError | None]


def usual_metrics(a: Side, b: Side) -> tuple[str, ...]:
    """Return the metrics of a comparison that names none: the rates that the sides call primary, and what they cost."""
    judged_by = {comparability.primary(row) for row in (*a.rows, *b.rows)}
    rates = [name for name in ERROR_RATES if WORST.get(name, name) in judged_by]
    return (*rates, TERM_RECALL, *ORTHOGRAPHIC, *(name for name in DEFAULT_METRICS if name not in RATES))


def compare(a: Side, b: Side, metrics: Sequence[str] | None = None, across: Collection[str] = ()) -> Comparison:
    """Compare two sides, the first of which is the baseline.

    Cells are paired by variant, data set, device, scenario and batch size. A variant that ``a`` names is set
    against every variant of ``b`` instead.

    Args:
        a: the baseline.
        b: the other.
        metrics: names from METRICS that have a better direction; None compares ``usual_metrics``.
        across: columns from ``comparability.CROSSABLE`` that may differ.

    Raises:
        InputError: an unknown metric or column, or no cell has a partner.
    """
    metrics = usual_metrics(a, b) if metrics is None else metrics
    pairs, only_a, only_b = pair(a, b)
    if not pairs and a.texts == b.texts:
        names = ", ".join(dict.fromkeys(str(row["variant"]) for row in a.rows))
        raise InputError(
            f"{a.name} and {b.name} are one run, and a cell is not compared with itself. Name another run, or one of "
            f"its variants as the baseline, as in FOLDER:VARIANT. There: {names}."
        )
    if not pairs:
        raise InputError(f"{a.name} and {b.name} have no cell in common. {_choice(a, b)}")
    counts_a = _counted_texts(a, [x for x, _ in pairs], metrics)
    counts_b = _counted_texts(b, [y for _, y in pairs], metrics)
    compared = [_compared((x, y), (counts_a.get(cell_of(x.shared)), counts_b.get(cell_of(y.shared))), metrics, across)
                for x, y in pairs]  # fmt: skip
    return Comparison(tuple(_judged(compared)), tuple(only_a), tuple(only_b))


def _choice(a: Side, b: Side) -> str:
    """Say which variants there are to name."""
    names = [", ".join(dict.fromkeys(str(row["variant"]) for row in side.rows)) for side in (a, b)]
    return f"There: {names[0]}; {names[1]}. Name the baseline's variant, as in FOLDER:VARIANT."


def check_metrics(metrics: Iterable[str], option: str) -> None:
    """Refuse names that are no metric, and metrics of which neither direction is better.

    Raises:
        InputError: says which, and what was probably meant.
    """
    valid = [name for name, metric in METRICS.items() if metric.better != "neither"]
    for name in metrics:
        if name in METRICS and name not in valid:
            raise InputError(f"{option} {name}: neither direction is better, so there is nothing to judge")
        if name not in METRICS:
            raise InputError(f"{option} {name}: unknown metric. {did_you_mean(name, valid)}")


def check_across(columns: Iterable[str]) -> None:
    """Refuse columns that a comparison cannot be about.

    Raises:
        InputError: says which there are.
    """
    for name in columns:
        if name not in CROSSABLE:
            raise InputError(f"--across {name}: this must not differ. {did_you_mean(name, CROSSABLE)}")


def check_comparable(comparison: Comparison) -> None:
    """Refuse a comparison of which nothing is left, other than what a variant weighs anywhere.

    Raises:
        InputError: names what differs.
    """
    findings = [f for pair in comparison.pairs for f in pair.findings]
    measured = [f for f in findings if f.metric not in FIXED] or findings
    if all(f.verdict == "not comparable" for f in measured):
        reasons = dict.fromkeys(str(reason) for reason in (*(p.failure for p in comparison.pairs),
                                                           *(f.why for f in measured)) if reason)  # fmt: skip
        raise InputError(
            f"nothing here can be compared: {'; '.join(reasons) or 'none of these metrics was measured'}. "
            f"What may differ on purpose is named with --across ({', '.join(CROSSABLE)})."
        )


def check_delivered(comparison: Comparison, metrics: Iterable[str]) -> None:
    """Refuse to be silent about a metric that was asked for by name and compared in no pair.

    Raises:
        InputError: says which, and why.
    """
    for name in metrics:
        found = [f for pair in comparison.pairs for f in pair.findings if f.metric == name]
        if all(f.verdict == "not comparable" for f in found):
            reasons = dict.fromkeys(f.why or f.verdict for f in found)
            raise InputError(f"--metric {name}: could not be compared ({'; '.join(reasons) or 'measured in neither'})")


# --- evidence --------------------------------------------------------------------------------------------


def _counted_texts(
    side: Side, wanted: Sequence[CellSummary], metrics: Collection[str]
) -> dict[CellKey, Counted | RecountError]:
    """Count the texts of a side's cells again, where a rate is asked for."""
    known = [line for line in wanted if any(row[rate] is not None for row in line.rows for rate in RATES)]
    cells = {cell_of(line.shared): line.rows for line in known if set(ABSOLUTE) & set(metrics)}
    return error_rates.count_all(side.texts, cells)


def _compared(pair: CellPair, counts: _Counts, metrics: Sequence[str], across: Collection[str]) -> CellComparison:
    """Gather what a pair says of each metric that either side has, before it is judged."""
    sides = {"baseline": pair[0], "new": pair[1]}
    failures = [f"the {name} cell gave nothing: {failure(line)}" for name, line in sides.items() if not line.rows]
    if failures:
        return CellComparison(*pair, failure="; ".join(failures))
    return CellComparison(*pair, findings=tuple(_findings(pair, counts, metrics, across)))


def _findings(
    pair: CellPair, counts: _Counts, metrics: Sequence[str], across: Collection[str]
) -> Iterator[MetricFinding]:
    for metric in metrics:
        baseline, new = (median_of(line, metric) for line in pair)
        if baseline is None and new is None:
            continue
        finding = MetricFinding(metric, baseline, new)
        refusal = _refusal(finding, pair, across)
        if refusal is not None:
            yield replace(finding, verdict="not comparable", why=refusal)
        elif metric in ERROR_RATES:
            yield _rate(finding, counts) if metric in RATES else _worst_slice(finding, counts)
        elif metric in (TERM_RECALL, *ORTHOGRAPHIC):
            yield _share(finding, counts)
        elif metric in ACCURACY:
            why = "it has no interval: what is compared on the same answers are error rates and shares of what is right"
            yield replace(finding, verdict="not comparable", why=why)
        else:
            yield _fixed(finding) if metric in FIXED else _repeated(finding, pair, across)


def _refusal(finding: MetricFinding, pair: CellPair, across: Collection[str]) -> str | None:
    """Say why a metric of the two must not be compared, or return None."""
    a, b = pair
    differences = differing(a.shared, b.shared, comparability.columns(finding.metric), across)
    if finding.metric not in FIXED and a.shared["variant"] == b.shared["variant"] and "decoding" not in across:
        differences |= comparability.decodings(a.shared, b.shared)
    if None in (finding.baseline, finding.new):  # then nothing is known of its energy's scope either
        conditions = {name: values for name, values in differences.items() if name not in comparability.ENERGY}
        return describe(conditions) or f"measured in the {'baseline' if finding.new is None else 'new one'} alone"
    return describe(differences) or None


def _rate(finding: MetricFinding, counts: _Counts) -> MetricFinding:
    """Compare error rates utterance by utterance."""
    try:
        a, b = (error_rates.known(side) for side in counts if side is not None)
        found = error_rates.difference(a, b, finding.metric)
    except RecountError as error:
        return replace(finding, verdict="not comparable", why=str(error))
    if found is None:
        return replace(finding, n=len(a.ids), verdict="too few utterances")
    return replace(
        finding,
        baseline=error_rates.rate(a, finding.metric),
        new=error_rates.rate(b, finding.metric),
        difference=found.value,
        low=found.low,
        high=found.high,
        p=error_rates.p_value(a, b, found) if finding.metric == "wer" else found.p,
        smallest=error_rates.smallest_difference(found),
        n=len(a.ids),
        unit=error_rates.unit(a),
    )


def _worst_slice(finding: MetricFinding, counts: _Counts) -> MetricFinding:
    """Compare the error rates within the slice that is hardest for both sides together."""
    rate = WORST[finding.metric]
    try:
        a, b = (error_rates.known(side) for side in counts if side is not None)
        name = tails.shared_worst(a, b, rate)
    except RecountError as error:
        return replace(finding, verdict="not comparable", why=str(error))
    found = _rate(replace(finding, metric=rate), (tails.within(a, name), tails.within(b, name)))
    return replace(found, metric=finding.metric, unit=f"{found.unit}, in {name}")


def _share(finding: MetricFinding, counts: _Counts) -> MetricFinding:
    """Compare which of the listed terms, the marks or the cases of the words are right."""
    name = finding.metric
    try:
        a, b = (error_rates.known(side) for side in counts if side is not None)
        found = tails.recall_difference(a, b) if name == TERM_RECALL else tails.orthography_difference(a, b, name)
    except RecountError as error:
        return replace(finding, verdict="not comparable", why=str(error))
    finding = replace(finding, n=len(a.ids), unit=error_rates.unit(a))
    if found is None:
        return replace(finding, verdict="too few utterances")
    smallest = error_rates.smallest_difference(found)
    return replace(finding, difference=found.value, low=found.low, high=found.high, p=found.p, smallest=smallest)


def _fixed(finding: MetricFinding) -> MetricFinding:
    """Compare what does not vary: any difference is one."""
    assert finding.baseline is not None
    assert finding.new is not None
    if finding.baseline == 0:
        return replace(finding, verdict="not comparable", why="the baseline is 0")
    change = finding.new / finding.baseline - 1
    return replace(finding, difference=change, low=change, high=change)


def _repeated(finding: MetricFinding, pair: CellPair, across: Collection[str]) -> MetricFinding:
    """Compare by the ratio within each round; the windows of one process do not tell how processes differ."""
    name = finding.metric
    control = steadiness.check(pair, name, across)
    finding = replace(finding, control=control)
    if control and control.refusal:
        return replace(finding, verdict="not comparable", why=control.refusal)
    left_out = control.rounds_out if control else ()
    a, b = ({unit: x for unit, x in by_unit(line, name).items() if unit[0] not in left_out} for line in pair)
    n_processes = min(len({number for number, _ in side}) for side in (a, b))
    ratio = ratio_by_round(a, b)
    if ratio is None:
        if n_processes == 1:
            return replace(finding, n=n_processes, verdict="too few repeats")
        return replace(finding, verdict="not comparable", why="no round in common where both are above 0")
    baseline, new = (geometric_mean(side[unit] for unit in a.keys() & b.keys()) for side in (a, b))
    finding = replace(finding, baseline=baseline, new=new, n=n_processes, difference=ratio.value - 1)
    ratio = steadiness.widened((a, b), pair, name, ratio) if control and control.is_used else ratio
    if ratio.low is None or ratio.high is None or n_processes == 1:
        return replace(finding, verdict="too few repeats")
    low, high = ratio.low - 1, ratio.high - 1
    return replace(finding, n=ratio.n, low=low, high=high, p=ratio.p, smallest=ratio.smallest)


# --- judgement -------------------------------------------------------------------------------------------


def _judged(pairs: Sequence[CellComparison]) -> list[CellComparison]:
    """Adjust p over all pairs of a metric, then give every finding with an interval its verdict."""
    from greenbench.statistics.multiple_testing import holm

    tested = [(i, f.metric, f.p) for i, pair in enumerate(pairs) for f in pair.findings if f.p is not None]
    adjusted: dict[tuple[int, str], float] = {}
    for metric in dict.fromkeys(metric for _, metric, _ in tested):
        family = [(i, p) for i, name, p in tested if name == metric]
        adjusted |= zip(((i, metric) for i, _ in family), holm([p for _, p in family]), strict=True)
    return [
        replace(pair, findings=tuple(_verdict(replace(f, p=adjusted.get((i, f.metric)))) for f in pair.findings))
        for i, pair in enumerate(pairs)
    ]


def _verdict(finding: MetricFinding) -> MetricFinding:
    """Decide which way a difference goes, where it is beyond noise."""
    f = finding
    if f.low is None or f.high is None or f.difference is None:
        return f
    if f.low <= 0 <= f.high:
        return replace(f, why=_ONLY_P) if f.p is not None and f.p <= LEVEL else f
    if f.p is not None and f.p > LEVEL:
        return replace(f, why=_ONLY_INTERVAL)
    rises_well = METRICS[f.metric].better == "higher"
    return replace(f, verdict="better" if (f.difference > 0) == rises_well else "worse")
