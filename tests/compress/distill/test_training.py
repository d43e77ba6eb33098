"""Training: the teacher is heard once an utterance, and says of it what it says whatever it is batched with."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from greenbench import cache
from greenbench.compress.distill import Distill, progress, training
from greenbench.compress.distill.teacher import LOGITS, Cost, Teacher, collate, forward
from greenbench.errors import InputError, StoreError
from greenbench.plugins import Context, Utterance
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")


@pytest.fixture
def spoken() -> list[Utterance]:
    """Three utterances of noise, of 1.0 to 1.6 s."""
    rng = np.random.default_rng(0)
    lengths = (16_000, 20_800, 25_600)
    return [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "A B") for n in lengths]


@pytest.fixture
def opened(tiny_model: Path) -> tuple[Any, Context]:
    """The small model with group norm, for which padding matters, and what belongs to it."""
    model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
    return model, Context(extractor=extractor, tokenizer=tokenizer)


@pytest.mark.slow
def test_a_kept_teacher_hears_each_utterance_once_and_alone(opened: tuple[Any, Context], spoken: list) -> None:
    """What it says does not depend on the batch; the next student finds it, and what it took counts for both."""
    model, context = opened
    teacher, other = (Teacher(model, context) for _ in range(2))
    first = teacher.keep(spoken, [])
    for batch in (spoken, spoken[:2], spoken[1:]):
        logits = teacher(collate(batch, model, context)).logits
        for row, utterance in zip(logits, batch, strict=True):
            alone = other(collate([utterance], model, context)).logits[0]
            assert torch.equal(row[: len(alone)], alone)
    assert (teacher.n_transcribed, other.n_transcribed) == (3, 7)
    again = Teacher(model, context)
    assert again.keep(spoken, []) == first == Cost(first.wall_s, None, None)
    assert first.wall_s > 0
    assert again.n_transcribed == 0
    louder = [replace(utterance, audio=2 * utterance.audio) for utterance in spoken]
    again.keep(louder, [])
    assert again.n_transcribed == 3, "other speech is heard, whatever its ids"


def test_speech_that_is_cut_elsewhere_is_other_speech(opened: tuple[Any, Context], spoken: list) -> None:
    """The same samples in as many utterances of other lengths are heard anew, and so is the same by another model."""
    model, context = opened
    Teacher(model, context).keep(spoken, [])
    samples = np.split(np.concatenate([utterance.audio for utterance in spoken]), [20_000, 40_000])
    cut = [replace(utterance, audio=part) for utterance, part in zip(spoken, samples, strict=True)]
    teacher = Teacher(model, context)
    teacher.keep(cut, [])
    assert teacher.n_transcribed == 3
    model.config.feat_extract_activation = "relu"  # the same weights, another model
    teacher = Teacher(model, context)
    teacher.keep(spoken, [])
    assert teacher.n_transcribed == 3


def test_damaged_answers_are_heard_anew(opened: tuple[Any, Context], spoken: list) -> None:
    """A teacher's logits are taken from the cache only as they were written, with those of nobody else."""
    model, context = opened
    first = Teacher(model, context)
    first.keep(spoken, [])
    before = {u.id: first.kept[u.id].clone() for u in spoken}  # what was kept is a view of the file
    kept = [a.path for a in cache.artefacts() if a.about["build"] == "teacher's logits"][-1]  # used last
    (kept / LOGITS).write_bytes((kept / LOGITS).read_bytes()[:-4] + bytes(4))
    again = Teacher(model, context)
    with pytest.warns(UserWarning, match="made again"):
        again.keep(spoken, [])
    assert again.n_transcribed == 3
    assert all(torch.allclose(before[u.id], again.kept[u.id], atol=1e-4) for u in spoken)


@pytest.mark.slow
def test_a_teacher_that_is_not_kept_hears_every_batch(opened: tuple[Any, Context], spoken: list) -> None:
    """Until something is kept, a batch is heard as it is."""
    model, context = opened
    batch = collate(spoken, model, context)
    assert batch.audio_s == pytest.approx(3.9)
    for settings in (Distill(steps=1), Distill(steps=1, losses={"hidden": 1.0})):
        teacher = Teacher(model, context, settings.needs_hidden)
        found = [teacher(batch).logits for _ in range(2)]
        assert teacher.n_transcribed == 6
        assert torch.equal(found[0], found[1])
        with torch.no_grad():
            assert torch.equal(found[0], forward(model, batch).logits)


