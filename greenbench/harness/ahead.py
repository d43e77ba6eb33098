"""What is known of a run before its first cell: one list of all that cannot work, and what is made ready."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice

from greenbench import extras, identifiers, meters
from greenbench.datasets import lengths
from greenbench.datasets.corpus import Corpus
from greenbench.errors import GreenbenchError, InputError, MissingError, words
from greenbench.hardware import arithmetic, devices
from greenbench.harness.foreseen import Foreseen, obstacle, stops
from greenbench.harness.heartbeat import beating
from greenbench.meters import energy
from greenbench.plugins import Fetched, Inapplicable, Variant
from greenbench.plugins.events import Observer, Preparing
from greenbench.suite.config import Suite, SuiteError
from greenbench.suite.entries import DatasetEntry, VariantEntry, build_dataset, build_variant
from greenbench.suite.plan import Cell, plan

ENERGY = frozenset(map(energy.part_column, ("system", "cpu")))
"""The energy without which no total is known: that of the whole machine, or of the CPU."""

N_FIRST = 8
"""Files of a data set that are looked for."""


def require(suite: Suite, cells: Iterable[Cell]) -> None:
    """Refuse a run whose variants all lack packages, or one with ``estimate_energy`` where energy can only be unknown.

    Args:
        suite: of the run.
        cells: of its plan.

    Raises:
        MissingError: what is not installed, and the command that installs it; or why there is no estimate.
    """
    needed = [variant.extras for _, variant in _each(cells)]
    estimate = ("codecarbon",) if suite.estimate_energy else ()
    if extras.missing(estimate) or all(map(extras.missing, needed)):
        extras.need(*estimate, *(extra for some in needed for extra in some))
    if suite.estimate_energy and all(ENERGY.isdisjoint(m.metrics) for m in meters.select(True, suite.meters)):
        reasons = {name: why for name, why in meters.survey(suite.meters).items() if why}
        raise MissingError(f"estimate_energy: {reasons.get('codecarbon', 'no meter estimates the energy of the CPU')}")


@contextmanager
def all_at_once() -> Iterator[None]:
    """Let the faults of a suite that is loaded within be raised together with what a glance at the rest of it shows.

    Raises:
        InputError: a line for each fault of the suite's keys, then for each thing that cannot be in what is sound.
    """
    try:
        yield
    except SuiteError as error:
        if error.sound is None:
            raise
        lines = [f"{error.where}: {one}" for one in stops(_glance(plan(error.sound)))]
        raise InputError("\n".join([str(error), *lines])) from error


# --- looking ---------------------------------------------------------------------------------------------


def look(cells: Sequence[Cell], on_gpus: bool = False, allow_emulated: bool = False) -> list[Foreseen]:
    """Find out all that can be known of cells without downloading, exporting or loading anything.

    Args:
        cells: of a plan.
        on_gpus: ask variants about GPUs too, in this process; it may hold GPU memory from then on, which a run must
            not while it measures.
        allow_emulated: whether a precision is measured that the CPU has no arithmetic for.
    """
    found = _glance(cells)
    found += _builds(_able(cells, [one for one in found if one.dataset is None]), on_gpus)
    return [*found, *_arithmetic(_able(cells, [one for one in found if one.dataset is None]), allow_emulated)]


def _glance(cells: Sequence[Cell]) -> list[Foreseen]:
    """Find out what can be known of cells without an engine, which takes seconds to load; GPUs alone are torch's."""
    return [*_devices(cells), *_uninstalled(cells), *data(cells), *variants(cells)]


def _devices(cells: Iterable[Cell]) -> Iterator[Foreseen]:
    for device in dict.fromkeys(cell.device for cell in cells):
        if reason := devices.unusable(device):
            yield Foreseen("lacking", reason, device=device)


def _uninstalled(cells: Iterable[Cell]) -> Iterator[Foreseen]:
    for name, variant in _each(cells):
        if reason := extras.missing(variant.extras):
            yield Foreseen("lacking", reason, variant=name)


