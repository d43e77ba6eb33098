"""How many frames audio becomes, from the convolutions of a transformers configuration."""

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate
from math import log2, prod
from typing import Any

from greenbench.plugins import SAMPLE_RATE_HZ

Layer = tuple[int, int, int]
"""Kernel, stride and padding of what makes fewer frames of many."""

SPECTRA = ("wav2vec2-bert", "parakeet_ctc")
"""Model types whose feature extractor turns audio into spectra; the others read waveforms."""


def reads_spectra(config: Any) -> bool:
    """Say whether a model reads spectra, in frames of their own, and not waveforms."""
    return config.model_type in SPECTRA


def receptive_field(config: Any) -> int:
    """Return the samples behind one frame: shorter audio has no frame at all.

    SEW squeezes ``squeeze_factor`` frames into one for its encoder, and needs as many. Spectra are normalised by the
    deviation over their frames, for which a tenth of a second is enough.
    """
    if reads_spectra(config):
        return SAMPLE_RATE_HZ // 10
    layers = zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True)
    n_needed = getattr(config, "squeeze_factor", 1)
    return reduce(lambda field, layer: (field - 1) * layer[1] + layer[0], layers, n_needed)


def n_frames(config: Any, n_samples: int) -> int:
    """Return the frames of an utterance, adapters included (transformers' ``_get_feat_extract_output_lengths``)."""
    return lengths(n_samples, [*front_end(config), *adapter(config)])[-1]


def frame_samples(config: Any) -> int:
    """Return the samples from the beginning of one frame of the output to that of the next."""
    return prod(stride for _, stride, _ in [*front_end(config), *adapter(config)])


def lengths(n: int, layers: Sequence[Layer]) -> list[int]:
    """Return how many frames there are at first and after each of some layers."""
    return [*accumulate(layers, lambda n, layer: (n + 2 * layer[2] - layer[0]) // layer[1] + 1, initial=n)]


def front_end(config: Any) -> list[Layer]:
    """Return the layers that make frames of samples, the feature extractor's windows among them."""
    if config.model_type == "wav2vec2-bert":  # windows of 25 ms, in pairs, of which the last may be half empty
        return [(400, 160, 0), (1, 2, 0)]
    if config.model_type == "parakeet_ctc":  # ``_get_subsampling_output_length``
        encoder = config.encoder_config
        kernel = encoder.subsampling_conv_kernel_size
        halving = (kernel, encoder.subsampling_conv_stride, (kernel - 1) // 2)
        return [(160, 160, 0), *[halving] * int(log2(encoder.subsampling_factor))]
    return [(kernel, stride, 0) for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True)]


def input_shape(config: Any, n_samples: int) -> tuple[int, ...]:
    """Return the shape of what the feature extractor makes of one utterance: samples, or frames of a spectrum."""
    if config.model_type == "parakeet_ctc":  # its spectrum has a frame more, which its mask leaves out
        return (1, n_samples // 160 + 1, config.encoder_config.num_mel_bins)
    if reads_spectra(config):
        return (1, lengths(n_samples, front_end(config))[-1], config.feature_projection_input_dim)
    return (1, n_samples)


def adapter(config: Any) -> list[Layer]:
    """Return the layers of an adapter behind the encoder; none where a model has none."""
    if not getattr(config, "add_adapter", False):
        return []
    kernel = config.adapter_kernel_size if reads_spectra(config) else 1
    return [(kernel, config.adapter_stride, kernel // 2)] * config.num_adapter_layers
