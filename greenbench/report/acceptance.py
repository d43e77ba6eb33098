"""What came of the conditions that a new version must be shown to keep to, in words."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from greenbench.analysis.acceptance import Condition, Judgement
from greenbench.report import differences
from greenbench.report.figures import number, quantity


@dataclass(frozen=True)
class Acceptance:
    """What came of all conditions in all pairs of cells; true where every one is met.

    Attributes:
        judgements: one a condition and pair.
    """

    judgements: tuple[Judgement, ...]

    def __bool__(self) -> bool:
        return bool(self.judgements) and all(one.answer == "met" for one in self.judgements)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__

    @property
    def lines(self) -> list[str]:
        """A line a condition and pair: what was asked, what was measured with its interval, and the answer."""
        return [_line(one) for one in self.judgements]

    def plain(self) -> list[dict[str, Any]]:
        """Return the same as JSON-ready data, in the unit of each form: fractions, quotients and SI units."""
        return [
            {
                "condition": one.condition.text,
                "metric": one.condition.metric,
                "form": one.condition.form,
                "bound": one.condition.bound,
                "answer": one.answer,
                **asdict(one.figure),
                "pair": differences.label(one.pair),
            }
            for one in self.judgements
        ]


def _line(one: Judgement) -> str:
    shown = "; ".join(_said(one))
    return f"{differences.label(one.pair)}: {one.condition.text}: {one.answer}{f' ({shown})' if shown else ''}"


def _said(one: Judgement) -> Iterator[str]:
    """Yield what was measured, and what keeps it from showing anything."""
    found, metric = one.figure, one.condition.metric
    if found.value is not None:
        ends = () if found.low is None or found.high is None or found.low == found.high else (found.low, found.high)
        interval = f" [{', '.join(_written(one.condition, end, False) for end in ends)}]" if ends else ""
        yield f"{_written(one.condition, found.value)}{interval}"
        if differences.is_estimated(one.pair, metric):
            yield "estimated"
    if found.why is not None:
        yield found.why


def _written(condition: Condition, value: float, is_named: bool = True) -> str:
    """Write a figure in the form of its condition, with its unit where it is named."""
    match condition.form:
        case "value":
            form = quantity if is_named and condition.metric != "rtfx" else number  # its name is its unit
            return form(condition.metric, value)
        case "ratio":
            return f"{value:.2f}{'x' if is_named else ''}"
        case "points" | "change":
            unit = f" {'pp' if condition.form == 'points' else '%'}" if is_named else ""
            return f"{differences.digits(value, '+')}{unit}"
