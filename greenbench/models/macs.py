"""How much work a torch model does: its multiply-accumulates, counted from shapes without computing anything."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from greenbench.models.frames import adapter, front_end, input_shape, lengths
from greenbench.plugins import SAMPLE_RATE_HZ

N_MORE = 3
"""Lengths that ``work`` counts beyond those that its terms need; every count takes the time of a model on shapes."""


def count_macs(model: Any, n_samples: int) -> float | None:
    """Count the multiply-accumulates of convolutions and matrix products for one utterance.

    The model runs on torch's meta device, which has shapes and no numbers, under ``FlopCounterMode``; a
    multiply-accumulate is two of its floating-point operations. Attention is taken apart into its matrix products,
    because the counter does not know every fused kernel and would leave it out. int8 layers count as many as the
    float layers they stand for; biases, norms and activations do not count.

    Args:
        model: a transformers CTC model; it is left as it is.
        n_samples: of the utterance; attention grows with the square of it.

    Returns:
        The count, or None where the model cannot run without numbers.
    """
    import torch
    from torch.func import functional_call
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    # each tensor by its first name alone: by ``tie_weights`` torch would put shapes back in the place of shared ones
    tensors = [*model.named_parameters(), *model.named_buffers()]
    state = {name: torch.empty(t.shape, dtype=t.dtype, device="meta") for name, t in tensors}  # plain, also torchao's
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), torch.float32)
    inputs = torch.empty(input_shape(model.config, n_samples), dtype=dtype, device="meta")
    counter = FlopCounterMode(display=False)
    try:
        with (
            _kept(model), _floats_for_int8(model), sdpa_kernel(SDPBackend.MATH), torch.no_grad(), counter,
            torch.device("meta"),  # for what a model makes itself
        ):  # fmt: skip
            functional_call(model, state, (inputs,), tie_weights=False)
    except Exception:  # whatever a model does to numbers that are not there, it can still be measured
        return None
    return float(counter.get_total_flops()) / 2


def macs_after(model: Any, n_samples: int, n_layers: int) -> float | None:
    """Return what ``count_macs`` counts for an utterance that leaves at a model's first exit after so many layers."""
    from greenbench.models.exits import leaving_after

    with leaving_after(n_layers):
        return count_macs(model, n_samples)


def work(model: Any) -> list[float] | None:
    """Return what ``macs_of_work`` computes the count of any length from, once the model is not at hand any more.

    The work of a convolutional front end is linear in the outputs of each of its layers, that of a transformer
    linear and quadratic in the frames, also where an edit makes those fewer. So the count of any length follows from
    those of a few: ``N_MORE`` lengths more than there are terms, by which another law is found out.

    Returns:
        The coefficients of those terms; None where they do not give the counts back exactly.
    """
    factors = fewer_frames(model)
    n_terms = len(_terms(model.config, SAMPLE_RATE_HZ, factors))
    lengths = np.random.default_rng(0).integers(SAMPLE_RATE_HZ, 20 * SAMPLE_RATE_HZ, n_terms + N_MORE).tolist()
    counts = [count_macs(model, length) for length in lengths]
    if None in counts:
        return None
    terms = np.array([_terms(model.config, length, factors) for length in lengths], dtype=float)
    of_unit = terms / terms.max(axis=0)
    found, *_ = np.linalg.lstsq(of_unit, np.array(counts, dtype=float), rcond=None)
    exact = np.allclose(of_unit @ found, np.array(counts, dtype=float), rtol=1e-6)
    return (found / terms.max(axis=0)).tolist() if exact else None


def macs_of_work(
    config: Any, coefficients: Sequence[float] | None, n_samples: int, factors: Sequence[int] = ()
) -> float | None:
    """Return what ``count_macs`` counts for a model, from its configuration, its ``work`` and its ``fewer_frames``."""
    return None if coefficients is None else float(np.dot(coefficients, _terms(config, n_samples, factors)))


def fewer_frames(model: Any) -> list[int]:
    """Return by how much parts of a model's encoder have fewer frames than it takes in; [] where none has."""
    from greenbench.models.reducer import factors

    return factors(model)


def _terms(config: Any, n_samples: int, factors: Sequence[int] = ()) -> list[int]:
    """Return a constant, the outputs of each layer of front end and adapter, the encoder's frames and their square."""
    outputs = lengths(n_samples, front_end(config))[1:]
    n_encoded = outputs[-1] // getattr(config, "squeeze_factor", 1)
    n_inside = [n_encoded, *(-(-n_encoded // factor) for factor in factors)]
    return [1, *outputs, *lengths(outputs[-1], adapter(config))[1:], *n_inside, *(n**2 for n in n_inside)]


@contextmanager
def _kept(model: Any) -> Iterator[None]:
    """Leave modules with the tensors that they keep for the next call, such as rotary positions; none has numbers here.

    A table of positions that was made of shapes would be taken for the next utterance of the same length.
    """
    import torch

    before = [(module, dict(vars(module))) for module in model.modules()]
    for module, attributes in before:
        found = {name: value for name, value in attributes.items() if isinstance(value, torch.Tensor)}
        vars(module).update({name: torch.empty_like(value, device="meta") for name, value in found.items()})
    try:
        yield
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)


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
