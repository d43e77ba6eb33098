"""Early exits as a method: branches learn what the model says, and the threshold gives the layers asked for."""

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.compress.distill import Distill
from greenbench.compress.early_exit import EarlyExit, least_threshold
from greenbench.compress.probe import log_probabilities
from greenbench.compress.reduce import ReduceFrames
from greenbench.errors import InputError
from greenbench.plugins import Context, Outline, Utterance, follow
from greenbench.plugins.events import Event, TrainingLogged
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

from greenbench.compress.distill.losses import Outputs, Target, exits as exits_loss  # noqa: E402, I001
from greenbench.models import exits  # noqa: E402

TRAINING = Distill(steps=4, batch_s=1, lr=1e-2, log_every=1, validate_every=2)


def speech(*lengths: int) -> list[Utterance]:
    """Return utterances of noise."""
    rng = np.random.default_rng(0)
    return [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "") for n in lengths]


@pytest.mark.parametrize(
    ("wanted", "expected"), [(12, -1.0), (11.5, 0.1), (10, 0.2), (9.6, 0.3), (7.1, 0.5), (7, 0.5), (6.5, 0.7), (6, 0.9)]
)
def test_the_least_threshold_gives_the_layers_asked_for(wanted: float, expected: float) -> None:
    """By hand, exits after 6 and 8 of 12 layers, four utterances: the means are 12, 11, 10, 9.5, 8.5, 7, 6.5 and 6
    layers at -1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7 and 0.9."""
    entropies = [[0.5, 0.2], [0.3, 0.1], [0.9, 0.4], [0.7, 0.5]]
    assert least_threshold(entropies, [6, 8], 12, wanted) == expected


def test_the_loss_of_exits_is_their_divergence_from_the_final_output() -> None:
    """By hand: halves against (3/4, 1/4) over two frames, one of padding; the mean of two exits; no gradient to the
    final output."""
    final = torch.zeros(1, 2, 2, requires_grad=True)
    other = torch.tensor([math.log(3.0), 0.0]).expand(1, 2, 2).clone().requires_grad_(True)
    target = Target(Outputs(final), torch.tensor([[True, False]]), [], 0, 1.0)
    loss = exits_loss(Outputs(final, exits=[other, final.detach()]), target).sum()
    kl = math.log(0.5 / 0.75) / 2 + math.log(0.5 / 0.25) / 2
    assert float(loss.detach()) == pytest.approx(kl / 2, rel=1e-5)
    loss.backward()
    assert final.grad is None
    assert other.grad[0, 0].abs().sum() > 0 == other.grad[0, 1].abs().sum()


@pytest.mark.slow
def test_without_a_training_branches_come_nearer_to_the_model(small: Any, context: Context) -> None:
    """Each is nearer to the final output than it begins; all else is as it was; the threshold gives the layers."""
    before = deepcopy(small.state_dict())
    settings = EarlyExit(mean_layers=2, over="frames", refit_steps=30, n_calibration=8)
    start = EarlyExit(threshold=0.1, over="frames", refit_steps=1, n_calibration=1)(deepcopy(small), context)
    model = settings(small, context)
    given = settings.speech(model, context)
    with exits.leaving_never(), torch.no_grad():
        wanted = log_probabilities(model, given)
        for number in range(2):
            far, near = (
                sum(
                    float((theirs.exp() * (theirs - one(**inputs).exits[number][0].log_softmax(-1))).sum())
                    for theirs, inputs in zip(wanted, given, strict=True)
                )
                for one in (start, model)
            )
            assert near < far
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    layers = exits.of(model)
    layers.layers_run.clear()
    for inputs in given[::4]:
        with torch.no_grad():
            model(**inputs)
    assert layers.layers_run.total() == 2
    assert sum(n * count for n, count in layers.layers_run.items()) / 2 <= 2


def break_off(event: Event) -> None:
    """Interrupt a training after its first checkpoint."""
    if isinstance(event, TrainingLogged) and event.row["step"] == 3:
        raise KeyboardInterrupt