def data(cells: Iterable[Cell]) -> Iterator[Foreseen]:
    """Find out which data sets cannot be read or cut as asked for, and which name utterances by paths of the machine.

    Lists are read through, as far as their limit goes; of audio no more than the lengths of the first files.

    Args:
        cells: of a plan.
    """
    for name, entry in {cell.dataset.name: cell.dataset for cell in cells}.items():
        try:
            yield from _data_set(str(name), entry)
        except Exception as error:  # of a plug-in, too: it costs its own cells and no others
            yield Foreseen("missing", _reason(error), dataset=name)


def _data_set(name: str, entry: DatasetEntry) -> Iterator[Foreseen]:
    clips = build_dataset(entry)
    if isinstance(clips, Fetched) and (what := clips.to_fetch()):
        yield Foreseen("fetch", what, dataset=name)
        return
    ids = [clip.id for clip in islice(clips(), None if entry.length_buckets else entry.limit)]
    try:
        _check_count(entry, len(ids))
    except InputError as error:
        yield Foreseen("wrong", str(error), dataset=name)
        return
    if entry.limit is not None and entry.limit > len(ids):
        yield Foreseen("doubt", f"has {len(ids)} utterances, so that a limit of {entry.limit} takes all", dataset=name)
    private = next(filter(identifiers.is_private_id, ids), None)
    if private is not None:
        doubt = f"has paths of this machine for ids ({private}), so that its rows can be neither shared nor"
        doubt = f"{doubt} compared with another machine's: give each utterance an id of its own"
        yield Foreseen("doubt", doubt, dataset=name)
    Corpus(clips, entry.limit, entry.on_bad_audio).check(N_FIRST)


def _check_count(entry: DatasetEntry, n_clips: int) -> None:
    if not n_clips:
        raise InputError("it has no utterance")
    if entry.length_buckets is not None:
        lengths.check(n_clips, entry.length_buckets, entry.limit)


def variants(cells: Iterable[Cell]) -> Iterator[Foreseen]:
    """Find out which variants cannot run anywhere, by their settings and by the files that are here.

    Args:
        cells: of a plan.
    """
    for name, variant in _each(cells):
        try:
            variant.check()
            what = variant.to_fetch()
        except InputError as error:
            yield Foreseen("wrong", str(error), variant=name)
        except Exception as error:
            yield Foreseen("missing", _reason(error), variant=name)
        else:
            if what and not extras.missing(variant.extras):
                yield Foreseen("fetch", what, variant=name)


def _each(cells: Iterable[Cell]) -> list[tuple[str, Variant]]:
    entries: dict[str | None, VariantEntry] = {cell.variant.name: cell.variant for cell in cells}
    return [(str(name), build_variant(entry)) for name, entry in entries.items()]


def _builds(cells: Sequence[Cell], on_gpus: bool) -> Iterator[Foreseen]:
    """Ask each variant about each device of its cells."""
    for name, variant in _each(cells):
        asked = dict.fromkeys(cell.device for cell in cells if cell.variant.name == name)
        for device in asked:
            if device == "cpu" or on_gpus:
                yield from _build(name, variant, device)


def _build(name: str, variant: Variant, device: str) -> Iterator[Foreseen]:
    try:
        reason = variant.unsupported(device)
    except Exception as error:
        yield Foreseen("missing", _reason(error), name, device=device)
        return
    if reason:
        yield Foreseen("inapplicable" if isinstance(reason, Inapplicable) else "lacking", reason, name, device=device)


def _arithmetic(cells: Iterable[Cell], allow_emulated: bool) -> Iterator[Foreseen]:
    """Find out which variants this CPU would emulate, and which are slower on it than their precision suggests."""
    for name, variant in _each(cell for cell in cells if cell.device == "cpu"):
        try:
            precision = variant.precision()
        except Exception as error:
            yield Foreseen("missing", _reason(error), name)
            continue
        reason = arithmetic.emulated(precision)
        if reason is None:
            continue
        if precision == "int8":
            yield Foreseen("note", f"{reason}: it gains less than on a CPU that has it", name, device="cpu")
        elif allow_emulated:
            yield Foreseen("note", f"{reason} and emulates it, which is slow", name, device="cpu")
        else:
            how = "`allow_emulated: true` in the suite measures it all the same"
            yield Foreseen("emulated", f"{reason} and would emulate it, slowly: {how}", name, device="cpu")


