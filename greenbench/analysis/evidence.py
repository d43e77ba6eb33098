"""What an interval shows of a bound: the one rule of the gate's margin and of the conditions of an acceptance."""

from typing import Literal

from greenbench.text.population import n_speakers

Relation = Literal["<=", ">="]
Answer = Literal["met", "not met", "not shown"]

RULE = (
    "a bound is met where the whole 95 % interval keeps to it, not met where the whole interval is beyond it, and else "
    "not shown"
)


def answer(low: float, high: float, relation: Relation, bound: float) -> Answer:
    """Say by ``RULE`` whether a 95 % interval keeps to a bound.

    Args:
        low: the interval's lower end, in the unit of ``bound``.
        high: its upper end; the same where nothing varies.
        relation: what is asked: at most the bound, or at least.
        bound: itself inside.
    """
    if low >= bound if relation == ">=" else high <= bound:
        return "met"
    return "not met" if (high < bound if relation == ">=" else low > bound) else "not shown"


def one_speaker(unit: str | None, label: str) -> str | None:
    """Say why an interval over utterances shows nothing of other speakers; None where it is over several, or unknown.

    Args:
        unit: whom the interval speaks of, as ``MetricFinding.unit`` has it: a slice may be named after a comma.
        label: of the error rate.
    """
    if n_speakers((unit or "").partition(", in ")[0]) != 1:
        return None
    return f"all utterances are of one speaker, so its {label} on other speakers is unknown"
