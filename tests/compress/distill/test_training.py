"""Training: the teacher is heard once an utterance, and says of it what it says whatever it is batched with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.distill import Distill
from greenbench.compress.distill.training import Teacher, collate, forward
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


def test_a_kept_teacher_hears_each_utterance_once_and_alone(opened: tuple[Any, Context], spoken: list) -> None:
    """What it says does not depend on which batch came first, so that a resumed training learns the same."""
    model, context = opened
    teacher, other = (Teacher(model, Distill(steps=1), context) for _ in range(2))
    for batch in (spoken, spoken[:2], spoken[1:]):
        logits = teacher(collate(batch, model, context)).logits
        for row, utterance in zip(logits, batch, strict=True):
            alone = other(collate([utterance], model, context)).logits[0]
            assert torch.equal(row[: len(alone)], alone)
    assert (teacher.n_heard, other.n_heard) == (3, 3)


def test_a_teacher_that_is_not_kept_hears_every_batch(opened: tuple[Any, Context], spoken: list) -> None:
    """With hidden states, or by request, nothing is kept, and a batch is heard as it is."""
    model, context = opened
    batch = collate(spoken, model, context)
    assert batch.audio_s == pytest.approx(3.9)
    for settings in (Distill(steps=1, cache_teacher=False), Distill(steps=1, losses={"hidden": 1.0})):
        teacher = Teacher(model, settings, context)
        found = [teacher(batch).logits for _ in range(2)]
        assert teacher.n_heard == 6
        assert torch.equal(found[0], found[1])
        with torch.no_grad():
            assert torch.equal(found[0], forward(model, batch).logits)
