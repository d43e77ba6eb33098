"""Hints: prediction heads compare what they say, train with the student, and are no part of it afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenbench.compress.distill import Distill
from greenbench.compress.distill.hints import HINTS, PredictionHeads, add_hints, compared, drop_hints
from greenbench.compress.layers import LayerDrop
from greenbench.compress.reduce import ReduceFrames
from greenbench.errors import InputError
from greenbench.plugins import Context, Outline
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

from greenbench.compress.distill.losses import LOSSES, Outputs, Target  # noqa: E402
from greenbench.compress.distill.training import _prepare  # noqa: E402
from greenbench.compress.distill.trunk import TrainOnly  # noqa: E402


def of_width(width: int) -> Any:
    """Return what stands for a model of a width."""
    model = torch.nn.Module()
    model.config = SimpleNamespace(hidden_size=width, num_hidden_layers=2)
    return model


def states(n: int, width: int, seed: int = 0) -> Sequence[Any]:
    """Return hidden states of two utterances of six frames."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 6, width, generator=generator, dtype=torch.float64) for _ in range(n)]


def test_one_head_that_is_the_identity_compares_the_last_layer() -> None:
    """Two unit matrices, 40 added before GELU, which is the identity up there, and taken away after it."""
    student = of_width(8)
    add_hints(student, [of_width(8)], {}, PredictionHeads([4]))
    shared, apart = student.hint_projections["shared"].double(), student.hint_projections["apart"][0].double()
    for linear, bias in ((shared, 40.0), (apart, -40.0)):
        torch.nn.init.eye_(linear.weight)
        torch.nn.init.constant_(linear.bias, bias)
    ours, mask = Outputs(torch.zeros(2, 6, 4), None, states(3, 8, 1)), torch.ones(2, 6, dtype=torch.bool)
    target = Target(Outputs(ours.logits, None, states(5, 8, 2)), mask, [], 0, 1.0, {2: 4})
    expected = LOSSES["hidden"](ours, target)
    found = LOSSES["hidden"](compared(student, ours, PredictionHeads([4])), replace(target, layers={1: 4}))
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_heads_give_states_of_the_teachers_width_from_the_last_layer_alone() -> None:
    """Three heads of a student half as wide, of the size that arithmetic says; then they are gone."""
    student, ours = of_width(4), [state.float() for state in states(3, 4)]
    add_hints(student, [of_width(8)], {}, PredictionHeads([1, 2, 5]))
    weights = sum(weight.numel() for weight in student.parameters())
    assert weights == (4 * 24 + 24) + 3 * (8 * 8 + 8)
    heads = PredictionHeads([1, 2, 5])
    first = compared(student, Outputs(ours[0], None, ours), heads).hidden
    assert [state.shape[-1] for state in first] == [4, 8, 8, 8]
    assert not torch.equal(first[1], first[2]), "each has a map of its own"
    again = compared(
        student, Outputs(ours[0], None, [ours[0], 2 * ours[1], ours[2]]), PredictionHeads([1, 2, 5])
    ).hidden
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    drop_hints(student)
    assert not list(student.parameters())


def test_heads_are_compared_with_the_layers_that_they_name() -> None:
    """The first head with the first of the list, and so on; a sample is drawn of these pairs."""
    assert Distill(steps=1, losses={"hidden": 1}, heads=PredictionHeads([4, 8, 12])).hint_layers == {1: 4, 2: 8, 3: 12}
    assert Distill(steps=1, losses={"hidden": 1}, hidden_layers={1: 6}).hint_layers == {1: 6}


def test_heads_that_nothing_reads_or_that_name_no_layer_are_refused() -> None:
    """One line each: without a loss between layers, beside a map of layers, and beyond the teacher's last layer."""
    with pytest.raises(ValueError, match="heads: is for the losses hidden, "):
        Distill(steps=1, heads=PredictionHeads([4]))
    with pytest.raises(ValueError, match="hidden_layers: heads name the teacher's layers: leave one of the two out"):
        Distill(steps=1, losses={"hidden": 1}, heads=PredictionHeads([4]), hidden_layers={1: 4})
    settings = Distill(steps=1, losses={"hidden": 1}, heads=PredictionHeads([4, 13]))
    with pytest.raises(InputError, match="distill: heads: layers: 13: the teacher has 12 layers"):
        settings.follow(Outline("wav2vec2", 2, teacher=Outline("wav2vec2", 12)))


