"""What a check is, what it looks at, and what it finds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from greenbench import rescore
from greenbench.protocol import Protocol
from greenbench.record import KEYS

Row = Mapping[str, Any]

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be.

    Attributes:
        severity: ``error`` where a figure cannot be believed, ``warning`` where a reader must know more.
        where: the file, its line and the row.
        what: does not hold.
        fix: what to do.
    """

    severity: Severity
    where: str
    what: str
    fix: str


@dataclass(frozen=True)
class Line:
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
    """What a run holds beside a row.

    Attributes:
        folder: of the run.
        run: ``run.json``.
        steps: the protocol of the run.
        texts: rows of ``hypotheses.jsonl`` by key.
        segments: of each window, start and end in seconds, by key.
        rows: those that stand, by key.
        controls: the lines of ``control.jsonl``.
    """

    folder: Path
    run: Row
    steps: Protocol
    texts: Mapping[rescore.Key, Sequence[Row]]
    segments: Mapping[rescore.Key, Sequence[Sequence[float]]]
    rows: Mapping[rescore.Key, Row]
    controls: Sequence[Row] = ()


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


def ask(checks: Sequence[Check], line: Line, evidence: Evidence) -> Iterator[Problem]:
    """Yield what a table of checks finds in one line."""
    failed = False
    for check in checks:
        if failed and check.dependent:
            continue
        for what in check.rule(line.row, evidence):
            failed |= check.severity == "error"
            yield Problem(check.severity, line.where, what, check.fix)
