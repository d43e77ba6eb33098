"""Early exits: branches after layers of an encoder; the first that is sure answers, and the layers after it do not run.

DAISY (arXiv 2406.05464, 2024), for CTC: a branch is a norm and a linear layer, and how sure it is, the mean entropy of
its distributions over tokens. transformers' own loop runs the layers, whose list ends where a branch is sure. What is
kept of a run is gone at its end, so that copies of a model are independent.
"""

import math
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from greenbench.models import shared
from greenbench.models.hooks import attached

if TYPE_CHECKING:
    from torch import Tensor

_LEAVING: ContextVar[float | None] = ContextVar("leaving", default=None)
"""The number of layers that run, whatever a branch says; None where branches decide."""


@contextmanager
def leaving_after(n_layers: float) -> Iterator[None]:
    """Let models leave at their first exit after so many layers, whether its branch is sure or not."""
    before = _LEAVING.set(n_layers)
    try:
        yield
    finally:
        _LEAVING.reset(before)


def leaving_never() -> AbstractContextManager[None]:
    """Let all layers of models run; the output's ``exits`` has the logits of every branch."""
    return leaving_after(math.inf)


def mean_entropy(logits: "Tensor", mask: "Tensor | None" = None, blank: int | None = None) -> "Tensor":
    """Return the mean entropy of distributions over tokens in nats, ``(n_utterances,)``: -sum p ln p a frame.

    Args:
        logits: ``(n_utterances, n_frames, n_tokens)``.
        mask: ``(n_utterances, n_frames)``, True where a frame is none of padding; None where all are.
        blank: leave out frames whose best token is this one, unless an utterance has no others: blanks are sure
            nearly everywhere.
    """
    entropy = torch.special.entr(logits.float().softmax(-1)).sum(-1)
    valid = torch.ones_like(entropy, dtype=torch.bool) if mask is None else mask.bool()
    if blank is not None:
        labelled = valid & (logits.argmax(-1) != blank)
        valid = torch.where(labelled.any(-1, keepdim=True), labelled, valid)
    means: Tensor = (entropy * valid).sum(-1) / valid.sum(-1).clamp(min=1)
    return means


class Branch(nn.Module):
    """What answers after a layer: a norm and a head.

    The norm is there since the states of models with norms before their parts have none. The head is called as that of
    the model, so that a build that leaves the one in floats does so with the other.
    """

    def __init__(self, norm: nn.Module, head: nn.Module) -> None:
        """Take copies of the model's own, which it begins as."""
        super().__init__()
        self.norm, self.lm_head = norm, head

    def forward(self, hidden: "Tensor") -> "Tensor":
        """Return logits ``(n_utterances, n_frames, n_tokens)`` of hidden states ``(n_utterances, n_frames, width)``."""
        logits: Tensor = self.lm_head(self.norm(hidden))
        return logits


@dataclass
class RunState:
    """One run of a model.

    Attributes:
        mask: of frames, as ``mean_entropy`` takes it; None for models that get none, whose padding counts as frames.
        n_layers: that have run so far.
        given: logits of the branches so far.
        left: whether the last of them answers for the model.
    """

    mask: "Tensor | None" = None
    n_layers: int = 0
    given: "list[Tensor]" = field(default_factory=list)
    left: bool = False


class Layers(nn.ModuleList):
    """The layers of an encoder with exits: a model's run goes through them until a branch is sure; all else sees all.

    Where the branches train all layers run, too.

    Attributes:
        threshold: largest mean entropy in nats of a branch that is sure; none is with a negative one.
        blank: token of CTC's blank where its frames do not count, else None.
        layers_run: utterances by the number of layers that ran for them; who counts empties it.
        run: that is under way.
    """

    def __init__(self, layers: Iterable[nn.Module] = (), threshold: float = -1.0, blank: int | None = None) -> None:
        """Take the layers, and when a branch is sure."""
        super().__init__(layers)
        self.threshold, self.blank = threshold, blank
        self.layers_run: Counter[int] = Counter()
        self.run: RunState | None = None

    def __iter__(self) -> Iterator[nn.Module]:
        """Yield all layers; within a run of the model those up to the first exit that is taken."""
        if self.run is None:
            yield from self._modules.values()
            return
        for number, layer in enumerate(self._modules.values(), 1):
            self.run.n_layers = number
            branch = getattr(layer, "exit", None)
            if branch is None:
                yield layer
            elif (yield from self._leaves(self.run, layer, branch)):
                return

    def _leaves(self, run: RunState, layer: Any, branch: Branch) -> Generator[nn.Module, None, bool]:
        """Yield a layer with a branch, and return whether the model leaves after it."""
        hidden: list[Tensor] = []
        with layer.register_forward_hook(partial(_keep, hidden)):
            yield layer
        if not hidden:  # the layer was left out, as layers are at random in trainings
            return False
        run.given.append(branch(hidden[0]))
        after = math.inf if branch.lm_head.training else _LEAVING.get()
        if after is None:
            run.left = bool((mean_entropy(run.given[-1], run.mask, self.blank) <= self.threshold).all())
        else:
            run.left = run.n_layers >= after
        return run.left


