"""Subnets compute what is cut out of their model and share its gradients; they are drawn, counted and resumed alike."""

import csv
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.compress.calibration import speech_for
from greenbench.compress.distill import Distill
from greenbench.compress.distill.companion import Companion
from greenbench.compress.elastic import Elastic, Supernet, put_in_order
from greenbench.compress.low_rank import LowRank
from greenbench.compress.reduce import ReduceFrames
from greenbench.compress.subnet import Shape, Space, Subnet, computing, cut
from greenbench.errors import InputError
from greenbench.models import opening
from greenbench.models.attention import attentions
from greenbench.plugins import Context, Outline, Utterance
from greenbench.plugins.events import Event, TrainingLogged
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

from greenbench.compress import heads, neurons  # noqa: E402

TRAINING = Distill(steps=4, lr=1e-3, batch_s=4, log_every=1, validate_every=2, losses={"kl": 1.0})
SHAPES = [Shape(3), Shape(1), Shape(2, (1, 2), (64, 8)), Shape(3, (2, 1, 1), (16, 64, 3)), Shape(2, (), (8, 8))]
"""Subnets of the small model of three layers, two heads and 64 neurons."""


def audio(n_samples: int = 16_000) -> Any:
    """Return noise, ``(1, n_samples)``."""
    return 0.1 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(1))


def logits(model: Any) -> Any:
    """Return what a model makes of noise."""
    with torch.no_grad():
        return model(audio()).logits


# --- what a subnet computes ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_subnet_computes_what_its_folder_computes(small: Any, shape: Shape, tmp_path: Path) -> None:
    """Within its supernet, cut out, and opened again from a folder; the supernet is then as it was."""
    before, extracted = logits(small), deepcopy(small)
    with computing(small, shape):
        within = logits(small)
    assert torch.equal(logits(small), before)
    cut(extracted, shape)
    opening.save(extracted, tmp_path)
    again = opening.opened("subnet", tmp_path, torch.float32).eval()
    assert torch.allclose(logits(again), within, atol=1e-5)
    assert len(again.base_model.encoder.layers) == again.config.num_hidden_layers == shape.layers
    if shape != SHAPES[0]:
        assert not torch.allclose(within, before, atol=1e-3), "so that the comparison can fail"


@pytest.mark.parametrize("kind", ["WavLM", "Wav2Vec2Conformer", "Hubert", "SEW", "Data2VecAudio"])
def test_models_of_other_types_have_subnets_of_layers_and_neurons(save_model: Any, kind: str) -> None:
    """Also where attention has positions, and where a layer has two feed-forward parts."""
    model = Wav2Vec2(model=str(save_model(kind, num_hidden_layers=3, initializer_range=0.2))).open()[0]
    with computing(model, Shape(2, (), (16, 40))):
        within = logits(model)
    assert torch.allclose(logits(Subnet(layers=2, ffn=[16, 40])(model)), within, atol=1e-5)


def test_a_subnet_has_memory_of_its_own(small: Any) -> None:
    """Weights of a supernet are the same for all its subnets; what is cut out holds no more than it has."""
    whole = {name: weight.data_ptr() for name, weight in small.named_parameters()}
    extracted = deepcopy(small)
    cut(extracted, Shape(2, (1, 1), (8, 8)))
    for name, weight in extracted.named_parameters():
        assert weight.untyped_storage().nbytes() == weight.numel() * weight.element_size(), name
        assert weight.data_ptr() != whole[name]


def test_plain_transformers_loads_a_subnet_with_all_heads(small: Any, tmp_path: Path) -> None:
    """Its configuration has the layers and the neurons, where all layers have as many."""
    from transformers import AutoModelForCTC

    Subnet(layers=2, ffn=24)(small)
    opening.save(small, tmp_path)
    loaded = AutoModelForCTC.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(loaded), logits(small))
    assert (loaded.config.num_hidden_layers, loaded.config.intermediate_size) == (2, 24)


