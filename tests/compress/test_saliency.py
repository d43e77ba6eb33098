"""Hooks are on a model for one run of it, and off again however that ends; effects are by gradients."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from greenbench.compress.saliency import effects  # noqa: E402
from greenbench.models.hooks import attached  # noqa: E402


def n_hooks(module: Any) -> int:
    """Return the hooks of a module."""
    return len(module._forward_hooks) + len(module._forward_pre_hooks)


def test_hooks_are_off_after_a_run_that_fails() -> None:
    """Also where the second of them cannot be registered."""
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(RuntimeError), attached(layer.register_forward_hook(print) for _ in range(2)):
        layer(torch.zeros(3))
    assert n_hooks(layer) == 0
    with pytest.raises(TypeError), attached(module.register_forward_hook(print) for module in (layer, torch.nn.Linear)):
        raise AssertionError("not reached")
    assert n_hooks(layer) == 0


def test_effects_are_the_products_of_values_and_their_gradients(small: Any) -> None:
    """By finite differences: a value that is scaled by 1 + e changes the loss by e times its effect."""
    small = small.double()
    inputs = {"input_values": torch.randn(1, 4000, generator=torch.Generator().manual_seed(1)).double()}
    part = small.base_model.encoder.layers[1].feed_forward.output_dense
    found = effects(small, [part], inputs)[0]
    best = small(**inputs).logits[0].detach().argmax(-1)

    def loss(scale: float) -> float:
        def scaled(_module: Any, given: Any) -> Any:
            changed = given[0].clone()
            changed[0, 2, 5] *= scale
            return (changed,)

        with attached([part.register_forward_pre_hook(scaled)]), torch.no_grad():
            return float(torch.nn.functional.cross_entropy(small(**inputs).logits[0], best, reduction="sum"))

    assert found.shape[1] == part.in_features
    assert float(found[2, 5]) == pytest.approx((loss(1.001) - loss(0.999)) / 0.002, rel=1e-3, abs=1e-9)
    assert n_hooks(part) == 0
