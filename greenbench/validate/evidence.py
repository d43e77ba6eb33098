"""What a check is, what it looks at, and what it finds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from greenbench.plugins.traces import Sample, Session, together
from greenbench.results import record
from greenbench.results.record import KEYS, key_of
from greenbench.suite.protocol import Protocol

Row = Mapping[str, Any]

SAME_CLOCK_S = 60.0
"""Clocks that differ by less from UTC were read between the same two starts of the machine."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be.

    Attributes:
        severity: ``error`` where a figure cannot be believed, ``warning`` where a reader must know more.
        where: the file, its line and the row.
        what: does not hold.
        fix: what to do.
        key: of the row that it is about, see ``KEYS``; None where it is about a whole run.
    """

    severity: Severity
    where: str
    what: str
    fix: str
    key: record.Key | None = None


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One line of a JSON-lines file."""

    file: Path
    number: int
    row: Row

    @property
    def where(self) -> str:
        """The file, the line, and which row it is."""
        names = ", ".join(str(self.row.get(name)) for name in KEYS[1:6])
        return f"{self.file}:{self.number} ({names}, round {self.row.get('round')}, repeat {self.row.get('repeat')})"


@dataclass(frozen=True)
class Evidence:
    """What a run holds in addition to a row.

    Attributes:
        folder: of the run.
        run: ``run.json``.
        steps: the protocol of the run.
        texts: rows of ``hypotheses.jsonl`` by key.
        segments: of each window, start and end in seconds, by key.
        rows: those that stand, by key.
        controls: the lines of ``control.jsonl``.
        edges: the lines of ``windows.jsonl``, in the order of the file.
        at: where among them the window of a row is, by its key; the last where it was measured again.
        trace: what was sampled meanwhile, of each poller by itself; empty without ``power.jsonl``.
    """

    folder: Path
    run: Row
    steps: Protocol
    texts: Mapping[record.Key, Sequence[Row]]
    segments: Mapping[record.Key, Sequence[Sequence[float]]]
    rows: Mapping[record.Key, Row]
    controls: Sequence[Row] = ()
    edges: Sequence[ResultLine] = ()
    at: Mapping[record.Key, int] = field(default_factory=dict)
    trace: Sequence[Session] = ()

    def window(self, row: Row) -> Row | None:
        """Return the line of ``windows.jsonl`` of a row."""
        at = self.at.get(key_of(row))
        return None if at is None else self.edges[at].row

    def samples(self, row: Row) -> list[list[Sample]]:
        """Return what was sampled during each segment of a row's window, with one sample more at either end."""
        edges = self.window(row)
        return [] if edges is None else self.samples_over(edges)

    def samples_over(self, edges: Row) -> list[list[Sample]]:
        """Return the same of any line of ``windows.jsonl``, by all pollers on its clock: a resumed run has several."""
        offset_s = edges["utc_s"] - edges["t_s"]
        near = [one for one in self.trace if one.samples and abs(one.offset_s - offset_s) < SAME_CLOCK_S]
        if not near:
            return [[] for _ in edges["segments"]]
        return [together(near, start, end).over(start, end) for start, end in edges["segments"]]


Rule = Callable[[Row, Evidence], Iterator[str]]
"""Yields what does not hold."""


@dataclass(frozen=True)
class Check:
    """One rule of the table.

    Attributes:
        rule: yields what does not hold.
        fix: what to do about it.
        severity: of what it finds.
        dependent: it is asked only where no check before it in its table found an error.
    """

    rule: Rule
    fix: str
    severity: Severity = "error"
    dependent: bool = False


def ask(checks: Sequence[Check], line: ResultLine, evidence: Evidence) -> Iterator[Problem]:
    """Yield what a table of checks finds in one line."""
    failed = False
    for check in checks:
        if failed and check.dependent:
            continue
        for what in check.rule(line.row, evidence):
            failed |= check.severity == "error"
            yield Problem(check.severity, line.where, what, check.fix, key_of(line.row))
