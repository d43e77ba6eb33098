"""A model with early exits in an engine: its graphs run one after the other, until a branch is sure."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from greenbench.errors import StoreError
from greenbench.files import readback
from greenbench.files.forms import count, form, number, or_null, record, several
from greenbench.models import exits
from greenbench.models.edits.exits import MOST
from greenbench.models.macs import macs_of_work, work
from greenbench.plugins import EarlyExits

FILE = "exits.json"
"""Beside the graphs of a model with exits: where these are, when one is taken, and the work until there."""

RunEngine = Callable[[Mapping[str, npt.NDArray[Any]]], npt.NDArray[np.float32]]
"""An engine with a model: named inputs in, logits ``(n_utterances, n_frames, n_tokens)`` out."""

RunGraph = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]
"""An opened graph: takes its inputs by name from what there is, and returns its outputs by name."""


def _misfits(content: Mapping[str, Any]) -> Iterator[str]:
    after = content["after"]
    if after != sorted({*after}):
        yield f"after: rising numbers are expected, not {after}"
    if len(content["work"]) != len(after):
        yield f"work: one for each of {len(after)} graphs is expected, not {len(content['work'])}"


_EXITS = form(
    record({
        "after": several(count(1, 2**10), 2), "threshold": number(-1, MOST), "blank": or_null(count()),
        "work": several(or_null(several(number(), 1)), 2),
    }),
    _misfits,
)  # fmt: skip


def write(model: Any, layers: exits.Layers, aside: Path) -> None:
    """Write ``FILE`` for a model with exits."""
    after = [*exits.branches(layers), len(layers)]
    works = []
    for n_layers in after:
        with exits.leaving_after(n_layers):
            works.append(work(model))
    content = {"after": after, "threshold": layers.threshold, "blank": layers.blank, "work": works}
    (aside / FILE).write_text(json.dumps(content), encoding="utf-8")


def numbered(file: Path, number: int) -> Path:
    """Return where a graph of a model lies: the first one as ``model.onnx``, the second one as ``model-1.onnx``."""
    return file.with_stem(f"{file.stem}-{number}") if number else file


def present(file: Path, n: int, told_by: str) -> list[Path]:
    """Return where so many graphs of a model lie.

    Args:
        file: the first one.
        n: how many there are.
        told_by: the name of the file that says so.

    Raises:
        StoreError: one is missing.
    """
    graphs = [numbered(file, place) for place in range(n)]
    if lacking := [graph for graph in graphs if not graph.is_file()]:
        raise StoreError(f"{lacking[0]}: missing: {told_by} says that there are {n} graphs. Export them again.")
    return graphs


def opened(file: Path, open_one: Callable[[Path], RunGraph]) -> RunEngine:
    """Open the graph of a model, or its graphs where it has early exits.

    Args:
        file: the first one.
        open_one: opens one.

    Raises:
        StoreError: ``FILE`` is damaged, or a graph is missing.
    """
    if not (file.parent / FILE).exists():
        session = open_one(file)
        return lambda inputs: next(iter(session(inputs).values()))
    content = readback.read_object(file.parent / FILE, _EXITS)
    graphs = present(file, len(content["after"]), FILE)
    return Segmented([open_one(graph) for graph in graphs], content)


class Segmented:
    """Runs the graphs of a model in turn until a branch is sure for all of a batch, as the model in torch does.

    Attributes:
        layers_run: utterances by the number of layers that ran for them; who counts empties it.
    """

    def __init__(self, sessions: Sequence[RunGraph], content: Mapping[str, Any]) -> None:
        """Take the opened graphs in their order, and what ``FILE`` holds."""
        self.layers_run: Counter[int] = Counter()
        self._sessions = dict(zip(content["after"], sessions, strict=True))
        self._work = dict(zip(content["after"], content["work"], strict=True))
        self._threshold, self._blank = content["threshold"], content["blank"]

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Return the logits of the first branch that is sure, or of the model's own head, and count."""
        known, n_layers = dict(inputs), 0
        for n_layers, session in self._sessions.items():
            known |= session(known)
            if n_layers != max(self._sessions) and self._is_sure(known):
                break
        self.layers_run[n_layers] += len(known["logits"])
        return known["logits"]

    def _is_sure(self, known: Mapping[str, npt.NDArray[Any]]) -> bool:
        mask = torch.from_numpy(known["mask"]) if "mask" in known else None
        entropies = exits.mean_entropy(torch.from_numpy(known["logits"]), mask, self._blank)
        return bool((entropies <= self._threshold).all())

    def early_exits(self, config: Any) -> EarlyExits:
        """Return what a footprint says of the exits.

        Args:
            config: of the transformers model.
        """
        return EarlyExits(self.layers_run, lambda n_samples, after: macs_of_work(config, self._work[after], n_samples))
