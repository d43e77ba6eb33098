"""The corpus: counted and hashed once, decoded lazily, and never more of it in memory than a chunk."""

import hashlib
import re
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from greenbench.datasets.audio import AudioWarning
from greenbench.datasets.corpus import Corpus
from greenbench.errors import BadAudioError, InputError
from greenbench.plugins import Clip, Waveform


@dataclass
class Tape:
    """Clips of one second each that note when they are asked for and read, and how many are in memory."""

    n_clips: int = 4
    bad: tuple[int, ...] = ()
    asked: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    n_alive: int = 0
    most_alive: int = 0

    def __call__(self) -> Iterator[Clip]:
        for index in range(self.n_clips):
            self.asked.append(index)
            yield Clip(f"u{index}", lambda index=index: self.read(index), f"TEXT {index}", f"s{index}")

    def read(self, index: int) -> Waveform:
        self.reads.append(index)
        if index in self.bad:
            raise BadAudioError(f"u{index}.wav: bad audio: it is empty")
        audio = np.zeros(16_000, np.float32)
        self.n_alive += 1
        self.most_alive = max(self.most_alive, self.n_alive)
        weakref.finalize(audio, self._forget)
        return audio

    def _forget(self) -> None:
        self.n_alive -= 1


def ids(corpus: Corpus) -> list[list[str]]:
    return [[u.id for u in chunk] for chunk in corpus.chunks()]


def digest(clips: list[Clip], **options) -> str:
    corpus = Corpus(lambda: iter(clips), **options)
    ids(corpus)
    return corpus.stats.data_hash


def test_a_corpus_that_fits_is_decoded_once() -> None:
    """A corpus of one chunk is kept: later passes decode nothing and give the same utterances."""
    tape = Tape()
    corpus = Corpus(tape)
    assert not corpus.in_memory
    first, again = list(corpus.chunks()), list(corpus.chunks())
    assert corpus.in_memory
    assert first[0] is again[0]
    assert tape.reads == [0, 1, 2, 3]


def test_a_large_corpus_is_decoded_anew_at_every_pass() -> None:
    """A corpus of several chunks is not kept, and every pass gives the same chunks in the same order."""
    tape = Tape(5)
    corpus = Corpus(tape, chunk_s=2)
    assert ids(corpus) == ids(corpus) == [["u0", "u1"], ["u2", "u3"], ["u4"]]
    assert not corpus.in_memory
    assert tape.reads == [0, 1, 2, 3, 4] * 2


def test_memory_is_bounded_by_the_chunk() -> None:
    """However long the data set, a chunk and the utterance after it are the most audio in memory."""
    tape = Tape(500)
    corpus = Corpus(tape, chunk_s=3)
    assert sum(map(len, corpus.chunks())) == 500
    assert tape.most_alive <= 4
    assert tape.n_alive == 0


def test_an_utterance_longer_than_a_chunk_is_a_chunk() -> None:
    """A chunk holds at least one utterance, so that a long one is neither lost nor an endless loop."""
    assert ids(Corpus(Tape(3), chunk_s=0.5)) == [["u0"], ["u1"], ["u2"]]


def test_what_is_counted() -> None:
    """The statistics have the utterances, their seconds and nothing skipped once a pass is over, and not before."""
    corpus = Corpus(Tape(5), chunk_s=2)
    next(corpus.chunks())
    assert corpus.stats is None
    for _ in range(2):
        ids(corpus)
        assert (corpus.stats.n_utterances, corpus.stats.audio_s, corpus.stats.skipped) == (5, 5.0, [])


def test_the_limit_comes_before_decoding() -> None:
    """Under a limit no further clip is decoded, nor asked for."""
    tape = Tape(1000)
    assert ids(Corpus(tape, limit=2)) == [["u0", "u1"]]
    assert tape.asked == tape.reads == [0, 1]


def test_a_bad_file_stops_the_pass_with_a_remedy() -> None:
    """By default a bad file is an error that names the file and the setting that would skip it."""
    with pytest.raises(
        BadAudioError, match=r"^u1.wav: bad audio: it is empty\. Replace the file, or set on_bad_audio: skip\.$"
    ):
        ids(Corpus(Tape(bad=(1,))))


def test_bad_files_are_skipped_and_counted() -> None:
    """Under `skip` the good ones remain, and the statistics name each bad one."""
    corpus = Corpus(Tape(bad=(1, 3)), on_bad_audio="skip")
    assert ids(corpus) == [["u0", "u2"]]
    assert corpus.stats.n_utterances == 2
    assert corpus.stats.skipped == [f"u{i}.wav: bad audio: it is empty" for i in (1, 3)]


def test_a_skipped_file_counts_towards_the_limit() -> None:
    """The limit is on clips, so that the same clips are meant whether or not one of them is bad."""
    assert ids(Corpus(Tape(bad=(0,)), limit=2, on_bad_audio="skip")) == [["u1"]]


@pytest.mark.parametrize("tape", [Tape(0), Tape(2, bad=(0, 1))])
def test_a_corpus_of_nothing_is_an_error(tape: Tape) -> None:
    """A data set without one usable utterance is refused, not measured as an empty one."""
    with pytest.raises(InputError, match="no usable utterance"):
        ids(Corpus(tape, on_bad_audio="skip"))


