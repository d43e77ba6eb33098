"""Where the joules of a row come from: a meter that was there, samples that agree, watts that can be."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import isclose

from greenbench.meters import cray, energy
from greenbench.meters.energy import part_column
from greenbench.meters.nvml import is_counter
from greenbench.plugins import traces
from greenbench.plugins.traces import TIME, Sample
from greenbench.power.log import EXTERNAL
from greenbench.suite.scenarios import SIMULATED
from greenbench.validate.evidence import Check, Evidence, Row
from greenbench.validate.form import EDITED

SOURCES = {
    "rapl": ("rapl", "counter", "rapl."),
    "codecarbon-tdp": ("codecarbon", "estimated", "cpu."),
    "cray-pm": ("cray-pm", "counter", "cray-pm."),
    "hwmon": ("hwmon", "sampled", "hwmon."),
    "battery": ("battery", "sampled", "battery."),
    "nvml-total-energy": ("nvml", "counter", "nvml."),
    "nvml-power": ("nvml", "sampled", "nvml."),
}
"""What a part's joules may come from: the meter, its method, and how the names of its samples begin."""

EDGE_S = 0.1
"""A poller may be late by so much."""

SLOWEST_S = 0.5
"""A shorter window is not compared with samples: at ten a second too few are in it."""

MIN_SAMPLES = 5

COUNTER_SHARE = 0.02
"""A counter and its samples differ by no more than this in addition to what the edges leave open."""

SENSOR_SHARE = 0.25
"""A board's counter and its power, which the driver averages over up to a second, differ by no more than this."""

AVERAGED_S = 0.5
"""A driver's mean lags by half of the second that it is taken over."""

MODEL_SHARE = 0.1
"""Of a CPU's design power: the load that the model read and the one that was sampled differ by no more than this."""

IDLE_SHARE = 0.5
"""A machine at work draws at least this share of what it drew at rest."""

_TDP = re.compile(r"TDP (?P<watts>[\d.eE+-]+) W \((?:codecarbon's default of (?P<each>[\d.]+) W a thread)?")

Spans = Sequence[tuple[float, float, list[Sample]]]
"""Stretches of time, each with the samples over it."""


def local(row: Row) -> list[str]:
    """Return the parts whose joules a meter of the machine read."""
    return [
        p for p in energy.PARTS if row.get(part_column(p, "method")) and row.get(part_column(p, "source")) != EXTERNAL
    ]


def _was_there(row: Row, evidence: Evidence) -> Iterator[str]:
    """A meter that a row names as the source of joules could measure there, as the survey in ``run.json`` has it."""
    survey = evidence.run["meters"]
    known = {meter for meter, _, _ in SOURCES.values()}
    others = [name for name, why in survey.items() if why is None and name not in known]
    for part in energy.PARTS:
        method, source = row.get(part_column(part, "method")), row.get(part_column(part, "source"))
        if method is None:
            continue
        meter, usual, _ = SOURCES.get(str(source), (None, None, None))
        said = f"{part_column(part)} is stated to come from {source!r:.60}"
        if source == EXTERNAL:
            if (part, method) != ("system", "sampled"):
                yield f"{said}, which reads the power of a whole machine, sampled"
        elif meter is None:
            if not set(others) - _NO_JOULES:
                yield f"{said}, and no meter in run.json is of that name"
        elif survey.get(meter, "it is not in the survey") is not None:
            yield f"{said}, which could not measure there: {survey.get(meter, 'it is not in the survey')}"
        elif method != usual:
            yield f"{said} by the method {method}, which is {usual} there"


_NO_JOULES = {"clock", "cpu-time", "memory", "thermal", "gpu"}
"""Built-in meters of other quantities."""


