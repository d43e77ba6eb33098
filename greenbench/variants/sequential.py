"""How an engine that takes one utterance at a time transcribes a batch."""

from collections.abc import Callable, Sequence

from greenbench.errors import NotFiniteError
from greenbench.plugins import Waveform


def one_by_one(transcribe: Callable[[Waveform], str], batch: Sequence[Waveform]) -> list[str]:
    """Return the text of each waveform, transcribed one after the other.

    Raises:
        NotFiniteError: of one of them; it names the position in the batch.
    """
    texts: list[str] = []
    for waveform in batch:
        try:
            texts.append(transcribe(waveform))
        except NotFiniteError as error:
            raise NotFiniteError([len(texts)], error.what) from None
    return texts
