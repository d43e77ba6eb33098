"""What docs/explanation/smaller-faster.md shows: size, work, speed, joules and WER of each build of one packed run."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scipy.stats import kendalltau
from voices import by_voice, scoring

from greenbench.analysis.cells import CellSummary, median_of
from greenbench.analysis.gains import CellGains

SIZES: Mapping[str, str] = {"n_params": "parameters", "model_bytes": "bytes", "macs_per_audio_s": "MACs"}
"""Metric -> what of a model is smaller."""

COLUMNS: Mapping[str, tuple[str, float, str]] = {
    "n_params": ("million parameters", 1e-6, "{:.2f}"),
    "model_bytes": ("MB", 1e-6, "{:.1f}"),
    "macs_per_audio_s": ("GMACs a second of audio", 1e-9, "{:.3f}"),
    "rtfx": ("RTFx", 1, "{:.0f}"),
}
"""Metric -> heading, factor and form."""

Line = dict[str, str | None]


def cells(all_gains: Sequence[CellGains]) -> list[CellSummary]:
    """Return the teacher and its builds, the largest first."""
    found = [*(gains.teacher for gains in all_gains[:1]), *(gains.student for gains in all_gains)]
    return sorted(found, key=lambda cell: (-(median_of(cell, "n_params") or 0), str(cell.shared["variant"])))


def table(found: Sequence[CellSummary], folder: Path) -> list[Line]:
    """Return a line a build.

    Args:
        found: as ``cells`` gives them.
        folder: of their run.
    """
    return [dict(_columns(cell, folder)) for cell in found]


def _columns(cell: CellSummary, folder: Path) -> Iterator[tuple[str, str | None]]:
    yield "variant", f"`{cell.shared['variant']}`"
    for metric, (heading, factor, form) in COLUMNS.items():
        value = median_of(cell, metric)
        yield heading, None if value is None else form.format(factor * value)
    joules = median_of(cell, "energy_j_per_audio_s")
    yield "J a second of audio", None if joules is None else f"{joules:.3g} ({cell.shared['energy_method']})"
    rates = by_voice(folder, cell.rows[0])
    for voices, rate in zip(("known", "new"), rates, strict=True):
        yield f"WER % on {voices} voices (`{scoring(cell.shared)}`)", f"{100 * rate:.1f}"


def orders(found: Sequence[CellSummary]) -> list[Line]:
    """Return how well each size orders the builds by what they cost: Kendall's tau-b (1945).

    Args:
        found: as ``cells`` gives them; those of which one of the two is not known do not count.
    """
    costs = [(_inverse(median_of(cell, "rtfx")), median_of(cell, "energy_j_per_audio_s")) for cell in found]
    lines = []
    for metric, size in SIZES.items():
        sizes = [median_of(cell, metric) for cell in found]
        time, joules = (_tau(sizes, of_one) for of_one in zip(*costs, strict=True))
        lines.append({"ordered by": size, "time, Kendall's tau": time, "joules, Kendall's tau": joules})
    return lines


def _inverse(value: float | None) -> float | None:
    return 1 / value if value else None


def _tau(sizes: Sequence[float | None], costs: Sequence[float | None]) -> str | None:
    known = [(a, b) for a, b in zip(sizes, costs, strict=True) if a is not None and b is not None]
    return f"{kendalltau(*zip(*known, strict=True)).statistic:+.2f}" if len(known) > 1 else None
