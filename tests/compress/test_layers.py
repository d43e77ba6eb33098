"""Dropping layers: the right ones go, and nothing else changes."""

import pytest

from greenbench.compress.layers import LayerDrop, layers_to_keep
from greenbench.errors import InputError


@pytest.mark.parametrize(
    ("n_layers", "keep", "select", "kept"),
    [
        (24, 12, "every_k", list(range(0, 24, 2))),  # the paper's first hop
        (12, 4, "every_k", [0, 3, 6, 9]),  # and its second
        (12, 4, "first_k", [0, 1, 2, 3]),
        (12, 4, "last_k", [8, 9, 10, 11]),
        (12, 4, "spaced", [0, 4, 7, 11]),
        (12, 1, "spaced", [0]),
        (3, 3, "every_k", [0, 1, 2]),
    ],
)
def test_the_layers_of_each_selection(n_layers: int, keep: int, select: str, kept: list[int]) -> None:
    """Each selection keeps the layers that its source describes."""
    assert layers_to_keep(n_layers, keep, select) == kept


def test_more_layers_than_there_are_cannot_be_kept() -> None:
    """Asking for too many is one clear line."""
    with pytest.raises(InputError, match="layer-drop: keep: 5 layers cannot be kept of 4"):
        layers_to_keep(4, 5, "first_k")


def test_a_shortened_model_runs_and_shares_the_kept_weights(tiny_model) -> None:
    """The kept layer's weights, the front end and the head are the teacher's; the configuration says one layer."""
    import torch
    from transformers import AutoModelForCTC

    teacher = AutoModelForCTC.from_pretrained(tiny_model).eval()
    whole = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    student = LayerDrop(keep=1, select="last_k")(teacher)
    assert student.config.num_hidden_layers == len(student.wav2vec2.encoder.layers) == 1
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, whole[name.replace("encoder.layers.0", "encoder.layers.1")]), name
    with torch.inference_mode():
        assert student(torch.zeros(1, 16000)).logits.shape == (1, 49, 32)
