"""The task detect: what an answer is, what its trials come to, and which models answer it."""

import json
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from greenbench import tasks
from greenbench.errors import InputError, UnansweredError
from greenbench.plugins import Footprint, TextPair, Waveform
from greenbench.tasks.detect import Detector

DETECT = tasks.create("detect")
LETTERS = "_abc"


def text(reference: dict, answer: object, speaker: str | None = None, audio_s: float | None = 2.0) -> TextPair:
    return TextPair(json.dumps(reference), json.dumps(answer), speaker, audio_s=audio_s)


def test_trials_are_pooled_over_utterances_and_keywords() -> None:
    """Three that are said score 4, 3 and 1, two that are not 2 and 0: by hand an EER of a third and an AUC of 5/6."""
    figures, origin = DETECT.score(
        [
            text({"red": True, "blue": False}, {"red": 4.0, "blue": 2.0, "green": 9.0}, "a"),
            text({"red": True}, {"red": 3.0, "blue": -1.0}, "b"),
            text({"blue": True, "red": False}, {"blue": 1, "red": 0}, "a", 7.0),
        ],
        "",
    )
    assert (figures["eer"], figures["auc"]) == (pytest.approx(1 / 3), pytest.approx(5 / 6))
    assert (figures["n_target_trials"], figures["n_nontarget_trials"]) == (3, 2)
    assert figures["tpr_at_fpr"] == pytest.approx(2 / 3)
    # found all three at a threshold of 1, where one of two absent ones is accepted, in 2 s and 7 s of speech
    assert figures["false_alarms_per_hour"] == pytest.approx(3600 / 9)
    assert figures["eer_ci_low"] <= figures["eer"] <= figures["eer_ci_high"]
    assert origin == {"wer_ci_unit": "speakers like these 2, conservative"}


def test_what_cannot_be_spelt_is_never_found() -> None:
    """Null is below every score: the keyword is missed, and never a false alarm."""
    figures, _ = DETECT.score([text({"x": True, "y": False}, {"x": None, "y": -9.0})], "")
    assert figures["auc"] == 0
    figures, _ = DETECT.score([text({"x": True, "y": False}, {"x": -9.0, "y": None})], "")
    assert figures["auc"] == 1


@pytest.mark.parametrize("asked", [{"x": True}, {"x": False}, {}])
def test_one_kind_of_trial_has_no_rates(asked: dict) -> None:
    """Without present or without absent ones there is nothing to tell apart, and figures are missing, not 0."""
    figures, origin = DETECT.score([text(asked, {"x": 1.0})], "")
    assert set(figures) == {"n_target_trials", "n_nontarget_trials"}
    assert origin == {"wer_ci_unit": None}


def test_false_alarms_an_hour_need_the_length_of_the_speech() -> None:
    """A text of unknown length leaves the figure unknown."""
    figures, _ = DETECT.score([text({"x": True, "y": False}, {"x": 1, "y": 0}, audio_s=None)], "")
    assert figures["false_alarms_per_hour"] is None
    assert figures["eer"] == 0


@pytest.mark.parametrize(
    ("reference", "answer", "message"),
    [
        ('{"x": true}', "hello", "an answer is a JSON object with a score a keyword, not 'hello'"),
        ('{"x": true}', '{"x": "1"}', "an answer is a JSON object"),
        ('{"x": true}', '{"x": NaN}', "an answer is a JSON object"),
        ('{"x": true}', '{"y": 1}', """the answer '{"y": 1}' has no score of 'x'"""),
        ("hello", '{"x": 1}', "a reference is a JSON object with true or false a keyword, not 'hello'"),
        ('{"x": 1}', '{"x": 1}', "a reference is a JSON object"),
    ],
)
def test_what_is_no_answer_is_one_line(reference: str, answer: str, message: str) -> None:
    """Texts of another task, and files edited by hand."""
    with pytest.raises(InputError, match="task detect: ") as error:
        DETECT.score([TextPair(reference, answer)], "")
    assert message in str(error.value)


class Letters:
    """A model of three letters that is sure of one for each sample: 1 is a, 2 is b, 3 is c, 0 is a blank."""

    footprint, batching, blank = Footprint(n_params=0), "padded", 0
    seen: ClassVar[list[int]] = []

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        raise NotImplementedError

    def labels(self, text: str) -> list[int] | None:
        return [LETTERS.index(letter) for letter in text] if set(text) <= set(LETTERS) else None

    def log_probs(self, batch: Sequence[Waveform]) -> list[np.ndarray]:
        self.seen.append(len(batch))
        rows = [np.full((len(audio), 4), -6.0, np.float32) for audio in batch]
        for row, audio in zip(rows, batch, strict=True):
            row[np.arange(len(audio)), audio.astype(int)] = -0.25
        return rows


def test_every_keyword_of_the_data_set_is_scored_in_every_utterance() -> None:
    """A detector listens for all its words; the answer of each waveform is JSON, with null for what it cannot spell."""
    model = DETECT.answering(Letters(), ['{"abc": true}', '{"ca": false, "dog": true}'])
    waveforms = [np.array([0, 1, 2, 2, 0, 3], np.float32), np.array([3, 1], np.float32)]
    answers = [json.loads(answer) for answer in model(waveforms)]
    assert [sorted(answer) for answer in answers] == [["abc", "ca", "dog"]] * 2
    assert answers[0]["abc"] == 0
    assert answers[0]["ca"] < 0
    assert answers[1]["ca"] == 0
    assert [answer["dog"] for answer in answers] == [None, None]
    assert answers[1]["abc"] is None  # two frames are too few for three letters
    assert (model.footprint, model.batching) == (Letters.footprint, "padded")


def test_a_model_that_can_spell_no_keyword_does_not_answer() -> None:
    """The reason names some."""
    with pytest.raises(UnansweredError, match="no letters for any of dog, ox"):
        Detector(Letters(), ["dog", "ox"])


def test_a_model_that_gives_texts_does_not_answer() -> None:
    """It has no probabilities of tokens."""

    class Texts:
        footprint, batching = Footprint(n_params=0), "sequential"

        def __call__(self, batch: Sequence[Waveform]) -> list[str]:
            return [""] * len(batch)

    with pytest.raises(UnansweredError, match="CTC"):
        DETECT.answering(Texts(), ['{"x": true}'])
