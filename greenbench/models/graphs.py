"""What exporters trace of a model: the whole of it or, where it has early exits, its parts between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from greenbench.errors import InputError
from greenbench.models import chunk_graphs, chunk_steps, chunks, exits
from greenbench.models.frames import front_end
from greenbench.models.hooks import attached
from greenbench.plugins import SAMPLE_RATE_HZ

OF_LAYER = "layer_"
"""How the names of tensors begin that each layer is called with beside the hidden states, such as a mask."""


@dataclass(frozen=True)
class Graph:
    """What is traced as one graph.

    Attributes:
        module: takes tensors by place, and returns one for each of ``outputs``, or the one alone.
        inputs: examples by name.
        outputs: names.
        n_free: how many of its first axes vary in size, by the name of a tensor.
    """

    module: nn.Module
    inputs: Mapping[str, torch.Tensor]
    outputs: Sequence[str]
    n_free: Mapping[str, int]


def graphs(model: Any, extractor: Any) -> list[Graph]:
    """Return what is traced of a model.

    One graph gives the ``logits``. A model with chunks has two, its ``chunk_steps`` with their states. With early exits
    the first one goes up to the first exit, and gives what its branch says, what the layers behind it take in, and the
    ``mask`` of frames where there is one. Each later one takes that in and goes on to the next exit, or to the end. The
    first inputs are those that the feature extractor gives, which will feed the engine: waveforms or spectra, with an
    attention mask or without, whatever the model's own layers would suggest.

    Args:
        model: a transformers CTC model on the CPU, in floats.
        extractor: its feature extractor.

    Raises:
        InputError: an exit is behind the last layer.
    """
    if chunks.of(model) is not None:
        return _steps(model)
    noise = np.random.default_rng(0)
    waveforms = [noise.standard_normal(n * SAMPLE_RATE_HZ).astype(np.float32) for n in (3, 2)]
    inputs = dict(extractor(waveforms, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt"))
    if layers := exits.of(model):
        return _parts(model, layers, inputs)
    return [_graph(_Whole(model, [*inputs]), inputs, {"logits": None})]


def _graph(module: nn.Module, inputs: Mapping[str, torch.Tensor], outputs: Mapping[str, torch.Tensor | None]) -> Graph:
    """Return a graph of which utterances and frames vary in number, and all sizes of what layers are called with."""
    n_free = {
        name: tensor.ndim if tensor is not None and name.startswith(OF_LAYER) else 2
        for name, tensor in [*inputs.items(), *outputs.items()]
    }
    return Graph(module.eval(), inputs, [*outputs], n_free)


def _steps(model: Any) -> list[Graph]:
    """Return the two steps of a model with chunks; the examples are of the second chunk, when all states are there."""
    front, encoder, geometry = (
        chunk_steps.ChunkFrontEnd(model),
        chunk_steps.ChunkEncoder(model),
        chunk_steps.Geometry.of(model),
    )
    n_first, _ = chunks.blocks(front_end(model.config), geometry.size, geometry.ahead)
    audio = torch.from_numpy(np.random.default_rng(0).standard_normal((1, n_first)).astype(np.float32))
    with torch.no_grad():
        frames, *of_front = front(audio, *front.begin())
        window = torch.nn.functional.pad(frames, (geometry.before, 0))
        _, *of_encoder = encoder(window, *encoder.begin())
    return [
        _step(front, chunk_graphs.FRONT, audio, of_front),
        _step(encoder, chunk_graphs.ENCODER, window, of_encoder),
    ]


def _step(module: nn.Module, names: tuple[str, str], given: torch.Tensor, states: Sequence[torch.Tensor]) -> Graph:
    takes, gives = names
    before, after = chunk_graphs.names(len(states)), chunk_graphs.names(len(states), after=True)
    inputs = {takes: given, **dict(zip(before, states, strict=True))}
    free = dict.fromkeys((*inputs, gives, *after), 3) | ({takes: 2} if given.ndim == 2 else {})
    return Graph(module.eval(), inputs, [gives, *after], free)


def _parts(model: Any, layers: exits.Layers, inputs: Mapping[str, torch.Tensor]) -> list[Graph]:
    """Return the parts of a model with early exits, in the order in which they run."""
    branches = exits.branches(layers)
    if len(layers) in branches:
        raise InputError(f"an exit behind layer {len(layers)}, the last one, cannot be exported: leave it out")
    first, *_ = branches
    with torch.no_grad():
        entering = _entering(model, first, inputs)
    tensors = {name: value for name, value in entering.items() if isinstance(value, torch.Tensor)}
    others = {name: value for name, value in tensors.items() if name.startswith(OF_LAYER)}
    fixed = {name: value for name, value in entering.items() if name not in tensors}
    found = [_graph(_Front(model, [*inputs], first, [*tensors]), inputs, tensors)]
    for begin, end in pairwise([*branches, len(layers)]):
        branch = branches.get(end)
        part = _Part(layers, (begin, end), branch or exits.final(model), [*others], fixed)
        taken = {_hidden(begin): tensors[_hidden(first)], **others}
        found.append(_graph(part, taken, dict.fromkeys(("logits", _hidden(end)) if branch else ("logits",))))
    return found


def _hidden(n_layers: int) -> str:
    """Return the name of the hidden states after so many layers: no graph has one name for what it takes and gives."""
    return f"hidden_{n_layers}"


def _entering(model: Any, n_layers: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Run a model, and return what it has after so many layers, of which the last one has an exit.

    Returns:
        The ``logits`` of the branch, the hidden states, what else the next layer is called with, tensors and other
        values, and as floats the ``mask`` of frames where there is one.
    """
    layers = exits.of(model)
    assert layers is not None
    found: dict[str, Any] = {}

    def keep(_layer: Any, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        assert layers.run is not None
        found.update({_hidden(n_layers): given[0], "logits": layers.run.given[-1]})
        found.update({OF_LAYER + name: value for name, value in named.items()})
        if layers.run.mask is not None:
            found["mask"] = layers.run.mask.float()

    hook = layers[n_layers].register_forward_pre_hook(keep, with_kwargs=True)
    with exits.leaving_never(), attached([hook]):
        model(**inputs)
    return found


class _Whole(nn.Module):
    """The logits of a model."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        """Take the model, and the names of its inputs."""
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        _forget_positions(self.model)
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


class _Front(nn.Module):
    """A model up to its first exit; what lies behind it reaches no output."""

    def __init__(self, model: Any, names: Sequence[str], n_layers: int, outputs: Sequence[str]) -> None:
        """Take the model, the names of its inputs, the layers before the exit, and what is returned."""
        super().__init__()
        self.model, self.names, self.n_layers, self.outputs = model, names, n_layers, outputs

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = _entering(self.model, self.n_layers, dict(zip(self.names, inputs, strict=True)))
        return tuple(found[name] for name in self.outputs)


class _Part(nn.Module):
    """The layers from one exit to the next with its branch, or to the end with the model's own head."""

    def __init__(
        self, layers: exits.Layers, place: tuple[int, int], branch: nn.Module, names: Sequence[str], fixed: Any
    ) -> None:
        """Take all layers, which of them, what answers, and what they are called with: tensors, by name, and values."""
        super().__init__()
        self.layers = nn.ModuleDict({str(number): layers[number] for number in range(*place)})
        self.branch, self.names, self.is_last = branch, names, place[1] == len(layers)
        self.fixed = fixed

    def forward(self, hidden: torch.Tensor, *others: torch.Tensor) -> Any:
        named = self.fixed | dict(zip(self.names, others, strict=True))
        named = {name.removeprefix(OF_LAYER): value for name, value in named.items()}
        for layer in self.layers.values():
            hidden = exits.states(layer(hidden, **named))
        logits = self.branch(hidden)
        return logits if self.is_last else (logits, hidden)


def _forget_positions(model: Any) -> None:
    """Let rotary embeddings be computed anew: they are kept for the next input of the same length.

    A graph that is traced with them at hand would hold them as a constant, right for that one length alone.
    """
    for module in model.modules():
        if "cached_sequence_length" in vars(module):
            module.cached_sequence_length = None
