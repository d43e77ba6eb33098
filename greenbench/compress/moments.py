"""What layers take in and give on calibration speech: second moments, from which means and covariances follow."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from greenbench.models.hooks import attached

if TYPE_CHECKING:
    from torch import Tensor


def second_moments(
    model: Any, layers: Sequence[Any], speech: "Sequence[Mapping[str, Tensor]]", side: Literal["inputs", "outputs"]
) -> "list[Tensor]":
    """Return the mean over frames of z zᵀ, z = [x; 1] with x what a layer takes in or gives.

    Args:
        model: a torch module in ``eval``; it is left as it is.
        layers: of it; the frames of all runs count, where layers share one.
        speech: named inputs for each utterance alone.
        side: which x is meant.

    Returns:
        ``(n_features + 1, n_features + 1)`` in float64 a layer; the last column holds the mean of x, and a one.
    """
    import torch

    sums: dict[int, Tensor | float] = dict.fromkeys(range(len(layers)), 0.0)

    def adding(number: int) -> Any:
        def add(_module: Any, given: Any, result: Any) -> None:
            x = (given[0] if side == "inputs" else result).detach().double().flatten(0, -2)
            z = torch.nn.functional.pad(x, (0, 1), value=1.0)
            sums[number] = sums[number] + z.T @ z

        return add

    with attached(layer.register_forward_hook(adding(n)) for n, layer in enumerate(layers)), torch.no_grad():
        for inputs in speech:
            model(**inputs)
    found = [total for total in sums.values() if not isinstance(total, float)]
    return [total / total[-1, -1] for total in found]