def test_the_order_keeps_what_is_computed_and_puts_the_best_first(small: Any, context: Context) -> None:
    """Logits stay; the scores of the heads and neurons of each layer then fall."""
    before = logits(small)
    given = speech_for(small, context, {"use": "quickstart", "part": "unlabelled"}, 2)
    put_in_order(small, given, True, True)
    assert torch.allclose(logits(small), before, atol=1e-5)
    layers = [*attentions(small).values()]
    for score in [*heads.by_speech(small, layers, given, "taylor"), *neurons.scores(small, "taylor", given)]:
        assert bool((score.diff() <= 1e-4 * score.max()).all())


# --- sizes -----------------------------------------------------------------------------------------------


def n_params(d: int, head: int, shape: Shape) -> int:
    """Return the parameters of layers of a width, with four matrices of attention, a feed-forward part and two norms:
    each head has 4 d + 3 weights a feature, each neuron 2 d + 1, and outputs and norms 6 d."""
    per_layer = zip(shape.heads, shape.ffn, strict=True)
    return sum(n * head * (4 * d + 3) + f * (2 * d + 1) + 6 * d for n, f in per_layer)


@pytest.mark.parametrize("shape", [Shape(2, (1, 2), (64, 8)), Shape(3, (2, 1, 1), (16, 64, 3)), Shape(1, (2,), (1,))])
def test_a_subnet_has_as_many_parameters_as_the_formula_says(small: Any, shape: Shape) -> None:
    """Whole model less its layers, plus those of the subnet."""
    whole = sum(weight.numel() for weight in small.parameters())
    cut(small, shape)
    found = sum(weight.numel() for weight in small.parameters())
    assert found == whole - n_params(32, 16, Shape(3, (2,) * 3, (64,) * 3)) + n_params(32, 16, shape)


def test_the_default_subnet_of_small_lighthubert_has_its_published_size() -> None:
    """26.87M parameters: 6 of 8 heads of 64 and 1536 neurons in 12 layers of width 384, cut from the small supernet's
    heads and neurons at that width; transformers has a mask vector and a head for tokens beside them."""
    from transformers import HubertConfig, HubertForCTC

    from greenbench.models.edits.heads import Heads

    config = HubertConfig(hidden_size=384, num_attention_heads=6, intermediate_size=2048, vocab_size=32)
    with torch.device("meta"):
        model = HubertForCTC(config)
        Heads((8,) * 12, (64,) * 12).make(model)
        Subnet(heads=6, ffn=1536)(model)
    apart = {"hubert.masked_spec_embed", "lm_head.weight", "lm_head.bias"}
    assert sum(weight.numel() for name, weight in model.named_parameters() if name not in apart) == 26_872_960


# --- what trains -----------------------------------------------------------------------------------------


SPACE = Space((1, 2, 3), (1, 2), (8, 16, 64))


def test_each_step_has_the_largest_the_smallest_and_some_that_are_drawn() -> None:
    """The same for the same step; depths, heads and neurons are uniform within four deviations over 2000 steps."""
    supernet = Supernet(SPACE, 2, 5, None)
    for step in (0, 1, 7):
        shapes = supernet.shapes(step)
        assert [*shapes] == ["", "smallest", "random_1", "random_2"]
        assert shapes[""] == Shape(3, (2,) * 3, (64,) * 3)
        assert shapes["smallest"] == Shape(1, (1,), (8,))
        assert shapes == Supernet(SPACE, 2, 5, Shape(1)).shapes(step)
    drawn = [supernet.shapes(step)["random_1"] for step in range(2000)]
    assert drawn != [Supernet(SPACE, 2, 6, None).shapes(step)["random_1"] for step in range(2000)]
    assert all(len(shape.heads) == len(shape.ffn) == shape.layers for shape in drawn)
    for sizes, found in (
        (SPACE.layers, [shape.layers for shape in drawn]),
        (SPACE.heads, [n for shape in drawn for n in shape.heads]),
        (SPACE.ffn, [n for shape in drawn for n in shape.ffn]),
    ):
        n, p, counts = len(found), 1 / len(sizes), Counter(found)
        assert all(abs(counts[size] - n * p) < 4 * (n * p * (1 - p)) ** 0.5 for size in sizes)
    assert any(len(set(shape.ffn)) > 1 for shape in drawn), "layers are drawn by themselves"
    assert [*Supernet(SPACE, 0, 5, None).shapes(0)] == ["", "smallest"]


