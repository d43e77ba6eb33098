"""Conducts a fleet: every node measures the suite, what it sends is kept as it comes, and sound runs are merged."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from greenbench import registry
from greenbench.errors import InputError, StoreError, words
from greenbench.files import lock, readback, whole
from greenbench.fleets import messages, roster, sync
from greenbench.fleets.messages import Appended, Begun, Hello, Replaced, RunEnd, Said
from greenbench.fleets.roster import NodeEntry, Roster
from greenbench.fleets.selection import select
from greenbench.plugins.engines import Engine, Node, NodeError
from greenbench.results import frames, record, runfiles, store
from greenbench.sharing import merge
from greenbench.suite import plan
from greenbench.version import __version__

if TYPE_CHECKING:
    import pandas as pd

MERGED = "runs"
"""In a fleet's folder: the merged runs."""


@dataclass(frozen=True)
class NodeSaid:
    """A node says what happens on it, in one line."""

    node: str
    text: str


@dataclass(frozen=True)
class NodeMeasured:
    """A row of a node has arrived, and is stored."""

    node: str
    row: Mapping[str, Any]


@dataclass(frozen=True)
class NodeEnded:
    """An attempt at a node has ended; the entry has its status and the reason."""

    entry: NodeEntry


News: TypeAlias = NodeSaid | NodeMeasured | NodeEnded


def unobserved(_news: News) -> None:
    """Ignore news: the default observer."""


@dataclass(frozen=True)
class FleetOptions:
    """How a fleet is conducted.

    Attributes:
        out: the fleet's folder; by default ``results/<fleet_id>``.
        on: selectors of nodes, see ``selection.select``.
        only: a glob on cells.
        resume: continue the fleet in ``out``: nodes that are ``ok`` are left out, the others measure what is missing.
    """

    out: Path | None = None
    on: Sequence[str] = ()
    only: str | None = None
    resume: bool = False


@dataclass(frozen=True)
class _Shipped:
    """What goes to each node, and who is told of it.

    Attributes:
        suite: plain data.
        options: for ``node.Order``, without the node's name.
        observe: receives news, from the threads of the nodes.
        stopped: has an entry once the fleet is stopped.
    """

    suite: Mapping[str, Any]
    options: Mapping[str, Any]
    observe: Callable[[News], object]
    stopped: list[bool] = field(default_factory=list)


def run(
    suite: Mapping[str, Any], engine: Engine, options: FleetOptions, observe: Callable[[News], object] = unobserved
) -> Roster:
    """Measure a suite on the nodes of an engine, and merge what comes of it.

    Args:
        suite: its plain data, from ``suites.portable``.
        engine: reaches the nodes.
        options: which nodes, and where to.
        observe: receives news, from several threads.

    Returns:
        What became of each node; the merged runs are in ``runs`` of its folder.

    Raises:
        InputError: no node is meant, or ``out`` holds something else; nothing was run.
        BusyError: the fleet in ``out`` is conducted by another process.
        StoreError: the results cannot be written; what was measured is on the nodes, too.
        KeyboardInterrupt: it was stopped; what was measured until then is merged.
    """
    chosen = select(engine.nodes(), options.on)
    now = datetime.now(timezone.utc)
    fleet_id = f"{suite['name']}-fleet-{now:%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"
    folder = options.out or Path("results") / fleet_id
    _refuse_other(folder, options.resume)
    with lock.writing(folder):
        fleet = _resumed(folder, suite, options) if options.resume else Roster(folder, {"id": fleet_id})
        fleet.about = {
            "started_utc": now.isoformat(timespec="seconds"), **fleet.about, "version": __version__,
            "engine": {"use": registry.name_of("engines", engine), "settings": _settings(engine)},
            "suite": dict(suite), "only": options.only,
        }  # fmt: skip
        fleet.add(chosen)
        sent = {"fleet": fleet.about["id"], "only": options.only, "shared": engine.shared,
                "daemons": list(engine.daemons)}  # fmt: skip
        todo = [node for node in chosen if fleet.nodes[node.name].status != "ok"]
        try:
            _measure_all(todo, engine, fleet, _Shipped(suite, sent, observe))
        finally:
            gather(fleet)
    return fleet


