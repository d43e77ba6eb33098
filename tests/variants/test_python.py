"""The Python family: a function beside the suite is measured as it is, and what is wrong with it is said beforehand."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.errors import AnswerError, GreenbenchError, InputError
from greenbench.harness import ahead
from greenbench.harness.runner import Options, run
from greenbench.harness.window import transcribe
from greenbench.plugins import NamesProgram, Utterance
from greenbench.results import store
from greenbench.suite import config
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.suite.plan import plan
from greenbench.variants import programs
from greenbench.variants.python import Python

SECONDS = """
import os

def transcribe(waveforms):
    return [f"{len(w) / 16000:g} s {w.dtype} on {os.environ['GREENBENCH_DEVICE']}" for w in waveforms]

def dictionary(waveforms):
    return {}

def too_few(waveforms):
    return [""] * (len(waveforms) - 1)

def numbers(waveforms):
    return [1 for _ in waveforms]

class Model:
    pass
"""

Load = Callable[..., config.Suite]


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave Python's path, its modules, and the device that a cell says, as they were."""
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(programs.DEVICE, "unset")


@pytest.fixture
def load(tmp_path: Path, suite_data: dict) -> Load:
    """Load a suite beside which ``my_seconds.py`` lies, with these entries of the family."""
    (tmp_path / "my_seconds.py").write_text(SECONDS)
    data = {**suite_data, "protocol": {**suite_data["protocol"], "repeats": 1, "window_s": 0}}

    def loaded(*entries: dict[str, Any]) -> config.Suite:
        suite = tmp_path / "suite.yaml"
        suite.write_text(json.dumps({**data, "variants": [{"use": "python", **entry} for entry in entries]}))
        return config.load(suite)

    return loaded


def foreseen(suite: config.Suite) -> str:
    """Return the one line that a dry run says."""
    (one,) = ahead.variants(plan(suite))
    assert "\n" not in one.reason
    return f"{one.kind}: {one.reason}"


def test_a_function_beside_the_suite_is_measured(load: Load, tmp_path: Path) -> None:
    """From any folder: waveforms go in as float32 at 16 kHz, and its texts are in the run; no text is an error row."""
    run(load({"call": "my_seconds:transcribe"}, {"call": "my_seconds:numbers"}), Options(out=tmp_path / "run"))
    rows = {row["variant"]: row for row in store.read_rows(tmp_path / "run" / store.RECORDS)}
    good = rows["python:my_seconds:transcribe"]
    assert (good["status"], good["engine_batching"], good["n_params"]) == ("ok", "sequential", None)
    assert good["identity"].startswith("python:")
    texts = list(store.read_rows(tmp_path / "run" / store.HYPOTHESES))
    assert texts
    assert {t["hypothesis"] for t in texts} == {f"{t['audio_s']:g} s float32 on cpu" for t in texts}
    assert rows["python:my_seconds:numbers"]["reason"] == (
        "python:my_seconds:numbers: the model returned a list with a int at place 0: "
        "a transcriber returns a list with one str for each waveform"
    )


@pytest.mark.parametrize(
    ("function", "told"), [("dictionary", "a dict"), ("too_few", "1 texts for a batch of 2"), ("numbers", "a int at")]
)
def test_an_answer_that_is_no_list_of_texts_is_named(load: Load, function: str, told: str) -> None:
    """One str for each waveform, in a list; anything else is one line."""
    model = build_variant(load({"call": f"my_seconds:{function}"}).variants[0]).load("cpu")
    batch = [Utterance(name, np.zeros(16000, np.float32), "") for name in "ab"]
    with pytest.raises(AnswerError, match=f"the model returned .*{told}"):
        transcribe(model, batch)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("my_seconds:transcribe", None),
        ("my_seconds:Model", None),
        ("my_seconds.py:transcribe", None),
        ("json:dumps", None),
        ("my_seconds:transcripe", "wrong: call: my_seconds has no function 'transcripe'. Did you mean 'transcribe'?"),
        ("json.decoder:decode", "wrong: call: json.decoder has no function 'decode'."),
        ("my_minutes:transcribe", "wrong: call: there is no module 'my_minutes' beside the suite or on Python's path."),
        ("json.nothing:f", "wrong: call: there is no module 'json.nothing' beside"),
        ("json.decoder.deep:f", "wrong: call: there is no module 'json.decoder.deep' beside"),
        ("my_minutes.py:transcribe", "my_minutes.py: no such file. Correct `call`."),
    ],
)
def test_a_module_or_function_that_is_not_there_is_foreseen(load: Load, call: str, told: str | None) -> None:
    """A dry run says in one line what is missing, and what may be meant."""
    if told is None:
        assert list(ahead.variants(plan(load({"call": call})))) == []
    else:
        assert told in foreseen(load({"call": call}))


