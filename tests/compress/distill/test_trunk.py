"""Training a part: all else stays as it is to the bit, and what is kept of it trains the part as running it does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.distill import Distill
from greenbench.errors import InputError
from greenbench.plugins import Context, Utterance
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

from greenbench.compress.distill.trunk import TrainOnly  # noqa: E402

TOP = ("encoder.layer_norm", "lm_head")


def test_what_does_not_exist_cannot_train(small: Any) -> None:
    """A text that is in no path is named; what was frozen before stays so, and all else trains again afterwards."""
    with pytest.raises(InputError, match="train_only: no parameter's path contains 'lm_haed'"):
        TrainOnly(["lm_haed"]).attach(small, Context())
    small.base_model.masked_spec_embed.requires_grad_(False)
    asked = {name: parameter.requires_grad for name, parameter in small.named_parameters()}
    only = TrainOnly(["lm_head"])
    only.attach(small, Context())
    assert {name for name, p in small.named_parameters() if p.requires_grad} == {"lm_head.weight", "lm_head.bias"}
    only.detach(small)
    assert {name: parameter.requires_grad for name, parameter in small.named_parameters()} == asked


def setting(folder: Path, place: Path) -> tuple[Any, Context]:
    """Return a student and what its training needs: three utterances, a batch each."""
    place.mkdir()
    rng = np.random.default_rng(0)
    speech = [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "") for n in (16_000, 20_800, 25_600)]
    teacher = Wav2Vec2(model=str(folder)).open()[0]
    model, extractor, tokenizer = Wav2Vec2(model=str(folder)).open()
    with torch.no_grad():
        teacher.lm_head.bias += torch.linspace(-1, 1, len(teacher.lm_head.bias))
    return model, Context(teacher=teacher, extractor=extractor, tokenizer=tokenizer, train=speech, folder=place)


@pytest.mark.slow
def test_a_kept_trunk_trains_the_top_as_a_running_one(small: Any, save_processor: Any, tmp_path: Path) -> None:
    """Kept or run in every step, the student is the same; kept, it runs once for an utterance and no more.

    Of a model whose norms come after each part, only the head is at the top.
    """
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    folder = tmp_path / "model"
    small.save_pretrained(folder)
    save_processor(folder, False)
    only = TOP if small.config.do_stable_layer_norm else ("lm_head",)
    found, calls = [], []
    for kept in (True, False):
        model, context = setting(folder, tmp_path / str(kept))
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        calls.append(0)
        model.base_model.encoder.layers[0].register_forward_hook(lambda *_: calls.__setitem__(-1, calls[-1] + 1))
        settings = Distill(
            steps=5, lr=1e-2, batch_s=1, losses={"kl": 1.0}, train_only=only, cache_teacher=kept, log_every=5
        )
        found.append(settings(model, context).state_dict())
        changed = {name for name, tensor in found[-1].items() if not torch.equal(tensor, before[name])}
        assert changed == {name for name in before if any(part in name for part in only)}
    assert calls == [3, 5]
    for name, tensor in found[0].items():
        assert torch.allclose(tensor, found[1][name], atol=1e-5), name


@pytest.mark.slow
def test_more_than_the_top_runs_in_every_step(tiny_model: Path, tmp_path: Path) -> None:
    """Where a layer trains, too, nothing is kept, and nothing is dropped out: twice gives the same losses."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    model, context = setting(tiny_model, tmp_path / "run")
    calls: list[int] = []
    model.base_model.encoder.layers[0].register_forward_hook(lambda *_: calls.append(1))
    dropped: list[bool] = []
    model.dropout.register_forward_hook(lambda module, *_: dropped.append(module.training))
    settings = Distill(steps=2, batch_s=1, losses={"kl": 1.0}, train_only=["layers.1.", "lm_head"], log_every=2)
    settings(model, context)
    assert len(calls) == 3 + 2, "once to see what is at the top, and once a step"
    assert not any(dropped)


@pytest.mark.slow
def test_hidden_states_are_compared_for_the_pairs_of_a_step(tiny_model: Path, tmp_path: Path) -> None:
    """One of two layers a step: a training broken off and taken up draws the same pairs."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    from greenbench.plugins.events import Event, TrainingLogged

    def break_off(event: Event) -> None:
        if isinstance(event, TrainingLogged) and event.row["step"] == 3:
            raise KeyboardInterrupt

    settings = Distill(
        steps=4, batch_s=1, losses={"hidden_mse": 1.0}, sample_hidden=1, log_every=1, validate_every=2, lr=1e-3
    )
    model, context = setting(tiny_model, tmp_path / "whole")
    expected = settings(model, context).state_dict()
    model, context = setting(tiny_model, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        settings(model, replace(context, observe=break_off))
    resumed = settings(Wav2Vec2(model=str(tiny_model)).open()[0], context).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.items())
