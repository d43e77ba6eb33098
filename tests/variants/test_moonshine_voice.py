"""Moonshine by its own library: a stand-in of the library's interface, and the real one where it is installed."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from greenbench import extras
from greenbench.errors import InputError
from greenbench.models.packaged import Packaged
from greenbench.plugins import Partial, Streamer
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.moonshine import SIZES
from greenbench.variants.moonshine_voice import Library

ENTRY = {"use": "moonshine/tiny.en", "engine": "moonshine-voice"}

N_NEW = 3
"""Samples that must be new for the stand-in to read its lines again."""


@dataclass
class Line:
    """What the library says of a line."""

    text: str
    duration: float
    is_complete: bool
    is_updated: bool


class Stream:
    """Says a word for each sample, by its number; a sample of 0 ends a line."""

    def __init__(self, update_interval: float) -> None:
        assert update_interval == np.inf
        self.samples: list[int] = []
        self.n_read, self.lines, self.state = 0, list[Line](), "new"

    def start(self) -> None:
        assert self.state == "new"
        self.state = "started"

    def add_audio(self, audio: list[float]) -> None:
        assert self.state == "started"
        self.samples += [round(value) for value in audio]

    def update_transcription(self, flags: int = 0) -> SimpleNamespace:
        n_new = len(self.samples) - self.n_read
        if n_new >= (1 if flags else N_NEW):
            self.n_read, before = len(self.samples), self.lines
            self.lines = []
            for spoken in " ".join(map(str, self.samples)).split(" 0"):
                words = spoken.split()
                line = Line(f" {' '.join(words)} ", len(words) / 16_000, False, True)
                self.lines.append(line)
            for number, line in enumerate(self.lines):
                line.is_complete = number < len(self.lines) - 1
                line.is_updated = not (number < len(before) and before[number].is_complete)
        else:
            for line in self.lines:
                line.is_updated = False
        return SimpleNamespace(lines=self.lines)

    def stop(self) -> SimpleNamespace:
        assert self.state == "started"
        self.state = "stopped"
        return self.update_transcription()

    def close(self) -> None:
        assert self.state == "stopped"
        self.state = "closed"


class Transcriber:
    """The library's transcriber."""

    MOONSHINE_FLAG_FORCE_UPDATE = 1

    def __init__(self, model_path: str, model_arch: str, options: dict[str, str]) -> None:
        self.given = model_path, model_arch, options

    def create_stream(self, update_interval: float) -> Stream:
        return Stream(update_interval)

    def transcribe_without_streaming(self, audio: list[float]) -> SimpleNamespace:
        return SimpleNamespace(lines=[Line(f" {round(value)} ", 1, True, True) for value in audio])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model's files, which the package brings, and the stand-in of the library."""
    package = ModuleType("moonshine_voice")
    package.__dict__.update(Transcriber=Transcriber, ModelArch=SimpleNamespace(TINY="tiny"))
    monkeypatch.setitem(sys.modules, "moonshine_voice", package)
    monkeypatch.setattr(extras, "missing", lambda _extras: None)
    monkeypatch.setattr(Packaged, "folder", tmp_path)
    for name in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"):
        (tmp_path / name).write_text("abc")
    return tmp_path


@pytest.fixture
def model(folder: Path) -> Any:
    """The stand-in, loaded."""
    return build_variant(VariantEntry(**ENTRY)).load("cpu")


def samples(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.float32)


def test_the_library_gets_the_model_and_its_own_options(model: Any, folder: Path) -> None:
    """By its own names and as strings; the size is that of both graphs."""
    path, arch, options = model._transcriber.given
    assert (path, arch) == (str(folder), "tiny")
    assert options == {"max_tokens_per_second": "6.5", "vad_threshold": "0.0", "return_audio_data": "false"}
    assert (model.footprint.model_bytes, model.batching) == (6, "sequential")


def test_lines_are_one_text(model: Any) -> None:
    """A text is the lines of an utterance, with one space between."""
    assert model([samples(1, 2), samples(3)]) == ["1 2", "3"]


