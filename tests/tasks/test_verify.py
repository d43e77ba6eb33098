"""The task verify: what an answer is, what its trials come to, and which models answer it."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from greenbench import tasks
from greenbench.errors import InputError, UnansweredError
from greenbench.plugins import Decides, Footprint, TextPair, Waveform
from greenbench.tasks.verify import Embedder

VERIFY = tasks.create("verify")


def text(name: str, asked: object, answer: object, speaker: str | None = None) -> TextPair:
    return TextPair(json.dumps(asked), json.dumps({"embedding": answer}), speaker, utterance_id=name)


FIVE = [
    text("a1", {}, [1, 0], "a"),
    text("a2", {"a1": True}, [0.8, 0.6], "a"),
    text("b1", {"a1": False}, [0, 2], "b"),
    text("b2", {"b1": True, "a2": False}, [0.6, 0.8], "b"),
    text("c1", {"a1": True, "gone": True}, [-5, 0], "a"),
]
"""By hand: pairs of one speaker have the cosines 0.8, 0.8 and -1, those of two 0 and 0.96."""


def test_trials_are_scored_by_the_cosine() -> None:
    """Whatever the lengths of the vectors; a trial with an utterance that is not there is none."""
    trials = VERIFY.trials(FIVE)
    assert isinstance(VERIFY, Decides)
    assert trials.scores == pytest.approx([0.8, 0, 0.8, 0.96, -1])
    assert trials.present.tolist() == [True, False, True, False, True]
    assert (trials.units == trials.others).tolist() == [True, False, True, False, True]


def test_figures_are_those_of_the_pairs() -> None:
    """An AUC of 2 of 6 pairs; at 0 half of the false ones and two thirds of the others are accepted, at 0.96 one half
    and none. Nothing is accepted without a false alarm, so that the least cost is that of accepting nothing."""
    figures, origin = VERIFY.score(FIVE, "")
    assert figures["auc"] == pytest.approx(2 / 6)
    assert figures["eer"] == pytest.approx(1 / 2)
    assert figures["min_dcf"] == pytest.approx(1)
    assert (figures["n_target_trials"], figures["n_nontarget_trials"]) == (3, 2)
    assert figures["eer_ci_low"] <= figures["eer"] <= figures["eer_ci_high"]
    assert origin == {"wer_ci_unit": "speakers like these 2, conservative"}


def test_a_speaker_without_a_trial_is_no_unit() -> None:
    """An interval does not get narrower by utterances that are compared with none."""
    more = [text(f"d{n}", {}, [1, 0], f"d{n}") for n in range(20)]
    assert VERIFY.score([*FIVE, *more], "")[0] == VERIFY.score(FIVE, "")[0]


def test_one_kind_of_trial_has_no_rates() -> None:
    """Without pairs of two speakers there is nothing to tell apart, and figures are missing, not 0."""
    figures, origin = VERIFY.score(FIVE[:2], "")
    assert figures == {"n_target_trials": 1, "n_nontarget_trials": 0}
    assert origin == {"wer_ci_unit": None}
    assert VERIFY.score([text("a", {}, [1.0])], "")[0]["n_target_trials"] == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("hello", """an answer is {"embedding": [numbers]}, not 'hello'"""),
        ("{}", "an answer is"),
        ('{"embedding": []}', "an answer is"),
        ('{"embedding": ["1"]}', "an answer is"),
        ('{"embedding": [NaN]}', "an answer is"),
        ('{"embedding": [1], "text": [1]}', "an answer is"),
        ('{"embedding": [1, 2, 3]}', "embeddings of 2 and of 3 numbers cannot be compared"),
    ],
)
def test_what_is_no_answer_is_one_line(answer: str, message: str) -> None:
    """Texts of another task, and files edited by hand."""
    with pytest.raises(InputError, match="task verify: ") as error:
        VERIFY.score([*FIVE, TextPair("{}", answer)], "")
    assert message in str(error.value)


def test_a_reference_is_of_utterances() -> None:
    """One of another task is refused."""
    with pytest.raises(InputError, match="task verify: a reference is a JSON object with true or false an utterance"):
        VERIFY.score([TextPair("hello", '{"embedding": [1]}')], "")


class Oracle:
    """A model that knows who speaks: the first sample is the speaker's number, whose axis the embedding is near."""

    footprint, batching = Footprint(n_params=0), "padded"

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        raise NotImplementedError

    def embedding(self) -> str:
        return "axis of the speaker"

    def embeddings(self, batch: Sequence[Waveform]) -> np.ndarray:
        return np.stack([100 * np.eye(4)[int(audio[0])] + audio[1:5] for audio in batch]).astype(np.float32)


def spoken(speaker: int, rng: np.random.Generator, noise: float) -> np.ndarray:
    return np.concatenate([[speaker], noise * rng.standard_normal(4)]).astype(np.float32)


def answered(noise: float, n: int = 4) -> dict[str, Any]:
    rng, model = np.random.default_rng(0), VERIFY.answering(Oracle(), [])
    names = [(speaker, number) for number in range(n) for speaker in range(4)]
    answers = model([spoken(speaker, rng, noise) for speaker, _ in names])
    references = [{f"{s}-{k}": s == speaker for s, k in names[:place]} for place, (speaker, _) in enumerate(names)]
    return VERIFY.score(
        [
            TextPair(json.dumps(asked), answer, f"s{speaker}", utterance_id=f"{speaker}-{number}")
            for (speaker, number), asked, answer in zip(names, references, answers, strict=True)
        ],
        "",
    )[0]


def test_a_model_that_knows_the_speaker_makes_no_error() -> None:
    """Cosines near 1 and near 0 from the waveforms to the figures; noise above the signal is guessing."""
    good, bad = answered(1.0), answered(1e6)
    assert (good["eer"], good["auc"], good["min_dcf"]) == (0, 1, 0)
    assert good["n_target_trials"] == 4 * 6
    assert 0.3 < bad["auc"] < 0.7
    assert bad["eer"] > 0.3


def test_an_answer_has_length_1_and_4_digits() -> None:
    """So a row's texts are small, and a cosine is right to 1e-3; a vector of zeros stays one."""
    model = Embedder(Oracle())
    (answer,) = model([np.array([1, 0, -50, 0, 0], np.float32)])
    assert json.loads(answer) == {"embedding": [0.0, 1.0, 0.0, 0.0]}
    assert (model.decoding, model.footprint, model.batching) == ("axis of the speaker", Oracle.footprint, "padded")
    (answer,) = model([np.array([0, -100, 0, 0, 0], np.float32)])
    assert json.loads(answer) == {"embedding": [0.0] * 4}


def test_a_model_that_gives_texts_does_not_answer() -> None:
    """It has no embeddings."""

    class Texts:
        footprint, batching = Footprint(n_params=0), "sequential"

        def __call__(self, batch: Sequence[Waveform]) -> list[str]:
            return [""] * len(batch)

    with pytest.raises(UnansweredError, match="compares embeddings"):
        VERIFY.answering(Texts(), [])
