"""Measuring an entry again: the same cells, where their models are available, and whether the results agree."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from greenbench import registry, tasks
from greenbench.analysis import error_rates
from greenbench.analysis.error_rates import RecountError
from greenbench.analysis.summary import ENERGY
from greenbench.errors import InputError
from greenbench.hardware import platforms
from greenbench.harness import runner
from greenbench.plugins import TRANSCRIBE, NamesProgram
from greenbench.plugins.events import Observer, unobserved
from greenbench.results import store
from greenbench.results.flags import ESTIMATED
from greenbench.sharing import places, privacy, submission
from greenbench.sharing.entry import read_digest
from greenbench.statistics.repeats import Ratio, ratio_by_round, units
from greenbench.suite import config
from greenbench.suite.config import Suite
from greenbench.validate.verification import NAMES, Verification, VerifiedCell
from greenbench.version import __version__

Row = dict[str, Any]

SUMMARISED = ("spread", "few-repeats", ESTIMATED)
"""Flags that do not mean a disturbed window."""

WITHHELD = (
    "its suite names a program or a server, which is not run for an entry of somebody else's: look at it, and run the "
    "suite yourself"
)
"""Why a variant that names code is not measured again."""


UNVERIFIED = (
    "it is not of task transcribe: scores differ in their last digits between machines, and are not compared yet"
)
"""Why a cell of another task is neither reproduced nor contradicted."""


@dataclass(frozen=True)
class Request:
    """What to measure again.

    Attributes:
        by: who measures, as boards show it.
        only: a glob on cells or variants; None measures all.
        limit: of utterances of each data set; speed and energy are then not compared.
        files: a folder with the models and data that the entry names by the last part of their paths.
        run_id: of the run, where the entry has several.
    """

    by: str
    only: str | None = None
    limit: int | None = None
    files: Path | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class MeasuredRun:
    """A run on one of the sides: the entry's, or the one made here.

    Attributes:
        run: open.
        rows: measured ones, by the values of ``NAMES``.
        failed: why cells have no result, by the same.
        platform_id: see ``platforms``.
    """

    run: store.Run
    rows: Mapping[tuple[Any, ...], Sequence[Row]]
    failed: dict[tuple[Any, ...], str]
    platform_id: str


def verify(entry: Path, request: Request, observe: Observer = unobserved) -> Verification:
    """Measure an entry again and compare the results.

    Args:
        entry: the packed entry.
        request: which cells, and by whom.
        observe: receives the events of the run.

    Raises:
        InputError: a board would refuse the entry, a name is wrong, or nothing of the entry can be measured here.
    """
    with tempfile.TemporaryDirectory() as scratch:
        unpacked, again = Path(scratch) / "entry", Path(scratch) / "again"
        problems = submission.check(entry, unpacked)
        if problems:
            raise InputError(f"{entry}: a board refuses it: {problems[0].where}: {problems[0].what}")
        theirs = _side(_run(entry, unpacked, request.run_id))
        run = theirs.run.description
        same = theirs.platform_id == _platform_here(run)
        withheld = _withheld(run["suite"])
        if len(withheld) == len(run["suite"]["variants"]):
            raise InputError(f"{entry}: nothing of it can be measured here: {WITHHELD}")
        ours = _measured(run, request, same, again, observe)
        ours = replace(ours, failed=ours.failed | {key: WITHHELD for key in theirs.rows if key[0] in withheld})
        same = theirs.platform_id == ours.platform_id
        cells = tuple(_cell(key, theirs, ours, _incomparable(same, request)) for key in {**ours.rows, **ours.failed})
        if not ours.rows:
            raise InputError(
                f"{entry}: nothing of it could be measured here: {next(iter(ours.failed.values()), 'no cell')}"
            )
        card = platforms.platforms([privacy.run(ours.run.description)])[ours.platform_id]
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        digest = read_digest(entry)
        return Verification(digest, entry.name, request.by, now, __version__, card.name, card.id, same, cells)


def _measured(run: Mapping[str, Any], request: Request, same: bool, folder: Path, observe: Observer) -> MeasuredRun:
    """Run an entry's suite here; what fails for want of its files says how to give them."""
    unfound = places.unfound(run["suite"], request.files)
    try:
        runner.run(
            _suite(run, request, same), runner.Options(out=folder, only=request.only or run.get("only")), observe
        )
    except InputError as error:
        raise InputError(places.with_remedy(str(error), unfound)) from error
    ours = _side(folder)
    return replace(ours, failed={key: places.with_remedy(why, unfound) for key, why in ours.failed.items()})


