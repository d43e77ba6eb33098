"""The PocketSphinx family: by a stand-in that answers by a rule, and by the real package where it is installed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import extras
from greenbench.errors import MissingError
from greenbench.models.packaged import Packaged
from greenbench.plugins import Partial, Streamer
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.pocketsphinx import MODELS

STAND_IN = '''
"""Says a word for each sample, by its number; what it has heard before the utterance, it says first."""
import struct

class Hypothesis:
    def __init__(self, hypstr):
        self.hypstr = hypstr

class Decoder:
    def __init__(self, **settings):
        self.settings, self.heard, self.begun = settings, [], False
    def reinit_feat(self):
        assert not self.begun
        self.heard = []
    def start_utt(self):
        assert not self.begun
        self.begun, self.since = True, len(self.heard)
    def process_raw(self, data, full_utt=False):
        assert self.begun and len(data)
        assert not full_utt or len(self.heard) == self.since
        self.heard += struct.unpack(f"<{len(data) // 2}h", data)
    def end_utt(self):
        self.begun = False
    def hyp(self):
        words = [str(sample) for sample in self.heard if sample > 0]
        end = [] if self.begun or not words else ["end"]
        return Hypothesis(" ".join([*words, *end])) if words else None
'''


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages, first on the path, with one that is called pocketsphinx."""
    folder = tmp_path / "pocketsphinx" / "model" / "en-us"
    (folder / "en-us").mkdir(parents=True)
    for name, content in {"en-us/means": "abc", "en-us.lm.bin": "de", "cmudict-en-us.dict": "f"}.items():
        (folder / name).write_text(content)
    (tmp_path / "pocketsphinx" / "__init__.py").write_text(STAND_IN)
    about = tmp_path / "pocketsphinx-9.9.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pocketsphinx\nVersion: 9.9\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pocketsphinx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop("pocketsphinx", None)


@pytest.fixture
def model(site: Path) -> Any:
    """The stand-in, loaded."""
    return build_variant(VariantEntry(use="pocketsphinx/en-us")).load("cpu")


def samples(*numbers: int) -> np.ndarray:
    """Return audio of 16-bit samples."""
    return np.array(numbers, np.float32) / 2**15


# --- texts -----------------------------------------------------------------------------------------------


def test_each_utterance_begins_anew(model: Any) -> None:
    """Nothing goes on from the utterance before, in a batch, over batches or after a session; no samples, no text."""
    assert model.batching == "sequential"
    assert model([samples(1, 2), samples(3), samples()]) == ["1 2 end", "3 end", ""]
    session = model.open()
    session.feed(samples(4))
    assert (session.finish(), model([samples(5)])) == ("4 end", ["5 end"])


def test_samples_are_the_16_bit_ones_of_the_source(model: Any) -> None:
    """Exactly, in the order of bytes that it reads; louder ones are clipped."""
    assert model([np.array([300 / 2**15, 2.0], np.float32)]) == ["300 32767 end"]


def test_a_session_shows_what_changes_and_nothing_is_final_before_the_end(model: Any) -> None:
    """A chunk after which the best path has the same words shows nothing; the last text is that of a second search."""
    assert isinstance(model, Streamer)
    session = model.open()
    shown = [session.feed(samples(*chunk)) for chunk in ([0], [1, 2], [0, 0], [3])]
    assert shown == [None, Partial("1 2", 0), None, Partial("1 2 3", 0)]
    assert session.n_computed == 6
    assert session.finish() == "1 2 3 end"
    assert session.n_computed == 12, "the words are searched once more when the utterance has ended"


def test_sessions_at_once_have_decoders_of_their_own_which_are_used_again(model: Any) -> None:
    """Fed in turns, each says its own; one that has ended leaves its decoder to the next."""
    first, second = model.open(), model.open()
    for session, number in ((first, 1), (second, 2), (first, 3)):
        session.feed(samples(number))
    decoders = {id(session._decoder) for session in (first, second)}
    assert [first.finish(), second.finish()] == ["1 3 end", "2 end"]
    assert {id(model.open()._decoder) for _ in range(1)} < decoders


# --- what a row says -------------------------------------------------------------------------------------


def test_what_is_known_before_loading(site: Path) -> None:
    """Package and version, licence, decoding and the digest of all that is loaded, which follows each file."""
    variant = build_variant(VariantEntry(use="pocketsphinx/en-us"))
    assert (variant.info.weights_package, variant.info.licence) == ("pocketsphinx 9.9", "BSD-2-Clause")
    assert variant.decoding() == "beam search and lattice, with its trigram language model"
    assert (variant.to_fetch(), variant.unsupported("cpu")) == (None, None)
    assert "not on cuda:0" in str(variant.unsupported("cuda:0"))
    variant.check()
    assert variant.identity is not None
    found = [variant.identity()]
    for name in ("en-us/means", "en-us.lm.bin", "cmudict-en-us.dict"):
        (site / name).write_text("other")
        found.append(variant.identity())
    assert len(set(found)) == 4
    assert all(len(identity) == 1 and identity[0].startswith("weights:") for identity in found)


