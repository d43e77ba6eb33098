"""One vector for an utterance: the mean over its frames of what a layer of a torch CTC model puts out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

from greenbench.errors import UnansweredError
from greenbench.models import exported, frames, shared
from greenbench.models.hooks import attached

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_LAYER = 1
"""The bundled teacher and its students tell voices apart best by their first layer (of AN4's training part and of the
bundled unlabelled speech): training for CTC leaves less and less of the speaker in the layers above."""


def n_layers(model: Any) -> int:
    """Return the number of layers of a model's encoder.

    Raises:
        UnansweredError: another engine or torch.compile runs them, or they are no list.
    """
    if isinstance(model, exported.Exported):
        raise UnansweredError(
            "an engine's export gives logits only, and task verify compares hidden states: measure a build of torch"
        )
    if hasattr(model, "_orig_mod"):
        raise UnansweredError("task verify compares hidden states, and torch.compile keeps none: leave compile out")
    n = len(shared.layers(model))
    if not n:
        raise UnansweredError("task verify compares hidden states, and this architecture has no list of layers")
    return n


def layer(model: Any, wanted: int | None) -> int:
    """Return the layer whose output is taken, counted from 1.

    Args:
        model: a torch module, or an exported one.
        wanted: by the settings; None for ``DEFAULT_LAYER``.

    Raises:
        UnansweredError: as ``n_layers``, the model has fewer layers, or not all of them always run.
    """
    from greenbench.models import exits

    n, number = n_layers(model), DEFAULT_LAYER if wanted is None else wanted
    if exits.of(model) is not None:
        raise UnansweredError("task verify compares hidden states, and with early exits a layer may not run")
    if number > n:
        raise UnansweredError(f"embedding_layer is {number}, and the model has {n} layers")
    return number


def n_frames(model: Any, layer: int, n_samples: int) -> int:
    """Return how many frames of a layer's output are an utterance's, the others being padding.

    Args:
        model: a torch module.
        layer: counted from 1.
        n_samples: of the utterance.
    """
    from greenbench.models import reducer

    whole = frames.lengths(n_samples, frames.front_end(model.config))[-1]
    squeezed = whole // getattr(model.config, "squeeze_factor", 1)  # SEW's layers see so many frames as one
    return ceil(squeezed / reducer.fewer_after(model).get(layer, 1))


@contextmanager
def captured(model: Any) -> "Iterator[list[Tensor]]":
    """Yield a list that gets what each layer puts out as the model runs, in order, ``(n_utterances, n_frames, width)``.

    transformers' own ``hidden_states`` are not used: whether the last one is behind the model's norm depends on its
    version.
    """
    from greenbench.models import exits

    found: list[Tensor] = []
    layers = {id(layer): layer for layer in shared.layers(model)}.values()  # one that runs twice is hooked once

    def keep(_layer: Any, _given: Any, output: Any) -> None:
        found.append(exits.states(output))

    with attached(layer.register_forward_hook(keep) for layer in layers):
        yield found


def means(states: "Tensor", lengths: Sequence[int]) -> "Tensor":
    """Return the mean of the first frames of each utterance, float32, ``(n_utterances, width)``.

    Args:
        states: ``(n_utterances, n_frames, width)``.
        lengths: how many of the frames of each count.
    """
    import torch

    n = torch.tensor(lengths, device=states.device).clamp(max=states.shape[1])[:, None]
    counts = torch.arange(states.shape[1], device=states.device)[None] < n
    summed: Tensor = torch.where(counts[..., None], states.float(), 0.0).sum(dim=1)
    return summed / n
