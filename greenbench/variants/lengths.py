"""How many frames audio becomes, from the convolutions of a transformers configuration."""

from functools import reduce
from typing import Any


def receptive_field(config: Any) -> int:
    """Return the samples behind one frame: shorter audio has no frame at all.

    SEW squeezes ``squeeze_factor`` frames into one for its encoder, and needs as many.
    """
    layers = zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True)
    n_needed = getattr(config, "squeeze_factor", 1)
    return reduce(lambda field, layer: (field - 1) * layer[1] + layer[0], layers, n_needed)


def n_frames(config: Any, n_samples: int) -> int:
    """Return the frames of an utterance, adapters included (transformers' ``_get_feat_extract_output_lengths``)."""
    layers = [*zip(config.conv_kernel, config.conv_stride, strict=True)]
    if getattr(config, "add_adapter", False):
        layers += [(1, config.adapter_stride)] * config.num_adapter_layers
    return reduce(lambda n, layer: (n - layer[0]) // layer[1] + 1, layers, n_samples)
