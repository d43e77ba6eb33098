"""Which build to ship of what was measured: the fastest and the least hungry whose WER is shown to be kept."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from greenbench.analysis.cells import CellSummary, median_of
from greenbench.analysis.error_rates import CellKey, cell_of
from greenbench.analysis.gains import ENERGY, CellGains, Gain, weakest
from greenbench.analysis.summary import Setting, rankable
from greenbench.results.flags import barring
from greenbench.results.record import CELL
from greenbench.suite.scenarios import PACED

NEAR = 0.03
"""The difference in WER, a fraction of the words, within which a lossier build is still named."""

Purpose = Literal["speed", "energy", "size"]


@dataclass(frozen=True)
class ComparedBuild:
    """A compressed cell against its reference, both in one setting.

    Attributes:
        label: the cell's name in the setting.
        gains: what it gained and lost.
        is_inside: whether its WER is shown to be within the margin, see ``gate.judged``.
        is_near: whether it is shown to be within ``NEAR``.
    """

    label: str
    gains: CellGains
    is_inside: bool
    is_near: bool

    @property
    def is_fit(self) -> bool:
        """Whether neither cell has a flag that keeps it from being ranked."""
        return not any(barring(cell.flags) for cell in (self.gains.student, self.gains.teacher))

    @property
    def speed(self) -> Gain:
        """The gain in speed; where audio has a pace of its own, as at a server, there is none."""
        scenario = str(self.gains.student.shared["scenario"])
        return Gain(why=f"scenario {scenario}") if scenario in PACED else self.gains.gains["speed"]

    @property
    def energy(self) -> Gain:
        """The gain in energy."""
        return self.gains.gains["energy"]

    @property
    def size(self) -> Gain:
        """The gain in bytes."""
        return self.gains.gains["size"]

    def median(self, metric: str) -> float:
        """Return the build's median of a metric that it has."""
        found = median_of(self.gains.student, metric)
        assert found is not None
        return found


@dataclass(frozen=True)
class Pick:
    """A build to ship, and what it is best for among those that keep the WER."""

    build: ComparedBuild
    purposes: tuple[Purpose, ...]


@dataclass(frozen=True)
class Noise:
    """The repeats of a cell that differ most, of those that are not ranked for it.

    Attributes:
        label: the cell's name.
        metric: name from METRICS.
        share: the greatest value over the least, less one.
        n: repeats.
        n_cells: cells of the setting with the flag ``spread``.
    """

    label: str
    metric: str
    share: float
    n: int
    n_cells: int


@dataclass(frozen=True)
class Choice:
    """What to ship on one platform.

    Attributes:
        setting: what was compared.
        builds: its compressed cells that have a reference here.
        picks: those to ship, at most one for each purpose.
        near: the fastest of those that are shown to be within ``NEAR`` and not within the margin; only where that is
            faster than what is picked.
        noise: what kept cells from being ranked, where that was noise.
    """

    setting: Setting
    builds: tuple[ComparedBuild, ...]
    picks: tuple[Pick, ...]
    near: ComparedBuild | None
    noise: Noise | None

    @property
    def fit(self) -> tuple[ComparedBuild, ...]:
        """The builds that may be ranked, as their references may."""
        return tuple(build for build in self.builds if build.is_fit)


def is_shown(gain: Gain) -> bool:
    """Say whether a gain is shown to be one: its interval is above 1."""
    return gain.low is not None and gain.low > 1


def is_loss(gain: Gain) -> bool:
    """Say whether a gain is shown to be a loss: its interval is below 1."""
    return gain.high is not None and gain.high < 1


def choose(
    settings: Iterable[Setting],
    all_gains: Iterable[CellGains],
    outside: Collection[CellKey],
    far: Collection[CellKey],
) -> list[Choice]:
    """Choose on each platform, in the setting of it that has most to rank.

    Args:
        settings: what may be compared, from ``summary.settings``.
        all_gains: every compressed cell against its reference.
        outside: cells whose WER is not shown to be within the margin.
        far: cells whose WER is not shown to be within ``NEAR``.

    Returns:
        A choice for each device, the first-measured first.
    """
    known = {cell_of(gains.student.shared): gains for gains in all_gains}
    return [_choice(setting, known, outside, far) for setting in _mains(settings)]


