"""The record of an entry that was measured again: what was compared, and the verdict."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from greenbench.errors import InputError, StoreError
from greenbench.files import readback
from greenbench.files.forms import FLAG, TEXT, above, count, form, number, one_of, or_null, record, several, text
from greenbench.results.record import CELL
from greenbench.validate.moments import impossible

FORMAT = "greenbench-verification/1"

NAMES = CELL[1:]
"""The columns that name a cell, whichever run it is of."""

REPRODUCED, NOT_REPRODUCED, NOT_MEASURED = "reproduced", "not reproduced", "not measured"

EQUAL_TEXTS = {True: 0.95, False: 0.8}
"""Share of texts that must be equal on the same platform, and on another, where int8 texts differ by a word."""

MARGIN = 0.25
"""Two machines of one platform, or one on two days, may differ in speed and energy by so much."""

ONE_PROCESS = 2.0
"""Where processes were not repeated, only a factor beyond this contradicts."""

MAX_BYTES = 2**20


@dataclass(frozen=True)
class VerifiedCell:
    """One cell of an entry, compared with its measurement here.

    Attributes:
        variant, dataset, device, scenario, batch_size: which cell.
        n_texts, n_equal: utterances that both have, and those with one text.
        wer_low, wer_high: 95 % interval of WER here less the entry's, on the same utterances; None where all texts
            are equal, or too few.
        rtfx_ratio, rtfx_low: the entry's RTFx over that here, each over its control where both have one, and the
            lower end of the 95 % interval by rounds; None where not comparable.
        energy_ratio, energy_high: the entry's joules per audio second over those here, and the interval's upper end.
        notes: what was not compared, and why.
        reason: why nothing was measured here; None where it was.
    """

    variant: str
    dataset: str
    device: str
    scenario: str
    batch_size: int
    n_texts: int = 0
    n_equal: int = 0
    wer_low: float | None = None
    wer_high: float | None = None
    rtfx_ratio: float | None = None
    rtfx_low: float | None = None
    energy_ratio: float | None = None
    energy_high: float | None = None
    notes: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """The values of ``NAMES``."""
        return self.variant, self.dataset, self.device, self.scenario, self.batch_size


@dataclass(frozen=True)
class Verification:
    """What came of measuring an entry again.

    Attributes:
        entry: the digest of the entry.
        file: its file's name.
        by: who measured.
        utc: when.
        version: of greenbench.
        platform: of the machine, for people.
        platform_id: see ``platforms``.
        same_platform: whether the entry was measured on that platform.
        cells: what was compared.
    """

    entry: str
    file: str
    by: str
    utc: str
    version: str
    platform: str
    platform_id: str
    same_platform: bool
    cells: tuple[VerifiedCell, ...]

    @property
    def verdict(self) -> str:
        """``reproduced`` where something was measured and nothing of it contradicts the entry."""
        verdicts = {verdict(cell, self.same_platform) for cell in self.cells}
        if NOT_REPRODUCED in verdicts:
            return NOT_REPRODUCED
        return REPRODUCED if REPRODUCED in verdicts else NOT_MEASURED


def contradictions(cell: VerifiedCell, same_platform: bool) -> Iterator[str]:
    """Yield what of a cell was not reproduced."""
    share = EQUAL_TEXTS[same_platform]
    if cell.n_texts - cell.n_equal > max(1, int((1 - share) * cell.n_texts)):
        yield f"texts: {cell.n_equal} of {cell.n_texts} agree with the entry, at least {share:.0%} must"
    if cell.wer_low is not None and cell.wer_high is not None and not cell.wer_low <= 0 <= cell.wer_high:
        interval = f"{100 * cell.wer_low:+.2f} to {100 * cell.wer_high:+.2f} pp"
        yield f"WER: here it is {interval} from the entry's (95 %, same utterances)"
    if same_platform:
        yield from _contradiction("speed", cell.rtfx_ratio, cell.rtfx_low, "RTFx")
        ratio, low = (None if value is None else 1 / value for value in (cell.energy_ratio, cell.energy_high))
        yield from _contradiction("energy", ratio, low, "audio seconds per joule")


def _contradiction(what: str, ratio: float | None, low: float | None, unit: str) -> Iterator[str]:
    least = ratio if low is None else low
    limit = ONE_PROCESS if low is None else 1 + MARGIN
    if ratio is not None and least is not None and least > limit:
        sure = "" if low is None else f" (95 %: at least {low:.2f})"
        yield f"{what}: the entry has {ratio:.2f} times the {unit} measured here{sure}, {limit:.2f} are allowed"


def verdict(cell: VerifiedCell, same_platform: bool) -> str:
    """Return what a cell's figures make of it."""
    if cell.reason is not None or not cell.n_texts:
        return NOT_MEASURED
    return NOT_REPRODUCED if any(contradictions(cell, same_platform)) else REPRODUCED


