"""Which utterances of a data set are short and which are long: equal parts by length, each a data set of its own."""

from collections.abc import Callable, Iterator
from functools import cache
from math import ceil

from greenbench.errors import BadAudioError, InputError
from greenbench.plugins import SAMPLE_RATE_HZ, Clip

Clips = Callable[[], Iterator[Clip]]

FOUR = ("short", "medium", "long", "longer")
"""The names of four buckets: those of SUPERB's profiling (Feng et al., "SUPERB @ SLT 2022", 2022)."""


def bucket_name(number: int, n_buckets: int) -> str:
    """Name a bucket, the shortest being number 1."""
    return FOUR[number - 1] if n_buckets == len(FOUR) else f"length-{number}-of-{n_buckets}"


def bucket(clips: Clips, number: int, n_buckets: int, limit: int | None = None) -> Clips:
    """Return one of the equally large parts that a data set has when it is cut by length.

    With a limit, only every so-manieth utterance by length is taken before the cut: SUPERB's choice from LibriSpeech's
    test-clean, the (82i + 1)-th of 2620 by length, is four buckets of a limit of 32.

    Args:
        clips: yields the clips of one pass, always the same.
        number: of the part, from 1 for the shortest.
        n_buckets: parts.
        limit: utterances in all parts together, at most.

    Returns:
        What yields the part's clips, in the order of the data set. Lengths are looked up at the first pass.

    Raises:
        InputError: (at the first pass) there are fewer utterances than parts.
    """

    @cache
    def chosen() -> frozenset[str]:
        ids = [clip_id for _, clip_id in sorted((_duration_s(clip), clip.id) for clip in clips())]
        ids = ids[:: _stride(len(ids), limit)]
        check(len(ids), n_buckets)
        return frozenset(ids[(number - 1) * len(ids) // n_buckets : number * len(ids) // n_buckets])

    return lambda: (clip for clip in clips() if clip.id in chosen())


def check(n_clips: int, n_buckets: int, limit: int | None = None) -> None:
    """Refuse to cut a data set into more parts than it has utterances.

    Args:
        n_clips: of the data set.
        n_buckets: parts.
        limit: utterances in all parts together, at most.

    Raises:
        InputError: there are fewer utterances than parts.
    """
    n_taken = len(range(0, n_clips, _stride(n_clips, limit)))
    if n_taken < n_buckets:
        remedy = "take fewer buckets" if limit is None or limit >= n_clips else "raise the limit, or take fewer buckets"
        raise InputError(f"{n_taken} utterances cannot be cut into {n_buckets} length buckets; {remedy}")


def _stride(n_clips: int, limit: int | None) -> int:
    """Return which utterances by length a limit takes: every so-manieth."""
    return ceil(n_clips / limit) if limit and n_clips else 1


def _duration_s(clip: Clip) -> float:
    """Return a clip's length; a bad file counts as the shortest, and whoever reads that bucket will complain."""
    try:
        return clip.duration_s() if clip.duration_s else len(clip.read()) / SAMPLE_RATE_HZ
    except BadAudioError:
        return 0.0