def test_nothing_is_imported_beforehand(load: Load, tmp_path: Path) -> None:
    """To look at a function does not run its module, nor the package that it is in; broken ones are named."""
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").write_text("1 / 0")
    (tmp_path / "my_package" / "words.py").write_text("1 / 0\ndef transcribe(w): pass")
    suite = load({"call": "my_package.words:transcribe"})
    assert list(ahead.variants(plan(suite))) == []
    (tmp_path / "my_package" / "words.py").write_text("def transcribe(w):\n    return (")
    assert "words.py:2: not valid Python" in foreseen(suite)
    (tmp_path / "my_package" / "words.py").write_text("from somewhere import *")
    assert list(ahead.variants(plan(suite))) == []  # only running it tells


@pytest.mark.parametrize("call", ["transcribe", ":transcribe", "my_seconds:", "my_seconds:a.b", "my_seconds:1"])
def test_what_names_no_function_is_refused(load: Load, call: str) -> None:
    """The message has an example."""
    with pytest.raises(InputError, match=r"variants.0: call: .*such as my_module:transcribe"):
        load({"call": call})


def test_a_wrong_answer_is_caught_when_it_is_called(load: Load, tmp_path: Path) -> None:
    """What only an import can tell is one line, too: no such name, or another module of the same name."""
    (tmp_path / "my_dynamic.py").write_text("globals()['transcribe'] = 5")
    with pytest.raises(InputError, match="call: my_dynamic has no function 'transcribe'"):
        build_variant(load({"call": "my_dynamic:transcribe"}).variants[0]).load("cpu")
    (tmp_path / "json.py").write_text("def transcribe(waveforms): return []")
    with pytest.raises(InputError, match=r"Python finds another module 'json' .*Rename the file"):
        build_variant(load({"call": "json:transcribe"}).variants[0]).load("cpu")


def test_its_identity_is_its_content(load: Load, tmp_path: Path) -> None:
    """The same file elsewhere is the same recogniser; another function, another file or other weights are not."""
    (tmp_path / "weights.bin").write_bytes(b"1")

    def identity(entry: VariantEntry) -> tuple[str, ...]:
        made = build_variant(entry).identity
        assert made is not None
        return made()

    first, second, weighted = load(
        {"call": "my_seconds:transcribe"}, {"call": "my_seconds:numbers"},
        {"call": "my_seconds:transcribe", "files": ["weights.bin"], "name": "weighted"},
    ).variants  # fmt: skip
    before = identity(weighted)
    assert len({identity(first), identity(second), before}) == 3
    (tmp_path / "weights.bin").write_bytes(b"2")
    assert identity(weighted) != before
    shutil.copytree(tmp_path, tmp_path / "elsewhere")
    moved = config.load(tmp_path / "elsewhere" / "suite.yaml").variants[0]
    assert moved.settings["call"] == f"{tmp_path / 'elsewhere' / 'my_seconds.py'}:transcribe"
    assert (identity(moved), moved.name) == (identity(first), "python:my_seconds:transcribe")
    (tmp_path / "weights.bin").unlink()
    assert "files: " in foreseen(load({"call": "my_seconds:numbers", "files": ["weights.bin"]}))


def test_a_package_beside_the_suite_is_imported_as_one(load: Load, tmp_path: Path) -> None:
    """A module in it may import its neighbours, and goes by its whole name."""
    (tmp_path / "my_words").mkdir()
    says = "from .text import TEXT\ndef say(waveforms): return [TEXT]"
    for name, text in {"__init__": "", "text": "TEXT = 'hi'", "model": says}.items():
        (tmp_path / "my_words" / f"{name}.py").write_text(text)
    (entry,) = load({"call": "my_words.model:say"}).variants
    assert entry.name == "python:my_words.model:say"
    model = build_variant(entry).load("mps")
    assert model([np.zeros(1, np.float32)]) == ["hi"]
    assert os.environ[programs.DEVICE] == "mps"


def test_it_takes_no_builds_and_says_that_it_runs_code(load: Load) -> None:
    """A method needs a torch module; whoever runs suites of others asks whether a family runs what they name."""
    with pytest.raises(GreenbenchError, match="python variants take none"):
        load({"call": "my_seconds:transcribe", "builds": ["fp16"]})
    assert isinstance(Python, NamesProgram)
    assert not isinstance(registry.load("variants", "null"), NamesProgram)
