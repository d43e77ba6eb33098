"""Weights of few bits: codes come back from their bytes, values are their formula's, a layer is what its codes say."""

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from greenbench.models import packed  # noqa: E402
from greenbench.models.ctc import footprint  # noqa: E402

BITS = range(2, 9)


def weight(n_rows: int = 13, n_columns: int = 37) -> Any:
    """Return a weight with rows of very different sizes, one of them zero."""
    drawn = torch.randn(n_rows, n_columns, generator=torch.Generator().manual_seed(0))
    drawn *= torch.logspace(-3, 1, n_rows)[:, None]
    drawn[1] = 0
    return drawn


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 1001])
def test_codes_come_back_from_their_bytes(bits: int, n: int) -> None:
    """All values, the least and the greatest too, from just as many bytes as their bits need; the rest of them is 0."""
    codes = torch.randint(0, 2**bits, (n,), generator=torch.Generator().manual_seed(n))
    codes[0], codes[-1] = 0, 2**bits - 1
    stored = packed.pack(codes, bits)
    assert (stored.dtype, len(stored)) == (torch.uint8, (n * bits + 7) // 8)
    assert torch.equal(packed.unpack(stored, bits, n).long(), codes)
    value = sum(int(code) << bits * place for place, code in enumerate(codes))
    assert int.from_bytes(bytes(stored.tolist()), "little") == value, "codes are one number, the first lowest"


@pytest.mark.parametrize("bits", BITS)
def test_a_value_is_its_code_times_the_scale_of_its_row(bits: int) -> None:
    """s clip(round(W / s)) with whole numbers in their range; the scale is a float16, also that of a row of zeros."""
    whole = weight()
    scales = packed.row_scales(whole, bits)
    assert torch.equal(scales.half().float(), scales)
    codes = (whole / scales[:, None]).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert torch.allclose(packed.rounded(whole, scales, bits), scales[:, None] * codes)
    assert (packed.rounded(whole, scales, bits)[1] == 0).all()


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_scale_is_that_of_the_least_error(bits: int) -> None:
    """No other of the 25 has less, tried one by one; that of the largest weight has more in nearly every row."""
    whole = weight()[[0, *range(2, 13)]]
    best = (packed.rounded(whole, packed.row_scales(whole, bits), bits) - whole).square().sum(1)
    largest = whole.abs().amax(1) / (2 ** (bits - 1) - 1)
    for step in range(25):
        scales = ((0.4 + 0.025 * step) * largest).half().float()
        error = (packed.rounded(whole, scales, bits) - whole).square().sum(1)
        assert (best <= error * 1.0001).all()
    assert (best < error).float().mean() > 0.8, "the last one is that of the largest weight"


def test_the_gradient_passes_within_the_clip_and_nowhere_else() -> None:
    """1 where the nearest code is one of -2, -1, 0 and 1, else 0."""
    given = torch.tensor([[-9.0, -3.0, -2.0, -0.4, 0.0, 0.7, 1.0, 2.6]], requires_grad=True)
    (3 * packed.rounded(given, torch.ones(1), 2)).sum().backward()
    assert given.grad.tolist() == [[0, 0, 3, 3, 3, 3, 3, 0]]


@pytest.mark.parametrize("bits", BITS)
def test_a_packed_layer_gives_what_the_rounded_one_gives(bits: int) -> None:
    """Bit for bit, in floats of 32 bits and in bfloat16, which no cast of the model changes; so do its floats again."""
    linear = torch.nn.Linear(37, 13)
    model = torch.nn.Sequential(packed.of_linear(linear, bits))
    with torch.no_grad():
        linear.weight.copy_(packed.rounded(linear.weight, packed.row_scales(linear.weight, bits), bits))
        inputs = torch.randn(2, 5, 37)
        assert torch.equal(model(inputs), linear(inputs))
        half = copy.deepcopy(model).bfloat16()
        expected = copy.deepcopy(linear).bfloat16()(inputs.bfloat16())
        assert torch.equal(half(inputs.bfloat16()), expected)
        assert all(torch.equal(a, b) for a, b in zip(half[0].buffers(), model[0].buffers(), strict=True))
        assert torch.equal(packed.to_floats(model)(inputs), linear(inputs))
    assert type(model[0]) is torch.nn.Linear


@pytest.mark.parametrize(("bits", "bias"), [(2, True), (3, False), (8, True)])
def test_what_is_stored_are_the_codes_and_two_bytes_a_row(bits: int, bias: bool) -> None:
    """ceil(n b / 8) + 2 rows, and the bias in floats; a weight counts as one parameter, and multiplies as a float."""
    layer = packed.of_linear(torch.nn.Linear(37, 13, bias=bias), bits)
    n, of_bias = 37 * 13, 13 if bias else 0
    assert layer.n_bits() == 8 * ((n * bits + 7) // 8 + 2 * 13)
    assert sum(t.numel() * t.element_size() for t in layer.state_dict().values()) == layer.n_bits() / 8 + 4 * of_bias
    size = footprint(torch.nn.Sequential(layer))
    assert size.n_params == n + of_bias
    assert size.bits_per_weight == pytest.approx((layer.n_bits() + 32 * of_bias) / (n + of_bias))
    assert size.n_nonzero_params() == int(layer.dequantize().count_nonzero()) + of_bias


def test_random_codes_spread_as_random_weights_do() -> None:
    """Their deviation is 0.02, as transformers begins with."""
    layer = packed.drawn(torch.nn.Linear(300, 200), 4)
    assert float(layer.dequantize().std()) == pytest.approx(0.02, rel=0.02)