def _has_its_samples(row: Row, evidence: Evidence) -> Iterator[str]:
    """What a suite samples is there, where joules come from the machine's own meters."""
    parts = [part for part in local(row) if row.get(part_column(part)) is not None]
    sampled = [part for part in parts if row[part_column(part, "method")] == "sampled"]
    hz = evidence.run["suite"].get("trace_hz", 0)
    if sampled and not hz:
        yield f"{part_column(sampled[0])} is sampled, and the suite samples nothing (trace_hz: 0)"
    elif parts and hz and not evidence.trace:
        yield f"power.jsonl is missing: the suite samples at {hz:g} Hz, and {part_column(parts[0])} depends on it"
    elif sampled and not _covered(row, evidence):
        yield f"{part_column(sampled[0])} is sampled, and power.jsonl has no samples over this window"
    elif _counted(row) and hz:
        yield from _hides_no_samples(row, evidence)


def _counted(row: Row) -> list[str]:
    """Return the sources of a row's joules that are counters of the machine, which are sampled, too."""
    parts = [part for part in local(row) if row.get(part_column(part)) is not None]
    return [str(row[part_column(part, "source")]) for part in parts if row[part_column(part, "method")] == "counter"]


def _hides_no_samples(row: Row, evidence: Evidence) -> Iterator[str]:
    """What a row's window lacks in samples it says itself, and those that are there have the counter."""
    edges, told_s = evidence.window(row), row.get("trace_lost_s") or 0.0
    parts = evidence.samples(row)
    if edges is None:
        return
    longest_s = traces.MAX_MISSED * max(session.period_s for session in evidence.trace)
    spans = zip(edges["segments"], parts, strict=True)
    known = [traces.lost_s([s[TIME] for s in samples], start, end, longest_s) for (start, end), samples in spans]
    if (lost_s := sum(known)) > told_s + EDGE_S:
        yield f"power.jsonl has no samples of {lost_s:.3g} s of this window, trace_lost_s is {told_s:.3g}"
        return
    for source in dict.fromkeys(_counted(row)):
        prefix = SOURCES[source][2] if source in SOURCES else ""
        if any(parts) and not any(name.startswith(prefix) for part in parts for sample in part for name in sample):
            yield f"power.jsonl has samples over this window, none of them of {source}"


def _never_steps_back(row: Row, evidence: Evidence) -> Iterator[str]:
    """Boards count 64 bits of millijoules: a counter that stepped back within a window was reset."""
    if "nvml-total-energy" not in _counted(row):
        return
    for samples in evidence.samples(row):
        for earlier, later in pairwise(samples[1:-1]):
            for name in earlier.keys() & later.keys():
                if is_counter(name) and later[name] < earlier[name]:
                    yield f"energy_gpu_j is counted, and {name} in power.jsonl steps back over this window"
                    return


def _covered(row: Row, evidence: Evidence) -> Spans:
    """Return each segment of a row's window with its samples; nothing where they do not reach over all of them."""
    edges = evidence.window(row)
    return [] if edges is None or not evidence.trace else reach(edges, evidence.samples(row))


def reach(edges: Row, parts: Sequence[list[Sample]]) -> Spans:
    """Return the segments of a line of ``windows.jsonl``, each with its samples, where these reach over all."""
    if not parts:
        return []
    spans = [(*segment, samples) for segment, samples in zip(edges["segments"], parts, strict=True)]
    return spans if all(s and s[0][TIME] <= start and s[-1][TIME] >= end for start, end, s in spans) else []


def _agrees_with_its_samples(row: Row, evidence: Evidence) -> Iterator[str]:
    """The joules are those of the samples over the window, within what sampling leaves open."""
    spans = _covered(row, evidence)
    if row["wall_s"] < SLOWEST_S or not spans or min(len(samples) for _, _, samples in spans) < MIN_SAMPLES:
        return
    for part in local(row):
        joules, source = row.get(part_column(part)), str(row[part_column(part, "source")])
        bounds = bounds_j(part, source, spans)
        if joules is None or bounds is None:
            continue
        low, high = bounds
        if not low <= joules <= high:
            yield (
                f"{part_column(part)} is {joules:.4g}, the samples in power.jsonl give {low:.4g} to {high:.4g} J "
                f"over this window ({source})"
            )


