"""From Python: methods applied in order, with what they need handed to each."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from greenbench.errors import InputError
from greenbench.plugins import Utterance
from greenbench.variants.wav2vec2 import Wav2Vec2


@pytest.mark.slow
def test_shape_healing_and_precision_in_one_call(tiny_model: Path, tmp_path: Path) -> None:
    """Layers go, the student trains against the model as it came, and runs in int8; each training has its folder."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    from greenbench.compress import Context, Distill, Int8Dynamic, LayerDrop, compress

    model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
    rng = np.random.default_rng(0)
    spoken = [Utterance(str(i), 0.1 * rng.standard_normal(16_000).astype("float32"), "") for i in range(3)]
    seen = []
    context = Context(extractor=extractor, tokenizer=tokenizer, train=spoken, folder=tmp_path,
                      observe=lambda kind, content: seen.append((kind, content.get("label"))))  # fmt: skip
    steps = [LayerDrop(keep=1), Distill(steps=2, batch_s=4, log_every=1), Int8Dynamic()]
    student = compress(model, steps, context)
    assert student.config.num_hidden_layers == 1
    assert "DynamicQuantizedLinear" in repr(student)
    assert (tmp_path / "2-distill" / "log.csv").exists()
    labels = [label for kind, label in seen if kind == "step"]
    assert labels == ["layerdrop", "distill", "int8dynamic"]


def test_no_context_is_needed_for_what_does_not_train(tiny_model: Path) -> None:
    """Builds take the model alone; a training without speech says what it lacks."""
    from greenbench.compress import Bf16, Distill, LayerDrop, compress

    model = Wav2Vec2(model=str(tiny_model)).open()[0]
    small = compress(model, [LayerDrop(keep=1), Bf16()])
    assert str(small.dtype) == "torch.bfloat16"
    with pytest.raises(InputError, match="distill"):
        compress(model, [Distill(steps=1)])


def test_two_trainings_in_two_precisions_are_refused_before_the_first(tiny_model: Path) -> None:
    """accelerate would refuse the second one, when the first has already run."""
    from greenbench.compress import Distill, LayerDrop, compress

    model = Wav2Vec2(model=str(tiny_model)).open()[0]
    steps = [LayerDrop(keep=1), Distill(steps=1, precision="bf16"), Distill(steps=1)]
    with pytest.raises(InputError, match="bf16 and no in one process"):
        compress(model, steps)
    assert model.config.num_hidden_layers > 1


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
