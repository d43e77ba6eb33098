"""From Python: methods applied in order, with what they need handed to each."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress import Bf16, Context, Distill, Int8Dynamic, LayerDrop, compress
from greenbench.compress.onnx import Onnx
from greenbench.compress.openvino import OpenVinoInt8
from greenbench.errors import InputError
from greenbench.plugins import Utterance
from greenbench.plugins.events import StepStarted
from greenbench.variants.wav2vec2 import Wav2Vec2


@pytest.mark.slow
def test_shape_healing_and_precision_in_one_call(tiny_model: Path, tmp_path: Path) -> None:
    """Layers go, the student trains against the model as it came, and runs in int8; each training has its folder."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
    rng = np.random.default_rng(0)
    spoken = [Utterance(str(i), 0.1 * rng.standard_normal(16_000).astype("float32"), "") for i in range(3)]
    seen = []
    context = Context(extractor=extractor, tokenizer=tokenizer, train=spoken, folder=tmp_path,
                      observe=seen.append)  # fmt: skip
    steps = [LayerDrop(keep=1), Distill(steps=2, batch_s=4, log_every=1), Int8Dynamic()]
    student = compress(model, steps, context)
    assert student.config.num_hidden_layers == 1
    assert "DynamicQuantizedLinear" in repr(student)
    assert (tmp_path / "2-distill" / "log.csv").exists()
    labels = [event.label for event in seen if isinstance(event, StepStarted)]
    assert labels == ["layer-drop", "distill", "int8-dynamic"]


def test_no_context_is_needed_for_what_does_not_train(tiny_model: Path) -> None:
    """Builds take the model alone; a training without speech says what it lacks."""
    model = Wav2Vec2(model=str(tiny_model)).open()[0]
    small = compress(model, [LayerDrop(keep=1), Bf16()])
    assert str(small.dtype) == "torch.bfloat16"
    with pytest.raises(InputError, match="distill"):
        compress(model, [Distill(steps=1)])


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (lambda: [Distill(steps=1, precision="bf16"), Distill(steps=1)], "bf16 and no in one process"),
        (lambda: [LayerDrop(keep=2)], "steps.1: layer-drop: keep: 2 layers cannot be kept of 1"),
        (lambda: [Bf16(), Int8Dynamic()], "steps.2: int8-dynamic needs a model in float32"),
        (lambda: [Int8Dynamic(), Distill(steps=1)], "steps.2: distill cannot follow int8-dynamic"),
        (lambda: [OpenVinoInt8()], r"steps.1: openvino-int8 .* measure the student as file:FOLDER\+openvino-int8"),
        (lambda: [Onnx(), Bf16()], "steps.1: onnx leaves nothing that a student's folder can hold"),
    ],
)
def test_what_cannot_be_taken_is_refused_before_the_first_step(tiny_model: Path, last: Any, message: str) -> None:
    """A chain from Python is checked as that of a recipe: the model that was handed in is as it was."""
    model = Wav2Vec2(model=str(tiny_model)).open()[0]
    spoken = [Utterance("a", np.zeros(16_000, "float32"), "")]
    context = Context(extractor=object(), train=spoken, folder=tiny_model)
    with pytest.raises(InputError, match=message) as caught:
        compress(model, [LayerDrop(keep=1), *last()], context)
    assert "\n" not in str(caught.value)
    assert model.config.num_hidden_layers == len(model.base_model.encoder.layers) == 2


def test_a_training_that_lacks_something_is_refused_before_the_first_step(tiny_model: Path) -> None:
    """Speech, folder and feature extractor come from the context, and the line names those that do not."""
    model = Wav2Vec2(model=str(tiny_model)).open()[0]
    with pytest.raises(InputError, match="a training needs `train` and `folder` and `extractor`: give it"):
        compress(model, [LayerDrop(keep=1), Distill(steps=1)])
    assert model.config.num_hidden_layers == 2


def test_every_name_is_there_and_costs_nothing(tiny_model: Path) -> None:
    """What the package offers exists, and importing it or a method's settings does not import torch."""
    from greenbench import compress

    assert all(getattr(compress, name) for name in compress.__all__)
    with pytest.raises(AttributeError, match="LayerDrob"):
        _ = compress.LayerDrob
    names = ", ".join(compress.__all__)
    code = f"from greenbench.compress import {names}; import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
