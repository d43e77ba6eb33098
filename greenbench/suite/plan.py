"""What a suite asks for: its cells, in the order they run, and a digest of what they measure."""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict

from greenbench.files.unicode import from_json, to_json
from greenbench.hardware import devices
from greenbench.suite.config import Suite
from greenbench.suite.entries import DatasetEntry, VariantEntry
from greenbench.suite.scenarios import Streaming

NOT_MEASURED = ("name", "description", "also_score", "timeout_s", "control", "allow_emulated")
"""The keys of a suite that change nothing in what its cells measure."""

ADDED: tuple[tuple[str, Any], ...] = (
    ("primary", "wer"), ("streaming", Streaming().model_dump(mode="json")), ("price", None),
)  # fmt: skip
"""Keys that suites of earlier versions lack, with what held for them: so said, they leave its digest as it was."""


class Cell(BaseModel):
    """One process: variant x dataset x device x scenario x batch size, in one round."""

    model_config = ConfigDict(frozen=True)

    variant: VariantEntry
    dataset: DatasetEntry
    device: str
    scenario: str
    batch_size: int
    round: int

    @property
    def key(self) -> dict[str, Any]:
        """The cell's part of a row's key."""
        return {
            "variant": self.variant.name,
            "dataset": self.dataset.name,
            "device": self.device,
            "scenario": self.scenario,
            "batch_size": self.batch_size,
            "round": self.round,
        }

    @property
    def label(self) -> str:
        """The cell in words; ``--only`` matches against it."""
        batch = f" x{self.batch_size}" if self.scenario == "offline" else ""
        return f"{self.variant.name} | {self.dataset.name} | {self.device} | {self.scenario}{batch}"


def plan(suite: Suite, only: str | None = None) -> list[Cell]:
    """List the cells of a resolved suite in the order they run.

    Args:
        suite: from ``load``.
        only: a glob on the cell's label or variant name; other cells are left out.

    Returns:
        One cell a process; with an interleaved protocol each round is a shuffle of its own.
    """
    protocol = suite.protocol
    shuffle = random.Random(protocol.seed).shuffle  # noqa: S311 (an order, not a secret)
    cells: list[Cell] = []
    for number in range(protocol.rounds):
        cells_of_round = [c for c in _round(suite, number) if only is None or _matches(c, only)]
        if protocol.order == "interleaved":
            shuffle(cells_of_round)
        cells += cells_of_round
    return cells


def _round(suite: Suite, number: int) -> list[Cell]:
    return [
        Cell(variant=variant, dataset=dataset, device=device, scenario=scenario, batch_size=size, round=number)
        for variant in suite.variants
        for dataset in suite.datasets
        for device in _distinct(suite.devices)
        for scenario in suite.scenarios
        for size in (suite.batch_sizes if scenario == "offline" else [1])
    ]


def _distinct(given: Sequence[str]) -> list[str]:
    from greenbench.hardware.environment import accelerator

    return devices.distinct(accelerator() if device == "auto" else device for device in given)


def _matches(cell: Cell, glob: str) -> bool:
    return fnmatchcase(cell.label, glob) or fnmatchcase(cell.variant.name or "", glob)


def content_hash(suite: Suite) -> str:
    """Return a digest of what a resolved suite measures; its name and what is scored afterwards do not count."""
    return digest(from_json(to_json(suite.model_dump(mode="json"), allow_nan=True).encode()))  # as run.json holds it


def digest(suite: Mapping[str, Any]) -> str:
    """Return the same of a suite's plain data, as ``run.json`` holds it."""
    content = {key: value for key, value in suite.items() if key not in NOT_MEASURED and (key, value) not in ADDED}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
