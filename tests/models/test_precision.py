"""What a row says of the precisions that its model multiplied in."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from greenbench.compress.quantize import Int8Dynamic
from greenbench.models.precision import compute_dtype, named, stored_bits
from greenbench.suite.entries import VariantEntry, build_variant


def model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv1d(4, 4, 2), torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float32, "fp32"), (torch.float16, "fp16"), (torch.bfloat16, "bf16")]
)
def test_a_plain_model_multiplies_in_what_its_weights_are(dtype: torch.dtype, name: str) -> None:
    """Weights of matrices and kernels decide; norms and biases, which multiply little, may be in anything."""
    made = model().to(dtype)
    made[2].float()
    assert compute_dtype(made) == name


def test_layers_of_int8_stand_beside_the_floats() -> None:
    """Dynamic int8 leaves the convolution in float32, and both take part."""
    assert compute_dtype(Int8Dynamic()(model())) == "fp32+int8"


@pytest.mark.filterwarnings("ignore")  # torchao's imports warn
def test_torchao_says_whether_inputs_are_quantised_too() -> None:
    """Weights that are only kept in int8 are multiplied as floats; with quantised inputs they are integers."""
    pytest.importorskip("torchao")
    from greenbench.compress.torchao import Int8TorchAo, Int8WeightOnly

    assert compute_dtype(Int8WeightOnly()(model())) == "fp32"
    assert compute_dtype(Int8TorchAo()(model())) == "fp32+int8"


@pytest.mark.parametrize(
    ("capability", "allowed", "name"), [((9, 0), True, "fp32+tf32"), ((9, 0), False, "fp32"), ((7, 5), True, "fp32")]
)
def test_float32_on_cuda_has_tf32_in_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], allowed: bool, name: str
) -> None:
    """Torch runs convolutions in TF32 by default where the GPU can, so a model in float32 is held against that."""
    weight = SimpleNamespace(dtype=torch.float32, device=torch.device("cuda", 0))
    made = SimpleNamespace(modules=list, parameters=lambda: [SimpleNamespace(data=weight, ndim=2)])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    assert compute_dtype(made) == name


def test_names_come_in_one_order() -> None:
    """CTranslate2's names are told like torch's, those that are not known last, and nothing of nothing."""
    assert named(["int8", "float32"]) == "fp32+int8"
    assert named(["int16", "bfloat16"]) == "bf16+int16"
    assert named([]) is None


def test_bits_of_weights_are_those_that_are_stored() -> None:
    """32 or 16 a float; 8 an integer of torch's, with 64 for the scale and 64 for the zero point, once or a channel."""
    weight = torch.randn(4, 6)
    assert stored_bits(weight) == 24 * 32
    assert stored_bits(torch.nn.Parameter(weight.bfloat16())) == 24 * 16
    assert stored_bits(torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)) == 24 * 8 + 128
    scales, zeros = torch.full((4,), 0.1), torch.zeros(4, dtype=torch.long)
    assert stored_bits(torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)) == 24 * 8 + 4 * 128


@pytest.mark.parametrize(("build", "expected"), [("fp32", 32.0), ("bf16", 16.0), ("int8-dynamic", None)])
def test_a_row_says_how_many_bits_a_weight_takes(tiny_model: Path, build: str, expected: float | None) -> None:
    """All parameters alike, or the share of each: int8 for the Linear layers but the head, floats for the rest."""
    made = build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=[build])).load("cpu")
    if expected is None:
        layers = 2 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32  # attention, feed-forward; the projection of features
        floats = made.footprint.n_params - layers
        expected = (32 * floats + 8 * layers + 128 * 13) / made.footprint.n_params
    assert made.footprint.bits_per_weight == pytest.approx(expected)