# --- files -----------------------------------------------------------------------------------------------


def as_json(found: Verification) -> str:
    """Write a record, each cell with its verdict for people."""
    cells = [
        asdict(cell)
        | {"verdict": verdict(cell, found.same_platform), "why": [*contradictions(cell, found.same_platform)]}
        for cell in found.cells
    ]
    content = {"format": FORMAT, **asdict(found), "cells": cells, "verdict": found.verdict}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def is_record(path: Path) -> bool:
    """Say whether a file begins as a record of this kind; what cannot be read is none."""
    with suppress(OSError, StoreError), readback.open_file(path) as stream:
        return FORMAT.encode() in stream.read(200)
    return False


def read(path: Path) -> Verification:
    """Read a record; verdicts are derived again from its figures.

    Raises:
        InputError: it is none, lacks something, or holds what cannot be.
    """
    try:
        content = readback.read_object(path, _RECORD, MAX_BYTES)
    except StoreError as error:
        raise InputError(f"{path}: not a readable verification: {str(error).removeprefix(f'{path}: ')}") from error
    return _verification(content)


def _verification(content: Mapping[str, Any]) -> Verification:
    cells = tuple(
        VerifiedCell(**{field.name: one[field.name] for field in fields(VerifiedCell)} | {"notes": tuple(one["notes"])})
        for one in content["cells"]
    )
    names = [field.name for field in fields(Verification) if field.name != "cells"]
    return Verification(**{name: content[name] for name in names}, cells=cells)


MAX_RATIO = 1e6

_RATIO = or_null(above(0, MAX_RATIO))
_DIFFERENCE = or_null(number(-MAX_RATIO, MAX_RATIO))
_CELL = record({
    **dict.fromkeys(("variant", "dataset", "device", "scenario"), TEXT), "batch_size": count(1),
    "n_texts": count(), "n_equal": count(), "wer_low": _DIFFERENCE, "wer_high": _DIFFERENCE,
    **dict.fromkeys(("rtfx_ratio", "rtfx_low", "energy_ratio", "energy_high"), _RATIO),
    "notes": several(TEXT), "reason": or_null(TEXT),
})  # fmt: skip


def _unsound(content: Mapping[str, Any]) -> Iterator[str]:
    """Say what a record of the right types cannot be."""
    for number_of, cell in enumerate(content["cells"]):
        if cell["n_equal"] > cell["n_texts"]:
            yield f"cells.{number_of}: {cell['n_equal']} equal texts of {cell['n_texts']}"
    found = _verification(content).verdict
    if content["verdict"] != found:
        yield f"verdict: {found!r} follows from the figures, not {content['verdict']!r:.60}"
    why = impossible(content["utc"])
    if why:
        yield f"utc: {content['utc']!r:.60}: {why}"


_RECORD = form(
    record({
        "format": one_of([FORMAT]), "verdict": TEXT, "utc": TEXT, "same_platform": FLAG, "cells": several(_CELL),
        **dict.fromkeys(("entry", "file", "by", "version", "platform", "platform_id"), text(200, 1)),
    }),
    _unsound,
)  # fmt: skip


def records(results: Sequence[Path]) -> list[Path]:
    """Return the files of records among, and anywhere below, results."""
    found = [sorted(place.rglob("*.json")) if place.is_dir() else [place] for place in results if place.exists()]
    return [path for paths in found for path in paths if path.suffix == ".json" and is_record(path)]
