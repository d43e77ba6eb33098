"""The task ``transcribe``: what was said, as text; scored by word and character errors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from greenbench.plugins import TextPair, Transcriber
from greenbench.text import scorers


@dataclass(frozen=True)
class Transcribe:
    """Write what was said; the suite's normaliser and scorer count the errors."""

    timed_region: ClassVar[str] = "waveform-to-text"
    rate: ClassVar[str | None] = None

    def answering(self, transcriber: Transcriber, references: Iterable[str]) -> Transcriber:  # noqa: ARG002
        """Return the model itself."""
        return transcriber

    def counted_by(self, scoring: str) -> Mapping[str, str | None]:
        """Return the identifiers of the normaliser and the scorer."""
        how = _create(scoring)
        return {"normalizer": how.normalizer, "scorer": how.scorer}

    def scoring_of(self, row: Mapping[str, Any]) -> str:
        """Return ``normalizer`` or ``normalizer+scorer``."""
        return scorers.name_of(str(row["normalizer"]), str(row["scorer"]))

    def score(self, texts: Sequence[TextPair], scoring: str) -> tuple[dict[str, Any], dict[str, str | None]]:
        """Return word and character errors with their intervals, errors in slices, and the recall of listed terms."""
        return scorers.accuracy(texts, _create(scoring))


_create = cache(scorers.create)
