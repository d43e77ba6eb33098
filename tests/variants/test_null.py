"""The null family."""

import time

import numpy as np
import pytest

from greenbench import registry
from greenbench.errors import InputError
from greenbench.plugins import Footprint
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.null import Null


def test_it_answers_its_text_once_a_waveform() -> None:
    """Every waveform of a batch gets the same fixed text."""
    model = Null(text="hello")("n", []).load("cpu")
    assert model([np.zeros(10, "float32")] * 3) == ["hello"] * 3


def test_the_delays_of_a_batch_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleeping takes audio seconds / rtfx, plus delay_s for each utterance, over the whole batch."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    batch = [np.zeros(16000, "float32"), np.zeros(32000, "float32")]
    model = Null(rtfx=20.0, delay_s=0.05)("n", []).load("cpu")
    model(batch)
    assert sum(slept) == pytest.approx(0.25)


def test_the_instant_preset_does_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """``null/instant`` never calls sleep, so that it shows the harness's own cost."""
    monkeypatch.setattr(time, "sleep", lambda _seconds: pytest.fail("slept"))
    assert build_variant(VariantEntry(use="null/instant")).load("cpu")([np.zeros(16000, "float32")]) == [""]


@pytest.mark.parametrize("wrong", [{"delay_s": -0.1}, {"rtfx": 0.0}, {"rtfx": -20.0}])
def test_it_refuses_delays_that_cannot_be(wrong: dict[str, float]) -> None:
    """A negative delay, or an RTFx of zero or below, is an input error that names the settings."""
    with pytest.raises(InputError, match="delay_s is at least 0 and rtfx above 0"):
        registry.create("variants", "null", wrong)


def test_it_weighs_nothing() -> None:
    """No parameters and no bytes, known exactly, and batches that are run one after the other."""
    model = Null()("n", []).load("cpu")
    assert (model.footprint, model.batching) == (Footprint(0, 0), "sequential")


@pytest.mark.parametrize(
    ("settings", "label"),
    [({}, "instant"), ({"rtfx": 20.0}, "rtfx-20"), ({"delay_s": 0.5}, "delay-0.5s"),
     ({"rtfx": 2.5, "delay_s": 1.0}, "rtfx-2.5-delay-1s")],
)  # fmt: skip
def test_its_label_says_the_delay(settings: dict[str, float], label: str) -> None:
    """The default name holds both delays, without trailing zeros."""
    assert Null(**settings).label == label


def test_its_presets_keep_their_promise() -> None:
    """Each preset's name is the label of its settings."""
    assert {name: Null(**settings).label for name, settings in Null.presets.items()} == {n: n for n in Null.presets}


def test_it_takes_no_builds() -> None:
    """There is no module to compress, and the message says so."""
    with pytest.raises(InputError, match="null variants take none"):
        build_variant(VariantEntry(use="null/instant", builds=["fp16"]))
