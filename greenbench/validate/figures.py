"""The figures of a measured row: what follows from other figures, where energy comes from, window and flags."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from greenbench.hardware import control, roofline
from greenbench.meters import energy
from greenbench.metrics import ACCURACY, COST, METRICS, cost_per_audio_hour, mfu_pct, ratio
from greenbench.plugins import METHODS
from greenbench.results import flag_rules, flags, store
from greenbench.validate.evidence import Check, Evidence, Row
from greenbench.validate.form import EDITED

MAX_SHARE_PCT = 300.0
"""A peak that others spoilt, or that another engine beats, is not so far off: a row above it counts work not done."""

PEAK = "Speed and energy stand. For shares of the peak empty the cache (`greenbench cache --clear`) and run again."


def rates(row: Row, _evidence: Evidence) -> Iterator[str]:
    """Error rates follow from the counts, and are null where those are."""
    for rate, unit in (("wer", "word"), ("cer", "char")):
        edits = [row.get(f"n_{unit}_{kind}") for kind in ("substitutions", "deletions", "insertions")]
        known = [edit for edit in edits if edit is not None]
        expected = ratio(sum(known), row.get(f"n_ref_{unit}s")) if len(known) == len(edits) else None
        yield from differs(rate, row.get(rate), expected, "(S + D + I) / N")


def _says_how_counted(row: Row, _evidence: Evidence) -> Iterator[str]:
    """A row with counts of words names the normaliser and the scorer that they are from."""
    lacking = [name for name in ("normalizer", "scorer") if row[name] is None]
    if lacking and row["n_ref_words"] is not None:
        yield f"{' and '.join(lacking)} is null, and the row has counts of words"


def _derived(row: Row, evidence: Evidence) -> Iterator[str]:
    """Speed and every energy figure follow from the seconds and the parts in the row, and the machine's peaks."""
    yield from differs("rtfx", row["rtfx"], ratio(row["audio_s"], row["wall_s"]), "audio_s / wall_s")
    yield from _has_its_share(row, evidence)
    cost = cost_per_audio_hour(row.get("price_per_hour"), row["rtfx"])
    yield from differs(COST, row.get(COST), cost, METRICS[COST].about)
    reading = energy.reading_of(row)
    carbon = row["carbon_g_per_kwh"], row["carbon_pue"]
    expected = energy.derived(
        row["device"], reading, row["idle_power_w"], row["audio_s"], None if None in carbon else carbon
    )
    for name, value in expected.items():
        yield from differs(name, row.get(name), value, METRICS[name].about)
    expected = {"energy_scope": None, "energy_method": None, **energy.provenance(row["device"], reading)}
    for name, value in expected.items():
        if row.get(name) != value:
            yield f"{name} is {row.get(name)!r}, the parts in the row give {value!r}"


def _has_origins(row: Row, _evidence: Evidence) -> Iterator[str]:
    """A part of the energy says how and by what it was read."""
    for part in energy.PARTS:
        method, source = row.get(energy.part_column(part, "method")), row.get(energy.part_column(part, "source"))
        known = row.get(energy.part_column(part)) is not None or method is not None or source is not None
        if known and (method not in METHODS or not source):
            yield f"{energy.part_column(part)} has no origin (method {method!r}, source {source!r})"


def differs(name: str, found: Any, expected: float | None, formula: str) -> Iterator[str]:
    """Say that a figure is not what its formula gives, to six digits."""
    if (found is None) != (expected is None):
        yield f"{name} is {found!r}, its formula gives {expected!r} ({formula})"
    elif found is not None and expected is not None and not math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-12):
        yield f"{name} is {found:g}, its formula gives {expected:g} ({formula})"


