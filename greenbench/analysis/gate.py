"""Which cells may be ranked by what they save: those shown to recognise about as well as their teacher."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from greenbench.analysis import error_rates
from greenbench.analysis.cells import CellSummary, median_of
from greenbench.analysis.error_rates import CellKey, Counted, RecountError, cell_of, known
from greenbench.analysis.evidence import answer, one_speaker
from greenbench.analysis.gains import Count, read, recount
from greenbench.analysis.references import Alike, alike, comparable, teacher_of
from greenbench.errors import InputError, did_you_mean
from greenbench.metrics import METRICS, RATES
from greenbench.results.comparability import primary

MLPERF_SHARE = 0.99
"""The share of the reference's word accuracy that MLPerf Inference asks of a closed-division model."""


@dataclass(frozen=True)
class Gate:
    """How good a cell must be before its speed and energy are ranked.

    Attributes:
        rule: ``margin``: the 95 % interval of its error rate less its reference's ends below the margin
            (non-inferiority; a lower rate is always inside). ``mlperf-99``: 1 - rate is at least 99 % of the
            reference's. ``none``. The rate is that which the suite calls primary, WER by default.
        margin: of the first rule, a fraction of the words, or of the characters.
        reference: the variant that all are compared with; by default each with its own teacher, and a variant
            whose teacher is not among the results is its own reference.
    """

    rule: Literal["margin", "mlperf-99", "none"] = "margin"
    margin: float = 0.01
    reference: str | None = None

    @property
    def by_parent(self) -> bool:
        """Whether every cell is compared with its own parent, so that one without any is compared with nothing."""
        return self.rule != "none" and self.reference is None


DEFAULT = Gate()


def parse(text: str | None, reference: str | None = None) -> Gate:
    """Read ``margin:1.0pp``, ``mlperf-99`` or ``none``; None gives the rule and margin of ``DEFAULT``.

    Raises:
        InputError: it is none of these.
    """
    if text in (None, "margin"):
        return Gate(reference=reference)
    margin = re.fullmatch(r"margin:(\d+(?:\.\d+)?)pp", text)
    if margin:
        return Gate("margin", float(margin[1]) / 100, reference)
    if text == "mlperf-99":
        return Gate("mlperf-99", reference=reference)
    if text == "none":
        return Gate("none")
    raise InputError(f"--gate '{text}': write margin:1.0pp (percentage points), mlperf-99 or none")


def describe(gate: Gate, primaries: Collection[str] = RATES[:1]) -> str | None:
    """Say in a sentence what the gate asks; None where it asks nothing.

    Args:
        gate: what is asked.
        primaries: the error rates by which the cells in question are judged.
    """
    rates = " or ".join(METRICS[name].label for name in RATES if name in primaries)
    whose = (
        f"that of {gate.reference}"
        if gate.reference
        else "its reference's (the base model, or the teacher of a student), where that was measured"
    )
    rules = {
        "margin": f"whose {rates} is shown to be at most {100 * gate.margin:.1f} pp above {whose} "
        "(95 % interval over speakers, on the same utterances)",
        "mlperf-99": f"whose accuracy (1 - {rates}) is at least 99 % of {whose} (MLPerf's rule)",
    }
    return f"Speed and energy are ranked among the cells {rules[gate.rule]}." if gate.rule in rules else None


def outside(folders: Iterable[Path], gate: Gate = DEFAULT) -> dict[CellKey, str]:
    """Say of each cell that the gate keeps from being ranked by speed or energy why.

    Args:
        folders: runs; a teacher may be in another than its student, if the two are comparable.
        gate: what is asked.

    Raises:
        InputError: the reference that the gate names is in none of the runs.
    """
    if gate.rule == "none":
        return {}
    home = read(folders)
    return judged([line for of_run in home.values() for line in of_run], gate, partial(recount, home))