def _run(entry: Path, folder: Path, run_id: str | None) -> Path:
    """Return the folder of the run to measure again."""
    runs = {path.name: path for path in store.runs(folder)}
    if run_id is None and len(runs) == 1:
        return next(iter(runs.values()))
    if run_id not in runs:
        raise InputError(f"{entry}: it holds the runs {', '.join(runs)}: name one with --run.")
    return runs[run_id]


def _platform_here(run: Mapping[str, Any]) -> str:
    """Return the id of this machine's platform, as a run made here would have it."""
    from greenbench.hardware import environment

    return platforms.platform_id(privacy.run({**run, "machine": environment.machine()}))


def _side(folder: Path) -> MeasuredRun:
    rows: dict[tuple[Any, ...], list[Row]] = {}
    failed: dict[tuple[Any, ...], str] = {}
    for row in store.current(store.read_rows(folder / store.RECORDS)):
        key = tuple(row[name] for name in NAMES)
        if row["status"] == "ok":
            rows.setdefault(key, []).append(row)
        else:
            failed[key] = str(row["reason"])
    run = store.open_run(folder)
    platform_id = platforms.platform_id(privacy.run(run.description))
    return MeasuredRun(run, rows, {k: why for k, why in failed.items() if k not in rows}, platform_id)


def _suite(run: Mapping[str, Any], request: Request, same_platform: bool) -> Suite:
    """Return the entry's suite for this machine: with local paths, and one round where only texts can be compared."""
    suite = run["suite"]
    data = {**suite, "estimate_energy": suite["estimate_energy"], "timeout_s": suite["timeout_s"]}
    data |= places.here(suite, request.files)
    data["variants"] = [item for item in data["variants"] if item["name"] not in _withheld(suite)]
    if request.limit is not None:
        data["datasets"] = [
            {**item, "limit": min(request.limit, item["limit"] or request.limit)} for item in data["datasets"]
        ]
    if not same_platform or request.limit is not None:
        data["protocol"] = {**data["protocol"], "rounds": 1, "repeats": 1}
        data["control"] = False
    return config.load({name: value for name, value in data.items() if name in Suite.model_fields})


def _withheld(suite: Mapping[str, Any]) -> set[str]:
    """Return the names of the variants of an entry's suite that would run what its author wrote."""
    return {item["name"] for item in suite["variants"] if _names_program(item["use"].partition("/")[0])}


def _names_program(family: str) -> bool:
    return family in registry.names("variants") and isinstance(registry.load("variants", family), NamesProgram)


# --- one cell --------------------------------------------------------------------------------------------


def _incomparable(same_platform: bool, request: Request) -> str | None:
    """Say why speed and energy are not compared at all, or return None."""
    if not same_platform:
        return "speed and energy are not comparable: another platform"
    return "speed and energy are not comparable: not all utterances were measured" if request.limit else None


def _cell(key: tuple[Any, ...], theirs: MeasuredRun, ours: MeasuredRun, incomparable: str | None) -> VerifiedCell:
    """Compare a cell of the entry with its measurement here."""
    names = dict(zip(NAMES, key, strict=True))
    if key not in ours.rows:
        return VerifiedCell(**names, reason=ours.failed.get(key, "no row"))
    if key not in theirs.rows:
        return VerifiedCell(**names, reason=f"the entry has no figures of it: {theirs.failed.get(key, 'no row')}")
    if tasks.name_of(ours.rows[key][0]) != TRANSCRIBE:
        return VerifiedCell(**names, reason=UNVERIFIED)
    entry_texts, own_texts = _texts(theirs, key), _texts(ours, key)
    common = [i for i in own_texts if i in entry_texts and entry_texts[i]["reference"] == own_texts[i]["reference"]]
    if len(common) < len(own_texts):
        n_other = len(own_texts) - len(common)
        return VerifiedCell(**names, reason=f"other data: {n_other} of {len(own_texts)} utterances are not the entry's")
    n_equal = sum(entry_texts[i]["hypothesis"] == own_texts[i]["hypothesis"] for i in common)
    figures: dict[str, Any] = {"n_texts": len(common), "n_equal": n_equal}
    notes = list(_wer(figures, {i: entry_texts[i] for i in common}, own_texts, theirs.rows[key], ours.rows[key]))
    disturbed = sorted({flag for row in ours.rows[key] for flag in row["flags"]} - {*SUMMARISED})
    why = incomparable or (
        f"speed and energy are not comparable: flagged here: {', '.join(disturbed)}" if disturbed else None
    )
    if why:
        return VerifiedCell(**names, **figures, notes=(*notes, why))
    notes += _ratios(figures, theirs.rows[key], ours.rows[key])
    return VerifiedCell(**names, **figures, notes=tuple(notes))


