"""Builds by torchao: small, near to the floats, and counted rightly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench import extras
from greenbench.compress import torchao as ours
from greenbench.datasets.quickstart import Quickstart
from greenbench.errors import InputError
from greenbench.suite.entries import VariantEntry, build_variant

Reads = Callable[[Any], str]
BUILDS = ("int8-weight-only", "int8-torchao")
installed = pytest.mark.skipif(ours._unsupported("cpu") is not None, reason="torchao is not installed")


def load(model: str | Path, *builds: Any) -> Any:
    """Load a preset, or a folder, with builds chained on, on the CPU."""
    use = {"use": str(model)} if str(model).startswith("wav2vec2/") else {"use": "wav2vec2", "model": str(model)}
    return build_variant(VariantEntry(**use, builds=list(builds))).load("cpu")


@installed
def test_they_read_the_quick_start_as_floats_do_in_a_third_of_the_bytes(teacher: Any, teacher_reads: Reads) -> None:
    """Greedy texts of the bundled speech hardly change; parameters and work are those of the float model."""
    import jiwer

    plain, clips = teacher, list(Quickstart(voices="seen")())[::30]
    texts = [teacher_reads(clip) for clip in clips]
    for build in BUILDS:
        model = load("wav2vec2/quickstart", build)
        assert jiwer.wer(texts, [model([clip.read()])[0] for clip in clips]) < 0.03
        assert model.footprint.n_params == plain.footprint.n_params
        assert model.footprint.model_bytes < 0.36 * plain.footprint.model_bytes
        assert model.footprint.macs(48_000) == plain.footprint.macs(48_000)
        assert 0.9 * plain.footprint.n_params < model.footprint.n_nonzero_params() <= plain.footprint.n_params


@installed
def test_four_bits_take_a_fifth_of_the_bytes(tiny_model: Path, teacher: Any, teacher_reads: Reads) -> None:
    """After bf16, int4 weights read nearly as floats do; without it, or on a GPU, it is refused in one line."""
    import jiwer

    plain, clips = teacher, list(Quickstart(voices="seen")())[::30]
    model = load("wav2vec2/quickstart", "bf16", "int4-weight-only")
    texts = [teacher_reads(clip) for clip in clips]
    assert jiwer.wer(texts, [model([clip.read()])[0] for clip in clips]) < 0.06
    assert model.footprint.n_params == plain.footprint.n_params
    assert model.footprint.model_bytes < 0.21 * plain.footprint.model_bytes
    assert model.footprint.macs(48_000) == plain.footprint.macs(48_000)
    assert model.footprint.n_nonzero_params() is None
    with pytest.raises(InputError, match="put bf16 before it"):
        load(tiny_model, "int4-weight-only")
    assert "CPU only, not on cuda:0" in str(ours.Int4WeightOnly().unsupported("cuda:0"))


def test_four_bits_of_no_layer_are_refused(tiny_model: Path) -> None:
    """Where no layer can be cut into groups, the build would be bfloat16 under another name."""
    model = load(tiny_model, "bf16").model
    with pytest.raises(InputError, match="group_size: no layer has inputs in groups of 128 .* give a smaller one"):
        ours.Int4WeightOnly(group_size=128)(model)


@installed
@pytest.mark.parametrize("build", BUILDS)
def test_the_precision_comes_first(tiny_model: Path, build: str) -> None:
    """After bf16 the activations are bfloat16; before it the order is refused in one line; paths choose layers."""
    assert str(load(tiny_model, "bf16", build).dtype) == "torch.bfloat16"
    with pytest.raises(InputError, match="bf16 cannot follow a build by torchao"):
        load(tiny_model, build, "bf16")
    with pytest.raises(InputError, match=f"{build}: include and exclude leave none"):
        load(tiny_model, {"use": build, "include": ["conv_layers"]})


@pytest.mark.parametrize("build", BUILDS)
def test_what_is_missing_is_a_reason(tiny_model: Path, build: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torchao, or on Apple's GPUs, the row says what to do."""
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=[build]))
    monkeypatch.setattr(extras, "is_installed", lambda module: True)
    assert variant.unsupported("cuda:0") is None
    assert "not on mps" in str(variant.unsupported("mps"))
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "torchao")
    assert "pip install 'greenbench[torchao]'" in str(variant.unsupported("cpu"))
