"""The top of a CTC model: its last layer norm and its head, and what enters them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greenbench.models.hooks import attached

if TYPE_CHECKING:
    from torch import Tensor


def before_head(model: Any, speech: "Iterable[Mapping[str, Tensor]]") -> "tuple[list[Any], list[Tensor]]":
    """Return the last layer norm and the head, and what enters them for each utterance, ``(n_frames, width)``.

    Where more than dropout stands between the two, as in SEW or with an adapter, it is the head alone.

    Args:
        model: a transformers CTC model in ``eval``.
        speech: named inputs for each utterance alone.
    """
    import torch

    head = model.lm_head
    ran: list[tuple[Any, Tensor, Tensor]] = []
    hidden: list[Tensor] = []
    into_head: list[Tensor] = []
    is_last = True
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]

    def keep(module: Any, given: "Sequence[Tensor]", out: "Tensor") -> None:
        ran.append((module, given[0], out))

    with attached(module.register_forward_hook(keep) for module in (*norms, head)), torch.no_grad():
        for inputs in speech:
            ran.clear()
            model(**inputs)
            (norm, given, out), (_, of_head, _) = ran[-2:]
            hidden.append(given[0])
            into_head.append(of_head[0])
            is_last = is_last and torch.equal(out, of_head)
    return ([norm, head], hidden) if is_last else ([head], into_head)
