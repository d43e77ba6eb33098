"""Predicted features: the predictors are least squares, and one head says what fused features and their head say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress.predict_features import PredictFeatures, folded, into_head, predictor
from greenbench.compress.probe import divergence, log_probabilities
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.plugins import Context, Outline
from greenbench.plugins.events import Event, Phase
from greenbench.recipes import recipe
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")


def drawn(*shape: int, seed: int = 0) -> Any:
    """Return random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_linear_function_is_predicted_and_noise_is_not() -> None:
    """R² is 1 and the map comes back for y = A x + a; of noise that has nothing to do with x next to nothing."""
    own = [drawn(300, 6, seed=n) for n in range(8)]
    matrix, offset = drawn(4, 6, seed=20), drawn(4, seed=21)
    weight, bias, explained = predictor(own, [x @ matrix.T + offset for x in own])
    assert torch.allclose(weight, matrix, atol=1e-4)
    assert torch.allclose(bias, offset, atol=1e-4)
    assert explained == pytest.approx(1, abs=1e-6)
    assert abs(predictor(own, [drawn(300, 4, seed=30 + n) for n in range(8)])[2]) < 0.05


def test_the_predictor_is_where_training_by_squared_error_ends() -> None:
    """On the utterances that it learns on the gradient of the squared error is 0, and not on those that are kept."""
    own, theirs = ([drawn(50, n, seed=s + n) for s in range(5)] for n in (6, 4))
    weight, bias, _ = predictor(own, theirs)
    steepest = []
    for learned in (True, False):
        given = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
        chosen = [number for number in range(5) if bool(number % 4) == learned]
        errors = [(own[n] @ given[0].T + given[1] - theirs[n]).square().mean() for n in chosen]
        sum(errors).backward()
        steepest.append(max(float(one.grad.abs().max()) for one in given))
    assert steepest[0] < 1e-4
    assert steepest[1] > 1e-2


def test_one_head_says_what_the_fused_one_says() -> None:
    """Of own features and those predicted of two models, to 1e-5."""
    own, head = drawn(40, 6), linears.of(drawn(5, 6 + 4 + 3, seed=1), drawn(5, seed=2))
    predictors = [(drawn(n, 6, seed=n), drawn(n, seed=10 + n)) for n in (4, 3)]
    fused = head(torch.cat([own, *(own @ weight.T + bias for weight, bias in predictors)], 1))
    weight, bias = folded(head, predictors)
    assert torch.allclose(own @ weight.T + bias, fused, atol=1e-5)


def opened(save_model: Any, tmp_path: Path) -> tuple[Any, list[Any]]:
    """Return a small model with its extractor and tokeniser, and two other ones with theirs, of another width."""
    found = []
    for number, settings in enumerate(({}, {"hidden_size": 48}, {"num_hidden_layers": 2})):
        folder = save_model("Wav2Vec2", initializer_range=0.2, **settings)
        folder.rename(tmp_path / str(number))
        found.append(Wav2Vec2(model=str(tmp_path / str(number))).open())
    with torch.no_grad():
        for number, (model, _, _) in enumerate(found):
            model.lm_head.weight.add_(drawn(*model.lm_head.weight.shape, seed=number), alpha=0.3)
    return found[0], found[1:]


@pytest.mark.slow
def test_a_model_gets_nearer_to_the_mean_of_its_teachers(save_model: Any, tmp_path: Path) -> None:
    """By its head alone; it says how well features are predicted."""
    (model, extractor, tokenizer), others = opened(save_model, tmp_path)
    said: list[Event] = []
    teacher = Wav2Vec2(model=str(tmp_path / "0")).open()[0]
    teacher.load_state_dict(model.state_dict())
    context = Context(
        teacher=teacher, teachers=others, extractor=extractor, tokenizer=tokenizer, observe=said.append
    )  # fmt: skip
    method = PredictFeatures(n_calibration=4, steps=60)
    speech = method.speech(model, context)
    of_all = [log_probabilities(one, speech) for one in (teacher, *(other for other, _, _ in others))]
    mean = [torch.stack(one).exp().mean(0).log() for one in zip(*of_all, strict=True)]
    before, features = divergence(model, mean, speech), into_head(model, speech)
    assert method(model, context) is model
    assert divergence(model, mean, speech) < 0.9 * before
    changed = [
        name for name, weight in model.named_parameters() if not torch.equal(weight, teacher.get_parameter(name))
    ]
    assert changed == ["lm_head.weight", "lm_head.bias"]
    assert all(torch.equal(a, b) for a, b in zip(features, into_head(model, speech), strict=True))
    texts = [event.text for event in said if isinstance(event, Phase)]
    assert len(texts) == 2
    assert all(text.startswith("R² of the predicted features of teachers.") for text in texts)


def test_what_cannot_be_predicted_is_refused(save_model: Any, tmp_path: Path) -> None:
    """No further teachers, integers, other tokens, a recipe whose further teachers nobody learns from."""
    method = PredictFeatures(n_calibration=1)
    with pytest.raises(InputError, match="predict-features needs the models .*: give `teachers` in a recipe"):
        method.follow(Outline("wav2vec2", teacher=Outline("wav2vec2")))
    with pytest.raises(InputError, match="predict-features cannot follow int8-dynamic: put it before"):
        method.follow(Outline("wav2vec2", integers="int8-dynamic", teachers=(Outline(),)))
    (model, extractor, tokenizer), [other, _] = opened(save_model, tmp_path)
    context = Context(teacher=model, teachers=[other], extractor=extractor, tokenizer=tokenizer)
    other[2].add_tokens(["new"])
    with pytest.raises(InputError, match=r"predict-features: teachers.0 has other tokens than the first teacher"):
        method(model, replace(context, teachers=[other]))
    path = Path(__file__).parents[2] / "suites/recipes/effuse.yaml"
    recipe.check(recipe.load(path))
    with pytest.raises(InputError, match="teachers: no step learns from them: .* or use predict-features"):
        recipe.check(recipe.load(path, ["steps=[fp32]"]))