def _mains(settings: Iterable[Setting]) -> list[Setting]:
    """Return of each device the setting with most lines to rank; one of ``PACED`` only where there is no other."""
    by_device: dict[tuple[str, str], list[Setting]] = {}
    for setting in settings:
        line = setting.lines.iloc[0]
        by_device.setdefault((str(line["device"]), str(line["device_name"])), []).append(setting)

    def weight(setting: Setting) -> tuple[bool, int]:
        return setting.lines["scenario"].iloc[0] not in PACED, int(rankable(setting.lines).sum())

    return [max(of_device, key=weight) for of_device in by_device.values()]


def _choice(
    setting: Setting, known: Mapping[CellKey, CellGains], outside: Collection[CellKey], far: Collection[CellKey]
) -> Choice:
    names = map(str, setting.lines["label"])
    labels = dict(zip(map(cell_of, setting.lines[list(CELL)].to_dict("records")), names, strict=True))
    builds = tuple(
        ComparedBuild(label, known[cell], cell not in outside, cell not in far)
        for cell, label in labels.items()
        if cell in known
    )
    picks = _picks([build for build in builds if build.is_fit and build.is_inside])
    return Choice(setting, builds, picks, _near(builds, picks), _noise(setting))


def _picks(kept: Sequence[ComparedBuild]) -> tuple[Pick, ...]:
    """Pick the fastest and the least hungry; the smallest only where no gain in speed or energy is shown."""
    best: dict[Purpose, ComparedBuild | None] = {"speed": _fastest(kept), "energy": _thriftiest(kept)}
    if not any(best.values()):
        best = {"size": _smallest(kept)}
    chosen: dict[str, Pick] = {}
    for purpose, build in best.items():
        if build is not None:
            before = chosen[build.label].purposes if build.label in chosen else ()
            chosen[build.label] = Pick(build, (*before, purpose))
    return tuple(chosen.values())


def _fastest(builds: Iterable[ComparedBuild]) -> ComparedBuild | None:
    faster = (build for build in builds if is_shown(build.speed))
    return max(faster, key=lambda build: build.median("rtfx"), default=None)


def _thriftiest(builds: Iterable[ComparedBuild]) -> ComparedBuild | None:
    """Return the least hungry; an estimate only where nothing was measured."""
    saving = (build for build in builds if is_shown(build.energy))
    return min(saving, key=lambda build: (is_estimated(build), build.median(ENERGY)), default=None)


def _smallest(builds: Iterable[ComparedBuild]) -> ComparedBuild | None:
    """Return the smallest that is not shown to be worse in anything else."""
    smaller = [build for build in builds if build.size.value is not None and build.size.value > 1]
    harmless = [build for build in smaller if not is_loss(build.speed) and not is_loss(build.energy)]
    return min(harmless, key=lambda build: build.median("model_bytes"), default=None)


def is_estimated(build: ComparedBuild) -> bool:
    """Say whether a gain in energy is an estimate, wholly or in part."""
    cells: tuple[CellSummary, ...] = (build.gains.student, build.gains.teacher)
    return weakest(*(cell.shared["energy_method"] for cell in cells)) == "estimated"


def _near(builds: Iterable[ComparedBuild], picks: Sequence[Pick]) -> ComparedBuild | None:
    lossy = _fastest(build for build in builds if build.is_fit and build.is_near and not build.is_inside)
    speeds = [pick.build.median("rtfx") for pick in picks]
    return lossy if lossy is not None and lossy.median("rtfx") > max(speeds, default=0.0) else None


def _noise(setting: Setting) -> Noise | None:
    lines = setting.lines[["label", "flags", "rtfx_values", f"{ENERGY}_values"]].to_dict("records")
    noisy = [line for line in lines if "spread" in line["flags"]]
    found = [_differ(line, metric, len(noisy)) for line in noisy for metric in ("rtfx", ENERGY)]
    return max((one for one in found if one is not None), key=lambda noise: noise.share, default=None)


def _differ(line: Mapping[Any, Any], metric: str, n_cells: int) -> Noise | None:
    values = line[f"{metric}_values"]
    if len(values) < 2 or min(values) <= 0:
        return None
    return Noise(str(line["label"]), metric, max(values) / min(values) - 1, len(values), n_cells)
