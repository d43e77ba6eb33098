"""The package from Python: what it shows, and that a run takes what the command does."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import greenbench
from greenbench.assets import QUICKSTART
from greenbench.errors import InputError


def test_dir_names_the_api_and_nothing_else() -> None:
    """Completion in a notebook offers what is public, whatever was imported before."""
    assert {name for name in dir(greenbench) if not name.startswith("_")} == {
        "GreenbenchError", "InputError", "MissingError", "StoreError", "accept", "fleet", "gains", "load", "measure",
        "run", "show",
    }  # fmt: skip
    assert all(callable(getattr(greenbench, name)) for name in dir(greenbench) if not name.startswith("_"))


def test_help_shows_the_api_first() -> None:
    """The description, which comes before the list of modules, names each public function; the functions follow."""
    command = [sys.executable, "-c", "import greenbench; help(greenbench)"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PAGER": "cat"})
    before, _, after = shown.stdout.partition("PACKAGE CONTENTS")
    for name in ("run", "fleet", "load", "gains", "accept", "measure", "show"):
        assert f"greenbench.{name}(" in before
    assert re.search(r"FUNCTIONS.*\brun\(suite.*out.*progress", after, re.DOTALL)


def test_the_command_and_python_take_the_same() -> None:
    """Each option of `greenbench run` that says what to measure is an argument of the same name."""
    from greenbench.cli.measuring import run as command

    named = {"suite", "model", "data", "builds"}
    both = named | {"out", "limit", "device", "protocol", "only", "estimate_energy", "resume", "wait", "lock"}
    assert both <= set(inspect.signature(command).parameters)
    assert set(inspect.signature(greenbench.run).parameters) == both | {"progress"}


def test_a_fleet_takes_what_its_command_does() -> None:
    """Each option of `greenbench fleet run` that says what to measure, and where, is an argument of the same name."""
    from greenbench.cli.fleet import run as command

    arguments = set(inspect.signature(greenbench.fleet).parameters)
    assert set(inspect.signature(command).parameters) == arguments | {"overrides", "as_json"}


def test_a_run_takes_plain_arguments(suite_data: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder as text, a limit, a glob, and resuming; nothing is printed unless asked for."""
    data = {**suite_data, "variants": ["null/rtfx-100", "null/instant"]}
    out = str(tmp_path / "run")
    frame = greenbench.run(data, out=out, limit=2, only="*rtfx*")
    assert frame.attrs["folder"] == out
    assert set(frame["variant"]) == {"null/rtfx-100"}
    assert set(frame["n_utterances"]) == {2}
    assert capfd.readouterr().err == ""
    again = greenbench.run(data, out=Path(out), limit=2, resume=True, progress=True)
    told = capfd.readouterr().err
    assert set(again["variant"]) == {"null/rtfx-100", "null/instant"}
    assert "checking data, models and devices" in told
    assert "1 cell to run, 1 done before" in told
    assert "scoring texts and writing the page" in told
    assert "[1/1] null/instant" in told
    assert "repeat 0: WER " in told
    assert len(greenbench.load(out)) == len(again)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"out": 3}, "out: a folder"),
        ({"limit": 0}, "limit: a whole number of at least 1"),
        ({"limit": "2"}, "limit: a whole number of at least 1"),
        ({"limit": True}, "limit: a whole number of at least 1"),
        ({"only": ["a"]}, "only: a glob"),
        ({"only": "nothing"}, "no cell of suite 'tiny' matches"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"protocol": "fast"}, "unknown protocol 'fast'"),
    ],
)
def test_arguments_are_checked(suite_data: dict, tmp_path: Path, arguments: dict[str, Any], told: str) -> None:
    """A wrong one is an InputError with its name, before anything runs."""
    with pytest.raises(InputError, match=told):
        greenbench.run(suite_data, **{"out": tmp_path / "run", **arguments})
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_saved_says_when_to_save() -> None:
    """Integers and halves have no form that transformers loads; the message says how they are measured."""
    from greenbench.compress import Bf16, Int8Dynamic, compress, save
    from greenbench.variants.wav2vec2 import Wav2Vec2

    for step in (Int8Dynamic(), Bf16()):
        model, extractor, tokenizer = Wav2Vec2(model=str(QUICKSTART / "students" / "quickstart-2l")).open()
        with pytest.raises(InputError, match="save it before the step that changes the precision"):
            save(compress(model, [step]), extractor, tokenizer, "nowhere")
    assert not Path("nowhere").exists()


def test_a_saved_model_says_the_same(tmp_path: Path) -> None:
    """The folder is a variant, whole and not written over."""
    import numpy as np

    from greenbench.compress import LayerDrop, compress, save
    from greenbench.models.ctc import CtcTranscriber
    from greenbench.variants.wav2vec2 import Wav2Vec2

    model, extractor, tokenizer = Wav2Vec2(model=str(QUICKSTART / "students" / "quickstart-2l")).open()
    student = compress(model, [LayerDrop(keep=1)])
    folder = save(student, extractor, tokenizer, tmp_path / "a" / "mine")
    audio = [np.random.default_rng(1).standard_normal(16_000).astype("float32")]
    texts = CtcTranscriber(student.eval(), extractor, tokenizer, "cpu")(audio)
    loaded = Wav2Vec2(model=str(folder))("mine", [])
    loaded.check()
    assert loaded.load("cpu")(audio) == texts
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    with pytest.raises(InputError, match="there is something here already"):
        save(student, extractor, tokenizer, folder)
