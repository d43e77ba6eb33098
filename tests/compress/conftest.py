"""Fixtures of the methods' tests: a small model of either order of norms, and what its feature extractor reads."""

from typing import Any

import pytest

from greenbench.plugins import Context

from ..variants.tiny import one_thread, save_model, save_processor

__all__ = ["context", "one_thread", "save_model", "save_processor", "small"]


@pytest.fixture(params=["post-norm", "pre-norm"])
def small(request: pytest.FixtureRequest) -> Any:
    """A random CTC model of three layers, whose norms come after each part (base) or before it (large, lv60)."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    before = request.param == "pre-norm"
    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, vocab_size=32,
        conv_dim=(16,) * 4, conv_kernel=(64, 8, 4, 4), conv_stride=(20, 4, 2, 2), num_feat_extract_layers=4,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, initializer_range=0.2,
        do_stable_layer_norm=before, feat_extract_norm="layer" if before else "group",
    )  # fmt: skip
    torch.manual_seed(3)
    return Wav2Vec2ForCTC(config).eval()


@pytest.fixture
def context() -> Context:
    """What a method in a chain gets: the feature extractor."""
    from transformers import Wav2Vec2FeatureExtractor

    return Context(extractor=Wav2Vec2FeatureExtractor())
