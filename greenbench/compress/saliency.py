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
        modules: of it. A ``Conv1d`` takes ``(1, width, n_frames)``, others ``(1, n_frames, width)``.
        inputs: one utterance's.

    Returns:
        ``(n_frames, width)`` for each module, in the model's precision; the frames of all of its runs one after the
        other, where layers share it.
    """
    import torch

    gates: dict[Any, list[Tensor]] = {module: [] for module in modules}

    def gate(module: Any, given: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
        gates[module].append(torch.ones_like(given[0]).requires_grad_(True))
        return (given[0] * gates[module][-1],)

    with attached(module.register_forward_pre_hook(gate) for module in modules), torch.enable_grad():
        logits = model(**inputs).logits[0].float()
        loss = torch.nn.functional.cross_entropy(logits, logits.detach().argmax(-1), reduction="sum")
    found = iter(torch.autograd.grad(loss, [gate for module in modules for gate in gates[module]]))
    return [torch.cat([_by_frame(module, next(found)) for _ in gates[module]]) for module in modules]


def _by_frame(module: Any, effect: "Tensor") -> "Tensor":
    from torch.nn import Conv1d

    return effect[0].T if isinstance(module, Conv1d) else effect[0]


def by_gates(
    model: Any, modules: Sequence[Any], speech: "Sequence[Mapping[str, Tensor]]", per_frame: bool
) -> "list[Tensor]":
    """Return the sum over speech of the absolute derivative of the loss by a gate on each feature that enters modules.

    Args:
        model: a transformers CTC model.
        modules: as in ``effects``.
        speech: named inputs for each utterance alone.
        per_frame: a gate for each frame (Taylor), or one for an utterance (gradient).

    Returns:
        ``(width,)`` in float32 for each module.
    """
    totals: list[Tensor] = []
    for inputs in speech:
        by_frame = [effect.float() for effect in effects(model, modules, inputs)]
        found = [d.abs().sum(0) if per_frame else d.sum(0).abs() for d in by_frame]
        totals = [total + more for total, more in zip(totals, found, strict=True)] if totals else found
    return totals