def judged(cells: Iterable[CellSummary], gate: Gate, count: Count) -> dict[CellKey, str]:
    """Say the same of lines that were read already.

    Args:
        cells: of all runs.
        gate: what is asked.
        count: counts the texts of the cells that are compared with each other.

    Raises:
        InputError: the reference that the gate names is among none of the lines.
    """
    measured = [line for line in cells if median_of(line, primary(line.shared)) is not None]
    if gate.rule == "none":
        return {}
    if gate.reference is not None:
        _check_reference(gate.reference, measured)
    known_lines = alike(measured, RATES[0])
    pairs = [(line, _reference(line, gate.reference, known_lines)) for line in measured]
    compared = [line for pair in pairs if pair[1] is not None for line in pair]
    counted = count({cell_of(line.shared) for line in compared if line is not None}) if gate.rule == "margin" else {}
    reasons = {cell_of(line.shared): _reason(line, reference, gate, counted) for line, reference in pairs}
    return {cell: reason for cell, reason in reasons.items() if reason is not None}


def _reason(
    line: CellSummary, reference: CellSummary | None, gate: Gate, counted: Mapping[CellKey, Counted | RecountError]
) -> str | None:
    """Say why a cell is kept out, or return None; without a reference it is its own, unless the gate names one."""
    rate = primary(line.shared)
    if reference is None:
        own = gate.reference in (None, line.shared["variant"])
        return None if own else f"no comparable cell of {gate.reference} to compare its {METRICS[rate].label} with"
    if gate.rule == "mlperf-99":
        return _below_share(line, reference, rate)
    return _beyond_margin(gate.margin, counted[cell_of(line.shared)], counted[cell_of(reference.shared)], rate)


def _check_reference(name: str, measured: Iterable[CellSummary]) -> None:
    valid = {str(line.shared["variant"]) for line in measured}
    if name not in valid:
        raise InputError(
            f"--reference {name}: no cell of that variant has an error rate here. {did_you_mean(name, valid)}"
        )


def _reference(line: CellSummary, name: str | None, measured: Alike) -> CellSummary | None:
    """Find what a line is compared with: the named variant, or its teacher's teacher as far up as was measured."""
    return comparable(line, name, measured, RATES[0]) if name is not None else teacher_of(line, measured, RATES[0])


def _beyond_margin(
    margin: float, counted: Counted | RecountError, reference: Counted | RecountError, rate: str
) -> str | None:
    """Say why a cell is not shown to be inside the margin, or return None."""
    label = METRICS[rate].label
    try:
        found = error_rates.difference(known(reference), known(counted), rate)
    except RecountError as error:
        return f"its {label} cannot be compared with its reference's: {error}"
    if found is None:
        return f"too few utterances to compare its {label} with its reference's"
    if why := one_speaker(error_rates.unit(known(counted)), label):
        return why
    shown = answer(found.low, found.high, "<=", margin)
    if shown == "met":
        return None
    where = "outside" if shown == "not met" else "not shown to be inside"
    value, low, high = (100 * x for x in (found.value, found.low, found.high))
    return f"{where} the {label} margin: {value:+.1f} pp [{low:.1f}, {high:.1f}] against {100 * margin:.1f} pp"


def _below_share(line: CellSummary, reference: CellSummary, rate: str) -> str | None:
    """Say by how much a cell misses MLPerf's share of its reference's accuracy, or return None."""
    own, theirs = median_of(line, rate), median_of(reference, rate)
    assert own is not None
    assert theirs is not None
    if 1 - own >= MLPERF_SHARE * (1 - theirs):
        return None
    share = f"{100 * (1 - own):.2f} % against 99 % of {100 * (1 - theirs):.2f} %"
    kind = {"wer": "word accuracy", "cer": "character accuracy"}.get(rate, f"accuracy (1 - {METRICS[rate].label})")
    return f"below 99 % of the {kind} of {reference.shared['variant']}: {share}"
