"""``fleet.json``: which nodes a fleet has, and what became of each; it is written whenever that changes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from greenbench.errors import InputError, StoreError
from greenbench.files import readback, whole
from greenbench.files.forms import ANY, TEXT, count, each, form, number, one_of, or_null, record, several
from greenbench.files.unicode import to_json
from greenbench.fleets.sync import file_name
from greenbench.plugins.engines import Fate, Node
from greenbench.results import store

NodeStatus = Literal["queued", "measuring", "ok", Fate]

SCHEMA = 1
"""Version of ``fleet.json``."""


@dataclass(frozen=True)
class NodeEntry:
    """What is known of one node.

    Attributes:
        name: of the node.
        labels: those by which it was chosen.
        status: ``queued`` or ``measuring``, then ``ok``; or ``failed``, ``lost`` or ``refused``, with the reason.
        reason: why it is not ``ok``.
        stage: the last that has begun, see ``messages.Stage``.
        attempts: how often it was started.
        platform: the id of its platform, and ``platform_name`` for people.
        run_id: of what it measured.
        version: of greenbench on it, and ``python`` its Python.
        seconds: how long the last attempt took, by stage; ``queued`` until its process answered.
        run_s: how long the run itself took, in seconds.
        engine_cpu_s: CPU seconds of the engine's own processes on the node meanwhile.
        problems: what of its rows was not merged, and why.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    status: NodeStatus = "queued"
    reason: str | None = None
    stage: str | None = None
    attempts: int = 0
    platform: str | None = None
    platform_name: str | None = None
    run_id: str | None = None
    version: str | None = None
    python: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    run_s: float | None = None
    engine_cpu_s: float | None = None
    problems: Sequence[str] = ()


_TEXTS = ("reason", "stage", "platform", "platform_name", "run_id", "version", "python")
_ENTRY = record(
    {
        "name": TEXT, "labels": each(TEXT), "attempts": count(), "seconds": each(number(0)), "problems": several(TEXT),
        "status": one_of(("queued", "measuring", "ok", "failed", "lost", "refused")),
        **dict.fromkeys(_TEXTS, or_null(TEXT)), **dict.fromkeys(("run_s", "engine_cpu_s"), or_null(number(0))),
    }
)  # fmt: skip
_FORM = form(
    record(
        {
            "schema": count(1, SCHEMA), "id": TEXT, "engine": record({"use": TEXT, "settings": each(ANY)}),
            "started_utc": TEXT, "version": TEXT, "suite": each(ANY), "only": or_null(TEXT), "nodes": several(_ENTRY),
        }
    )
)  # fmt: skip


class Roster:
    """The nodes of a fleet, kept in its folder; threads may change different nodes at the same time.

    Attributes:
        folder: of the fleet.
        about: what else ``fleet.json`` holds: ``id``, ``engine``, ``suite``, ``only``, ``version``, ``started_utc``.
        nodes: by name.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], nodes: Sequence[NodeEntry] = ()) -> None:
        self.folder, self.about = folder, about
        self.nodes = {entry.name: entry for entry in nodes}
        self._lock = Lock()
        self._since: dict[str, float] = {}

    def add(self, nodes: Sequence[Node]) -> None:
        """Add the nodes that are not there yet."""
        with self._lock:
            self.nodes = {node.name: NodeEntry(node.name, dict(node.labels)) for node in nodes} | self.nodes
            self._write()

    def begin(self, name: str) -> NodeEntry:
        """Count one more attempt at a node, which is queued now."""
        self._since[name] = time.monotonic()
        attempts = self.nodes[name].attempts + 1
        return self.change(name, status="queued", reason=None, stage=None, attempts=attempts, seconds={}, problems=())

    def enter(self, name: str, stage: str | None) -> None:
        """Say that a stage of a node begins, or that all have ended."""
        now, entry = time.monotonic(), self.nodes[name]
        before = entry.stage or "queued"
        spent = {**entry.seconds, before: round(now - self._since.get(name, now), 3)}
        self._since[name] = now
        self.change(name, seconds=spent, **({} if stage is None else {"stage": stage, "status": "measuring"}))

    def change(self, name: str, **known: Any) -> NodeEntry:
        """Write down what is known of a node.

        Raises:
            StoreError: the folder cannot be written.
        """
        with self._lock:
            self.nodes[name] = replace(self.nodes[name], **known)
            self._write()
            return self.nodes[name]

    def copies(self, name: str) -> list[Path]:
        """Return the folders of what a node sent, one for each attempt, as far as they hold a run."""
        places = (self.copy_of(name, number + 1) for number in range(self.nodes[name].attempts))
        return [place for place in places if (place / store.RUN).is_file()]

    def copy_of(self, name: str, attempt: int) -> Path:
        """Return the folder of what a node sends in an attempt."""
        return self.folder / store.NODES / f"{file_name(name)}-{attempt}"

    def _write(self) -> None:
        content = {"schema": SCHEMA, **self.about, "nodes": [asdict(entry) for entry in self.nodes.values()]}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            whole.write(self.folder / store.FLEET, to_json(content, indent=2) + "\n")
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot write {store.FLEET}: {error.strerror}. "
                             "Choose another --out.") from error  # fmt: skip


def read(folder: Path) -> Roster:
    """Return the fleet in a folder.

    Raises:
        InputError: there is none.
        StoreError: its file cannot be read.
    """
    if not (folder / store.FLEET).is_file():
        raise InputError(f"{folder}: no fleet is here (no {store.FLEET}): name the folder that `fleet run --out` made")
    content = readback.read_object(folder / store.FLEET, _FORM)
    known = [one.name for one in fields(NodeEntry)]
    nodes = [NodeEntry(**{name: entry[name] for name in known}) for entry in content.pop("nodes")]
    del content["schema"]
    return Roster(folder, content, nodes)