def _reason(error: Exception) -> str:
    """Return the reason that an error gives, with its kind where that is none of ours."""
    kind = "" if isinstance(error, GreenbenchError) else f"{type(error).__name__}: "
    return f"{kind}{words(error)}"


# --- making ready ----------------------------------------------------------------------------------------


def prepare(cells: Sequence[Cell], known: Sequence[Foreseen], observe: Observer) -> list[Foreseen]:
    """Fetch data and weights and export models, so that no cell does; what is fetched is looked at before an export.

    Args:
        cells: to be run.
        known: of them, from ``look``; nothing is fetched or made for cells that cannot be measured.
        observe: receives ``Preparing`` as each thing begins that takes long, and while it goes on.

    Returns:
        What keeps cells from being measured.
    """
    found = [one for one in known if one.stops]
    found += _fetch(_able(cells, found), known, observe)
    found += _make(_able(cells, found), observe)
    return found


def _able(cells: Sequence[Cell], known: Sequence[Foreseen]) -> list[Cell]:
    return [cell for cell in cells if obstacle(cell, known) is None]


def _fetch(cells: Sequence[Cell], known: Sequence[Foreseen], observe: Observer) -> list[Foreseen]:
    sets = {str(cell.dataset.name): cell for cell in cells}
    models = {str(cell.variant.name): cell for cell in cells}
    wanted = {one for one in known if one.kind == "fetch"}
    steps: list[tuple[str | None, Foreseen, Callable[[], None]]] = []
    for name, cell in sets.items():
        what = next((one.reason for one in wanted if one.dataset == name), None)
        steps.append((what, Foreseen("missing", "", dataset=name), build_dataset(cell.dataset).prepare))
    for name, cell in models.items():
        what = next((one.reason for one in wanted if one.variant == name), None)
        steps.append((what, Foreseen("missing", "", variant=name), build_variant(cell.variant).fetch))
    found = _take(steps, "fetching", observe)
    fetched = [cell for cell in _able(cells, found) if any(one.concerns(cell) for one in wanted)]
    return [*found, *(one for one in (*data(fetched), *variants(fetched)) if one.stops)]


def _make(cells: Sequence[Cell], observe: Observer) -> list[Foreseen]:
    steps = [(_to_make(variant), Foreseen("missing", "", variant=name), variant) for name, variant in _each(cells)]
    return _take([(what, about, _ready(variant)) for what, about, variant in steps], "making", observe)


def _to_make(variant: Variant) -> str | None:
    try:
        return variant.to_make()
    except Exception:  # which making it will say
        return None


def _ready(variant: Variant) -> Callable[[], None]:
    def make() -> None:
        variant.prepare()
        if variant.identity is not None:
            variant.identity()  # digests are kept, so that no cell's process reads the weights for them

    return make


def _take(
    steps: Sequence[tuple[str | None, Foreseen, Callable[[], None]]], doing: str, observe: Observer
) -> list[Foreseen]:
    """Take steps one by one, telling of those that take long; what fails is returned with its reason."""
    found: list[Foreseen] = []
    n_long, n_done, start = sum(what is not None for what, _, _ in steps), 0, time.perf_counter()
    for what, about, step in steps:
        spent_s = time.perf_counter() - start
        left_s = spent_s / n_done * (n_long - n_done) if n_done else None
        begun = Preparing(f"{doing} {n_done + 1}/{n_long}: {about.what}: {what}", spent_s, left_s)
        try:
            with nullcontext() if what is None else beating(observe, begun):
                step()
        except Exception as error:
            found.append(Foreseen("missing", _reason(error), about.variant, about.dataset))
        n_done += what is not None
    return found
