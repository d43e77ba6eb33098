"""The task ``detect``: whether each keyword is said, as a score; judged by the equal error rate."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from greenbench.errors import InputError, UnansweredError
from greenbench.plugins import LogProbabilities, TextPair, Transcriber, Waveform
from greenbench.statistics import detection
from greenbench.statistics.detection import Trials
from greenbench.tasks import decisions, keyword_score

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCORER = "keywords@1"
"""The identifier of how answers are scored; it changes whenever a figure could come out differently."""

N_DIGITS = 4
"""Of a score: what differs beyond is how a batch was padded."""


class Trial(NamedTuple):
    """One keyword in one utterance: whether it is said, and its score; None where the model cannot spell it."""

    keyword: str
    is_present: bool
    score: float | None


@dataclass(frozen=True)
class Detect(decisions.ScoredOneWay):
    """Score the keywords of the data set in each utterance, by a CTC model; judged by the equal error rate.

    A reference is a JSON object of the keywords that are asked for, each with whether it is said; an answer is a JSON
    object with the score of every keyword of the data set, see ``keyword_score.scores``.
    """

    timed_region: ClassVar[str] = "waveform-to-scores"
    rate: ClassVar[str | None] = "eer"
    scorer: ClassVar[str] = SCORER

    def answering(self, transcriber: Transcriber, references: Iterable[str]) -> Transcriber:
        """Return a detector of all keywords of the data set.

        Raises:
            UnansweredError: the model gives no probabilities of tokens, or can spell none of the keywords.
        """
        if not isinstance(transcriber, LogProbabilities):
            raise UnansweredError("task detect scores keywords by the tokens of a CTC model, and this one gives texts")
        return Detector(transcriber, sorted({keyword for text in references for keyword in _asked(text)}))

    def score(self, texts: Sequence[TextPair], scoring: str) -> tuple[dict[str, Any], dict[str, str | None]]:  # noqa: ARG002
        """Return the equal error rate with its interval, and other figures of the same trials.

        Raises:
            InputError: a text is no answer to its reference.
        """
        asked, speakers = _asked_of(texts), [text.speaker for text in texts]
        together = _together(asked, speakers)
        figures, origin = decisions.figures(together, speakers)
        if together.can_be_judged:
            curve = detection.roc(together)
            figures["tpr_at_fpr"] = float(detection.found_at(curve)[0])
            figures["false_alarms_per_hour"] = _per_hour(float(detection.false_at(curve)[0]), asked, texts)
        return figures, origin

    def trials(self, texts: Sequence[TextPair]) -> Trials:
        """Return the trials of all utterances; what cannot be spelt scores lowest, so it is never accepted.

        Raises:
            InputError: a text is no answer to its reference.
        """
        return _together(_asked_of(texts), [text.speaker for text in texts])


class Detector:
    """A CTC model that scores keywords in waveforms.

    Attributes:
        footprint: the model's.
        batching: the model's.
    """

    def __init__(self, model: LogProbabilities, keywords: Sequence[str]) -> None:
        """Spell the keywords as the model does.

        Raises:
            UnansweredError: it has letters for none of them.
        """
        self._model, self._keywords = model, keywords
        self.footprint, self.batching = model.footprint, model.batching
        spelt = {keyword: model.labels(keyword) for keyword in keywords}
        self._labels = {keyword: labels for keyword, labels in spelt.items() if labels}
        if not self._labels:
            raise UnansweredError(f"its vocabulary has no letters for any of {', '.join(keywords[:3])}")

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Return every keyword's score for each waveform, as JSON; null where it is not spelt, or too long."""
        found = keyword_score.scores(self._model.log_probs(batch), list(self._labels.values()), self._model.blank)
        return [self._answer(dict(zip(self._labels, row, strict=True))) for row in found.tolist()]

    def _answer(self, scored: Mapping[str, float]) -> str:
        finite = {keyword: round(score, N_DIGITS) + 0.0 for keyword, score in scored.items() if np.isfinite(score)}
        return json.dumps({keyword: finite.get(keyword) for keyword in self._keywords}, ensure_ascii=False)


# --- answers ---------------------------------------------------------------------------------------------


def trials_of(reference: str, answer: str) -> tuple[Trial, ...]:
    """Return the trials of one utterance.

    Args:
        reference: the keywords that are asked for, as JSON.
        answer: the scores, as JSON.

    Raises:
        InputError: one of them is something else, or a keyword has no score.
    """
    contract = "an answer is a JSON object with a score a keyword"
    asked, scored = _asked(reference), decisions.read("detect", _answers(), answer, contract)
    if absent := [keyword for keyword in asked if keyword not in scored]:
        raise InputError(f"task detect: the answer {answer!r:.60} has no score of '{absent[0]}'")
    return tuple(Trial(keyword, is_present, scored[keyword]) for keyword, is_present in asked.items())


def _asked(reference: str) -> dict[str, bool]:
    return decisions.asked("detect", reference, "a keyword")


def _asked_of(texts: Sequence[TextPair]) -> list[tuple[Trial, ...]]:
    return [trials_of(text.reference, text.hypothesis) for text in texts]


@cache
def _answers() -> "TypeAdapter[Any]":
    from pydantic import FiniteFloat, TypeAdapter

    return TypeAdapter(dict[str, FiniteFloat | None])


def _together(asked: Sequence[Sequence[Trial]], speakers: Sequence[str | None]) -> Trials:
    """Return the trials of all utterances as arrays.

    Args:
        asked: of each utterance.
        speakers: of each utterance, where known; else utterances are the units.
    """
    flat = [trial for of in asked for trial in of]
    scores = [-np.inf if trial.score is None else trial.score for trial in flat]
    present = [trial.is_present for trial in flat]
    places = np.repeat(np.arange(len(asked)), [len(of) for of in asked])
    return Trials(np.array(scores, np.float64), np.array(present, bool), decisions.units(speakers, places))


def _per_hour(share: float, asked: Sequence[Sequence[Trial]], texts: Sequence[TextPair]) -> float | None:
    """Return false alarms in an hour of speech without the keyword; None where the length of a text is not known.

    Args:
        share: of the trials without the keyword that are accepted.
        asked: the trials of each utterance.
        texts: the utterances.
    """
    n_absent = [sum(not trial.is_present for trial in of) for of in asked]
    if any(n and text.audio_s is None for n, text in zip(n_absent, texts, strict=True)):
        return None
    seconds = sum(n * (text.audio_s or 0.0) for n, text in zip(n_absent, texts, strict=True))
    return 3600 * share * sum(n_absent) / seconds if seconds else None