@pytest.mark.parametrize("reduction", [{"at": 0}, {"at": 1}, {"how": "signal"}])
@pytest.mark.parametrize("n_samples", [8_000, 8_320])
def test_a_student_on_fewer_frames_is_compared_at_all_of_them(
    tiny_model: Path, reduction: dict[str, Any], n_samples: int
) -> None:
    """Behind a reduction, whatever its place and the number of frames, each layer has those of the teacher again, and
    prediction heads have them; a layer before it is compared as it is."""
    teacher, student = (Wav2Vec2(model=str(tiny_model)).open()[0] for _ in range(2))
    n_layers, width = student.config.num_hidden_layers, student.config.hidden_size
    at = reduction.get("at", 0)
    ReduceFrames(**reduction)(student)
    add_hints(student, [teacher], {}, None)
    maps = dict(getattr(student, HINTS, torch.nn.ModuleDict()).items())
    assert [*maps] == [str(layer) for layer in range(at + 1, n_layers + 1)]
    assert all(size_of(part) == 2 * width * width + width + width * (width + 1) for part in maps.values())
    audio = torch.randn(2, n_samples, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = teacher(audio, output_hidden_states=True)
        raw = student(audio, output_hidden_states=True)
        ours = compared(student, Outputs(raw.logits, None, raw.hidden_states), None)
    assert [state.shape for state in ours.hidden[1:]] == [state.shape for state in theirs.hidden_states[1:]]
    assert all(torch.equal(ours.hidden[i], raw.hidden_states[i]) for i in range(1, at + 1))
    drop_hints(student)
    heads = PredictionHeads([1, 1])
    add_hints(student, [teacher], {}, heads)
    with torch.no_grad():
        ours = compared(student, Outputs(raw.logits, None, raw.hidden_states), heads)
    assert [state.shape for state in ours.hidden[1:]] == [theirs.hidden_states[1].shape] * 2


def size_of(module: Any) -> int:
    """Return its number of parameters."""
    return sum(weight.numel() for weight in module.parameters())


def test_weights_of_layers_that_are_not_compared_are_refused() -> None:
    """Without a loss between layers, beside a map that lacks the layer, and beyond the student's last layer."""
    with pytest.raises(ValueError, match="hidden_weights: is for the losses hidden, "):
        Distill(steps=1, hidden_weights={1: 2.0})
    with pytest.raises(ValueError, match="hidden_weights: 3: is not compared, only 1, 2"):
        Distill(steps=1, losses={"hidden": 1}, hidden_layers={1: 4, 2: 8}, hidden_weights={3: 2.0})
    settings = Distill(steps=1, losses={"hidden": 1}, hidden_weights={3: 2.0})
    with pytest.raises(InputError, match="distill: hidden_weights: 3: the student has 2 layers"):
        settings.follow(Outline("wav2vec2", 2, teacher=Outline("wav2vec2", 12)))


def test_hints_train_whatever_part_of_the_student_does(tiny_model: Path) -> None:
    """``train_only`` freezes the student around them: what is compared through maps that stay as drawn says nothing."""
    teacher, student = (Wav2Vec2(model=str(tiny_model)).open()[0] for _ in range(2))
    settings = Distill(steps=1, losses={"hidden": 1}, heads=PredictionHeads([1]), train_only=["lm_head"])
    optimizer = _prepare(settings, student, Context(teacher=teacher), [TrainOnly(["lm_head"])])
    trained = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    named = {name for name, weight in student.named_parameters() if id(weight) in trained}
    assert {name.partition(".")[0] for name in named} == {"lm_head", HINTS}


@pytest.mark.parametrize(("layers", "n_params"), [(2, 23_491_200), (3, 30_579_072)])
def test_the_first_layers_of_hubert_are_the_published_sizes(layers: int, n_params: int) -> None:
    """DistilHuBERT's 23.49M (arXiv 2110.01900), and the 30.58M of three layers (Ashihara et al., arXiv 2207.06867).

    Theirs has no head for tokens and no embedding for masked frames, and this teacher no norm of the features.
    """
    from transformers import HubertConfig, HubertForCTC

    with torch.device("meta"):
        model = HubertForCTC(HubertConfig(feat_proj_layer_norm=False))
    student = LayerDrop(keep=layers, select="first_k")(model)
    theirs = (student.base_model.masked_spec_embed, *student.lm_head.parameters())
    assert sum(weight.numel() for weight in student.parameters()) - sum(weight.numel() for weight in theirs) == n_params
