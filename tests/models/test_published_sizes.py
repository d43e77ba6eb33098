"""Sizes of published students: their shapes built by transformers' classes, less what these add by name."""

from pathlib import Path
from typing import Any

import pytest

from greenbench.compress.distill.hints import HINTS, add_hints
from greenbench.compress.reduce import ReduceFrames

torch = pytest.importorskip("torch")

CONFIGS = Path(__file__).parents[2] / "suites" / "configs"

ADDED = ("lm_head.", "hubert.masked_spec_embed")
"""What transformers has beside the published encoders: a head for tokens, and the embedding of masked frames."""

BASE = 94_371_712
"""HuBERT base."""


def hubert(**settings: Any) -> Any:
    """Return a HuBERT of shapes without numbers."""
    from transformers import HubertConfig, HubertForCTC

    with torch.device("meta"):
        return HubertForCTC(HubertConfig(**settings))


def of_file(name: str) -> Any:
    """Return the model of a shipped configuration, shapes without numbers."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    with torch.device("meta"):
        return Wav2Vec2ForCTC(Wav2Vec2Config.from_json_file(CONFIGS / name / "config.json"))


def size(model: Any, *without: str) -> int:
    """Return the number of parameters whose path has none of these parts."""
    return sum(weight.numel() for path, weight in model.named_parameters() if not any(part in path for part in without))


@pytest.mark.parametrize(("feature_norm", "n_params"), [(False, 26_871_936), (True, 26_872_960)])
def test_twelve_half_as_wide_layers_are_the_published_sizes(feature_norm: bool, n_params: int) -> None:
    """26.87M of 12-L Half (Ashihara et al., arXiv 2207.06867), and the 27M of LightHuBERT's small default slice
    (arXiv 2203.15610), which has a norm of the features."""
    half = {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6}
    assert size(hubert(**half, feat_proj_layer_norm=feature_norm), *ADDED) == n_params


def test_hubert_base_and_a_quarter_of_it_are_the_published_sizes() -> None:
    """DPHuBERT's 23.59M (Peng et al., 2023) are those that a sparsity of 0.75 leaves."""
    assert size(hubert(), "lm_head.") == BASE == 4 * 23_592_928


def test_fithubert_is_of_the_published_sizes() -> None:
    """22.49M with one head, and 31.63M, FitW2V2's, with all twelve (Lee et al., arXiv 2207.00555).

    Theirs have a transposed convolution behind their layers, which nothing uses. Here a map of that size, with a bias
    for each of two frames, brings the student's own frames back, beside those before, with a weight for each feature.
    """
    student, width = of_file("fithubert"), 480
    assert size(student, *ADDED) == 20_738_816
    with torch.device("meta"):
        ReduceFrames(at=0)(student)
        add_hints(student, [hubert()], {}, None)
    assert size(student, *ADDED) == 31_629_632 + width + width
    assert size(student, *ADDED, *(f"{HINTS}.{layer}." for layer in range(1, 12))) == 22_492_064 + width + width


@pytest.mark.parametrize(
    ("width", "inner", "shared", "n_params"),
    [(480, 864, 6, 26_447_968), (432, 816, 6, 22_393_648), (480, 640, 0, 26_635_360)],
)
def test_students_as_thin_as_their_front_end_are_the_published_sizes(
    width: int, inner: int, shared: int, n_params: int
) -> None:
    """ARMHuBERT's 26.45M and 22.39M, and MaskHuBERT's 26.64M: features are as wide as layers and not projected, and
    where layers use the map of attention of the one before, they have no queries and keys."""
    student = hubert(
        hidden_size=width, intermediate_size=inner, num_attention_heads=12, num_feat_extract_layers=9,
        conv_dim=[128, *[256] * 5, *[width] * 3], conv_kernel=[10, 1, 3, 3, 3, 3, 1, 2, 2],
        conv_stride=[5, 1, 2, 2, 2, 2, 1, 2, 2],
    )  # fmt: skip
    with torch.device("meta"):
        add_hints(student, [hubert()], {}, None)
    without = [f"layers.{2 * n + 1}.attention.{part}_proj" for n in range(shared) for part in "qk"]
    assert size(student, *ADDED, "feature_projection.projection", *without) == n_params


@pytest.mark.parametrize(
    ("name", "n_params"),
    [("deep-12x96", 1_901_054), ("deep-6x136", 1_947_454), ("wide-3x192", 2_025_854), ("wide-2x240", 2_173_694)],
)
def test_small_shapes_of_about_one_size_are_those_that_arithmetic_says(name: str, n_params: int) -> None:
    """Four ways from deep and narrow to shallow and wide, with the front end of the bundled teacher: d features and
    n layers have a projection, a positional convolution, n (12 d^2 + 13 d), a norm and a head of 30 tokens."""
    n, d = (int(part) for part in name.rpartition("-")[2].split("x"))
    projection, positions = 2 * 192 + 192 * d + d, d * (d // 8) * 32 + d + 32
    by_hand = 499_968 + projection + positions + n * (12 * d * d + 13 * d) + 2 * d + 30 * (d + 1)
    assert size(of_file(name)) == by_hand == n_params
