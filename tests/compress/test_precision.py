"""Builds that choose the floating-point precision."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.precision import Bf16, Fp16, Fp32
from greenbench.errors import InputError
from greenbench.suite.entries import VariantEntry, build_variant


@pytest.fixture(scope="module")
def noise() -> list[np.ndarray]:
    """Three waveforms of different lengths."""
    rng = np.random.default_rng(7)
    return [rng.standard_normal(n).astype("float32") / 10 for n in (16000, 8000, 300)]


def load(folder: Path, *builds: str) -> Any:
    """Load a model with builds chained on, on the CPU."""
    return build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds))).load("cpu")


@pytest.mark.parametrize(("build", "dtype", "ratio"), [("fp32", "float32", 1), ("fp16", "float16", 0.5),
                                                       ("bf16", "bfloat16", 0.5)])  # fmt: skip
def test_weights_inputs_and_size_follow_the_build(
    build: str, dtype: str, ratio: float, tiny_model: Path, noise: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every weight and the input have the build's type, the serialised weights its width, and texts come out."""
    import torch

    plain, model = load(tiny_model), load(tiny_model, build)
    forward, seen = model.model.forward, {}
    monkeypatch.setattr(model.model, "forward", lambda **inputs: seen.update(inputs) or forward(**inputs))
    assert len(model(noise)) == 3
    assert {p.dtype for p in model.model.parameters()} == {getattr(torch, dtype)}
    assert seen["input_values"].dtype == getattr(torch, dtype)
    assert model.footprint.n_params == plain.footprint.n_params
    saved_bytes = ratio * 4 * plain.footprint.n_params
    assert saved_bytes < model.footprint.model_bytes < saved_bytes + 60_000  # names and headers of the archive


def test_the_last_precision_counts(tiny_model: Path) -> None:
    """``+fp16+fp32`` runs in float32, having lost what float16 cannot hold."""
    import torch

    model = load(tiny_model, "fp16", "fp32")
    weights, full = model.model.lm_head.weight, load(tiny_model).model.lm_head.weight
    assert weights.dtype == torch.float32
    assert weights.equal(full.half().float())
    assert not weights.equal(full)


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", "mps"])
def test_fp32_and_fp16_run_anywhere(device: str) -> None:
    """No device is refused, and no GPU needs to be there to ask."""
    assert Fp32().unsupported(device) is None
    assert Fp16().unsupported(device) is None


@pytest.mark.parametrize(("macos", "native"), [(13, False), (14, True), (26, True)])
def test_bf16_on_mps_needs_macos_14(macos: int, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metal has bfloat16 from macOS 14 on."""
    import torch

    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: (macos, 0) >= (major, minor))
    reason = Bf16().unsupported("mps")
    assert reason is None if native else "fp16" in str(reason)


def test_bf16_runs_on_the_cpu() -> None:
    """The CPU has bfloat16."""
    assert Bf16().unsupported("cpu") is None


@pytest.mark.parametrize("native", [True, False])
def test_bf16_needs_a_gpu_that_has_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that only emulates bfloat16 is refused: torch calls emulation support unless it is told not to."""
    import contextlib

    import torch

    monkeypatch.setattr(torch.cuda, "device", lambda _device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    reason = Bf16().unsupported("cuda:1")
    assert reason == (None if native else "cuda:1 has no bfloat16; use fp16")


@pytest.mark.parametrize("build", ["fp16", "bf16"])
def test_half_precision_and_int8_do_not_mix(build: str, tiny_model: Path) -> None:
    """Int8 layers take float32 only, so either order is refused in one line instead of failing inside a kernel."""
    with pytest.raises(InputError, match=f"{build} cannot follow int8-dynamic"):
        load(tiny_model, "int8-dynamic", build)
    with pytest.raises(InputError, match="int8-dynamic needs a model in float32"):
        load(tiny_model, build, "int8-dynamic")