def test_the_size_is_of_the_files_that_are_loaded(model: Any, site: Path) -> None:
    """Of acoustic model, language model and pronunciations; and the decoder gets these, and says errors alone."""
    assert (model.footprint.model_bytes, model.footprint.n_params) == (6, None)
    session = model.open()
    places = {name: str(site / path) for name, path in (("hmm", "en-us"), ("lm", "en-us.lm.bin"))}
    words = str(site / "cmudict-en-us.dict")
    assert session._decoder.settings == {**places, "dict": words, "loglevel": "ERROR"}


# --- what cannot be --------------------------------------------------------------------------------------


def test_a_package_that_is_missing_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pocketsphinx the variant is unsupported, says no package, and loading it fails with the command."""
    real = extras.is_installed
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "pocketsphinx" and real(module))
    variant = build_variant(VariantEntry(use="pocketsphinx/en-us"))
    reason = "pocketsphinx not installed: pip install 'greenbench[pocketsphinx]'"
    assert (variant.unsupported("cpu"), variant.info.weights_package) == (reason, None)
    assert variant.identity is not None
    assert variant.identity() == ()
    with pytest.raises(MissingError) as caught:
        variant.load("cpu")
    assert str(caught.value) == reason


@pytest.mark.parametrize("lost", ["en-us.lm.bin", "cmudict-en-us.dict"])
def test_a_package_that_is_not_whole_is_one_line(site: Path, lost: str) -> None:
    """The file that is missing is named before anything runs, and such a model has no identity."""
    (site / lost).unlink()
    variant = build_variant(VariantEntry(use="pocketsphinx"))
    with pytest.raises(
        MissingError, match=rf"model en-us: {lost} not in pocketsphinx 9\.9\. Install it again"
    ) as caught:
        variant.check()
    assert "\n" not in str(caught.value)
    assert variant.identity is not None
    assert variant.identity() == ()


def test_a_package_without_the_model_is_one_line(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of another version may have it elsewhere."""
    monkeypatch.setitem(MODELS, "en-us", Packaged("pocketsphinx", "pocketsphinx", "elsewhere"))
    with pytest.raises(MissingError, match=r"model en-us: en-us not in pocketsphinx 9\.9\. Install it again"):
        build_variant(VariantEntry(use="pocketsphinx")).check()


# --- the real package ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Any:
    """The real en-us, loaded."""
    if MODELS["en-us"].folder is None:
        pytest.skip("pocketsphinx is not installed (pip install pocketsphinx)")
    return build_variant(VariantEntry(use="pocketsphinx/en-us")).load("cpu")


def spoken(n: int) -> list[tuple[np.ndarray, bytes]]:
    """Return utterances of the bundled evaluation speech, as the family and as the library takes them."""
    import soundfile

    folder = Path(extras.__file__).parent / "assets" / "quickstart" / "evaluation" / "audio"
    files = sorted(folder.glob("*.flac"))
    files = files[:: len(files) // n][:n]
    return [
        (soundfile.read(file, dtype="float32")[0], soundfile.read(file, dtype="int16")[0].tobytes()) for file in files
    ]


def directly(pieces: list[bytes], whole: bool) -> list[str]:
    """Return the texts that a new decoder of the library's own settings shows after each piece, and in the end."""
    from pocketsphinx import Decoder

    decoder, texts = Decoder(loglevel="ERROR"), []
    decoder.start_utt()
    for piece in pieces:
        decoder.process_raw(piece, full_utt=whole)
        texts.append(decoder.hyp())
    decoder.end_utt()
    return ["" if text is None else text.hypstr for text in (*texts, decoder.hyp())]


@pytest.mark.slow
def test_real_texts_equal_the_librarys_own(real: Any) -> None:
    """Offline, in one batch, and streamed in chunks of 0.32 s: each as by a decoder that has heard nothing else."""
    utterances = spoken(2)
    expected = [directly([content], whole=True)[-1] for _, content in utterances]
    assert real([waveform for waveform, _ in utterances]) == expected
    assert all(expected)
    for waveform, content in utterances[1:]:
        session, shown, text = real.open(), [], ""
        for begin in range(0, len(waveform), 5_120):
            partial = session.feed(waveform[begin : begin + 5_120])
            text = text if partial is None else partial.text
            shown.append(text)
        pieces = [content[begin : begin + 10_240] for begin in range(0, len(content), 10_240)]
        assert [*shown, session.finish()] == directly(pieces, whole=False)