def test_shared_weights_have_the_gradient_that_a_pen_gives() -> None:
    """Two neurons without an activation, y = a c + b d of 1, and the first alone, y = a c: of the sum of both outputs
    the gradients by a, b, c, d are 2 c, d, 2 a, b; and a second layer, which doubles, counts only where it runs."""
    from torch import nn

    class Feeding(nn.Module):
        def __init__(self, into: Any, out: Any) -> None:
            super().__init__()
            self.intermediate_dense, self.output_dense = nn.Linear(1, 2), nn.Linear(2, 1)
            for linear, weight in ((self.intermediate_dense, into), (self.output_dense, out)):
                linear.weight.data, linear.bias.data = torch.tensor(weight), torch.zeros(len(weight))

        def forward(self, given: Any) -> Any:
            return self.output_dense(self.intermediate_dense(given))

    a, b, c, d = 2.0, 3.0, 5.0, 7.0
    model = nn.Module()
    model.base_model = nn.Module()
    model.base_model.encoder = encoder = nn.Module()
    encoder.layers = nn.ModuleList([Feeding([[a], [b]], [[c, d]]), Feeding([[2.0], [0.0]], [[1.0, 0.0]])])
    for shape in (Shape(2, (), (2, 2)), Shape(1, (), (1,))):
        with computing(model, shape):
            states = torch.ones(1, 1)
            for layer in encoder.layers:
                states = layer(states)
            states.sum().backward()
    into, out = encoder.layers[0].intermediate_dense.weight.grad, encoder.layers[0].output_dense.weight.grad
    assert into.flatten().tolist() == [2 * c + c, 2 * d]
    assert out.flatten().tolist() == [2 * a + a, 2 * b]
    assert encoder.layers[1].intermediate_dense.weight.grad.flatten().tolist() == [a * c + b * d, 0]


class Gradients(Companion):
    """Sums the gradients of each parameter over the backward passes of a step."""

    name = "gradients"

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}

    def attach(self, student: Any, context: Context) -> None:
        """Put a hook on each parameter."""
        for name, parameter in student.named_parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda gradient, name=name: self._add(name, gradient))

    def _add(self, name: str, gradient: Any) -> None:
        self.sums[name] = self.sums.get(name, 0) + gradient


def setting(folder: Path, tmp_path: Path) -> tuple[Any, Context]:
    """Return a student and what its training needs: three utterances of noise, of which two fit into a batch."""
    (tmp_path / "run").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    spoken = [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "A") for n in (16_000, 20_800, 25_600)]
    model, extractor, tokenizer = Wav2Vec2(model=str(folder)).open()
    teacher = deepcopy(model)
    with torch.no_grad():
        teacher.lm_head.bias += torch.linspace(-1, 1, len(teacher.lm_head.bias))
    context = Context(
        teacher=teacher, extractor=extractor, tokenizer=tokenizer, train=spoken, folder=tmp_path / "run"
    )  # fmt: skip
    return model, context


