"""How fast a student learns. Run with: pytest tests/benchmarks --benchmark-only.

Times are CPU seconds of this process with one thread, which other work on the machine hardly changes.
"""

import time
from collections.abc import Iterator
from copy import deepcopy
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress.distill import Distill
from greenbench.compress.distill.batches import batches
from greenbench.compress.layers import LayerDrop
from greenbench.datasets.quickstart import Quickstart
from greenbench.plugins import SAMPLE_RATE_HZ, Context, Utterance
from greenbench.suite.entries import VariantEntry, build_family

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate", reason="accelerate is not installed")

pytestmark = pytest.mark.benchmark(timer=time.process_time)
SETTINGS = Distill(steps=8, batch_s=8, log_every=8, validate_every=1000, cache_teacher=False)
ROUNDS = 3


@pytest.fixture(scope="module")
def opened() -> Iterator[Context]:
    """The bundled teacher, and some 16 s of speech: eight steps are four epochs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    teacher, extractor, tokenizer = build_family(VariantEntry(use="wav2vec2/quickstart")).open()
    clips = list(Quickstart(part="unlabelled")())[::75]
    spoken = [Utterance(clip.id, clip.read(), "") for clip in clips]
    yield Context(teacher=teacher, extractor=extractor, tokenizer=tokenizer, train=spoken)
    torch.set_num_threads(threads)


@pytest.fixture
def student(opened: Context) -> Any:
    """A student of four layers."""
    return LayerDrop(keep=4)(deepcopy(opened.teacher)).requires_grad_(True)  # a training freezes its teacher


def by_hand(student: Any, context: Context) -> None:
    """Train as anyone would write it down: the same batches, losses and optimiser, and nothing else."""
    teacher = context.teacher.eval()
    student.train()
    student.config.layerdrop, student.config.apply_spec_augment = 0.0, False
    optimizer = torch.optim.AdamW(student.parameters(), 5e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    order = batches([len(u.audio) for u in context.train], int(SETTINGS.batch_s * SAMPLE_RATE_HZ), SETTINGS.seed)
    for indices in islice(order, SETTINGS.steps):
        waveforms = [context.train[i].audio for i in indices]
        inputs = context.extractor(waveforms, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
        with torch.no_grad():
            theirs = teacher(**inputs).logits.log_softmax(-1)
        features: list[Any] = []
        hook = student.wav2vec2.feature_extractor.register_forward_hook(lambda _m, _i, out: features.append(out))  # noqa: B023
        ours = student(**inputs).logits.log_softmax(-1)
        hook.remove()
        loss = torch.nn.functional.kl_div(ours, theirs, log_target=True, reduction="batchmean")
        (loss + features[0].square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), SETTINGS.clip)
        optimizer.step()
        optimizer.zero_grad()


def audio_s(context: Context) -> float:
    """Return the seconds of speech in the benchmark's steps."""
    order = batches([len(u.audio) for u in context.train], int(SETTINGS.batch_s * SAMPLE_RATE_HZ), SETTINGS.seed)
    return sum(context.train[i].duration_s for indices in islice(order, SETTINGS.steps) for i in indices)


def seconds(run: Any) -> float:
    """Return the CPU seconds of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


@pytest.mark.parametrize("against", ["a plain loop", "an unkept teacher"])
def test_training_is_not_slower(benchmark: Any, opened: Context, student: Any, tmp_path: Path, against: str) -> None:
    """A student hears as many audio seconds a CPU second as in a loop by hand, within 5 %; a teacher whose outputs are
    kept makes it faster than one that hears every batch, by a tenth at least in four epochs."""
    kept = against == "an unkept teacher"
    settings = Distill(**{**vars(SETTINGS), "cache_teacher": kept})
    number = count()

    def ours(changed: Distill = settings) -> None:
        folder = tmp_path / str(next(number))
        folder.mkdir()
        changed(deepcopy(student), Context(**{**vars(opened), "folder": folder}))

    reference = min(seconds((lambda: ours(SETTINGS)) if kept else (lambda: by_hand(deepcopy(student), opened)))
                    for _ in range(ROUNDS))  # fmt: skip
    benchmark.pedantic(ours, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["audio_s_per_cpu_s"] = audio_s(opened) / benchmark.stats.stats.min
    assert benchmark.stats.stats.min < reference * (0.9 if kept else 1.05)
