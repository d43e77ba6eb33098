"""Multiply-accumulates: counted without computing, and the same as a count of what is computed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.models.macs import count_macs, macs_of_work, work

TEN_S = 160_000


@pytest.fixture(scope="module")
def build() -> Callable[..., Any]:
    """Build an architecture with random weights, or without any, for what only looks at shapes."""
    import torch
    from transformers import AutoModelForCTC, Wav2Vec2Config

    from greenbench.variants.checkpoints import ARCHITECTURES

    def build(name: str, n_layers: int, device: str = "meta") -> Any:
        torch.manual_seed(1)
        settings = {**ARCHITECTURES[name], "num_hidden_layers": n_layers}
        with torch.device(device):
            return AutoModelForCTC.from_config(Wav2Vec2Config(**settings, vocab_size=32)).eval()

    return build


@pytest.mark.parametrize(
    ("name", "n_layers", "gmacs"), [("base", 12, 74.1), ("base", 4, 42.8), ("large", 24, 191.9), ("large", 4, 56.2)]
)
def test_the_work_of_published_architectures(build: Callable[..., Any], name: str, n_layers: int, gmacs: float) -> None:
    """Ten seconds of speech cost wav2vec 2.0 base 74.1 and large 191.9 billion multiply-accumulates, and students less.

    The figures are a count by hand from the published shapes: seven convolutions, the projection, the positional
    convolution, four projections, two feed-forward and two attention products a layer, and the head, at 499 frames.
    """
    assert count_macs(build(name, n_layers), TEN_S) / 1e9 == pytest.approx(gmacs, abs=0.05)


@pytest.mark.parametrize("name", ["base", "large-lv60"])
def test_the_count_is_that_of_a_real_run(build: Callable[..., Any], name: str) -> None:
    """Counting shapes gives exactly what FlopCounterMode counts while computing, with attention unfused."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = build(name, 1, "cpu")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(torch.zeros(1, 16_000))
    assert count_macs(model, 16_000) == counter.get_total_flops() / 2


def test_attention_counts_although_its_kernel_is_fused(build: Callable[..., Any]) -> None:
    """The attention of two layers at 499 frames is 2 x 2 x 499^2 x 768; a plain count on the CPU leaves it out."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model, counter = build("base", 2, "cpu"), FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(1, TEN_S))
    attention = 2 * 2 * 499**2 * 768
    counted = counter.get_total_flops() / 2
    assert counted in (count_macs(model, TEN_S) - attention, count_macs(model, TEN_S))


@pytest.mark.parametrize("method", ["fp16", "bf16", "int8-dynamic"])
def test_a_build_does_the_same_work(tiny_model: Path, method: str) -> None:
    """Precision and int8 change how the work is done, not how much of it, and counting leaves the model as it was."""
    import numpy as np

    from greenbench import registry
    from greenbench.variants.wav2vec2 import Wav2Vec2

    plain = Wav2Vec2(model=str(tiny_model))("x", []).load("cpu")
    built = Wav2Vec2(model=str(tiny_model))("x", [(method, registry.create("methods", method, {}))]).load("cpu")
    macs = plain.footprint.macs(32_000)
    assert macs is not None
    assert built.footprint.macs(32_000) == macs > 0
    audio = np.random.default_rng(1).normal(size=16_000).astype(np.float32)
    before = built([audio])
    built.footprint.macs(16_000)
    assert built([audio]) == before


def test_fewer_layers_are_less_work(tiny_model: Path) -> None:
    """Half the layers save half of what the layers cost, and nothing of the rest."""
    from greenbench.compress.layers import LayerDrop
    from greenbench.variants.wav2vec2 import Wav2Vec2

    def macs(methods: list[Any]) -> float:
        return Wav2Vec2(model=str(tiny_model))("x", methods).load("cpu").footprint.macs(16_000)

    layer = 49 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 49**2 * 32
    assert macs([]) - macs([("layer-drop", LayerDrop(keep=1))]) == layer


def test_what_cannot_be_counted_is_none() -> None:
    """A model that looks at its numbers cannot run on shapes alone: its work is unknown, not 0."""
    import torch
    from transformers import Wav2Vec2Config

    class Peeks(torch.nn.Module):
        config = Wav2Vec2Config()

        def forward(self, waveform: Any) -> Any:
            return waveform if waveform.sum().item() > 0 else -waveform

    assert count_macs(Peeks(), 16_000) is None


@pytest.mark.parametrize("name", ["base", "large-lv60"])
def test_the_count_of_any_length_follows_from_a_few(build: Callable[..., Any], name: str) -> None:
    """What an exported model keeps gives the count of the torch model, for lengths between and beyond those counted."""
    model = build(name, 2)
    kept = work(model)
    for n_samples in (8_123, 160_000, 161_537, 480_001):
        assert macs_of_work(model.config, kept, n_samples) == pytest.approx(count_macs(model, n_samples), rel=1e-6)


def test_work_is_counted_as_often_as_it_has_terms_and_a_little_more(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every export needs the work, and every count runs the model: a constant, the convolutions, the encoder's two."""
    counted: list[int] = []
    monkeypatch.setattr("greenbench.models.macs.count_macs", lambda _model, n: counted.append(n) or 7.0)
    assert work(build("base", 1)) is not None
    n_terms = 1 + 7 + 2
    assert n_terms < len(set(counted)) == len(counted) < 1.5 * n_terms


def test_work_that_cannot_be_counted_is_not_known(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that cannot run without numbers, or whose work follows another law, has no figure."""
    model = build("base", 1)
    monkeypatch.setattr("greenbench.models.macs.count_macs", lambda _model, n: float(n) ** 3)
    assert work(model) is None
    monkeypatch.setattr("greenbench.models.macs.count_macs", lambda _model, _n: None)
    assert work(model) is None
    assert macs_of_work(model.config, None, 16_000) is None
