"""Methods that set weights to zero or take them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from greenbench.compress.layers import set_weight
from greenbench.errors import InputError
from greenbench.plugins import BARE, Context

PAPER = {
    "*conv*": 0.1,
    "*.layers.[3-9].*": 0.3,
    "*.layers.1[0-6].*": 0.3,
    "*.layers.1[7-9].*": 0.4,
    "*.layers.2[0-3].*": 0.4,
}
"""Sensitivities of the preliminary study in "Shrinking Bigfoot", for the 24 layers of the large model, from 0."""


@dataclass(frozen=True)
class PruneMagnitude:
    """Set small weights to zero: in each layer those below its sensitivity times their standard deviation.

    The preliminary study of Peng et al., "Shrinking Bigfoot" (SustaiNLP 2021), by the rule of Han et al., "Learning
    both weights and connections" (2015). Zeros scattered over a dense matrix are multiplied like any other number
    and stored like any other: the row's ``n_nonzero_params`` falls, and neither size nor time do. The paper saw the
    same: 23 % zeros, the same WER, no speed-up.

    Attributes:
        sensitivity: by pattern of a layer's path (``*``, ``?``, ``[0-9]``); the first that fits counts, and a
            convolution or Linear layer that none fits stays as it is. The default is the paper's.
    """

    sensitivity: Mapping[str, float] = field(default_factory=lambda: dict(PAPER))

    def __post_init__(self) -> None:
        """Refuse what prunes nothing."""
        if not self.sensitivity or min(self.sensitivity.values()) <= 0:
            raise ValueError("sensitivity: give patterns with numbers above 0")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Set weights of convolutions and Linear layers to zero in place.

        Raises:
            InputError: no pattern fits any layer.
        """
        import torch

        fits = {
            module: next((s for pattern, s in self.sensitivity.items() if fnmatchcase(name, pattern)), None)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear | torch.nn.Conv1d)
        }
        if not any(fits.values()):
            raise InputError(f"prune-magnitude: sensitivity: no layer is called like {', '.join(self.sensitivity)}")
        for module, sensitivity in fits.items():
            if sensitivity is not None:
                weight = module.weight.detach()
                set_weight(module, weight * (weight.abs() >= sensitivity * weight.std(correction=0)))
        return model