def test_lines_that_have_ended_are_final(model: Any) -> None:
    """What is shown changes when the library has read again; what is left in the end is read, however short it is."""
    assert isinstance(model, Streamer)
    session = model.open()
    shown = [session.feed(samples(*chunk)) for chunk in ([1, 2], [3], [0, 4], [5, 6, 7], [8])]
    assert shown == [None, Partial("1 2 3", 0), None, Partial("1 2 3 4 5 6 7", 3), None]
    assert session.finish() == "1 2 3 4 5 6 7 8"
    assert session._stream.state == "closed"


def test_samples_are_counted_as_often_as_they_are_read(model: Any) -> None:
    """A line from its beginning at each reading, and none that had ended before."""
    session, computed = model.open(), []
    for chunk in ([1, 2, 3], [4], [0, 5, 6], [7, 8, 9], [10]):
        session.feed(samples(*chunk))
        computed.append(session.n_computed)
    assert computed == [3, 3, 3 + 4 + 2, 9 + 5, 14]
    session.finish()
    assert session.n_computed == 14 + 6


def test_a_row_says_which_engine_it_was(folder: Path) -> None:
    """Name, identity, decoding and what is to be known; texts of the two engines are those of two variants."""
    both = [build_variant(VariantEntry(**entry)) for entry in ({"use": "moonshine/tiny.en"}, ENTRY)]
    plain, voice = ([*variant.identity()] for variant in both)
    assert voice == [*plain, "moonshine-voice"]
    assert [len(variant.warnings()) for variant in both] == [0, 1]
    assert both[1].decoding() == "greedy, at most 6.5 tokens a second of audio, moonshine-voice, speech above 0"
    assert both[0].decoding() == "greedy, at most 6.5 tokens a second of audio"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({**ENTRY, "vad_threshold": 1}, "vad_threshold is at least 0 and below 1"),
        ({"use": "moonshine/tiny.en", "vad_threshold": 0.5}, "vad_threshold is for `engine: moonshine-voice`"),
        (
            {"use": "moonshine", "engine": "moonshine-voice", "model": "mine"},
            "takes the models of its package: tiny.en",
        ),
    ],
)
def test_what_the_engine_does_not_take_is_one_line(settings: dict[str, Any], says: str) -> None:
    """It is refused before anything is looked for."""
    with pytest.raises(InputError, match=says) as caught:
        build_variant(VariantEntry(**settings))
    assert "\n" not in str(caught.value)


# --- the real library ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Library:
    """The real tiny.en, loaded."""
    if SIZES["tiny.en"].folder is None or extras.missing(["moonshine"]):
        pytest.skip("moonshine-voice is not installed (117 MB: pip install --no-deps moonshine-voice==0.0.73)")
    return build_variant(VariantEntry(**ENTRY)).load("cpu")


def spoken() -> np.ndarray:
    """Return an utterance of the bundled evaluation speech."""
    import soundfile

    folder = Path(extras.__file__).parent / "assets" / "quickstart" / "evaluation" / "audio"
    waveform: np.ndarray = soundfile.read(min(folder.glob("*.flac")), dtype="float32")[0]
    return waveform


@pytest.mark.slow
def test_real_texts_equal_the_librarys_own(real: Library) -> None:
    """Offline, and after each chunk of 0.32 s and in the end as a stream of the library's own that is asked then."""
    from moonshine_voice import ModelArch, Transcriber

    waveform = spoken()
    direct = Transcriber(str(SIZES["tiny.en"].folder), ModelArch.TINY, options={"vad_threshold": "0"})
    said = [line.text for line in direct.transcribe_without_streaming(waveform.tolist()).lines]
    assert real([waveform]) == [" ".join(said)] != [""]
    session, stream, text = real.open(), direct.create_stream(update_interval=1e9), ""
    stream.start()
    for begin in range(0, len(waveform), 5_120):
        chunk = waveform[begin : begin + 5_120]
        partial = session.feed(chunk)
        text = text if partial is None else partial.text
        stream.add_audio(chunk.tolist())
        assert text == " ".join(line.text for line in stream.update_transcription(0).lines)
    stream.update_transcription(Transcriber.MOONSHINE_FLAG_FORCE_UPDATE)
    assert session.finish() == " ".join(line.text for line in stream.stop().lines) != ""
    assert session.n_computed > len(waveform), "a line is read from its beginning again and again"