def _texts(side: MeasuredRun, key: tuple[Any, ...]) -> dict[str, Row]:
    """Return the texts of a cell's first window by utterance."""
    cell = error_rates.cell_of(side.rows[key][0])
    return dict(error_rates.first_windows(side.run.folder / store.HYPOTHESES, [cell]).get(cell, {}))


def _wer(
    figures: dict[str, Any],
    entry_texts: dict[str, Row],
    own_texts: dict[str, Row],
    rows: Sequence[Row],
    own: Sequence[Row],
) -> Iterator[str]:
    """Add the interval of the difference in WER on the same utterances; yield why there is none."""
    if figures["n_equal"] == figures["n_texts"]:
        return
    row = next(r for r in own if (r["round"], r["repeat"]) == _window(own_texts))
    try:
        a = error_rates.count(own_texts, [row])
        b = error_rates.count(entry_texts, [_counted_alone(entry_texts, rows)])
        difference = error_rates.difference(b, a, "wer")
    except RecountError as error:
        yield f"WER is not compared: {error}"
        return
    if difference is None:
        yield "WER is not compared: too few utterances"
    else:
        figures.update(wer_low=float(difference.low), wer_high=float(difference.high))


def _window(texts: dict[str, Row]) -> tuple[int, int]:
    first = next(iter(texts.values()))
    return first["round"], first["repeat"]


def _counted_alone(texts: dict[str, Row], rows: Sequence[Row]) -> Row:
    """Return the row of texts with counts over those texts only, where not all of the entry was measured again."""
    from greenbench.text import scorers

    row = next(r for r in rows if (r["round"], r["repeat"]) == _window(texts))
    how = error_rates.scoring_of(row)
    return {**row, **scorers.accuracy([scorers.text_pair(text) for text in texts.values()], how)[0]}


def _ratios(figures: dict[str, Any], theirs: Sequence[Row], ours: Sequence[Row]) -> Iterator[str]:
    """Add the ratios of speed and energy, each over its control where both sides have one; yield what is missing."""
    speed = _ratio("rtfx", "control_rtfx", theirs, ours)
    if speed is not None:
        figures.update(rtfx_ratio=speed.value, rtfx_low=speed.low)
    kinds = {(row.get("energy_scope"), row.get("energy_method")) for row in (*theirs, *ours)}
    joules = _ratio(ENERGY, "control_energy_j_per_audio_s", theirs, ours) if len(kinds) == 1 else None
    if joules is not None:
        figures.update(energy_ratio=joules.value, energy_high=joules.high)
        if any(method == "estimated" for _, method in kinds):
            yield "the joules of both sides are estimated, not measured"
    else:
        yield "energy is not comparable: " + ("no joules on one side" if len(kinds) == 1 else "another scope or method")


def _ratio(name: str, control: str, theirs: Sequence[Row], ours: Sequence[Row]) -> Ratio | None:
    """Return the entry's figure over that measured here."""
    controlled = all(row.get(control) for row in (*theirs, *ours))
    sides = [
        [(r["round"], r["repeat"], r[name] / (r[control] if controlled else 1)) for r in rows if r.get(name)]
        for rows in (ours, theirs)
    ]
    return ratio_by_round(units(sides[0]), units(sides[1])) if all(sides) else None