@pytest.mark.slow
def test_checkpointing_changes_memory_and_nothing_else(tiny_model: Path, spoken: list, tmp_path: Path) -> None:
    """With ``gradient_checkpointing`` a layer runs again for its gradient, and the student comes out the same."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    found, calls = [], []
    for checkpointing in (False, True):
        model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
        for name in ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"):
            setattr(model.config, name, 0.0)
        model = type(model)(model.config).train()
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
        calls.append(0)
        model.wav2vec2.encoder.layers[0].attention.register_forward_hook(
            lambda *_: calls.__setitem__(-1, calls[-1] + 1)
        )
        teacher = Wav2Vec2(model=str(tiny_model)).open()[0]
        folder = tmp_path / str(checkpointing)
        folder.mkdir()
        context = Context(teacher=teacher, extractor=extractor, tokenizer=tokenizer, train=spoken, folder=folder)
        settings = Distill(steps=2, lr=1e-3, batch_s=10, gradient_checkpointing=checkpointing)
        found.append(settings(model, context).state_dict())
    assert calls == [2, 4]
    for name, tensor in found[0].items():
        assert torch.allclose(tensor, found[1][name], atol=1e-5), name


def test_layers_that_do_not_exist_are_refused(opened: tuple[Any, Context], spoken: list, tmp_path: Path) -> None:
    """A pair beyond either model is one clear line, and a map without a loss that reads it is a mistake."""
    model, context = opened
    context = Context(teacher=model, train=spoken, folder=tmp_path)
    with pytest.raises(InputError, match="hidden_layers: 1: 3: the student has 2 layers, its teacher 2"):
        Distill(steps=1, losses={"hidden": 1.0}, hidden_layers={1: 3})(model, context)
    with pytest.raises(ValueError, match="hidden_layers"):
        Distill(steps=1, hidden_layers={1: 1})


@pytest.mark.parametrize("n_samples", [1, 100, 399, 400])
def test_clips_shorter_than_a_frame_are_padded_to_one(
    opened: tuple[Any, Context], spoken: list, n_samples: int
) -> None:
    """A clip of a few samples is a frame of speech, alone and beside longer ones, as it is for the variant."""
    model, context = opened
    short = Utterance("short", np.full(n_samples, 0.1, np.float32), "A")
    for batch in ([short], [spoken[0], short]):
        collated = collate(batch, model, context)
        assert collated.mask[-1].sum() == 1
        assert forward(model, collated).logits.shape[:2] == collated.mask.shape


def test_transcripts_become_labels_in_the_vocabularys_case(opened: tuple[Any, Context], spoken: list) -> None:
    """Small letters are labels of capitals where the vocabulary has those, and never unknown ones."""
    model, context = opened
    capitals, small = (collate([replace(spoken[0], reference=t)], model, context) for t in ("A CAT'S", "a cat\u2019s."))
    assert capitals.labels[0].tolist() == small.labels[0].tolist() == context.tokenizer("A CAT'S").input_ids
    assert context.tokenizer.unk_token_id not in small.labels[0].tolist()


@pytest.mark.slow
def test_a_training_that_diverges_stops_with_its_step(tiny_model: Path, spoken: list, tmp_path: Path) -> None:
    """A weight that is NaN makes every loss NaN: the first step says so, and no student is made."""
    import torch

    from greenbench.compress import Distill, LayerDrop, compress
    from greenbench.errors import TrainingError

    pytest.importorskip("accelerate", reason="accelerate is not installed")
    model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
    context = Context(extractor=extractor, tokenizer=tokenizer, train=spoken, folder=tmp_path)
    with torch.no_grad():
        model.lm_head.bias[0] = float("nan")
    with pytest.raises(TrainingError, match="distill: step 1: the loss kl is not finite"):
        compress(model, [LayerDrop(keep=1), Distill(steps=3, losses={"kl": 1.0}, batch_s=4)], context)


@pytest.mark.parametrize(
    ("losses", "broken"), [({"kl": 1.0, "ctc": float("inf")}, "ctc"), ({"kl": float("nan")}, "kl")]
)
def test_a_loss_that_is_not_finite_is_named_with_its_step(losses: dict[str, float], broken: str) -> None:
    """NaN and infinity stop a training; a finite loss, however large, does not."""
    from greenbench.errors import TrainingError

    training._check_finite({"kl": 1e30}, 1)
    with pytest.raises(TrainingError, match=f"step 7: the loss {broken} is not finite"):
        training._check_finite(losses, 7)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON"), ("[]", "a JSON object is expected, not a list"), ('{"step": 3}', "best_step: missing"),
        ('{"step": "3", "best_step": 0, "audio_s": 0, "wall_s": 0, "energy_j": null, "energy_method": null, '
         '"best_wer": null}', "step: a valid integer is expected, not '3'"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_says_what_to_do(text: str, told: str, tmp_path: Path) -> None:
    """A training does not go on from what nobody can read, nor end in a traceback."""
    (tmp_path / progress.STATE).write_text(text)
    with pytest.raises(StoreError, match=re.escape(told)) as refused:
        progress.progress(tmp_path)
    assert str(refused.value).endswith(f"Delete the folder {tmp_path}, and the training begins anew.")


@pytest.mark.parametrize(
    ("parts", "energy"),
    [
        ([(5.0, "counter"), (2.0, "counter")], (7.0, "counter")),
        ([(5.0, "estimated"), (2.0, "counter")], (7.0, "estimated")),
        ([(5.0, "counter"), (2.0, "estimated"), (1.0, "sampled")], (8.0, "estimated")),
        ([(5.0, "counter"), (None, None), (1.0, "counter")], (None, None)),
    ],
)
def test_a_training_is_as_well_known_as_its_weakest_part(
    parts: list[tuple[float | None, str | None]], energy: tuple[float | None, str | None]
) -> None:
    """A training that goes on where a counter answers stays an estimate where a part of it was estimated."""
    run = SimpleNamespace(
        progress=progress.TrainingState(),
        accelerator=SimpleNamespace(num_processes=1),
        context=SimpleNamespace(device="cpu"),
    )
    for joules, method in parts:
        training._account(run, Cost(1.0, joules, method))
    assert (run.progress.energy_j, run.progress.energy_method) == energy
