"""Length buckets: equal parts by length that together are the whole, and SUPERB's own choice."""

from collections.abc import Iterator
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.datasets.corpus import Corpus
from greenbench.datasets.lengths import bucket, bucket_name
from greenbench.errors import BadAudioError, InputError
from greenbench.plugins import Clip, Waveform


class Tape:
    """Clips of the given lengths; counts what is decoded, and knows lengths from a header or not."""

    def __init__(self, seconds: list[float], header: bool = True) -> None:
        self.seconds, self.header, self.n_decoded, self.n_passes = seconds, header, 0, 0

    def __call__(self) -> Iterator[Clip]:
        self.n_passes += 1
        for index, seconds in enumerate(self.seconds):
            look_up = (lambda s=seconds: s) if self.header else None
            yield Clip(f"u{index:04}", lambda s=seconds: self.read(s), "", None, look_up)

    def read(self, seconds: float) -> Waveform:
        self.n_decoded += 1
        return np.zeros(round(16_000 * seconds), np.float32)


def ids(clips) -> list[str]:
    return [clip.id for clip in clips()]


@given(st.lists(st.integers(1, 5), min_size=4, max_size=40), st.integers(2, 4))
def test_buckets_are_equal_parts_of_the_whole(seconds: list[int], n_buckets: int) -> None:
    """Every utterance is in one bucket, sizes differ by at most one, and no bucket has one longer than the next has."""
    tape = Tape([float(s) for s in seconds])
    parts = [ids(bucket(tape, number, n_buckets)) for number in range(1, n_buckets + 1)]
    assert sorted(chain(*parts)) == ids(tape)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    lengths = [[seconds[int(name[1:])] for name in part] for part in parts]
    assert all(max(a) <= min(b) for a, b in pairwise(lengths))


def test_superbs_choice() -> None:
    """Of 2620 utterances a limit of 32 takes the (82i + 1)-th by length, and each of four buckets has eight of them."""
    order = np.random.default_rng(1).permutation(2620)
    tape = Tape([1.0 + place / 1000 for place in order])
    by_length = [f"u{index:04}" for index in np.argsort(order)]
    parts = [ids(bucket(tape, number, 4, 32)) for number in (1, 2, 3, 4)]
    assert [set(part) for part in parts] == [{by_length[82 * i] for i in range(8 * b, 8 * b + 8)} for b in range(4)]


@pytest.mark.parametrize(("n", "limit", "n_taken"), [(10, 8, 5), (10, 10, 10), (10, 99, 10), (100, 33, 25)])
def test_a_limit_is_spread_over_all_lengths(n: int, limit: int, n_taken: int) -> None:
    """At most so many are taken, at even steps from the shortest on, never only the first or the shortest."""
    tape = Tape([float(n - i) for i in range(n)])
    taken = [name for number in (1, 2) for name in ids(bucket(tape, number, 2, limit))]
    assert len(taken) == n_taken <= limit
    assert f"u{n - 1:04}" in taken


def test_a_bucket_keeps_the_order_of_the_data_set() -> None:
    """Within a bucket nothing is sorted."""
    assert ids(bucket(Tape([4.0, 1.0, 3.0, 2.0]), 2, 2)) == ["u0000", "u0002"]


def test_lengths_are_looked_up_once_and_nothing_is_decoded() -> None:
    """The first pass looks lengths up in headers; later passes read only what is in the bucket."""
    tape = Tape([4.0, 1.0, 3.0, 2.0])
    part = bucket(tape, 1, 2)
    assert tape.n_passes == 0
    assert ids(part) == ids(part) == ["u0001", "u0003"]
    assert (tape.n_passes, tape.n_decoded) == (3, 0)


def test_without_headers_audio_is_decoded_to_know() -> None:
    """A data set that cannot tell lengths is decoded once for them and cut in the same way."""
    tape = Tape([4.0, 1.0, 3.0, 2.0], header=False)
    part = bucket(tape, 2, 2)
    assert ids(part) == ids(part) == ["u0000", "u0002"]
    assert tape.n_decoded == 4


def test_too_few_utterances_say_so() -> None:
    """Three utterances cannot be four parts."""
    with pytest.raises(InputError, match="3 utterances cannot be cut into 4 length buckets"):
        ids(bucket(Tape([1.0, 2.0, 3.0]), 1, 4))


@pytest.mark.parametrize("header", [True, False])
def test_a_bad_file_is_reported_with_the_shortest(header: bool) -> None:
    """A file whose length is unknown is met in the first bucket, counted there, and in no other."""

    def broken() -> float:
        raise BadAudioError("bad.wav: bad audio: it is empty")

    def clips() -> Iterator[Clip]:
        yield Clip("bad", broken, "", None, broken if header else None)
        yield from Tape([4.0, 1.0, 3.0])()

    for number, n_skipped in ((1, 1), (2, 0)):
        corpus = Corpus(bucket(clips, number, 2), on_bad_audio="skip")
        assert list(corpus.chunks())
        assert len(corpus.stats.skipped) == n_skipped


@pytest.mark.parametrize(
    ("number", "n_buckets", "name"),
    [(1, 4, "short"), (4, 4, "longer"), (5, 5, "length-5-of-5")],
)
def test_buckets_have_names(number: int, n_buckets: int, name: str) -> None:
    """Four buckets are called as SUPERB calls them, others are counted."""
    assert bucket_name(number, n_buckets) == name
