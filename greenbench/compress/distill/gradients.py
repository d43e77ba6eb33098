"""Gradients of parts of a student that are scaled while it trains."""

from collections.abc import Mapping
from typing import Any

from greenbench.compress.distill.companion import Companion, parameters
from greenbench.plugins import Context


class GradientScale(Companion):
    """Multiplies the gradients of some parameters, before they are summed and clipped."""

    name = "gradient_scale"

    def __init__(self, factors: Mapping[str, float]) -> None:
        """Take the factor of the parameters whose path contains a text; the first that fits counts."""
        self.factors = factors
        self._hooks: list[Any] = []

    def attach(self, student: Any, context: Context) -> None:  # noqa: ARG002
        """Put a hook on each of these parameters.

        Raises:
            InputError: no parameter has such a path.
        """
        for name, parameter in parameters(student, self.name, self.factors).items():
            factor = next((factor for part, factor in self.factors.items() if part in name), 1.0)
            if factor != 1 and parameter.requires_grad:
                self._hooks.append(parameter.register_hook(_times(factor)))

    def detach(self, student: Any) -> Any:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        return student


def _times(factor: float) -> Any:
    return lambda gradient: gradient * factor
