"""The samples that a model needs for one frame."""

import pytest

from greenbench.models.frames import n_frames, receptive_field

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(("family", "n_samples"), [("Wav2Vec2", 400), ("SEW", 720), ("SEWD", 720)])
def test_the_shortest_audio_has_logits(family: str, n_samples: int) -> None:
    """Audio of that length goes through the whole model; SEW squeezes two frames into one and needs two."""
    config = getattr(transformers, f"{family}Config")(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    assert receptive_field(config) == n_samples
    model = getattr(transformers, f"{family}ForCTC")(config).eval()
    with torch.inference_mode():
        logits = model(torch.zeros(1, n_samples)).logits
    assert logits.shape[1] == n_frames(config, n_samples) >= 1