def _has_its_share(row: Row, evidence: Evidence) -> Iterator[str]:
    """The share of the peak follows from the work and the machine's peaks, and is null with a reason above 100 %."""
    peaks = roofline.of_run(evidence.run).get(row["device"])
    share, note = roofline.share(row["macs_per_audio_s"], row["rtfx"], peaks, row["compute_dtype"])
    if note and row["mfu_note"] is None:  # of a version that did not know of such a reason
        share = mfu_pct(row["macs_per_audio_s"], row["rtfx"], roofline.ceiling(peaks, row["compute_dtype"]))
    elif row["mfu_note"] != note:
        yield f"mfu_note is {row['mfu_note']!r}, the peaks in {store.RUN} give {note!r}"
    yield from differs("mfu_pct", row["mfu_pct"], share, METRICS["mfu_pct"].about)


def _is_below_the_peak(row: Row, _evidence: Evidence) -> Iterator[str]:
    """No model does more than the machine can: the peak was measured while something held the machine back."""
    if 100 < (row["mfu_pct"] or 0.0) <= MAX_SHARE_PCT:
        yield f"mfu_pct is {row['mfu_pct']:g}: the peak in {store.RUN} is below what this model reached"
    elif row["mfu_note"]:
        yield f"mfu_pct is null: {row['mfu_note']}"


def _is_near_the_peak(row: Row, _evidence: Evidence) -> Iterator[str]:
    """Passes that were not made show as work that no machine does."""
    if (row["mfu_pct"] or 0.0) > MAX_SHARE_PCT:
        yield f"mfu_pct is {row['mfu_pct']:g}: audio_s, n_passes or macs_per_audio_s is more than was done"


def _random_weights_have_no_wer(row: Row, _evidence: Evidence) -> Iterator[str]:
    known = [name for name in ACCURACY if row.get(name) is not None]
    if row.get("synthetic") and known:
        yield f"random weights have no {', '.join(known)}"


def _has_its_flags(row: Row, evidence: Evidence) -> Iterator[str]:
    """Flags are those that the rules raise; whether a later pass gave other texts only the row knows."""
    n_cpus = evidence.run["machine"].get("n_cpus_logical") or 1
    unstable = "unstable-text" in row["flags"]
    raised = set(flags.flags(flag_rules.Measured(row, row, evidence.steps, n_cpus, unstable)))
    for flag in sorted(raised ^ set(row["flags"])):
        known = "" if flag in flags.FLAGS else ", which this version does not know,"
        yield f"flag {flag}{known} is {'missing' if flag in raised else 'raised without a reason'}"


def _has_its_controls(row: Row, evidence: Evidence) -> Iterator[str]:
    """What the controls say of a row's round stands in control.jsonl, measured before and after the row."""
    stated = {name: row.get(name) for name in control.COLUMNS}
    if not any(value is not None for name, value in stated.items() if name != "control_note"):
        return
    of_round = [line for line in evidence.controls if (line["round"], line["device"]) == (row["round"], row["device"])]
    sessions = [[x for x in of_round if x["session"] == number] for number in {x["session"] for x in of_round}]
    around = [lines for lines in sessions if _surround(lines, row)]
    if not around:
        lack = f"{store.CONTROL} has no measurements before and after the row"
        yield f"control_rtfx is {stated['control_rtfx']!r}, {lack}"
        return
    for name, value in control.columns(around[0]).items():
        if isinstance(value, float):
            yield from differs(name, stated[name], value, f"by {store.CONTROL}")
        elif stated[name] != value:
            yield f"{name} is {stated[name]!r}, {store.CONTROL} gives {value!r}"


def _surround(lines: Sequence[Row], row: Row) -> bool:
    """Say whether a row lies in time between the two controls of a session."""
    at = {line["edge"]: line["timestamp_utc"] for line in lines}
    return len(lines) == 2 and str(at.get("start", "~")) <= str(row["timestamp_utc"]) <= str(at.get("end", ""))


FIGURES = (
    Check(_has_origins, EDITED),
    Check(_derived, EDITED, dependent=True),
    Check(_is_below_the_peak, PEAK, severity="warning"),
    Check(_is_near_the_peak, EDITED),
    Check(rates, EDITED),
    Check(_says_how_counted, EDITED),
    Check(_random_weights_have_no_wer, EDITED),
    Check(_has_its_flags, EDITED),
    Check(_has_its_controls, EDITED),
)
"""What holds within a measured row."""
