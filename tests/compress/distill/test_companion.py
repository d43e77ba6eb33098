"""Companions of a training: each hook has the effect that can be computed by hand, and a break changes nothing."""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.distill import Distill
from greenbench.compress.distill.companion import Companion
from greenbench.plugins import Context, Utterance
from greenbench.plugins.events import Event, TrainingLogged
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate", reason="accelerate is not installed")

pytestmark = pytest.mark.slow
SETTINGS = Distill(steps=4, lr=1e-3, batch_s=4, log_every=1, validate_every=2, clip=1e9, losses={"kl": 1.0})


class Slope(Companion):
    """A number on the student whose term is the number itself, so that Adam moves it by its whole rate each step."""

    name = "slope"

    def __init__(self, up: bool = False, weight: float | None = None) -> None:
        """Descend, or ascend; and give every utterance one weight."""
        self.up, self.weight = up, weight
        self.found: tuple[float, int] = (math.nan, 0)

    def attach(self, student: Any, context: Context) -> None:
        """Add the number, from 0, and a count of the batches."""
        assert context.teacher is not None
        student.slope = torch.nn.Parameter(torch.zeros(()))
        student.register_buffer("n_batches", torch.zeros((), dtype=torch.long))

    def groups(self, student: Any, lr: float) -> list[dict[str, Any]]:
        """Train it ten times as fast as the student."""
        return [{"params": [student.slope], "lr": 10 * lr, "weight_decay": 0.0, "maximize": self.up}]

    def term(self, student: Any, step: int, of: int) -> Any:
        """Return the number."""
        assert 0 <= step < of == 4
        return student.slope * 1.0

    def weights(self, student: Any, target: Any) -> Any:
        """Count the batch; weigh every utterance alike."""
        student.n_batches += 1
        return None if self.weight is None else torch.full((len(target.mask),), self.weight)

    def detach(self, student: Any) -> Any:
        """Take both away again."""
        self.found = float(student.slope.detach()), int(student.n_batches)
        del student.slope, student.n_batches
        return student


def setting(tiny_model: Path, folder: Path) -> tuple[Any, Context]:
    """Return a student and what its training needs: three utterances of noise, of which two fit into a batch."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    spoken = [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "") for n in (16_000, 20_800, 25_600)]
    model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
    teacher = Wav2Vec2(model=str(tiny_model)).open()[0]
    with torch.no_grad():
        teacher.lm_head.bias += torch.linspace(-1, 1, len(teacher.lm_head.bias))
    return model, Context(teacher=teacher, extractor=extractor, tokenizer=tokenizer, train=spoken, folder=folder)


def logged(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a training's log."""
    return list(csv.DictReader((folder / "log.csv").read_text().splitlines()))


@pytest.mark.parametrize("up", [False, True])
def test_a_companion_has_its_own_rate_term_and_state(tiny_model: Path, tmp_path: Path, up: bool) -> None:
    """A slope of 1 moves its number by the rate of each step, down or up; its name is a column of the log."""
    model, context = setting(tiny_model, tmp_path / "run")
    companion = Slope(up)
    student = SETTINGS.train_with(model, context, [companion])
    rates = [10 * SETTINGS.learning_rate(step) for step in range(4)]
    slope, n_batches = companion.found
    assert slope == pytest.approx(sum(rates) * (1 if up else -1), rel=1e-4)
    assert n_batches == 4
    assert set(student.state_dict()) == set(Wav2Vec2(model=str(tiny_model)).open()[0].state_dict())
    rows = logged(tmp_path / "run")
    sign = 1 if up else -1
    assert [float(row["slope"]) for row in rows] == pytest.approx(
        [sign * sum(rates[:step]) for step in range(4)], rel=1e-4
    )


def test_weights_of_zero_leave_weight_decay_alone(tiny_model: Path, tmp_path: Path) -> None:
    """Where no utterance counts, a step of AdamW multiplies every weight by 1 - 0.01 lr and does nothing else."""
    model, context = setting(tiny_model, tmp_path / "run")
    before = {name: weights.clone() for name, weights in model.named_parameters() if weights.requires_grad}
    student = SETTINGS.train_with(model, context, [Slope(weight=0.0)])
    decay = math.prod(1 - 0.01 * SETTINGS.learning_rate(step) for step in range(4))
    after = dict(student.named_parameters())
    for name in before.keys() - {"wav2vec2.masked_spec_embed"}:
        assert torch.allclose(after[name], before[name] * decay, rtol=1e-6, atol=0), name


