"""Builds that store weights as integers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.quantize import Int8Dynamic
from greenbench.errors import InputError
from greenbench.suite.entries import VariantEntry, build_variant

EVERY_LAYER = {"use": "int8-dynamic", "exclude": []}


def load(folder: Path, *builds: Any) -> Any:
    """Load a model with builds chained on, on the CPU."""
    return build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds))).load("cpu")


def test_only_linear_layers_become_int8(tiny_model: Path) -> None:
    """Every Linear but the head is int8; the head, convolutions and norms keep their exact float weights."""
    import torch
    from torch.ao.nn.quantized.dynamic import Linear

    plain, model = load(tiny_model).model, load(tiny_model, "int8-dynamic").model
    linear = {name for name, module in plain.named_modules() if isinstance(module, torch.nn.Linear)} - {"lm_head"}
    quantized = {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
    assert set(quantized) == linear != set()
    assert {module.weight().dtype for module in quantized.values()} == {torch.qint8}
    rest = {name: p for name, p in plain.named_parameters() if name.rpartition(".")[0] not in linear}
    kept = dict(model.named_parameters())
    assert set(kept) == set(rest)
    assert all(kept[name].equal(rest[name]) for name in rest)
    assert any("pos_conv_embed" in name for name in kept)


def test_int8_weights_are_close_to_the_floats(tiny_model: Path) -> None:
    """No weight moves by more than half a step of its layer's grid of 255 steps."""
    plain, model = load(tiny_model).model.lm_head.weight, load(tiny_model, EVERY_LAYER).model.lm_head.weight()
    step = model.q_scale()
    assert (model.dequantize() - plain).abs().max() <= step / 2 * 1.001
    assert step <= 2 * plain.abs().max() / 254


def test_a_scale_for_each_output_is_closer(tiny_model: Path) -> None:
    """With ``per_channel`` every row of a weight has a scale of its own, and the weights are nearer to the floats."""
    plain = load(tiny_model).model.lm_head.weight
    whole, rows = (
        load(tiny_model, {**EVERY_LAYER, "per_channel": each}).model.lm_head.weight() for each in (False, True)
    )
    assert len(rows.q_per_channel_scales()) == len(plain)
    assert (rows.dequantize() - plain).square().mean() < (whole.dequantize() - plain).square().mean()


def test_paths_choose_the_layers(tiny_model: Path) -> None:
    """``include`` and ``exclude`` take parts of a path; a choice that leaves nothing is one clear line."""
    from torch.ao.nn.quantized.dynamic import Linear

    builds = {"use": "int8-dynamic", "include": ["feed_forward", "lm_head"], "exclude": ["layers.1."]}
    found = {n for n, module in load(tiny_model, builds).model.named_modules() if isinstance(module, Linear)}
    layer = "wav2vec2.encoder.layers.0.feed_forward"
    assert found == {f"{layer}.intermediate_dense", f"{layer}.output_dense", "lm_head"}
    with pytest.raises(InputError, match="int8-dynamic: include and exclude leave none of"):
        load(tiny_model, {"use": "int8-dynamic", "include": ["conv_layers"]})


def test_it_transcribes_and_shrinks(tiny_model: Path) -> None:
    """No parameter is lost, a Linear weight takes one byte instead of four, and a batch still reads."""
    import torch

    plain, model = load(tiny_model), load(tiny_model, EVERY_LAYER)
    n_linear = sum(m.weight.numel() for m in plain.model.modules() if isinstance(m, torch.nn.Linear))
    assert model.footprint.n_params == plain.footprint.n_params
    saved_bytes = plain.footprint.model_bytes - model.footprint.model_bytes
    assert saved_bytes == pytest.approx(3 * n_linear, abs=20_000)  # the archive's own records differ
    assert len(model([np.zeros(16000, "float32"), np.zeros(300, "float32")])) == 2
    assert model.dtype == torch.float32


def test_it_is_for_the_cpu() -> None:
    """A GPU is refused with the reason, the CPU is not."""
    assert Int8Dynamic().unsupported("cpu") is None
    assert "CPU only, not on cuda:0" in str(Int8Dynamic().unsupported("cuda:0"))
    assert "CPU only, not on mps" in str(Int8Dynamic().unsupported("mps"))


def test_a_torch_without_kernels_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch was built without a quantisation engine the variant is skipped, not broken."""
    import torch

    class Nothing:
        supported_engines = ("none",)

    monkeypatch.setattr(torch.backends, "quantized", Nothing)
    assert Int8Dynamic().unsupported("cpu") == "this build of torch has no quantisation engine"
