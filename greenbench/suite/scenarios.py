"""Scenarios: in batches, one after the other, when users send them, or while they are spoken; servers and streams."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from greenbench.statistics.percentiles import fewest
from greenbench.suite.entries import VariantEntry

Scenario = Literal["offline", "single-stream", "server", "streaming"]

BATCHING: dict[str, str] = {
    "offline": "sorted", "single-stream": "single", "server": "single", "streaming": "single",
}  # fmt: skip
"""How a scenario forms its batches: part of what makes two rows comparable."""

PACED = ("server", "streaming")
"""The scenarios whose audio has a pace of its own: that a model is quicker does not show in ``rtfx``."""

SIMULATED: Literal["simulated"] = "simulated"

STREAMED = ("chunk_s", "pace", "finalise", "streams")
"""What is asked of ``Streaming`` that rows state, and that makes them comparable; ``streamed_by`` states the rest."""

CHUNK_PERCENTILE: Literal[99] = 99
"""The share of chunks, in percent, that a search for the most streams wants in time."""


class Server(BaseModel):
    """What is asked of a server: utterances arrive as a Poisson process and wait in one queue for one model.

    An utterance's latency runs from its arrival to its text; it is late beyond
    ``latency_base_s + latency_per_audio_s x duration``. The defaults allow 1 s for a sentence of 5 s, which is the
    bound of MLPerf's RNN-T Server scenario and about the delay that leaves a user's thought unbroken (Nielsen,
    "Usability Engineering", 1993), 1.5 s for 10 s and 3.5 s for 30 s.

    Attributes:
        rate_hz: utterances a second; None searches the highest rate that holds the bound.
        latency_base_s: the part of the bound that does not depend on the utterance.
        latency_per_audio_s: the part that grows with each second of audio.
        percentile: share of the utterances, in percent, that must be in time, by MLPerf's rule for independent ones.
            Waits in a queue are not independent: what is shown is how one window went, not that every window would.
        min_queries: least number of utterances in a window; never fewer than the percentile needs, which is 459, 90 or
            44 at 99, 95 or 90. The more there are, the more exact is the rate that a search finds.
        seed: seed of arrivals and order.
        max_probes: most windows of a search; each halves the range of rates that is left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_hz: float | None = Field(default=None, gt=0)
    latency_base_s: float = Field(default=0.5, ge=0)
    latency_per_audio_s: float = Field(default=0.1, ge=0)
    percentile: Literal[90, 95, 99] = 99
    min_queries: int | None = Field(default=None, ge=1)
    seed: int = 0
    max_probes: int = Field(default=5, ge=1)


def bound_s(server: Server, audio_s: float) -> float:
    """Return the seconds from arrival to text beyond which an utterance of ``audio_s`` seconds is late."""
    return server.latency_base_s + server.latency_per_audio_s * audio_s


def n_queries(server: Server) -> int:
    """Return how many utterances a window needs at least."""
    return max(server.min_queries or 0, fewest(server.percentile))


def demand(server: Server) -> str:
    """Say what is asked of a server; rows that differ in it are not comparable."""
    rate = "the highest rate" if server.rate_hz is None else f"{server.rate_hz:g} Hz"
    bound = f"{server.latency_base_s:g} s + {server.latency_per_audio_s:g} x audio"
    return f"poisson at {rate}, p{server.percentile} within {bound}"


class Streaming(BaseModel):
    """How speech is streamed: in chunks, each of which a model gets when its last sample has been spoken.

    Attributes:
        chunk_s: seconds of a chunk; the last one of an utterance may be shorter.
        pace: ``simulated`` does not wait for the speech: a chunk begins, on a clock of its own, when it was spoken and
            the model has finished with the one before, and takes as long as it really does. Latencies are those of a
            model that waits; joules are unknown, as those of waiting would be missing. ``real-time`` waits, so that a
            pass takes as long as its audio.
        window: how a model is streamed that does not do so itself: ``growing``, by transcribing all that was spoken so
            far at each chunk, or ``chunked``, for CTC models, with ``left_s`` and ``right_s`` of context around what is
            new, whose frames are kept.
        left_s: seconds of context before what is new (``window: chunked``).
        right_s: seconds of context behind it, for which each text has to wait (``window: chunked``).
        finalise: the final text is asked for at the ``end-of-audio``, when the last chunk has been handed over.
        streams: how many utterances are spoken at once; ``search`` finds the most at which 99 % of the chunks are done
            in time.
        max_chunk_latency_s: seconds after its last sample within which a chunk is to be done (``streams: search``);
            ``chunk_s`` where it is left out.
        aligner: a wav2vec 2.0 variant that aligns the transcripts of data sets without times of words, so that word
            latencies are known, e.g. ``wav2vec2/quickstart``; a CTC model that recognises this speech well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk_s: float = Field(default=0.32, ge=0.01, le=60)
    pace: Literal["simulated", "real-time"] = SIMULATED
    window: Literal["growing", "chunked"] = "growing"
    left_s: float = Field(default=4.0, ge=0, le=600)
    right_s: float = Field(default=0.64, ge=0, le=60)
    finalise: Literal["end-of-audio"] = "end-of-audio"
    streams: Annotated[int, Field(ge=1, le=100_000)] | Literal["search"] = Field(default=1, exclude_if=lambda n: n == 1)
    max_chunk_latency_s: float | None = Field(default=None, gt=0, exclude_if=lambda seconds: seconds is None)
    aligner: VariantEntry | None = Field(default=None, exclude_if=lambda entry: entry is None)

    @field_validator("streams", mode="wrap")
    @classmethod
    def _in_one_line(cls, given: object, validate: ValidatorFunctionWrapHandler) -> object:
        try:
            return validate(given)
        except ValidationError as error:
            raise ValueError(f"a whole number from 1 to 100000, or search, is expected (got {given!r:.60})") from error


def chunk_bound_s(streaming: Streaming) -> float:
    """Return the seconds from the end of a chunk to when it is done beyond which a search calls it late."""
    return streaming.chunk_s if streaming.max_chunk_latency_s is None else streaming.max_chunk_latency_s


_MOST = "the most, "
"""What rows state of the streams of a search begins with it."""


def streamed(streaming: Streaming) -> dict[str, Any]:
    """Return what rows state of how speech is streamed, by the names of ``STREAMED``."""
    most = f"{_MOST}p{CHUNK_PERCENTILE} of chunks within {chunk_bound_s(streaming):g} s"
    at_once = most if streaming.streams == "search" else str(streaming.streams)
    return {**streaming.model_dump(include=set(STREAMED)), "streams": at_once}


def is_search(streams: object) -> bool:
    """Say whether what a row states of its streams is the bound of a search."""
    return str(streams).startswith(_MOST)


def least_window_s(scenario: str, streaming: Streaming) -> float:
    """Return the seconds that a window of a scenario takes at least, whatever the protocol: of a search, one stream's.

    In real time it is the speech of as many chunks as show that the percentile is in time.
    """
    waits = scenario == "streaming" and streaming.streams == "search" and streaming.pace != SIMULATED
    return fewest(CHUNK_PERCENTILE) * streaming.chunk_s if waits else 0.0


def without_energy(scenario: str, streaming: Streaming) -> str | None:
    """Say why rows of a scenario have no joules, whatever the meters read, or return None."""
    if scenario != "streaming" or streaming.pace != SIMULATED:
        return None
    return "streaming at a simulated pace: the joules of waiting for speech are not there (pace: real-time has them)"
