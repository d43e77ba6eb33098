"""How much work a torch model does: its multiply-accumulates, counted from shapes without computing anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


def count_macs(model: Any, n_samples: int) -> float | None:
    """Count the multiply-accumulates of convolutions and matrix products for one utterance.

    The model runs on torch's meta device, which has shapes and no numbers, under ``FlopCounterMode``; a
    multiply-accumulate is two of its floating-point operations. Attention is taken apart into its matrix products,
    because the counter does not know every fused kernel and would leave it out. int8 layers count as many as the
    float layers they stand for; biases, norms and activations do not count.

    Args:
        model: a ``torch.nn.Module`` that takes waveforms of shape ``(1, n_samples)``; it is left as it is.
        n_samples: of the utterance; attention grows with the square of it.

    Returns:
        The count, or None where the model cannot run without numbers.
    """
    import torch
    from torch.func import functional_call
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    state = {name: t.to("meta") for name, t in [*model.named_parameters(), *model.named_buffers()]}
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), torch.float32)
    waveform = torch.empty(1, n_samples, dtype=dtype, device="meta")
    counter = FlopCounterMode(display=False)
    try:
        with _floats_for_int8(model), sdpa_kernel(SDPBackend.MATH), torch.no_grad(), counter:
            functional_call(model, state, (waveform,))
    except Exception:  # whatever a model does to numbers that are not there, it can still be measured
        return None
    return float(counter.get_total_flops()) / 2


@contextmanager
def _floats_for_int8(model: Any) -> Iterator[None]:
    """Let the dynamically quantised Linear layers, which have no meta kernels, multiply shapes like plain ones."""
    import torch
    from torch.ao.nn.quantized.dynamic import Linear

    def forward(layer: Any, inputs: Any) -> Any:
        weight = torch.empty(layer.out_features, layer.in_features, dtype=inputs.dtype, device="meta")
        return torch.nn.functional.linear(inputs, weight)

    layers = [module for module in model.modules() if isinstance(module, Linear)]
    for layer in layers:
        vars(layer)["forward"] = partial(forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]
