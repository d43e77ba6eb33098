"""Saliency: how much what enters a layer matters for what a model reads, by gradients and without transcripts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greenbench.models.hooks import attached

if TYPE_CHECKING:
    from torch import Tensor


def effects(model: Any, modules: Sequence[Any], inputs: "Mapping[str, Tensor]") -> "list[Tensor]":
    """Return h dL/dh for each value h that enters some modules: the derivative by a gate on it, at 1.

    L is the cross-entropy to the model's own best tokens, summed over frames.

    Args:
        model: a transformers CTC model; it is left as it is.
        modules: of it, each run once for an utterance.
        inputs: one utterance's.

    Returns:
        ``(n_frames, width)`` for each module, in the model's precision.
    """
    import torch

    gates: dict[Any, Tensor] = {}

    def gate(module: Any, given: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
        gates[module] = torch.ones_like(given[0]).requires_grad_(True)
        return (given[0] * gates[module],)

    with attached(module.register_forward_pre_hook(gate) for module in modules), torch.enable_grad():
        logits = model(**inputs).logits[0].float()
        loss = torch.nn.functional.cross_entropy(logits, logits.detach().argmax(-1), reduction="sum")
    return [effect[0] for effect in torch.autograd.grad(loss, [gates[module] for module in modules])]