def _keep(hidden: "list[Tensor]", _layer: Any, _given: Any, output: Any) -> None:
    hidden.append(states(output))


def states(output: Any) -> "Tensor":
    """Return the hidden states in what a layer returns, ``(n_utterances, n_frames, width)``."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def of(model: Any) -> Layers | None:
    """Return the layers of a model with exits; None for one without."""
    model = getattr(model, "_orig_mod", model)
    layers: Any = shared.layers(model)
    return layers if isinstance(layers, Layers) and branches(layers) else None


def branches(layers: Layers) -> dict[int, Branch]:
    """Return branches by the number of layers before them."""
    found = enumerate(layers._modules.values(), 1)  # all, also within a run
    return {number: layer.exit for number, layer in found if hasattr(layer, "exit")}  # type: ignore[misc]


def attach(model: Any, after: Sequence[int], threshold: float, blank: int | None) -> None:
    """Give a model exits after some of its layers; each branch begins as the model's last norm and its head.

    Args:
        model: a transformers CTC model of one of ``edits.exits.TYPES``.
        after: numbers of layers.
        threshold: as ``Layers`` has it.
        blank: as there.
    """
    encoder = model.base_model.encoder
    # where norms come after each part, the last of them is the last layer's own
    norm = encoder.layer_norm if _norms_first(model) else encoder.layers[-1].final_layer_norm
    for number in after:
        encoder.layers[number - 1].exit = Branch(deepcopy(norm), deepcopy(model.lm_head))
    encoder.layers = Layers(encoder.layers, threshold, blank)
    model.register_forward_pre_hook(_begin)
    encoder.register_forward_pre_hook(_take_mask, with_kwargs=True)
    model.register_forward_hook(_end, always_call=True)


def final(model: Any) -> Branch:
    """Return what answers after the last layer, as a branch: the model's own head, behind a norm where one follows."""
    return Branch(model.base_model.encoder.layer_norm if _norms_first(model) else nn.Identity(), model.lm_head)


@contextmanager
def before(model: Any) -> "Iterator[tuple[list[Branch], list[list[Tensor]]]]":
    """Yield a model's branches, and what enters each while the block runs, ``(n_frames, width)`` for each utterance.

    Models are run on utterances alone then, under ``leaving_never()``; both are empty for one without exits.
    """
    layers = of(model)
    found = list(branches(layers).values()) if layers else []
    entered: list[list[Tensor]] = [[] for _ in found]

    def keep(hidden: "list[Tensor]", _branch: Any, given: "tuple[Tensor, ...]") -> None:
        hidden.append(given[0][0])

    hooks = (b.register_forward_pre_hook(partial(keep, into)) for b, into in zip(found, entered, strict=True))
    with attached(hooks):
        yield found, entered


def _norms_first(model: Any) -> bool:
    return bool(getattr(model.config, "do_stable_layer_norm", False))


def _begin(model: Any, _given: Any) -> None:
    if layers := of(model):
        layers.run = RunState()


def _take_mask(encoder: Any, _given: Any, named: dict[str, Any]) -> None:
    run = getattr(encoder.layers, "run", None)
    if run is not None:
        run.mask = named.get("attention_mask")


def _end(model: Any, _given: Any, output: Any) -> Any:
    """Let the branch of the exit that was taken answer, and count; an output is None where the run failed."""
    layers = of(model)
    if layers is None or layers.run is None:
        return output
    run, layers.run = layers.run, None
    if output is not None:
        if _LEAVING.get() is None:
            layers.layers_run[run.n_layers] += len(output.logits)
        if run.left:
            output.logits = run.given[-1]
        output.exits = run.given
    return output