def trained(folder: Path, place: Path, settings: EarlyExit, broken: bool = False) -> Any:
    """Train exits on a model in a folder."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    place.mkdir()
    model, extractor, tokenizer = Wav2Vec2(model=str(folder)).open()
    context = Context(
        teacher=deepcopy(model), extractor=extractor, tokenizer=tokenizer, train=speech(16_000, 20_800, 25_600),
        folder=place,
    )  # fmt: skip
    if broken:
        with pytest.raises(KeyboardInterrupt):
            settings(model, replace(context, observe=break_off))
        model = Wav2Vec2(model=str(folder)).open()[0]
    return settings(model, context)


@pytest.fixture
def folder(small: Any, save_processor: Any, tmp_path: Path) -> Path:
    """The small model as a folder."""
    place = tmp_path / "model"
    small.save_pretrained(place)
    save_processor(place, False)
    return place


@pytest.mark.slow
def test_a_training_changes_branches_alone_and_goes_on_bit_for_bit(small: Any, folder: Path, tmp_path: Path) -> None:
    """With the trunk kept or run in every step the branches are the same, and so they are after a break."""
    settings = EarlyExit(threshold=0.2, distill=TRAINING)
    whole = trained(folder, tmp_path / "whole", settings).state_dict()
    plain = small.state_dict()
    assert {name for name in whole if name not in plain} == {name for name in whole if ".exit." in name}
    assert all(torch.equal(whole[name], tensor) for name, tensor in plain.items())
    broken = trained(folder, tmp_path / "broken", settings, broken=True).state_dict()
    assert all(torch.equal(broken[name], tensor) for name, tensor in whole.items())
    running = replace(settings, distill=replace(TRAINING, cache_teacher=False))
    for name, tensor in trained(folder, tmp_path / "running", running).state_dict().items():
        assert torch.allclose(tensor, whole[name], atol=1e-5), name


@pytest.mark.slow
def test_the_trunk_trains_along_where_it_is_asked_for(small: Any, folder: Path, tmp_path: Path) -> None:
    """Then layers change, and the log has the losses that were named and that of the exits."""
    settings = EarlyExit(layers=[1], threshold=0.2, distill=replace(TRAINING, losses={"kl": 1.0}), train_trunk=True)
    model = trained(folder, tmp_path / "run", settings)
    name = "wav2vec2.encoder.layers.0.attention.k_proj.weight"
    assert not torch.equal(model.state_dict()[name], small.state_dict()[name])
    header = (tmp_path / "run" / "log.csv").read_text().splitlines()[0]
    assert {"kl", "exits"} <= set(header.split(","))
    assert exits.of(model).threshold == 0.2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"threshold": 0.1, "mean_layers": 2}, "give one of the two"),
        ({"layers": [2, 1]}, "in rising order"),
        ({"layers": []}, "layers"),
        ({"train_trunk": True}, "train_trunk: needs a training"),
        ({"distill": {"steps": 1, "patience_steps": 1}}, "distill.patience_steps"),
        ({"distill": {"steps": 1, "gradient_checkpointing": True}}, "distill.gradient_checkpointing"),
        ({"distill": {"steps": 1, "train_only": ["lm_head"]}}, "distill.train_only"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], says: str) -> None:
    """One line says which, before a model is loaded."""
    with pytest.raises(InputError, match=says):
        registry.create("methods", "early-exit", given)


@pytest.mark.parametrize(
    ("method", "before", "says"),
    [
        (EarlyExit(), Outline("sew"), "early-exit: models of the type sew have another encoder"),
        (EarlyExit(), Outline("wav2vec2", adapter=True), "the model has an adapter"),
        (EarlyExit(), Outline("wav2vec2", exits=True), "the model has exits"),
        (EarlyExit(), Outline("wav2vec2", integers="int8-dynamic"), "cannot follow int8-dynamic"),
        (EarlyExit(layers=[12]), Outline("wav2vec2", 12), "of 12 layers, .* can be 11"),
        (EarlyExit(), Outline("wav2vec2", 1), "of 1 layers"),
        (EarlyExit(layers=[6], mean_layers=5), Outline("wav2vec2", 12), "5 is less than 6, where the first exit is"),
        (EarlyExit(distill=TRAINING), Outline("wav2vec2", 12), "distill trains for long"),
        (ReduceFrames(), Outline("wav2vec2", 12, exits=True), "reduce-frames cannot follow early-exit"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(method: Any, before: Outline, says: str) -> None:
    """Other encoders, exits twice, integers, layers that are not there, a training as a build."""
    with pytest.raises(InputError, match=says) as caught:
        follow(before, [method])
    assert "\n" not in str(caught.value)


def test_engines_may_follow_and_compile_may_not() -> None:
    """An export has a graph for each exit; what is compiled would end at each, and accuracy control sees one graph."""
    for name in ("onnx", "onnx-int4", "onnx-int8", "openvino", "openvino-int4", "openvino-int8"):
        assert follow(Outline("wav2vec2", 12), [EarlyExit(), registry.create("methods", name, {})]).exits
    guarded = registry.create("methods", "openvino-int8", {"max_drop": 0.01})
    for step, says in (
        (registry.create("methods", "compile", {}), "compile cannot follow early-exit"),
        (guarded, "openvino-int8: max_drop looks at one graph"),
    ):
        with pytest.raises(InputError, match=says):
            follow(Outline("wav2vec2", 12), [EarlyExit(), step])


def test_fewer_frames_and_exits_without_a_model_are_refused(small: Any, context: Context) -> None:
    """Branches take all frames, and a loss of exits needs some."""
    with pytest.raises(InputError, match="early-exit cannot follow reduce-frames"):
        EarlyExit()(ReduceFrames()(deepcopy(small)), context)
    training = replace(context, train=speech(16_000), teacher=deepcopy(small), folder=Path())
    with pytest.raises(InputError, match="losses: exits: the model has none"):
        replace(TRAINING, losses={"exits": 1.0})(small, training)
