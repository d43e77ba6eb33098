"""The worker: what it does around a window, and in which order."""

import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from greenbench.datasets.corpus import Corpus, DatasetStats
from greenbench.harness import rows, sizes, worker
from greenbench.harness.job import Job
from greenbench.plugins import SAMPLE_RATE_HZ, EarlyExits, Footprint, Quantity
from greenbench.suite import config
from greenbench.suite.entries import build_dataset, build_variant
from greenbench.suite.plan import plan


@dataclass
class Log:
    """A channel, a model and an energy meter that write down what happens, and when a window is open."""

    seen: list[str] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    footprint = Footprint()
    batching = "sequential"
    metrics = ("energy_cpu_j",)
    estimates = False

    def send(self, kind: str, **content) -> None:
        self.seen.append(content["text"] if kind == "phase" else kind)
        self.rows += [content["row"]] if kind == "record" else []

    ask = send

    def __call__(self, batch) -> list[str]:
        self.seen += ["model"] if self.seen[-1] != "model" else []
        return [""] * len(batch)

    @contextmanager
    def window(self, reading):
        self.seen.append("[")
        yield
        self.seen.append("]")
        reading.add("energy_cpu_j", Quantity(1.0, "counter", "log"))


def test_a_window_follows_its_own_warm_up(suite_data: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle before the warm-up, which would cool down else; warm before every window; idle again after each."""
    protocol = {**suite_data["protocol"], "window_s": 0, "idle_s": 0.001, "idle_drift_pct": 1e9}
    loaded = config.load({**suite_data, "protocol": protocol})
    log, cell = Log(), plan(loaded)[0]
    monkeypatch.setattr(worker, "select", lambda *_: [log])
    corpus = Corpus(build_dataset(cell.dataset))
    assert list(corpus.chunks())
    job = Job("r", 0, loaded, cell)
    model = rows.described(job, build_variant(cell.variant))
    facts = rows.CellFacts(model, corpus.stats, "sequential", None, {"load_s": 1.0})
    worker._measure(job, log, corpus, facts, log)
    idle = ["idle baseline", "[", "]"]
    repeat = ["warming up", "model", "[", "model", "]", *idle, "hypotheses", "record"]
    assert [what for what in log.seen if what != "window" and "measuring" not in what] == [*idle, *repeat, *repeat]
    assert [what.partition(", about ")[0] for what in log.seen if "about" in what] == ["measuring 1/2", "measuring 2/2"]
    first, second = log.rows
    assert first["idle_power_after_w"] == second["idle_power_w"]
    assert (first["load_s"], first["warmup_batches"]) == (1.0, 3)


class Leaving(Log):
    """A model with exits: each call runs four layers for a first utterance and six for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.layers_run: Counter[int] = Counter({1: 999})  # of a warm-up
        self.footprint = Footprint(exits=EarlyExits(self.layers_run, lambda n_samples, layers: n_samples * layers))

    def __call__(self, batch) -> list[str]:
        self.layers_run.update([4, *[6] * (len(batch) - 1)])
        return super().__call__(batch)


def test_a_row_has_the_layers_that_ran_in_its_window(suite_data: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their mean over the utterances of the window, without those of warm-ups, and the work of as many layers."""
    loaded = config.load({**suite_data, "protocol": {**suite_data["protocol"], "window_s": 0, "idle_s": 0}})
    log, cell = Leaving(), plan(loaded)[0]
    monkeypatch.setattr(worker, "select", lambda *_: [log])
    corpus = Corpus(build_dataset(cell.dataset))
    sizes = [len(chunk) for chunk in corpus.chunks()]
    model = rows.described(job := Job("r", 0, loaded, cell), build_variant(cell.variant))
    facts = rows.CellFacts(model, corpus.stats, "sequential", None, {"macs_per_audio_s": None})
    worker._measure(job, log, corpus, facts, log)
    n, n_calls = sum(sizes), math.ceil(sum(sizes) / cell.batch_size)
    mean = (4 * n_calls + 6 * (n - n_calls)) / n
    for row in log.rows:
        assert row["mean_layers"] == pytest.approx(mean)
        assert row["macs_per_audio_s"] == pytest.approx(SAMPLE_RATE_HZ * mean)


def test_work_that_is_unknown_of_one_depth_is_unknown() -> None:
    """A mean of what is known alone would be another's."""
    known = Footprint(exits=EarlyExits(Counter(), lambda _, layers: 7.0 if layers == 4 else None))
    found = sizes.work_run(known, DatasetStats(2, 3.0), Counter({4: 1, 6: 3}))
    assert found == {"mean_layers": 5.5, "macs_per_audio_s": None}
    assert sizes.work_run(known, DatasetStats(2, 3.0), Counter({4: 2})) == {
        "mean_layers": 4.0,
        "macs_per_audio_s": pytest.approx(7 / 1.5),
    }
    assert sizes.work_run(Footprint(), DatasetStats(2, 3.0), Counter()) == {}


@pytest.mark.parametrize(
    ("macs", "per_audio_s"), [(lambda n_samples: n_samples**2, 24_000**2 / 1.5), (lambda n_samples: None, None)]
)
def test_work_is_that_of_an_utterance_of_mean_length(macs, per_audio_s) -> None:
    """Two utterances of 3 s in all are worked out at 1.5 s, by the second; what the engine does not tell stays None."""
    assert sizes.macs_per_audio_s(Footprint(macs=macs), DatasetStats(2, 3.0)) == per_audio_s
