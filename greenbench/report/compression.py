"""What compression gained and lost, a line a compressed cell, factors against its base model or teacher."""

from collections.abc import Iterable, Sequence
from typing import Any

from greenbench.analysis.gains import GAINS, CellGains, Gain, weakest
from greenbench.metrics import METRICS, RATES
from greenbench.models.ancestry import is_stated
from greenbench.provenance import Mixed
from greenbench.report import layout, terminal

HEADINGS = {"size": "smaller", "n_params": "fewer parameters", "speed": "faster", "energy": "less energy"}
"""Name from ``gains.GAINS`` -> its column."""

PAYS_BACK = "pays back after"
_PLACE = ("against", "dataset", "scenario")

LEGEND = (
    "factors are reference / variant (of speed variant / reference) with 95 % intervals over rounds, WER (or CER) is "
    "the variant's less its reference's on the same utterances with its 95 % interval over speakers; the training has "
    "paid back once so much audio was transcribed"
)


def table(all_gains: Iterable[CellGains]) -> list[dict[str, Any]]:
    """Return the gains of each cell as text by column; columns in which nothing is known are left out.

    Args:
        all_gains: as ``gains.all_gains`` gives them.
    """
    ordered = sorted(
        all_gains, key=lambda d: [str(d.student.shared[name]) for name in ("dataset", "scenario", "variant")]
    )
    rates = {gains.rate for gains in ordered}
    lines = [_line(gains, [name for name in RATES if name in rates]) for gains in ordered]
    used = [name for name in (lines[0] if lines else ()) if any(line[name] for line in lines)]
    return [{name: line[name] for name in used} for line in lines]


def folded(all_gains: Iterable[CellGains]) -> tuple[str, list[dict[str, str]]]:
    """Return a title that says what all gains share, and their table without it."""
    lines = [{name: value or "" for name, value in line.items()} for line in table(all_gains)]
    for line in lines:
        line.update({PAYS_BACK: line[PAYS_BACK].replace(" of audio", "")} if PAYS_BACK in line else {})
    same, lines = layout.folded(lines, _PLACE)
    method, lines = layout.unmarked(lines, (HEADINGS["energy"], PAYS_BACK))
    if lines and "against" not in lines[0]:
        same[0] = f"against {same[0]}"
    return "; ".join([*same, *([f"energy {method}"] if method else [])]), lines


def shown(all_gains: Sequence[CellGains]) -> tuple[str, list[dict[str, str]]]:
    """Return the same for a terminal, where the variant stands with what it is compared with."""
    title, lines = folded(all_gains)
    for line in lines:
        place = [
            f"against {line.pop(name)}" if name == "against" else line.pop(name) for name in _PLACE if name in line
        ]
        line["variant"] = " | ".join([line["variant"], *place])
    return title, lines


def _line(gains: CellGains, rates: Sequence[str]) -> dict[str, str | None]:
    shared = gains.student.shared
    return {
        "variant": str(shared["variant"]),
        "against": teacher(gains),
        "dataset": str(shared["dataset"]),
        "scenario": terminal.scenario(shared),
        **{HEADINGS[name]: energy(gains) if name == "energy" else factor(gains.gains[name]) for name in GAINS},
        **{f"{METRICS[rate].label}, points": difference(gains) if rate == gains.rate else None for rate in rates},
        PAYS_BACK: pay_back(gains),
    }


def teacher(gains: CellGains) -> str:
    """Name the teacher, and who says that it is one where no file of the student does."""
    stated = " (stated by the suite)" if is_stated(gains.student.shared, gains.teacher.shared) else ""
    return f"{gains.teacher.shared['variant']}{stated}"


def factor(gain: Gain) -> str | None:
    """Write a gain as ``3.56x``, with its interval where it has one; None where it is not known."""
    if gain.value is None:
        return None
    interval = "" if gain.low is None or gain.high is None else f" [{gain.low:.2f}, {gain.high:.2f}]"
    return f"{gain.value:.2f}x{interval}"


def energy(gains: CellGains) -> str | None:
    """Write the gain in energy with how its joules are known."""
    gain = factor(gains.gains["energy"])
    methods = [cell.shared["energy_method"] for cell in (gains.student, gains.teacher)]
    return gain and f"{gain} ({weakest(*methods) or 'origin not stated'})"


def difference(gains: CellGains) -> str | None:
    """Write the difference in the primary error rate in percentage points with its interval."""
    if gains.error is None:
        return None
    value, low, high = (100 * x for x in (gains.error.value, gains.error.low, gains.error.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def pay_back(gains: CellGains) -> str | None:
    """Say after how much audio the training's energy is earned back; None where there was no training."""
    spent = gains.student.shared["training_energy_j"]
    if spent is None:
        return None
    if isinstance(spent, Mixed):
        return f"not known: the rows state {spent} J for the training"
    if gains.payback_audio_h is not None:
        return f"{_three_digits(gains.payback_audio_h)} h of audio ({gains.payback_method or 'origin not stated'})"
    known = gains.gains["energy"].value
    return "energy not known" if known is None else "never: it saves no energy"


def notes(all_gains: Sequence[CellGains]) -> list[str]:
    """Say once why gains are missing, by reason."""
    missing = {gain.why: HEADINGS[name] for d in all_gains for name, gain in d.gains.items() if gain.why}
    return [f"{what} is not known: {why}" for why, what in missing.items()]


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