def table(fleet: Roster) -> "pd.DataFrame":
    """Return the rows of a fleet's merged runs, as ``frames.load`` gives them.

    The fleet's folder is in ``frame.attrs["folder"]``, and in ``frame.attrs["shortfall"]`` what was not measured.
    """
    frame = frames.of_runs(store.runs(fleet.folder / MERGED))
    frame.attrs["folder"] = str(fleet.folder)
    frame.attrs["shortfall"] = shortfall(fleet)
    return frame


def shortfall(fleet: Roster) -> str | None:
    """Say which nodes were not measured to the end, and why; None where all were."""
    bad = [entry for entry in fleet.nodes.values() if entry.status != "ok" or entry.problems]
    if not bad:
        return None
    first = next((str(text) for text in (bad[0].reason, *bad[0].problems) if text), bad[0].status)
    return f"{len(bad)} of {len(fleet.nodes)} nodes not measured to the end; {bad[0].name}: {bad[0].status}: {first}"


def _settings(engine: Any) -> dict[str, Any]:
    """Return an engine's settings, without what it keeps for itself."""
    given = {one.name for one in fields(engine) if one.init}
    return {name: value for name, value in registry.settings(engine).items() if name in given}


def _refuse_other(folder: Path, resume: bool) -> None:
    """Refuse a folder that holds something else than is expected.

    Raises:
        InputError: it does.
    """
    is_fleet = (folder / store.FLEET).exists()
    if resume and not is_fleet:
        raise InputError(f"--resume: no fleet is in {folder} (no {store.FLEET}). Name its folder with --out.")
    if is_fleet and not resume:
        raise InputError(f"--out {folder}: a fleet is here already. Continue it with --resume, or choose another.")
    if not is_fleet and folder.exists() and (not folder.is_dir() or store.runs(folder)):
        raise InputError(f"--out {folder}: something else is here. Name a new folder.")


def _resumed(folder: Path, suite: Mapping[str, Any], options: FleetOptions) -> Roster:
    fleet = roster.read(folder)
    if plan.digest(fleet.about["suite"]) != plan.digest(suite) or fleet.about["only"] != options.only:
        raise InputError(
            f"--resume {folder}: the suite, or --only, has changed since. Start a new fleet, or restore it."
        )
    return fleet


# --- one node --------------------------------------------------------------------------------------------


def _measure_all(nodes: Sequence[Node], engine: Engine, fleet: Roster, shipped: _Shipped) -> None:
    """Measure nodes side by side, each in a thread; what fails at home, or Ctrl-C, stops all."""
    with ThreadPoolExecutor(max(1, len(nodes))) as pool:
        running = [pool.submit(_measure, node, engine, fleet, shipped) for node in nodes]
        try:
            for done in wait(running, return_when=FIRST_EXCEPTION).done:
                done.result()
        except BaseException:
            shipped.stopped.append(True)
            engine.stop()
            raise


def _measure(node: Node, engine: Engine, fleet: Roster, shipped: _Shipped) -> None:
    """Measure one node, and write down what became of it."""
    name, attempt = node.name, fleet.begin(node.name).attempts
    known: dict[str, Any]
    try:
        end = _follow(node, engine, fleet, shipped)
        known = {"status": end.status, "reason": end.reason, "run_s": end.run_s, "engine_cpu_s": end.engine_cpu_s}
    except NodeError as error:
        known = {"status": error.fate, "reason": words(error)}
    except StoreError as error:  # at home: it stops all
        fleet.change(name, status="failed", reason=words(error))
        raise
    except Exception as error:  # of an engine, which may be anybody's: it costs its own node and no other
        known = {"status": "failed", "reason": f"{type(error).__name__}: {words(error)}"}
    if shipped.stopped and known["status"] != "ok":
        known |= {"status": "lost", "reason": "stopped before it had ended"}
    fleet.enter(name, None)
    copy = fleet.copy_of(name, attempt)
    if (copy / store.RUN).is_file():
        known["run_id"] = store.open_run(copy).id
    shipped.observe(NodeEnded(fleet.change(name, **known)))


def _follow(node: Node, engine: Engine, fleet: Roster, shipped: _Shipped) -> RunEnd:
    """Keep what a node sends until it ends; return its last message.

    Raises:
        NodeError: it is not to be measured, or did not come to its end.
        StoreError: what it sent cannot be written.
    """
    copy, end = fleet.copy_of(node.name, fleet.nodes[node.name].attempts), None
    with closing(engine.measure(node, shipped.suite, {**shipped.options, "node": node.name})) as lines:
        for message in map(messages.read, lines):
            match message:
                case Hello():
                    _greet(node, message, fleet)
                case Begun(stage=stage):
                    fleet.enter(node.name, stage)
                case Said(text=text):
                    shipped.observe(NodeSaid(node.name, text))
                case Appended() | Replaced():
                    sync.receive(copy, message)
                    for row in _rows(message):
                        shipped.observe(NodeMeasured(node.name, row))
                case RunEnd():
                    end = message
    if end is None:
        raise NodeError("lost", "it sent no end: the node, or the line to it, is gone")
    return end


