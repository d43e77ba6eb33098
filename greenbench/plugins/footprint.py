"""The footprint of a loaded model: its size, and the work that it does."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class EarlyExits:
    """What is known of a model that decides for each utterance how many of its layers run.

    Attributes:
        layers_run: utterances by the number of layers that ran for them. The model counts; who measures begins anew.
        macs: returns the multiply-accumulates for one utterance of a number of samples that leaves after a number of
            layers; ``None`` where unknown.
    """

    layers_run: Counter[int]
    macs: Callable[[int, int], float | None]


@dataclass(frozen=True)
class Footprint:
    """The size of a loaded model, and the work that it does.

    Attributes:
        n_params: parameters, quantised ones included; ``None`` where the engine does not report it.
        model_bytes: bytes of the serialised state that runs; ``None`` where unknown.
        macs: returns the multiply-accumulates for one utterance of a number of samples; ``None`` where unknown, or
            where ``exits`` decide them.
        n_nonzero_params: counts the parameters that are not zero, once the model is loaded and timed; ``None`` where
            unknown.
        compute_dtype: the precisions of its matrix products and convolutions, from ``PRECISIONS`` and in that
            order: ``bf16``, ``fp32+int8``; ``None`` where unknown.
        bits_per_weight: stored bits of its parameters, scales included, for each of them; ``None`` where unknown.
        exits: what runs of a model with early exits; ``None`` of one whose layers always run.
    """

    n_params: int | None = None
    model_bytes: int | None = None
    macs: Callable[[int], float | None] = lambda _n_samples: None
    n_nonzero_params: Callable[[], int | None] = lambda: None
    compute_dtype: str | None = None
    bits_per_weight: float | None = None
    exits: EarlyExits | None = None
