"""The samples that a model needs for one frame."""

import pytest

from greenbench.models.frames import frame_samples, n_frames, receptive_field

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


@pytest.mark.parametrize(
    ("family", "settings", "n_samples"),
    [("Wav2Vec2", {}, 320), ("Wav2Vec2", {"add_adapter": True, "adapter_stride": 2, "num_adapter_layers": 2}, 1280),
     ("Wav2Vec2Bert", {}, 320)],
)  # fmt: skip
def test_a_frame_more_for_each_so_many_samples(family: str, settings: dict, n_samples: int) -> None:
    """So many samples more are one frame more, however long the audio is."""
    config = getattr(transformers, f"{family}Config")(**settings)
    assert frame_samples(config) == n_samples
    counts = [n_frames(config, 16_000 + k * n_samples) for k in range(4)]
    assert counts == list(range(counts[0], counts[0] + 4))
