"""Which layer gets how many bits: by what each number of bits does to a model, and learned in a training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from greenbench.compress.distill.companion import Companion, mean_frames
from greenbench.plugins import Context

if TYPE_CHECKING:
    from torch import Tensor


def allocation(damage: Sequence[Mapping[int, float]], n_weights: Sequence[int], mean_bits: float) -> list[int]:
    """Return the bits of each layer: from those of the least damage, those go first that save a bit at the least.

    A layer may lose several steps at once, so that one bad number between two good ones does not stop it.

    Args:
        damage: number of bits -> what a layer does to the model with them, for each layer.
        n_weights: of each layer.
        mean_bits: of a weight, that the mean is not to exceed; at least the fewest bits.
    """
    found = [min(of_layer, key=lambda bits: (of_layer[bits], -bits)) for of_layer in damage]
    while sum(n * bits for n, bits in zip(n_weights, found, strict=True)) > mean_bits * sum(n_weights):
        _, layer, fewer = min(
            ((of_layer[fewer] - of_layer[found[layer]]) / (n_weights[layer] * (found[layer] - fewer)), layer, fewer)
            for layer, of_layer in enumerate(damage)
            for fewer in of_layer
            if fewer < found[layer]
        )
        found[layer] = fewer
    return found


@dataclass
class BitSearch(Companion):
    """Layers of a student that choose their bits while it trains, and the term that keeps the mean of these low.

    Attributes:
        paths: of the layers.
        bits: numbers of bits to choose from.
        mean_bits: the most, as the mean over all weights of the layers.
        tau: temperature of the gates at the first step of the search and at its last.
        budget: factor of the term.
        steps: of the search; the bits are settled after them.
    """

    name: ClassVar[str] = "bit_budget"
    last: ClassVar[bool] = True

    paths: Sequence[str]
    bits: Sequence[int]
    mean_bits: float
    tau: Sequence[float]
    budget: float
    steps: int
    _frames: float = field(default=1.0, init=False)

    def attach(self, student: Any, context: Context) -> None:
        """Let the layers choose."""
        from greenbench.compress import bit_choice

        bit_choice.add(student, self.paths, self.bits)
        self._frames = mean_frames(student, context)

    def groups(self, student: Any, lr: float) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return the choices, without decay, at a rate of 0.02, or more in few steps, so that they can come as far."""
        from greenbench.compress import bit_choice

        rate = max(0.02, min(1.0, 12 / self.steps))
        choices = [layer.choice for layer in bit_choice.choices(student).values()]
        return [{"params": choices, "lr": rate, "weight_decay": 0.0}]

    def begin(self, student: Any, step: int, of: int) -> None:  # noqa: ARG002
        """Set the temperature; after the search, settle the bits."""
        from greenbench.compress import bit_choice

        if step >= self.steps:
            self._settle(student)
        first, last = self.tau
        for layer in bit_choice.choices(student).values():
            layer.tau = first * (last / first) ** (step / max(1, self.steps - 1))

    def term(self, student: Any, step: int, of: int) -> "Tensor":  # noqa: ARG002
        """Return what too many bits cost: nothing where their expected mean is low enough, or they are settled."""
        from greenbench.compress import bit_choice

        layers = [*bit_choice.choices(student).values()]
        n_too_many = (bit_choice.expected_bits(layers) - self.mean_bits).clamp_min(0)
        weight = 0.0 if step >= self.steps else self.budget * self._frames  # with a gradient, for which DDP waits
        term: Tensor = weight * n_too_many
        return term

    def detach(self, student: Any) -> Any:
        """Return the student with its weights packed in the bits that were chosen."""
        from greenbench.compress import bit_choice

        self._settle(student)
        bit_choice.pack(student)
        return student

    def _settle(self, student: Any) -> None:
        """Give each layer its most probable bits, fewer where that costs the least probability until the mean holds."""
        from greenbench.compress import bit_choice

        layers = [*bit_choice.choices(student).values()]
        if all(layer.settled for layer in layers):
            return
        sizes = [layer.weight.numel() for layer in layers]
        for layer, bits in zip(layers, allocation([x.surprise() for x in layers], sizes, self.mean_bits), strict=True):
            layer.settled.fill_(bits)
