"""Tasks: what a variant is asked for, and how its answers are scored."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from greenbench.plugins.models import Transcriber
from greenbench.plugins.speech import Waveform
from greenbench.statistics.detection import Trials

TRANSCRIBE = "transcribe"
"""The task of a data set that names none, and of rows of earlier versions."""


class TextPair(NamedTuple):
    """What an utterance is scored by: reference and answer, and what is stated of it, see ``Clip``.

    The slices are ``((key, value), ...)``, sorted; ``audio_s`` are its seconds of audio; ``utterance_id`` is what the
    references of other utterances may name it by.
    """

    reference: str
    hypothesis: str
    speaker: str | None = None
    slices: tuple[tuple[str, str], ...] = ()
    terms: tuple[str, ...] = ()
    audio_s: float | None = None
    utterance_id: str = ""


class Task(Protocol):
    """What a variant is asked for (group ``greenbench.tasks``): a frozen dataclass without settings.

    References and answers are texts, so that they can be kept, scored again and audited without a model.

    Attributes:
        timed_region: what a window times, the column of this name.
        rate: the error rate that decides, from ``metrics.RATES``; None where the suite says which (``primary``).
    """

    timed_region: ClassVar[str]
    rate: ClassVar[str | None]

    def answering(self, transcriber: Transcriber, references: Iterable[str]) -> Transcriber:
        """Return what answers the task with a loaded model: waveforms in, a text for each out.

        Args:
            transcriber: the loaded model.
            references: of the whole data set.

        Raises:
            UnansweredError: such a model does not answer the task; the cell is skipped with this reason.
        """
        ...

    def counted_by(self, scoring: str) -> Mapping[str, str | None]:
        """Return what identifies the scoring in rows: the columns ``normalizer`` and ``scorer``, with versions.

        Args:
            scoring: name of a scoring, as a suite's ``normalizer`` gives it; a task with one scoring has no use for it.

        Raises:
            InputError: there is no such scoring.
        """
        ...

    def scoring_of(self, row: Mapping[str, Any]) -> str:
        """Return the name of the scoring that a row, or a line of ``scores.jsonl``, was counted by."""
        ...

    def score(self, texts: Sequence[TextPair], scoring: str) -> tuple[dict[str, Any], dict[str, str | None]]:
        """Score the answers of a data set.

        Args:
            texts: one per utterance.
            scoring: its name.

        Returns:
            Metrics by name from ``metrics.ACCURACY``, and the provenance that goes with them.

        Raises:
            InputError: there is no such scoring, or a text is no answer.
        """
        ...


@runtime_checkable
class Decides(Task, Protocol):
    """A task whose answers decide trials by a score, judged by the equal error rate (optional).

    Attributes:
        timed_region: as ``Task``.
        rate: as ``Task``.
    """

    def trials(self, texts: Sequence[TextPair]) -> Trials:
        """Return the trials of a data set; which they are, and their order, follows from the references alone.

        Args:
            texts: one per utterance.

        Raises:
            InputError: a text is no answer to its reference.
        """
        ...


@runtime_checkable
class StatesDecoding(Protocol):
    """What answers a task, and says how a model's output becomes its answer (optional).

    Attributes:
        decoding: the column of this name, in place of what the variant says of its texts.
    """

    decoding: str


@runtime_checkable
class LogProbabilities(Transcriber, Protocol):
    """A transcriber whose text follows from the probabilities of tokens at each frame, such as a CTC model (optional).

    It answers the task ``detect``.

    Attributes:
        footprint: as ``Transcriber``.
        batching: as ``Transcriber``.
    """

    @property
    def blank(self) -> int:
        """The token that stands for no label."""
        ...

    def labels(self, text: str) -> list[int] | None:
        """Return the tokens that spell a text, without blanks; None where the vocabulary lacks a letter of it."""
        ...

    def log_probs(self, batch: Sequence[Waveform]) -> list[npt.NDArray[np.float32]]:
        """Return for each waveform the natural logarithms, ``(n_frames, n_tokens)``; the device has finished then.

        Raises:
            NotFiniteError: a frame has no finite one.
        """
        ...


@runtime_checkable
class Embeds(Transcriber, Protocol):
    """A transcriber that also turns an utterance into one vector, its embedding (optional).

    It answers the task ``verify``.

    Attributes:
        footprint: as ``Transcriber``.
        batching: as ``Transcriber``.
    """

    def embedding(self) -> str:
        """Say what the vectors are, as the column ``decoding`` has it: ``mean of hidden state 1 of 12``.

        Raises:
            UnansweredError: this model has none; the cell is skipped with this reason.
        """
        ...

    def embeddings(self, batch: Sequence[Waveform]) -> npt.NDArray[np.float32]:
        """Return a vector for each waveform, ``(n_utterances, width)``; the device has finished then.

        Raises:
            NotFiniteError: a vector has a number that is not finite.
            UnansweredError: the model turns out to have none.
        """
        ...


@runtime_checkable
class Asks(Protocol):
    """A data set whose utterances are for another task than to be transcribed (optional).

    Attributes:
        task: its name in ``greenbench.tasks``.
    """

    task: ClassVar[str]