@pytest.fixture
def folder(save_model: Any) -> Path:
    """The folder of a random model of three layers without dropout."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    still = dict.fromkeys(("hidden", "attention", "activation", "feat_proj", "final"), 0.0)
    dropout = {f"{name}_dropout": p for name, p in still.items()}
    return save_model("Wav2Vec2", num_hidden_layers=3, initializer_range=0.2, **dropout)


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"gradient_checkpointing": True}, {"losses": {"kl": 1.0, "hidden_mse": 0.5}}])
def test_the_gradient_of_a_step_is_the_sum_over_its_subnets(folder: Path, tmp_path: Path, given: Any) -> None:
    """Each subnet cut out of a copy and trained by itself has a part of it, at the first rows and columns."""
    from greenbench.compress.distill.losses import Outputs, Target, combine
    from greenbench.compress.distill.teacher import collate, forward

    model, context = setting(folder, tmp_path)
    context = replace(context, train=context.train[:2])
    start, training = deepcopy(model), replace(TRAINING, steps=1, cache_teacher=False, **given)
    spy, supernet = Gradients(), Supernet(SPACE, 2, 0, None)
    training.train_with(model, context, [spy, supernet])
    expected = {name: torch.zeros_like(weight) for name, weight in start.named_parameters()}
    batch, deep = collate(context.train, start, context), training.needs_hidden
    with torch.no_grad():
        theirs: Outputs = forward(context.teacher.eval(), batch, deep)
    for shape in supernet.shapes(0).values():
        subnet = deepcopy(start)
        cut(subnet, shape)
        target = Target(theirs, batch.mask, batch.labels, 0, 1.0)
        combine(training.losses, forward(subnet, batch, deep), target)[0].backward()
        for name, weight in subnet.named_parameters():
            if weight.grad is not None:
                expected[name][tuple(slice(n) for n in weight.shape)] += weight.grad
    assert spy.sums.keys() <= expected.keys()
    assert len(spy.sums) > 60
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in spy.sums.items():
        assert torch.allclose(gradient, expected[name], rtol=1e-3, atol=1e-5 * largest), name


ELASTIC = Elastic(
    distill=TRAINING, layers=[1, 2], heads=[1], ffn=[8, 16], extract=Subnet(layers=2, heads=1, ffn=[8, 64]),
    n_calibration=2,
)  # fmt: skip


@pytest.mark.slow
def test_a_training_gives_its_subnet_and_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    """Two layers of one head with 8 and 64 neurons; broken off after a checkpoint, it ends as without a break; the log
    has the loss of each subnet, and validation runs the layers of the subnet that is the result."""
    modes: list[bool] = []

    def break_off(event: Event) -> None:
        if isinstance(event, TrainingLogged) and event.row["step"] == 3:
            raise KeyboardInterrupt

    model, context = setting(folder, tmp_path)
    model.base_model.encoder.layers[2].register_forward_pre_hook(lambda layer, _: modes.append(layer.training))
    context = replace(context, validation=context.train[:1])
    whole = ELASTIC(model, context)
    assert [int(one.q_proj.out_features) for one in attentions(whole).values()] == [16, 16]
    assert [layer.feed_forward.intermediate_dense.out_features for layer in whole.base_model.encoder.layers] == [8, 64]
    assert modes.count(True) >= TRAINING.steps
    assert modes.count(False) == 2 * 2, "scores of heads and of neurons by two utterances alone run all layers"
    rows = list(csv.DictReader((tmp_path / "run/log.csv").read_text().splitlines()))
    assert all(float(row[f"kl{ending}"]) > 0 for row in rows for ending in ("", "_smallest", "_random_1", "_random_2"))
    (tmp_path / "run").rename(tmp_path / "whole")
    model, context = setting(folder, tmp_path)
    context = replace(context, validation=context.train[:1])
    with pytest.raises(KeyboardInterrupt):
        ELASTIC(model, replace(context, observe=break_off))
    resumed = ELASTIC(Wav2Vec2(model=str(folder)).open()[0], context)
    expected = whole.state_dict()
    assert resumed.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.state_dict().items())


@pytest.mark.slow
def test_a_supernet_gives_any_of_its_subnets(folder: Path, tmp_path: Path) -> None:
    """Without `extract` the result is the whole model, of which `subnet` takes what `extract` would have been."""
    model, context = setting(folder, tmp_path)
    whole = replace(ELASTIC, extract=None)(model, context)
    assert len(whole.base_model.encoder.layers) == 3
    (tmp_path / "run").rename(tmp_path / "whole")
    model, context = setting(folder, tmp_path)
    extracted = ELASTIC(model, context)
    assert ELASTIC.extract is not None
    assert torch.equal(logits(ELASTIC.extract(whole)), logits(extracted))


# --- what cannot be --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give `layers`, `heads` or `ffn`"),
        ({"layers": [2, 1]}, "layers: give numbers in rising order"),
        ({"ffn": [0]}, "ffn"),
        ({"layers": [2], "extract": {"layrs": 2}}, "extract.layrs"),
        ({"layers": [2], "extract": {}}, "give `layers`, `heads` or `ffn`"),
        ({"layers": [2], "distill": {"steps": 1, "train_only": ["lm_head"]}}, "distill.train_only: all weights"),
        (
            {"layers": [2], "distill": {"steps": 1, "losses": {"hidden": 1}, "hidden_layers": {"3": 3}}},
            "distill.hidden_layers: 3: the smallest subnet has 2 layers",
        ),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """In one line, before anything is loaded."""
    with pytest.raises(InputError, match=message) as caught:
        registry.create("methods", "elastic", {"distill": {"steps": 1}} | settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "before", "message"),
    [
        ({"layers": [2]}, Outline("wav2vec2"), "elastic trains for long"),
        ({"heads": [1]}, Outline("wavlm"), "elastic: models of the type wavlm .* so their heads must stay"),
        ({"layers": [2]}, Outline("sew-d"), "elastic: models of the type sew-d have layers"),
        ({"ffn": [8]}, Outline("parakeet_ctc"), "elastic: models of the type parakeet_ctc have no feed-forward"),
        ({"ffn": [8]}, Outline("wav2vec2", shared=True), "elastic cannot follow share-layers"),
        ({"ffn": [8]}, Outline("wav2vec2", exits=True), "elastic cannot follow early-exit"),
        ({"ffn": [8]}, Outline("wav2vec2", integers="int8-dynamic"), "elastic cannot follow int8-dynamic"),
        ({"layers": [12]}, Outline("wav2vec2", 12), "elastic: layers: the model has 12, which is always among"),
    ],
)
def test_models_without_such_subnets_are_refused(settings: dict[str, Any], before: Outline, message: str) -> None:
    """By what is known before one is loaded."""
    teacher = None if "long" in message else before
    with pytest.raises(InputError, match=message):
        Elastic(distill=TRAINING, **settings).follow(replace(before, teacher=teacher))


def test_a_chain_knows_the_layers_of_its_subnet() -> None:
    """So that the next step is checked against them; and WavLM has subnets that keep all heads."""
    before = replace(Outline("wavlm", 12), teacher=Outline("wavlm", 12))
    assert Elastic(distill=TRAINING, layers=[8], extract=Subnet(layers=8)).follow(before).n_layers == 8
    assert Elastic(distill=TRAINING, layers=[8], ffn=[8]).follow(before).n_layers == 12
    assert Subnet(ffn=8).follow(Outline("wavlm", 12)).n_layers == 12
    with pytest.raises(InputError, match="subnet: layers: 13 cannot be kept of 12"):
        Subnet(layers=13).follow(Outline("wavlm", 12))


def test_sizes_that_a_model_lacks_are_refused(small: Any) -> None:
    """More than it has, not trained, numbers for other layers, layers of several widths, fewer frames, factors."""
    for settings, message in (
        ({"heads": [2]}, "elastic: heads: the model has 2, which is always among the sizes: give smaller ones than 2"),
        ({"ffn": [100]}, "elastic: ffn: the model has 64"),
        ({"ffn": [8], "extract": Subnet(ffn=9)}, "elastic: extract: ffn: 9 is not trained: give one of 8, 64"),
        ({"ffn": [8], "extract": Subnet(heads=1)}, "elastic: extract: heads: 1 is not trained: give one of 2"),
        ({"ffn": [8], "extract": Subnet(layers=2)}, "elastic: extract: layers: 2 is not trained: give one of 3"),
    ):
        with pytest.raises(InputError, match=message):
            Elastic(distill=TRAINING, **settings)(deepcopy(small), Context())
    for subnet, message in (
        (Subnet(heads=[1, 1]), "subnet: heads: 2 numbers for 3 layers: give one for each"),
        (Subnet(layers=2, ffn=[8, 65]), "subnet: ffn: layer 1, counted from 0, cannot keep 65 of 64"),
        (Subnet(layers=4), "subnet: layers: 4 cannot be kept of 3"),
    ):
        with pytest.raises(InputError, match=message):
            subnet(deepcopy(small))
    uneven = Subnet(ffn=[64, 16, 64])(deepcopy(small))
    with pytest.raises(InputError, match="elastic: ffn: the model has from 16 to 64 in a layer"):
        Elastic(distill=TRAINING, ffn=[8])(uneven, Context())
    with pytest.raises(InputError, match="subnet cannot follow reduce-frames"):
        Subnet(layers=2)(ReduceFrames()(deepcopy(small)))
    with pytest.raises(InputError, match="elastic needs whole weights in floats"):
        Elastic(distill=TRAINING, ffn=[8])(LowRank(rank=4, include=[])(small), Context())