def bounds_j(part: str, source: str, spans: Spans) -> tuple[float, float] | None:
    """Return between what the samples have a part's joules; None where they have nothing on them."""
    if source == "rapl":
        return _counted_j(part, spans)
    if source == "cray-pm":
        return _climbed_j(spans, cray.ENERGY.__eq__)
    if source == "nvml-total-energy" and (counted := _climbed_j(spans, is_counter, 1e-3)):
        return counted
    prefix = SOURCES[source][2] if source in SOURCES else None
    if prefix is None or source == "codecarbon-tdp":
        return None
    names = sorted(
        {n for _, _, s in spans for one in s for n in one if n.startswith(prefix) and n.endswith(".power_w")}
    )
    known = [[traces.integrate_j(s, name, start, end) for start, end, s in spans] for name in names]
    totals = [sum(j for j in joules if j is not None) for joules in known if None not in joules]
    if not totals:
        return None
    wall_s = sum(end - start for start, end, _ in spans)
    share = min(SENSOR_SHARE + AVERAGED_S / wall_s, 0.75) if source.startswith("nvml") else COUNTER_SHARE
    few = totals if source.startswith("nvml") else [sum(totals)]  # one board of several may have been used
    return (1 - share) * min(few), (1 + share) * sum(totals)


def _counted_j(part: str, spans: Spans) -> tuple[float, float] | None:
    """Return the least and the most that RAPL's counters went on by, one sample more at either edge for the slack."""
    names = {n for _, _, s in spans for one in s for n in one if n.startswith("rapl.") and n.endswith(".energy_uj")}
    own = sorted(name for name in names if ("dram" in name) == (part == "dram"))
    low = high = 0.0
    counters: list[list[float]] = []
    for name in own:
        values = [[s[name] for s in samples if name in s] for _, _, samples in spans]
        counters += [flat for flat in [[v for part in values for v in part]] if flat]
        if any(_mirrors(counters[-1], other) for other in counters[:-1]):
            continue  # a die that shows its neighbour's counter is counted once
        for counted in values:
            steps = [b - a for a, b in pairwise(counted)]
            low += sum(step for step in steps[2:-2] if step > 0) / 1e6
            wrapped = any(step < 0 for step in steps)
            high += float("inf") if wrapped else (sum(steps) + 2 * max(steps, default=0.0)) / 1e6
    return ((1 - COUNTER_SHARE) * low, (1 + COUNTER_SHARE) * high) if counters else None


def _climbed_j(spans: Spans, counts: Callable[[str], bool], unit_j: float = 1) -> tuple[float, float] | None:
    """Return the least and the most that counters went on by, of one or of all; None where there are none."""
    names = {n for _, _, s in spans for one in s for n in one if counts(n)}
    lows, highs = list[float](), list[float]()
    for name in names:
        values = [[s[name] * unit_j for s in samples if name in s] for _, _, samples in spans]
        steps = [[b - a for a, b in pairwise(counted)] for counted in values]
        lows.append(sum(sum(of_span[2:-2]) for of_span in steps))
        highs.append(sum(sum(of_span) + 2 * max(of_span, default=0.0) for of_span in steps))
    return ((1 - COUNTER_SHARE) * min(lows), (1 + COUNTER_SHARE) * sum(highs)) if names else None


