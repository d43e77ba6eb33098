"""A model with chunks in an engine: a graph of the front end and one of the encoder, with states in and out."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from greenbench.files import readback
from greenbench.files.forms import count, form, one_of, record, several
from greenbench.models import chunk_steps, segmented
from greenbench.models.chunk_steps import ChunkStep, ChunkSteps, Geometry, States
from greenbench.models.segmented import RunEngine, RunGraph

FILE = "chunks.json"
"""Beside the graphs of a model with chunks: what a stream has to know of it, and the states that it begins with."""

FRONT, ENCODER = ("audio", "frames"), ("window", "logits")
"""The names of what either graph takes and gives beside its states."""

MOST_VALUES = 2**24
"""A state at the beginning of an utterance has no more values."""


def _misfits(content: Mapping[str, Any]) -> Iterator[str]:
    for name in ("front", "encoder"):
        if any(prod(state["shape"]) > MOST_VALUES for state in content[name]):
            yield f"{name}: a state has more than {MOST_VALUES} values"


_STATE = record({"shape": several(count(), 3), "dtype": one_of(["float32", "float64"])})

_CHUNKS = form(
    record({
        "geometry": record({"size": count(1), "ahead": count(), "before": count(), "width": count(1),
                            "n_tokens": count(1)}),
        "front": several(_STATE, 1), "encoder": several(_STATE, 1),
    }),
    _misfits,
)  # fmt: skip


def write(model: Any, aside: Path) -> None:
    """Write ``FILE`` for a model with chunks."""
    steps = chunk_steps.of(model)
    begin = ([{"shape": [*one.shape], "dtype": str(one.numpy().dtype)} for one in states] for states in steps.begin)
    content = {"geometry": asdict(steps.geometry), **dict(zip(("front", "encoder"), begin, strict=True))}
    (aside / FILE).write_text(json.dumps(content), encoding="utf-8")


def opened(file: Path, open_one: Callable[[Path], RunGraph]) -> RunEngine | ChunkSteps:
    """Open the graphs of a model, of which one with chunks has two.

    Args:
        file: the first one.
        open_one: opens one.

    Raises:
        StoreError: ``FILE`` is damaged, or a graph is missing.
    """
    if not (file.parent / FILE).exists():
        return segmented.opened(file, open_one)
    content = readback.read_object(file.parent / FILE, _CHUNKS)
    graphs = segmented.present(file, 2, FILE)
    front, encoder = (_step(open_one(graph), *names) for graph, names in zip(graphs, (FRONT, ENCODER), strict=True))
    begin = (_zeros(content["front"]), _zeros(content["encoder"]))
    return ChunkSteps(Geometry(**content["geometry"]), front, encoder, begin)


def _zeros(states: Any) -> States:
    return [np.zeros(state["shape"], state["dtype"]) for state in states]


def _step(session: RunGraph, takes: str, gives: str) -> ChunkStep:
    def run(given: torch.Tensor, states: States) -> tuple[torch.Tensor, States]:
        found = session({takes: given.numpy(), **dict(zip(names(len(states)), states, strict=True))})
        return torch.from_numpy(found[gives]), [found[name] for name in names(len(states), after=True)]

    return run


def names(n: int, after: bool = False) -> list[str]:
    """Return the names of so many states, before a step or after it."""
    return [f"{'after' if after else 'state'}_{number}" for number in range(n)]