def test_companions_multiply_their_weights(tiny_model: Path, tmp_path: Path) -> None:
    """Two of one half weigh as one of a quarter."""

    class Half(Companion):
        name = "half"

        def weights(self, student: Any, target: Any) -> Any:
            return torch.full((len(target.mask),), self.weight)

        def __init__(self, weight: float) -> None:
            self.weight = weight

    found = []
    for number, companions in enumerate(([Half(0.5), Half(0.5)], [Half(0.25)])):
        model, context = setting(tiny_model, tmp_path / str(number))
        found.append(SETTINGS.train_with(model, context, companions).state_dict())
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def test_a_training_with_a_companion_goes_on_bit_for_bit(tiny_model: Path, tmp_path: Path) -> None:
    """Broken off after a checkpoint, student and companion end as without a break."""
    from dataclasses import replace

    def break_off(event: Event) -> None:
        if isinstance(event, TrainingLogged) and event.row["step"] == 3:
            raise KeyboardInterrupt

    model, context = setting(tiny_model, tmp_path / "whole")
    whole = Slope()
    expected = SETTINGS.train_with(model, context, [whole]).state_dict()
    model, context = setting(tiny_model, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        SETTINGS.train_with(model, replace(context, observe=break_off), [Slope()])
    model = Wav2Vec2(model=str(tiny_model)).open()[0]
    resumed = Slope()
    student = SETTINGS.train_with(model, context, [resumed])
    assert resumed.found == whole.found
    assert all(torch.equal(tensor, expected[name]) for name, tensor in student.state_dict().items())


@pytest.mark.parametrize("last", [False, True])
def test_a_companion_may_ask_for_the_last_step(tiny_model: Path, tmp_path: Path, last: bool) -> None:
    """Weights of the best validation come back, here the first, unless a companion changes what the student is."""
    from dataclasses import replace

    model, context = setting(tiny_model, tmp_path / "run")
    context = replace(context, validation=[replace(context.train[0], reference="A")])
    companion = Slope()
    companion.last = last  # type: ignore[misc]
    SETTINGS.train_with(model, context, [companion])
    rates = [10 * SETTINGS.learning_rate(step) for step in range(4)]
    rows = logged(tmp_path / "run")
    assert rows[-1]["best_step"] == "2", "the second validation of four steps reads no better"
    assert -companion.found[0] == pytest.approx(sum(rates if last else rates[:2]), rel=1e-4)


SCRIPT = """
import os, sys
from copy import deepcopy
from pathlib import Path
import numpy as np
import torch
from greenbench.compress.distill import Distill
from greenbench.compress.elastic import Elastic
from greenbench.compress.learned import PruneLearned
from greenbench.plugins import Context, Utterance
from greenbench.variants.wav2vec2 import Wav2Vec2

folder, out = sys.argv[1], Path(sys.argv[2])
rng = np.random.default_rng(0)
spoken = [Utterance(str(n), 0.1 * rng.standard_normal(16_000).astype("float32"), "") for n in range(4)]
model, extractor, tokenizer = Wav2Vec2(model=folder).open()
teacher = deepcopy(model)
with torch.no_grad():
    teacher.lm_head.bias += torch.linspace(-1, 1, len(teacher.lm_head.bias))
context = Context(teacher=teacher, extractor=extractor, tokenizer=tokenizer, train=spoken, folder=out)
training = Distill(steps=6, lr=1e-3, batch_s=2, losses={"kl": 1.0}, log_every=2, validate_every=6)
methods = {
    "prune-learned": PruneLearned(keep=0.7, distill=training, units=["head", "neuron", "channel"]),
    "elastic": Elastic(distill=training, layers=[1], heads=[1], ffn=[8, 16], n_calibration=1),
}
student = methods[sys.argv[3]](model, context)
n_processes = os.environ.get("WORLD_SIZE", "1")
torch.save((n_processes, student.state_dict()), out / f"student-{os.environ.get('RANK', '0')}.pt")
"""


@pytest.mark.parametrize("method", ["prune-learned", "elastic"])
def test_two_processes_train_as_one_does(save_model: Any, tmp_path: Path, method: str) -> None:
    """By ``accelerate launch`` on the CPU (gloo): of the same batches, each a half, two processes with gates and their
    budget, or with subnets that leave parameters out, make the student that one process makes of the whole ones, and
    both have it."""
    still = dict.fromkeys(("hidden", "attention", "activation", "feat_proj", "final"), 0.0)
    folder = save_model("Wav2Vec2", num_hidden_layers=2, **{f"{name}_dropout": p for name, p in still.items()})
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]  # fmt: skip
    found = []
    for name, how in (("one", []), ("two", launch)):
        (tmp_path / name).mkdir()
        command = [sys.executable, *how, str(script), str(folder), str(tmp_path / name), method]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        found += [torch.load(path) for path in sorted((tmp_path / name).glob("student-*.pt"))]
    assert [n_processes for n_processes, _ in found] == ["1", "2", "2"]
    (_, alone), *together = found
    for _, student in together:
        assert {name: tensor.shape for name, tensor in student.items()} == {name: t.shape for name, t in alone.items()}
        for name, tensor in student.items():
            assert torch.allclose(tensor, alone[name], atol=2e-5), name
    start = Wav2Vec2(model=str(folder)).open()[0].state_dict()
    assert alone["lm_head.weight"].shape == start["lm_head.weight"].shape
    assert not torch.allclose(alone["lm_head.weight"], start["lm_head.weight"], atol=1e-3)
