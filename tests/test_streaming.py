"""Streaming through the whole program: a plug-in whose clock only its model moves is read back exactly."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenbench import registry
from greenbench.harness import word_times
from greenbench.harness.runner import Options, run
from greenbench.results import store
from greenbench.results.comparability import columns, differing
from greenbench.suite.entries import DatasetEntry, VariantEntry
from greenbench.validate import problems

KNOWN = """
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar
from greenbench.plugins import Footprint, Partial, Variant

WORDS = (("one", 0.4), ("two", 0.9), ("three", 1.3))

class Session:
    n_computed = 0
    def __init__(self, model):
        self.model, self.n_chunks = model, 0
    def feed(self, chunk):
        self.model.work(self.model.chunk_work_s)
        self.n_computed += 2 * len(chunk)
        self.n_chunks += 1
        heard = [word for word, end_s in WORDS if end_s <= 0.5 * (self.n_chunks - 1)]
        return Partial(" ".join([*heard, "uh"]), len(heard))
    def finish(self):
        self.model.work(self.model.finish_work_s)
        return "one two three"

class Batch:
    footprint, batching = Footprint(1, 2), "sequential"
    def __init__(self, known):
        self.chunk_work_s, self.finish_work_s = known.chunk_work_s, known.finish_work_s
        self.now = time.perf_counter()
        time.perf_counter = lambda: self.now
    def work(self, seconds):
        self.now += seconds
    def __call__(self, batch):
        self.work(self.chunk_work_s * len(batch))
        return ["one two three"] * len(batch)

class Streaming(Batch):
    def open(self):
        return Session(self)

@dataclass(frozen=True)
class Known:
    streams: bool = True
    chunk_work_s: float = 0.125
    finish_work_s: float = 0.25
    presets: ClassVar = {}
    takes_builds: ClassVar = False
    @property
    def label(self): return f"streams-{self.streams}"
    def __call__(self, name, methods):
        return Variant(name=name, load=lambda device: (Streaming if self.streams else Batch)(self))

class Tokenizer:
    all_special_tokens, word_delimiter_token, unk_token_id = ("_",), "|", -1
    letters = "_|onetwhr"
    vocab_size = len(letters)
    def get_vocab(self):
        return {letter: index for index, letter in enumerate(self.letters)}
    def __call__(self, text):
        return SimpleNamespace(input_ids=[self.letters.index(letter) for letter in text])

class Spells:
    config = SimpleNamespace(model_type="wav2vec2", conv_kernel=[800], conv_stride=[800], pad_token_id=0)
    def eval(self):
        return self
    def __call__(self, input_values):
        import torch
        spelt = "__onnnee||ttwwwooo|three_e".ljust(input_values.shape[1] // 800, "_")
        labels = torch.tensor([Tokenizer.letters.index(letter) for letter in spelt])
        return SimpleNamespace(logits=5.0 * torch.nn.functional.one_hot(labels, Tokenizer.vocab_size)[None])

@dataclass(frozen=True)
class Aligns:
    presets: ClassVar = {}
    takes_builds: ClassVar = True
    label = "spells"
    def outline(self): ...
    def prepare(self): ...
    def open(self):
        import torch
        return Spells(), lambda waves, **_: {"input_values": torch.tensor(waves[0])[None]}, Tokenizer()
    def __call__(self, name, methods):
        return Variant(name=name, load=lambda device: None)
"""


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the family ``known``, as a third party's package would be."""
    folder = tmp_path / "site"
    info = folder / "greenbench_known-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "greenbench_known.py").write_text(KNOWN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greenbench-known\nVersion: 1.0\n")
    families = "known = greenbench_known:Known\naligns = greenbench_known:Aligns\n"
    (info / "entry_points.txt").write_text(f"[greenbench.variants]\n{families}")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


@pytest.fixture
def spoken(tmp_path: Path) -> dict:
    """A data set of 44 utterances of two seconds, in which the words end at 0.4, 0.9 and 1.3 s."""
    soundfile.write(tmp_path / "a.wav", np.full(32_000, 0.1), 16_000)
    words = [{"word": "one", "start": 0.1, "end": 0.4}, {"word": "two", "start": 0.5, "end": 0.9},
             {"word": "three", "start": 0.9, "end": 1.3}]  # fmt: skip
    line = {"audio_filepath": "a.wav", "text": "one two three", "words": words}
    (tmp_path / "speech.jsonl").write_text("".join(json.dumps({**line, "id": f"u{n}"}) + "\n" for n in range(44)))
    return {"use": "manifest", "path": str(tmp_path / "speech.jsonl")}


