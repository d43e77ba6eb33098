"""What more evidence would show: how many rounds, or how much more speech, if differences stay as they are."""

import math
from dataclasses import dataclass
from typing import Literal

from greenbench.analysis.choosing import Choice, ComparedBuild, is_shown
from greenbench.analysis.gains import CellGains, Gain
from greenbench.statistics import student
from greenbench.text.population import n_speakers

MOST_REPEATS = 30
"""More rounds or windows than this are not advised: so small a gain is not worth showing."""

MOST_TIMES = 100
"""So many times the speech is not advised either."""

Unit = Literal["rounds", "windows", "speaker", "speakers", "utterances"]


@dataclass(frozen=True)
class Lack:
    """What is not shown of a build, and what would show it.

    Attributes:
        build: of which.
        about: its ``speed``, or its ``wer``.
        unit: what there is too little of; ``speaker`` where there is but one.
        n: how many would show it with a power of 80 %; of speech, how many times as many. None where more than is
            advised would be needed, or where one measurement tells nothing of the spread.
    """

    build: ComparedBuild
    about: Literal["speed", "wer"]
    unit: Unit
    n: int | None


def lacks(choice: Choice, margin: float | None) -> list[Lack]:
    """Return what is not shown for lack of evidence: WER within the margin, else a gain in speed.

    Args:
        choice: of one platform.
        margin: of WER, a fraction of the words; None where no margin is asked for.
    """
    picked = {pick.build.label for pick in choice.picks}
    rest = [build for build in choice.fit if build.label not in picked]
    found = [_wer(build, margin) if not build.is_inside else _speed(build) for build in rest]
    return [lack for lack in found if lack is not None]


def _wer(build: ComparedBuild, margin: float | None) -> Lack | None:
    """Return how much more speech would show that a WER is within the margin; None where it does not look so."""
    gains = build.gains
    if margin is None or gains.error is None or gains.error.value >= margin:
        return None
    speakers = n_speakers(_unit_of(gains))
    if speakers == 1:
        return Lack(build, "wer", "speaker", None)
    return Lack(
        build, "wer", "speakers" if speakers else "utterances", times(gains.error.value, gains.error.high, margin)
    )


def _unit_of(gains: CellGains) -> str | None:
    unit = gains.student.shared.get("wer_ci_unit")
    return unit if isinstance(unit, str) else None


def times(value: float, high: float, margin: float) -> int | None:
    """Return how many times as much speech narrows an interval so that it ends at the margin.

    Its reach falls with the square root of the sample at least.

    Args:
        value: the difference, below the margin.
        high: the upper end of its interval.
        margin: where that should end.

    Returns:
        A whole number of at least 2; None for more than ``MOST_TIMES``.
    """
    factor = ((high - value) / (margin - value)) ** 2
    return max(2, math.ceil(factor)) if factor <= MOST_TIMES else None


def _speed(build: ComparedBuild) -> Lack | None:
    gain = build.speed
    if gain.value is None or gain.value <= 1 or is_shown(gain):
        return None
    rounds = {row["round"] for row in build.gains.student.rows}
    return Lack(build, "speed", "rounds" if len(rounds) > 1 else "windows", repeats(gain))


def repeats(gain: Gain) -> int | None:
    """Return how many repeats would show a gain with a power of 80 %, if they spread as those that there are.

    Args:
        gain: with the number of its repeats.

    Returns:
        None where more than ``MOST_REPEATS`` would be needed, or where a single repeat has no spread.
    """
    if gain.value is None or gain.low is None or gain.high is None or gain.n is None:
        return None
    deviation = math.log(gain.high / gain.low) / 2 / student.quantile(gain.n - 1) * math.sqrt(gain.n)
    effect = abs(math.log(gain.value))
    enough = (n for n in range(gain.n + 1, MOST_REPEATS + 1) if _resolves(n, deviation) <= effect)
    return next(enough, None)


def _resolves(n: int, deviation: float) -> float:
    """Return the smallest logarithm of a ratio that so many repeats resolve."""
    return student.resolvable(n - 1) * deviation / math.sqrt(n)
