"""The task ``verify``: whether two utterances are of one speaker, by the cosine of embeddings; judged by the EER."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from greenbench.errors import InputError, UnansweredError
from greenbench.plugins import Embeds, TextPair, Transcriber, Waveform
from greenbench.statistics import detection
from greenbench.statistics.detection import Trials
from greenbench.tasks import decisions

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCORER = "cosine@1"
"""The identifier of how answers are scored; it changes whenever a figure could come out differently."""

N_DIGITS = 4
"""Of each number of an embedding of length 1: a cosine is then right to about 0.0001, whatever the width."""

_Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Verify(decisions.ScoredOneWay):
    """Turn each utterance into an embedding; a trial of two utterances is scored by their cosine.

    The reference of an utterance is a JSON object: the other utterances that it is compared with, by their ids, each
    with whether the speaker is the same. Its answer is ``{"embedding": [...]}``. So each utterance is computed once,
    in however many trials it is, and trials are scored from the answers alone.
    """

    timed_region: ClassVar[str] = "waveform-to-embedding"
    rate: ClassVar[str | None] = "eer"
    scorer: ClassVar[str] = SCORER

    def answering(self, transcriber: Transcriber, references: Iterable[str]) -> Transcriber:  # noqa: ARG002
        """Return what embeds each utterance.

        Raises:
            UnansweredError: the model has no embeddings.
        """
        if not isinstance(transcriber, Embeds):
            raise UnansweredError("task verify compares embeddings of utterances, and this model gives texts only")
        return Embedder(transcriber)

    def score(self, texts: Sequence[TextPair], scoring: str) -> tuple[dict[str, Any], dict[str, str | None]]:  # noqa: ARG002
        """Return the equal error rate with its interval, the AUC, and the least detection cost of the same trials.

        Raises:
            InputError: as ``trials``.
        """
        together = self.trials(texts)
        figures, origin = decisions.figures(together, [text.speaker for text in texts])
        if together.can_be_judged:
            figures["min_dcf"] = float(detection.least_cost(detection.roc(together))[0])
        return figures, origin

    def trials(self, texts: Sequence[TextPair]) -> Trials:
        """Return the trials of all utterances, each with the cosine of its two embeddings.

        A trial whose other utterance is not among the texts is left out: a limit, or a part by length, took it away.

        Raises:
            InputError: a text is no answer, or embeddings differ in width.
        """
        places = {text.utterance_id: place for place, text in enumerate(texts)}
        found = [
            (place, places[other], is_same)
            for place, text in enumerate(texts)
            for other, is_same in decisions.asked("verify", text.reference, "an utterance").items()
            if other in places
        ]
        *sides, is_same = np.array(found, np.int64).reshape(-1, 3).T
        vectors, units = _unit_vectors(texts), decisions.units([text.speaker for text in texts], np.stack(sides))
        first, second = (vectors[side] for side in sides)
        return Trials((first * second).sum(axis=1), is_same.astype(bool), units[0], units[1])


class Embedder:
    """A model that answers with embeddings.

    Attributes:
        footprint: the model's.
        batching: the model's.
        decoding: what the embeddings are.
    """

    def __init__(self, model: Embeds) -> None:
        """Ask the model what its embeddings are.

        Raises:
            UnansweredError: it has none.
        """
        self._model, self.decoding = model, model.embedding()
        self.footprint, self.batching = model.footprint, model.batching

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Return the embedding of each waveform, of length 1, as JSON."""
        vectors = _of_length_1(self._model.embeddings(batch).astype(np.float64)).round(N_DIGITS) + 0.0  # no -0.0
        return [json.dumps({"embedding": vector}, separators=(",", ":")) for vector in vectors.tolist()]


# --- answers ---------------------------------------------------------------------------------------------


def _unit_vectors(texts: Sequence[TextPair]) -> _Vectors:
    """Return the embeddings of some answers, of length 1, ``(n_utterances, width)``.

    Raises:
        InputError: a text is no answer, or they differ in width.
    """
    contract = 'an answer is {"embedding": [numbers]}'
    vectors = [decisions.read("verify", _answers(), text.hypothesis, contract)["embedding"] for text in texts]
    widths = sorted(set(map(len, vectors)))
    if len(widths) > 1:
        raise InputError(f"task verify: embeddings of {widths[0]} and of {widths[-1]} numbers cannot be compared")
    return _of_length_1(np.array(vectors, np.float64))


def _of_length_1(vectors: _Vectors) -> _Vectors:
    """Return vectors of the same directions; one of zeros stays so, and has a cosine of 0 with all others."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


@cache
def _answers() -> "TypeAdapter[Any]":
    from pydantic import Field, FiniteFloat, TypeAdapter

    numbers = Annotated[list[FiniteFloat], Field(min_length=1)]
    return TypeAdapter(Annotated[dict[Literal["embedding"], numbers], Field(min_length=1)])
