"""The grades A to G: fixed bands of energy per second of audio, which no result can move."""

VERSION = 1
"""Of the bands; whoever changes them changes this, and both stand on every board."""

LIMITS = {"A": 0.03, "B": 0.1, "C": 0.3, "D": 1.0, "E": 3.0, "F": 10.0}
"""The most joules per second of audio of each grade; G is what takes more.

Joules per second of audio are the watts that transcribing live speech takes on average, so the bands are powers: the
1-3-10 series, half a decade a grade since energy spans several orders of magnitude, around the 1 W that ends D. They
were fixed before there was a board, not fitted to models, and other results never change a grade.
"""

LAST = "G"


def grade(energy_j_per_audio_s: float) -> str:
    """Return the grade of an energy in joules per second of audio."""
    return next((name for name, limit in LIMITS.items() if energy_j_per_audio_s <= limit), LAST)


def graded(value: float, low: float | None, high: float | None) -> str:
    """Return the grade of a value, or those that its 95 % interval spans, such as ``B–C``; 0 bounds it below."""
    if low is None or high is None:
        return grade(value)
    best, worst = grade(max(low, 0.0)), grade(high)
    return best if best == worst else f"{best}–{worst}"


def bands() -> list[tuple[str, float | None, float | None]]:
    """Return each grade with the limits it lies above and does not exceed, in J per second of audio."""
    limits = [None, *LIMITS.values(), None]
    return list(zip([*LIMITS, LAST], limits[:-1], limits[1:], strict=True))