def _greet(node: Node, hello: Hello, fleet: Roster) -> None:
    """Write down what a node is.

    Raises:
        NodeError: its version is not this one's.
    """
    fleet.change(
        node.name, platform=hello.platform, platform_name=hello.platform_name, version=hello.version,
        python=hello.python,
    )  # fmt: skip
    if (hello.version.split(".")[:2], hello.rows) != (__version__.split(".")[:2], record.SCHEMA):
        raise NodeError(
            "refused",
            f"{node.name} has greenbench {hello.version}, and {__version__} is here: install the same on both",
        )


def _rows(message: Appended | Replaced) -> Iterator[Mapping[str, Any]]:
    """Yield the rows that a message appends."""
    if isinstance(message, Appended) and message.file == store.RECORDS:
        for number, line in enumerate(message.text.split("\n"), start=1):
            row = readback.judged(runfiles.FORMS[store.RECORDS], number, line.encode())
            if isinstance(row, dict):
                yield {**runfiles.UNKNOWN[store.RECORDS], **row}


# --- all together ----------------------------------------------------------------------------------------


def gather(fleet: Roster) -> merge.Merged | None:
    """Merge what the nodes sent into ``runs`` of the fleet's folder, anew each time; None where nothing came.

    A node whose speech is not that of the others is refused; what of the others is not merged stands in its entry.

    Raises:
        StoreError: the folder cannot be written.
    """
    for name, reason in _of_other_data(fleet).items():
        fleet.change(name, status="refused", reason=reason)
    copies = {copy: name for name in fleet.nodes if not _is_other(fleet.nodes[name]) for copy in _latest(fleet, name)}
    if not copies:
        return None
    with whole.folder(fleet.folder / MERGED) as aside:
        merged = merge.merge(list(copies), aside)
    names = {copy.name: name for copy, name in copies.items()}  # of a whole run, and of a row by its run
    names |= {str(store.open_run(copy).id): name for copy, name in copies.items()}
    problems: dict[str, list[str]] = {name: [] for name in fleet.nodes}
    for refused in merged.refused:
        if whose := names.get(refused.what.partition(" (")[0]):
            problems[whose].append(f"{refused.what}: {refused.reason}")
    for name, found in problems.items():
        if found != list(fleet.nodes[name].problems):
            fleet.change(name, problems=found)
    return merged


def _latest(fleet: Roster, name: str) -> list[Path]:
    """Return what a node sent: of a run that came home whole the last copy, of any other every one."""
    copies = fleet.copies(name)
    if fleet.nodes[name].status != "ok" or not copies:
        return copies
    last = copies.pop()
    return [*(copy for copy in copies if store.open_run(copy).id != store.open_run(last).id), last]


OTHER_DATA = "its speech is not that of the others"


def _is_other(entry: NodeEntry) -> bool:
    return entry.status == "refused" and str(entry.reason).startswith(OTHER_DATA)


def _of_other_data(fleet: Roster) -> dict[str, str]:
    """Return the nodes that measured other speech than most of the fleet, each with the reason."""
    hashes: dict[str, dict[str, set[str]]] = {}
    for name in fleet.nodes:
        for copy in _latest(fleet, name):
            for row in store.read_rows(copy / store.RECORDS):
                if row["status"] == "ok" and row["data_hash"]:
                    hashes.setdefault(str(row["dataset"]), {}).setdefault(name, set()).add(str(row["data_hash"]))
    found: dict[str, str] = {}
    fix = "Give it the same files, and start a new fleet"
    for dataset, by_node in hashes.items():
        counts = Counter(one for several in by_node.values() for one in several)
        usual, n_usual = counts.most_common(1)[0]
        for name, several in by_node.items():
            if several != {usual}:
                other = ", ".join(sorted(several - {usual}))
                found[name] = f"{OTHER_DATA}: {dataset} is {other} here, and {usual} on {n_usual} of the nodes. {fix}"
    return found
