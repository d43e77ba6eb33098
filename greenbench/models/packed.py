"""Linear layers whose weights are stored in few bits: how weights become codes, and codes bytes."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import linear, pad

from greenbench.models import linears

if TYPE_CHECKING:
    from torch import Tensor

N_FACTORS, LEAST_FACTOR = 25, 0.4
"""Scales that are tried for a row: at equal distances from this share of the largest weight's up to that itself."""


def row_scales(weight: "Tensor", bits: int) -> "Tensor":
    """Return the scale of each row of a weight, ``(n_rows,)`` in float32, rounded to float16: that of the least error.

    The error is the squared one after ``rounded``. Tried are s = f max|W| / (2^(bits - 1) - 1), with 25 factors f from
    0.4 to 1. A scale of the largest weight alone (f = 1) ruins 2 and 3 bits.

    Args:
        weight: ``(n_rows, n_columns)``.
        bits: of a code.
    """
    weight = weight.detach().float()
    largest = weight.abs().amax(1) / (2 ** (bits - 1) - 1)
    best, least = torch.ones_like(largest), torch.full_like(largest, torch.inf)
    for factor in torch.linspace(LEAST_FACTOR, 1, N_FACTORS).tolist():
        scales = (factor * largest).half().float()
        scales = torch.where(scales > 0, scales, 1.0)  # of a row of zeros
        error = (weight - rounded(weight, scales, bits)).square().sum(1)
        best, least = torch.where(error < least, scales, best), torch.minimum(error, least)
    return best


def rounded(weight: "Tensor", scales: "Tensor", bits: int) -> "Tensor":
    """Return what codes of few bits hold of a weight: s clip(round(W / s), -2^(bits - 1), 2^(bits - 1) - 1) by row.

    Its gradient by W is 1 within the clip and 0 outside (the straight-through estimator; Bengio et al., arXiv
    1308.3432, 2013).

    Args:
        weight: ``(n_rows, n_columns)`` in float32.
        scales: s of each row, ``(n_rows,)`` in float32.
        bits: of a code.
    """
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    highest = 2 ** (bits - 1) - 1
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -highest - 1, highest)


def pack(codes: "Tensor", bits: int) -> "Tensor":
    """Return codes side by side in bytes, ``(ceil(n bits / 8),)`` uint8, the lowest bits first.

    Args:
        codes: ``(n,)`` integers from 0 to 2^bits - 1.
        bits: of each.
    """
    eights = pad(codes.to(torch.int32), (0, -len(codes) % 8)).view(-1, 8)
    packed = eights.new_zeros(len(eights), bits + 1)
    for column in range(8):
        byte, shift = divmod(column * bits, 8)
        placed = eights[:, column] << shift
        packed[:, byte] |= placed & 255
        packed[:, byte + 1] |= placed >> 8
    return packed[:, :bits].flatten()[: n_bytes(len(codes), bits)].to(torch.uint8)


def unpack(packed: "Tensor", bits: int, n: int) -> "Tensor":
    """Return ``n`` codes, ``(n,)`` int16: the inverse of ``pack``."""
    n_eights = -(-n // 8)
    eights = pad(packed, (0, n_eights * bits - len(packed))).view(n_eights, bits)
    bytewise = pad(eights.T.contiguous(), (0, 0, 0, 1)).to(torch.int16)  # in a row
    places = [divmod(column * bits, 8) for column in range(8)]
    columns = [(bytewise[byte] | bytewise[byte + 1] << 8) >> shift for byte, shift in places]
    return torch.stack(columns, 1).bitwise_and_(2**bits - 1).flatten()[:n]


def n_bytes(n: int, bits: int) -> int:
    """Return the bytes that ``n`` codes take."""
    return -(-n * bits // 8)


class PackedLinear(nn.Module):
    """A Linear layer that stores its weight in few bits, and makes floats of it whenever it is called.

    Attributes:
        bits: of a code.
        codes: ``(ceil(in_features out_features bits / 8),)`` uint8, as ``pack`` makes them, of codes from 0.
        scales: ``(out_features,)``, the bits of a float16 as int16, so that no cast of the model reaches them.
        bias: ``(out_features,)``, or None.
    """

    codes: "Tensor"
    scales: "Tensor"

    def __init__(self, codes: "Tensor", scales: "Tensor", bias: "Tensor | None", bits: int, in_features: int) -> None:
        """Take what is stored."""
        super().__init__()
        self.bits, self.in_features, self.out_features = bits, in_features, len(scales)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.bias = None if bias is None else nn.Parameter(bias.detach())

    def forward(self, inputs: "Tensor") -> "Tensor":
        """Return ``(..., out_features)`` of ``(..., in_features)``."""
        return linear(inputs, self.dequantize().to(inputs.dtype), self.bias)

    def dequantize(self) -> "Tensor":
        """Return the weight, ``(out_features, in_features)`` in float32."""
        codes = unpack(self.codes, self.bits, self.numel()).view(self.out_features, self.in_features)
        scales = self.scales.view(torch.float16).float()
        return codes.sub_(2 ** (self.bits - 1)).float().mul_(scales[:, None])

    def numel(self) -> int:
        """Return the number of weights."""
        return self.in_features * self.out_features

    def n_bits(self) -> int:
        """Return the bits in which the weight is stored, scales included."""
        return 8 * self.codes.numel() + 16 * self.out_features


def of_linear(layer: Any, bits: int, scales: "Tensor | None" = None) -> PackedLinear:
    """Return a Linear layer packed.

    Args:
        layer: a ``torch.nn.Linear`` in floats.
        bits: of a code, 2 to 8.
        scales: of each row, float16 in float32; those of ``row_scales`` where not given.
    """
    scales = row_scales(layer.weight, bits) if scales is None else scales
    values = rounded(layer.weight.detach().float(), scales, bits)
    codes = (values / scales[:, None]).round().to(torch.int32) + 2 ** (bits - 1)
    return PackedLinear(pack(codes.flatten(), bits), _stored(scales), layer.bias, bits, layer.in_features)


def drawn(layer: Any, bits: int) -> PackedLinear:
    """Return a packed layer of the shape of a Linear one with random weights, as ``linears.drawn`` spreads them."""
    codes = layer.weight.new_empty(n_bytes(layer.weight.numel(), bits), dtype=torch.uint8).random_(0, 256)
    spread = 0.02 * 12**0.5 / 2**bits  # the deviation of whole numbers below n, all as likely, is near n / sqrt(12)
    scales = _stored(layer.weight.new_full((layer.out_features,), spread))
    return PackedLinear(codes, scales, layer.bias, bits, layer.in_features)


def _stored(scales: "Tensor") -> "Tensor":
    return scales.half().view(torch.int16)


def packed_layers(model: Any) -> dict[str, PackedLinear]:
    """Return the packed layers of a model by path."""
    return {path: module for path, module in model.named_modules() if isinstance(module, PackedLinear)}


def to_floats(model: Any) -> Any:
    """Put a plain Linear layer with the same weight in the place of each packed one, for engines that take no other.

    Returns:
        The model, changed in place; its floats are those of the biases.
    """
    for path, layer in packed_layers(model).items():
        weight = layer.dequantize()
        model.set_submodule(path, linears.of(weight if layer.bias is None else weight.to(layer.bias), layer.bias))
    return model
