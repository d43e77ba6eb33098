"""What is kept of a session: when each chunk was there, computed and done, and what was shown then."""

from dataclasses import dataclass
from itertools import pairwise

from greenbench.errors import AnswerError
from greenbench.plugins import Partial


@dataclass(frozen=True)
class ChunkLog:
    """One chunk; all times are seconds from the first sample of the utterance.

    Attributes:
        arrival_s: when its last sample was spoken.
        start_s: when the model began with it: not before, and not while it was busy with another chunk.
        done_s: when the model had finished with it.
        partial: what it showed then; None where nothing had changed.
    """

    arrival_s: float
    start_s: float
    done_s: float
    partial: Partial | None

    @property
    def latency_s(self) -> float:
        """Seconds from its last sample until it was done."""
        return self.done_s - self.arrival_s


@dataclass(frozen=True)
class StreamLog:
    """One utterance.

    Attributes:
        chunks: in order; at least one. With the last one the speech ends.
        final: the text that the session ended with.
        final_s: when it was there; the session was finished from the end of its last chunk on.
        n_samples: of the utterance.
        n_computed: samples that the model computed, each as often as it was computed; None where unknown.
    """

    chunks: tuple[ChunkLog, ...]
    final: str
    final_s: float
    n_samples: int
    n_computed: int | None

    @property
    def end_s(self) -> float:
        """When the last sample was spoken."""
        return self.chunks[-1].arrival_s

    @property
    def final_latency_s(self) -> float:
        """Seconds from the last sample to the final text."""
        return self.final_s - self.end_s

    @property
    def compute_s(self) -> float:
        """Seconds that the model was busy, those of finishing included."""
        return sum(chunk.done_s - chunk.start_s for chunk in self.chunks) + self.final_s - self.chunks[-1].done_s

    def texts(self) -> list[tuple[float, list[str]]]:
        """Return each text that was shown, as its words, with the time from which it was; the final one last."""
        shown = [(chunk.done_s, chunk.partial.text.split()) for chunk in self.chunks if chunk.partial is not None]
        return [*shown, (self.final_s, self.final.split())]


def checked(log: StreamLog) -> StreamLog:
    """Return the log of a session that kept to its contract; called outside of windows only.

    Raises:
        AnswerError: a partial is none, or words that it called final were changed.
    """
    partials = [chunk.partial for chunk in log.chunks if chunk.partial is not None]
    for partial in partials:
        if not isinstance(partial, Partial) or not isinstance(partial.text, str) or type(partial.n_final) is not int:
            raise AnswerError(f"{partial!r:.60} for a chunk", _CONTRACT)
    texts = [*(partial.text.split() for partial in partials), log.final.split()]
    for partial, (words, later) in zip(partials, pairwise(texts), strict=True):
        if not 0 <= partial.n_final <= len(words) or words[: partial.n_final] != later[: partial.n_final]:
            raise AnswerError(f"{partial!r:.60} for a chunk, and then {' '.join(later)!r:.60}", _CONTRACT)
    return log


_CONTRACT = "a session returns None or a Partial, and the words that it calls final stay"