def _mirrors(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and all(abs(x - y) <= 1e6 for x, y in zip(a, b, strict=True))


def _agrees_with_its_model(row: Row, evidence: Evidence) -> Iterator[str]:
    """An estimate is what its note says: the design power, and the load that the row and the samples state."""
    note = _TDP.match(str(row.get("energy_cpu_note") or ""))
    joules, wall_s = row.get("energy_cpu_j"), row["wall_s"]
    if row.get("energy_cpu_source") != "codecarbon-tdp" or joules is None:
        return
    if note is None:
        yield "energy_cpu_note does not say of which design power the estimate is"
        return
    tdp_w, n_cpus = float(note["watts"]), evidence.run["machine"].get("n_cpus_logical")
    yield from _tdp_is_known(note, tdp_w, evidence)
    low, high = 0.1, 1.0
    if isinstance(n_cpus, int) and row.get("cpu_s") is not None and wall_s >= SLOWEST_S:
        used = [row.get(f"{who}cpu_s") or 0.0 for who in ("", "harness_", "poller_", "foreign_")]
        share = 0.1 + 0.9 * min(1.0, sum(used) / (n_cpus * wall_s)) ** 3
        low, high = max(low, share), share if row.get("foreign_cpu_s") is not None else high
    slack = MODEL_SHARE + 0.1 / wall_s
    if not (low - slack) * tdp_w * wall_s <= joules <= (high + slack) * tdp_w * wall_s:
        between = f"{low * tdp_w * wall_s:.3g} to {high * tdp_w * wall_s:.3g} J"
        yield f"energy_cpu_j is {joules:.4g}; {tdp_w:g} W of design power (its note) at this load give {between}"


def _tdp_is_known(note: "re.Match[str]", tdp_w: float, evidence: Evidence) -> Iterator[str]:
    """The design power is the one that the suite gives, or that codecarbon assumes for so many CPUs."""
    options = evidence.run["suite"].get("meters") or {}
    given = (options.get("codecarbon") or {}).get("tdp_w")
    n_cpus = evidence.run["machine"].get("n_cpus_logical")
    if given is not None and not (isinstance(given, int | float) and 0.999 * tdp_w <= given <= 1.001 * tdp_w):
        yield f"energy_cpu_note has {tdp_w:g} W of design power, the suite gives {given!s:.60} W"
    elif note["each"] and isinstance(n_cpus, int) and not isclose(float(note["each"]) * n_cpus, tdp_w, rel_tol=1e-3):
        yield f"energy_cpu_note has {tdp_w:g} W for {note['each']} W a thread, the machine has {n_cpus} threads"


def _draws_more_than_idle(row: Row, _evidence: Evidence) -> Iterator[str]:
    """What works draws about as much as what rests, or more; an estimate follows the load, of others too."""
    joules, idle_w = row.get("energy_j"), row.get("idle_power_w")
    if row.get("energy_method") == "estimated":
        return
    if joules is not None and idle_w and row["wall_s"] and joules / row["wall_s"] < IDLE_SHARE * idle_w:
        yield f"energy_j is {joules / row['wall_s']:.3g} W over the window, under half of idle_power_w, {idle_w:.3g}"


def _holds_its_parts(row: Row, _evidence: Evidence) -> Iterator[str]:
    """A machine draws no less than its parts do by their counters."""
    if why := energy.less_than_parts(row.get("energy_system_j"), row):
        yield f"energy_system_j is impossible: {why}"


def _hides_no_energy(row: Row, evidence: Evidence) -> Iterator[str]:
    """A counter that was sampled over a window was read at its edges, too: its row has joules, or why not."""
    if row.get("pace") == SIMULATED:
        return
    if row.get("energy_cpu_method") is None and any("rapl." in n for p in evidence.samples(row) for s in p for n in s):
        yield "power.jsonl has the counters of rapl over this window, and the row does not state what they read"


JOULES = (
    Check(_was_there, EDITED),
    Check(_has_its_samples, "Restore power.jsonl, or measure again."),
    Check(_never_steps_back, "The energy is unknown, since the counter was reset: measure again."),
    Check(_agrees_with_its_samples, EDITED, dependent=True),
    Check(_agrees_with_its_model, EDITED, dependent=True),
    Check(_draws_more_than_idle, EDITED),
    Check(_holds_its_parts, EDITED),
    Check(_hides_no_energy, EDITED),
)
"""What holds between a row's joules, its meters and what was sampled."""