def test_the_hash_tells_what_was_heard() -> None:
    """The digest follows ids, references, audio and order, and not how the corpus was cut or who speaks."""

    def clip(name: str, text: str, n: int = 16_000, speaker: str = "s", level: float = 1.0) -> Clip:
        return Clip(name, lambda: np.full(n, level, np.float32), text, speaker)

    one, two = clip("a", "X"), clip("b", "Y")
    base = digest([one, two])
    assert re.fullmatch(r"v2-[0-9a-f]{16}", base)
    assert digest([one, two], chunk_s=1) == base
    assert digest([one, two, clip("c", "Z")], limit=2) == base
    assert digest([clip("a", "X", speaker="t"), two]) == base
    others = [[clip("A", "X"), two], [clip("a", "x"), two], [clip("a", "X", 16_001), two], [two, one], [one],
              [clip("a", "X", level=0.5), two], [clip("a", "X", level=1 - 2**-24), two]]  # fmt: skip
    assert len({base, *map(digest, others)}) == 1 + len(others)


def test_the_hash_is_what_is_documented() -> None:
    """It is SHA-256 over id, reference, samples and SHA-256 of the float32 samples: counted here by hand."""
    audio = np.arange(-8, 8, dtype=np.float32) / 8
    of_audio = hashlib.sha256(audio.astype("<f4").tobytes()).hexdigest()[:16]
    expected = hashlib.sha256(f"a\0HI\x0016\0{of_audio}\n".encode()).hexdigest()[:16]
    assert digest([Clip("a", lambda: audio, "HI")]) == f"v2-{expected}"


def test_a_clip_may_say_what_its_audio_is() -> None:
    """A digest that a clip brings stands for its samples; one that is None leaves the samples to be hashed."""

    def clip(level: float, found: str | None) -> Clip:
        return Clip("a", lambda: np.full(160, level, np.float32), "X", digest=lambda: found)

    assert digest([clip(0.1, "abc")]) == digest([clip(0.2, "abc")]) != digest([clip(0.1, "abd")])
    assert digest([clip(0.1, None)]) == digest([Clip("a", lambda: np.full(160, 0.1, np.float32), "X")])


def test_later_passes_give_the_same_digests_and_compute_none() -> None:
    """A corpus that is decoded anew is hashed once; its utterances carry their digest on every pass."""
    asked = []
    clips = [Clip(f"u{i}", lambda: np.zeros(16_000, np.float32), "", digest=lambda i=i: asked.append(i) or f"d{i}")
             for i in range(3)]  # fmt: skip
    corpus = Corpus(lambda: iter(clips), chunk_s=1)
    passes = [[u.audio_digest for chunk in corpus.chunks() for u in chunk] for _ in range(2)]
    assert passes == [["d0", "d1", "d2"]] * 2
    assert asked == [0, 1, 2]


@pytest.mark.filterwarnings("ignore::greenbench.datasets.audio.AudioWarning")
def test_what_audio_is_warned_of_is_counted_and_passed_on() -> None:
    """A warning of a file is in the statistics by its utterance, without its path; other warnings are left alone."""

    def read(level: float) -> Waveform:
        if level:
            warnings.warn(AudioWarning(Path("/home/x/a.wav"), "its 2 channels cancel"), stacklevel=1)
        return np.full(160, level, np.float32)

    corpus = Corpus(lambda: iter(Clip(f"u{i}", lambda i=i: read(i), "") for i in range(3)))
    ids(corpus)
    assert corpus.stats.doubts == ["u1: its 2 channels cancel", "u2: its 2 channels cancel"]
    with pytest.warns(DeprecationWarning, match="old"):
        ids(
            Corpus(
                lambda: iter([Clip("a", lambda: warnings.warn("old", DeprecationWarning, stacklevel=2) or read(0), "")])
            )
        )


@pytest.mark.parametrize(
    ("level", "reference", "is_doubted"),
    [(0.0, "WORDS", True), (0.2 / 32768, "WORDS", True), (0.0, "  ", False), (3e-3, "WORDS", False)],
)
def test_words_over_silence_are_doubted(level: float, reference: str, is_doubted: bool) -> None:
    """Integers that were divided twice, or stored in wider ones unscaled, are 90 dB too quiet for any model."""
    audio = (level * np.sin(np.arange(1600))).astype(np.float32)
    corpus = Corpus(lambda: iter([Clip("a", lambda: audio, reference)]))
    ids(corpus)
    assert [doubt.startswith("a: its loudest sample is") for doubt in corpus.stats.doubts] == [True] * is_doubted


@pytest.mark.parametrize(
    ("rate_hz", "reference", "is_doubted"),
    [
        (16_000, "the full duck sleeps in the attic", False),
        (8_000, "the full duck sleeps in the attic", True),
        (8_000, "the full duck", False),
    ],
)
def test_words_in_too_short_a_time_are_doubted(rate_hz: int, reference: str, is_doubted: bool) -> None:
    """Speech whose header declares twice its rate is over in half the time, whatever the rest of the header says."""
    spoken_s = 2.0
    audio = np.full(int(spoken_s * rate_hz), 0.1, np.float32)  # taken for samples at 16 kHz
    corpus = Corpus(lambda: iter([Clip("a", lambda: audio, reference)]))
    ids(corpus)
    assert ["faster than anybody speaks" in doubt for doubt in corpus.stats.doubts] == [True] * is_doubted


@pytest.mark.parametrize("ids", [("same", "same"), ("caf\u00e9", "cafe\u0301"), ("a", "a\u200b")])
def test_two_utterances_of_one_id_are_refused(ids: tuple[str, str]) -> None:
    """A data set that uses an id twice, or two that look the same, cannot be scored by id: an error that names it."""
    clips = [Clip(name, lambda: np.zeros(160, np.float32), "A") for name in ids]
    with pytest.raises(InputError, match=f"two utterances '{ids[1]}'"):
        list(Corpus(lambda: iter(clips)).chunks())