@pytest.fixture
def short(tmp_path: Path) -> dict:
    """A data set of 44 utterances of 0.96 s, three chunks of 0.32 s."""
    soundfile.write(tmp_path / "a.wav", np.full(15_360, 0.1), 16_000)
    line = {"audio_filepath": "a.wav", "text": "one two three"}
    (tmp_path / "short.jsonl").write_text("".join(json.dumps({**line, "id": f"u{n}"}) + "\n" for n in range(44)))
    return {"use": "manifest", "path": str(tmp_path / "short.jsonl")}


@pytest.fixture
def untimed(spoken: dict, tmp_path: Path) -> dict:
    """The same without times of words, and one utterance more, with a letter that the aligner lacks."""
    lines = [json.loads(line) for line in (tmp_path / "speech.jsonl").read_text().splitlines()]
    lines = [{name: line[name] for name in line if name != "words"} for line in lines]
    lines.append({**lines[0], "id": "other", "text": "one two three 4"})
    (tmp_path / "untimed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {**spoken, "path": str(tmp_path / "untimed.jsonl")}


@pytest.mark.usefixtures("known")
def test_known_delays_lags_and_revisions_are_read_back(spoken: dict, tmp_path: Path) -> None:
    """Each figure is that of the plug-in; one that does not stream is exposed; and ``validate`` believes it all."""
    streams, batch = (measured(spoken, tmp_path / name, {"use": "known", "streams": name == "a"}) for name in "ab")
    assert {name: streams[name] for name in EXPECTED} == pytest.approx(EXPECTED, abs=1e-9)
    assert {name: batch[name] for name in GROWN} == pytest.approx(GROWN, abs=1e-9)
    assert [row["streamed_by"] for row in (streams, batch)] == ["the model itself", "growing window, agreement of 2"]
    assert streams["energy_cpu_note"].startswith("streaming at a simulated pace")
    assert [problem.what for problem in problems(tmp_path) if problem.severity == "error"] == []


@pytest.mark.usefixtures("known")
def test_words_are_timed_by_alignment_where_the_data_does_not_say_when_they_end(untimed: dict, tmp_path: Path) -> None:
    """Figures are those of stated times; the row says who aligned, and what could not be; and texts have the times."""
    row = measured(untimed, tmp_path / "run", {"use": "known"}, aligner={"use": "aligns", "name": "speller"})
    timed = ("word_latency_mean_s", "buffer_s", "wait_s", "word_compute_s", "emission_delay_s", "n_timed_words")
    assert {name: row[name] for name in timed} == pytest.approx({name: EXPECTED[name] for name in timed}, abs=1e-9)
    assert row["first_partial_p50_s"] == pytest.approx(EXPECTED["first_partial_p50_s"], abs=1e-9)
    assert row["word_times_source"].startswith("ctc-alignment:speller@")
    assert row["onset_source"] == "first word"
    lacks = "1 of 45 utterances are not aligned: 1 with letters that its vocabulary lacks"
    assert row["word_latency_note"] == lacks
    texts = [json.loads(line) for line in (tmp_path / "run" / "hypotheses.jsonl").read_text().splitlines()]
    times = [("one", 0.1, 0.4), ("two", 0.5, 0.9), ("three", 0.95, 1.3)]
    assert texts[0]["words"] == [{"word": word, "start_s": start, "end_s": end} for word, start, end in times]
    assert texts[-1]["words"] == []
    assert [problem.what for problem in problems(tmp_path) if problem.severity == "error"] == []


@pytest.mark.usefixtures("known")
def test_words_are_aligned_once(untimed: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was aligned is kept, and found without the model."""
    data, aligner = DatasetEntry(**untimed, name="d"), VariantEntry(use="aligns", name="speller")
    first = word_times.kept(data, aligner)
    monkeypatch.setattr(word_times, "CtcAligner", lambda *_: pytest.fail("the model is asked again"))
    assert word_times.kept(data, aligner) == first
    assert len(word_times.read(first).words) == 45


@pytest.mark.usefixtures("known")
def test_a_data_set_that_cannot_be_aligned_costs_its_streaming_cells_alone(untimed: dict, tmp_path: Path) -> None:
    """They are errors with the reason, and the others are measured."""
    suite = {**a_suite(untimed, {"use": "known"}), "scenarios": ["streaming", "single-stream"]}
    suite["streaming"]["aligner"] = {"use": "wav2vec2", "model": str(tmp_path / "nothing")}
    rows = run(suite, Options(out=tmp_path / "run")).set_index("scenario")
    assert rows["status"].to_dict() == {"streaming": "error", "single-stream": "ok"}
    assert rows.loc["streaming", "reason"].startswith("streaming.aligner: the words could not be aligned: ")


@pytest.mark.usefixtures("known")
def test_the_most_streams_at_once_are_found_and_believed(short: dict, tmp_path: Path) -> None:
    """Work of 0.1 s for a chunk of 0.32 s is three streams and not four; the row is of three, in each figure.

    In each of the four passes that 459 chunks take, the first three utterances begin together: their chunks are done
    0.1, 0.2 and 0.3 s after they are complete. They end as far apart, so that the chunks of later ones do not meet.
    """
    row = measured(short, tmp_path / "run", QUICK, chunk_s=0.32, streams="search")
    assert row["streams"] == "the most, p99 of chunks within 0.32 s"
    assert [probe.partition(" (")[0] for probe in row["stream_probes"].split("; ")] == [
        "1 at once held", "2 at once held", "4 at once missed", "3 at once held",
    ]  # fmt: skip
    held = row["stream_probes"].split("; ")[-1]
    assert re.fullmatch(r"3 at once held \(0 of 528 chunks late, utilisation 93\.[78] %\)", held), held  # 93.75
    assert {name: row[name] for name in SERVED} == pytest.approx(SERVED)
    assert "bound-missed" not in row["flags"]
    assert [problem.what for problem in problems(tmp_path) if problem.severity == "error"] == []
    for change, what in FORGED:
        forged(tmp_path / "run", tmp_path / "forged", change)
        assert [what in problem.what for problem in problems(tmp_path / "forged")].count(True) == 1, what


@pytest.mark.usefixtures("known")
def test_streams_at_once_share_one_model(short: dict, tmp_path: Path) -> None:
    """Two that are asked for: of the first two utterances one waits 0.1 s for the other, and of the others none.

    Rows of one stream and of two are not compared in what waiting changes, and are in their errors.
    """
    one, two = (measured(short, tmp_path / str(n), QUICK, chunk_s=0.32, streams=n) for n in (1, 2))
    assert (one["streams"], two["streams"], two["stream_probes"]) == ("1", "2", None)
    assert np.isnan(two["max_streams"])
    for row in (one, two):
        assert (row["n_passes"], row["stream_rtf"], row["wall_s"]) == pytest.approx((1, 0.3125, 44 * 0.3))
    texts = [json.loads(line) for line in (tmp_path / "2" / "hypotheses.jsonl").read_text().splitlines()]
    assert [text["latency_s"] for text in texts] == pytest.approx([0.1, 0.2, *[0.1] * 42])
    assert [problem.what for problem in problems(tmp_path) if problem.severity == "error"] == []
    found = differing(one, two, columns("final_p50_s"))
    assert found == {"streams": ("1", "2")}
    assert differing(one, two, columns("wer")) == {}


def measured(spoken: dict, folder: Path, variant: dict, **how: object) -> dict:
    """Run a suite of one cell, whose clock is ahead of other runs in the end, and return its row."""
    (row,) = run(a_suite(spoken, variant, **how), Options(out=folder)).to_dict("records")
    assert row["status"] == "ok", row["reason"]
    return row


def test_a_model_with_chunks_streams_by_itself_and_computes_nothing_twice(
    spoken: dict, tiny_model: Path, tmp_path: Path
) -> None:
    """Whatever window is asked for; chunks of the model are none of those in which the speech arrives."""
    chunks = {"use": "chunk-attention", "chunk_s": 0.64, "look_ahead_s": 0.1}
    variant = {"use": "wav2vec2", "model": str(tiny_model), "builds": [chunks]}
    row = measured(spoken, tmp_path / "run", variant, window="chunked")
    assert (row["streamed_by"], row["recompute_factor"]) == ("the model itself", 1.0)


def forged(folder: Path, to: Path, change: dict) -> None:
    """Copy a run of one row, and change the row."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    row = json.loads((to / store.RECORDS).read_text())
    (to / store.RECORDS).write_text(json.dumps({**row, **change}) + "\n")


def a_suite(spoken: dict, variant: dict, **how: object) -> dict:
    return {
        "name": "streams", "datasets": [spoken], "scenarios": ["streaming"], "streaming": {"chunk_s": 0.5, **how},
        "variants": [variant], "protocol": {"use": "quick", "window_s": 0, "idle_s": 0, "repeats": 1},
        "control": False, "trace_hz": 0, "normalizer": "none",
    }  # fmt: skip


def test_a_window_that_does_not_fit_is_a_cell_left_out(spoken: dict, tmp_path: Path) -> None:
    """The row says what to set instead, and the run lacks nothing that could be had."""
    suite = {
        "name": "streams", "datasets": [spoken], "scenarios": ["streaming"], "streaming": {"window": "chunked"},
        "variants": ["null/instant"], "protocol": {"use": "quick", "idle_s": 0}, "control": False, "trace_hz": 0,
    }  # fmt: skip
    (row,) = run(suite, Options(out=tmp_path / "run")).to_dict("records")
    assert (row["status"], row["skipped_for"]) == ("skipped", "inapplicable")
    assert row["reason"].startswith("streaming.window: chunked is for models with a token a frame (CTC)")


EXPECTED = {
    "first_partial_p50_s": 0.5 + 0.125 - 0.1, "final_p50_s": 0.125 + 0.25, "final_p90_s": 0.125 + 0.25,
    "word_latency_mean_s": (0.1 + 0.1 + 0.2) / 3 + 0.125 + 0.5, "buffer_s": (0.1 + 0.1 + 0.2) / 3, "wait_s": 0.0,
    "word_compute_s": 0.125, "emission_delay_s": 0.5, "n_timed_words": 132, "late_chunk_pct": 0.0,
    "stream_rtf": (4 * 0.125 + 0.25) / 2, "unstable_word_pct": 100 * 4 / 3, "revisions_per_word": 4 / 3,
    "recompute_factor": 2.0, "final_only_pct": 0.0, "wer": 0.0, "wall_s": 44 * 0.75,
}  # fmt: skip
"""Of three words with a lag of one chunk, behind which an "uh" stands until the next word, or the end, is there.

That is at all four places: three words, and the place after the last one.
"""

GROWN = {
    "first_partial_p50_s": 0.5 + 0.125 - 0.1, "final_p50_s": 0.125, "recompute_factor": 2.5, "stream_rtf": 0.25,
    "unstable_word_pct": 0.0, "revisions_per_word": 0.0, "emission_delay_s": (0.0 - 0.5 - 1.0) / 3,
}  # fmt: skip
"""Of a model that says all three words whatever it hears, in each of the growing windows."""

QUICK = {"use": "known", "chunk_work_s": 0.1, "finish_work_s": 0.0}

SERVED = {
    "max_streams": 3, "n_passes": 4, "wall_s": 528 * 0.1, "audio_s": 4 * 44 * 0.96, "stream_rtf": 0.1 / 0.32,
    "chunk_latency_p99_s": 0.3, "late_chunk_pct": 0.0, "final_p50_s": 0.1, "final_only_pct": 0.0,
    "recompute_factor": 2.0, "wer": 0.0, "rtfx": 0.96 / 0.3,
}  # fmt: skip
"""Of three streams at once; 12 of 528 chunks are 0.3 s late, as many 0.2 s, and the others 0.1 s."""

FORGED = (
    ({"max_streams": 4}, "max_streams is 4, which does not follow from stream_probes"),
    ({"chunk_latency_p99_s": 0.4}, "chunk_latency_p99_s is 0.4, and max_streams of a search within 0.32 s is 3"),
    ({"stream_probes": "1 at once held (9 of 528 chunks late, utilisation 31.2 %); "
      "2 at once missed (9 of 528 chunks late, utilisation 62.5 %)", "max_streams": 1},
     "stream_probes has 1 at once held: 9 of 528 late, utilisation 31.2 %"),
    ({"stream_rtf": 0.3}, "stream_rtf of 3 at once is a utilisation of 90.0 %, not that in stream_probes"),
    ({"stream_probes": None, "max_streams": None}, "not that in stream_probes"),
    ({"streams": "4"}, "streams is '4', in run.json 'the most, p99 of chunks within 0.32 s'"),
)  # fmt: skip
"""What is changed in a row, and what ``validate`` says of it."""
