"""Corruptions: noise has its ratio, everything is the same each time, and no two data sets are taken for one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from greenbench.datasets.corpus import Corpus
from greenbench.datasets.corruptions import Corrupted, Corruption, amplified, faster
from greenbench.errors import InputError
from greenbench.plugins import Clip, WordTime
from greenbench.suite.entries import DatasetEntry, corpus_of, resolve_dataset

RATE = 16_000


def voice(number: int, seconds: float = 1.0) -> np.ndarray:
    """A tone with a pause, of a pitch and level of its own."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.05 * (number + 1) * np.sin(2 * np.pi * 100 * (number + 2) * t) * (t > 0.2)).astype(np.float32)


def clips() -> Iterator[Clip]:
    for n in range(8):
        yield Clip(f"u{n}", lambda n=n: voice(n, 1 + n / 10), "words", f"s{n % 4}", lambda n=n: 1 + n / 10)


def read(**what: object) -> dict[str, np.ndarray]:
    return {clip.id: clip.read() for clip in Corrupted(clips, Corruption(**what))()}


def data_hash(**what: object) -> str:
    corpus = Corpus(Corrupted(clips, Corruption(**what)))
    assert sum(len(chunk) for chunk in corpus.chunks()) == 8
    return corpus.stats.data_hash


@pytest.mark.parametrize("noise", ["white", "babble"])
@pytest.mark.parametrize("snr_db", [20, 5, -5])
def test_noise_has_its_ratio_within_a_tenth_of_a_decibel(noise: str, snr_db: float) -> None:
    """What is added to each utterance has the power that the ratio asks for, whatever the utterance's level."""
    for clip in clips():
        clean = clip.read().astype(float)
        added = read(noise_snr_db=snr_db, noise=noise)[clip.id] - clean
        assert 10 * np.log10(np.mean(clean**2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.1)


def test_white_noise_is_white() -> None:
    """Each quarter of the spectrum has a quarter of its power, and neighbouring samples are not correlated."""
    added = read(noise_snr_db=0)["u7"] - voice(7, 1.7)
    quarters = [part.sum() for part in np.array_split(np.abs(np.fft.rfft(added)) ** 2, 4)]
    assert np.array(quarters) / sum(quarters) == pytest.approx([0.25] * 4, abs=0.02)
    assert abs(np.corrcoef(added[1:], added[:-1])[0, 1]) < 0.03


def test_babble_is_of_other_speakers() -> None:
    """No utterance of the own speaker is in the babble: a voice that only others have is there, the own is not."""
    silent = [Clip(f"u{n}", lambda n=n: voice(n), "words", "me" if n < 6 else "other") for n in range(8)]
    added = next(Corrupted(lambda: iter(silent), Corruption(noise_snr_db=0, noise="babble"))()).read() - voice(0)
    spectrum = np.abs(np.fft.rfft(added)) ** 2
    near = {hz: spectrum[hz - 30 : hz + 31].sum() / spectrum.sum() for hz in (200, 300, 400, 500, 600, 700, 800, 900)}
    assert near[800] + near[900] > 0.8
    assert near[200] < 0.02


def test_babble_of_nobody_is_refused() -> None:
    """A data set of one utterance has no others to make babble of."""
    alone = Corrupted(lambda: iter([Clip("a", lambda: voice(1), "x")]), Corruption(noise_snr_db=5, noise="babble"))
    with pytest.raises(InputError, match="set noise: white"):
        next(alone()).read()


def test_it_is_the_same_each_time_and_its_own_for_each_utterance_and_seed() -> None:
    """Noise depends on seed and id, on neither the order nor what else is read."""
    first, again = read(noise_snr_db=10), read(noise_snr_db=10)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    other = read(noise_snr_db=10, noise_seed=1)
    assert not any(np.array_equal(first[name], other[name]) for name in first)
    added = [(first[f"u{n}"] - voice(n, 1 + n / 10))[:RATE] for n in (2, 3)]
    assert abs(np.corrcoef(*added)[0, 1]) < 0.03
    (only,) = [clip for clip in Corrupted(clips, Corruption(noise_snr_db=10))() if clip.id == "u5"]
    assert np.array_equal(only.read(), first["u5"])


def test_no_two_corruptions_have_one_hash() -> None:
    """The digest of the data differs for each setting, and is the same again for the same."""
    settings = [
        {}, {"noise_snr_db": 10}, {"noise_snr_db": 5}, {"noise_snr_db": 10, "noise": "babble"}, {"gain_db": -6},
        {"noise_snr_db": 10, "noise_seed": 1}, {"speed": 1.1}, {"speed": 1.1, "gain_db": -6},
    ]  # fmt: skip
    found = [data_hash(**what) for what in settings]
    assert len(set(found)) == len(settings)
    assert found == [data_hash(**what) for what in settings]


def test_speed_shortens_and_raises() -> None:
    """At twice the speed a tone of 200 Hz is one of 400 Hz, half as long; the length is known without decoding."""
    tone = np.sin(2 * np.pi * 200 * np.arange(2 * RATE) / RATE).astype(np.float32)
    fast = faster(tone, 2.0)
    assert len(fast) == pytest.approx(RATE, abs=2)
    assert np.abs(np.fft.rfft(fast[:RATE])).argmax() == 400
    assert next(Corrupted(clips, Corruption(speed=2.0))()).duration_s() == 0.5


def test_gain_is_clipped_at_full_scale() -> None:
    """6.02 dB double the level, and what would exceed full scale stays at it."""
    assert amplified(np.array([0.1, -0.3, 0.8], np.float32), 20 * np.log10(2)) == pytest.approx([0.2, -0.6, 1.0])


def test_an_entry_names_its_corruption(tmp_path: Path) -> None:
    """The data set's name says what was done, so that two corruptions are told apart; a clean one is as it was."""
    entry = DatasetEntry(use="quickstart", limit=2, noise_snr_db=10, noise="babble", gain_db=-6, speed=0.9)
    (resolved,) = resolve_dataset(entry, tmp_path)
    assert resolved["name"] == "quickstart(speed=0.9,babble=10dB,gain=-6dB)[:2]"
    again = DatasetEntry(**resolved)
    assert again.corruption == entry.corruption
    (plain,) = resolve_dataset(DatasetEntry(use="quickstart", limit=2), tmp_path)
    assert plain["name"] == "quickstart[:2]"
    assert not {"noise", "noise_snr_db", "noise_seed", "gain_db", "speed"} & set(plain)


def test_the_corpus_of_an_entry_is_corrupted() -> None:
    """What an entry asks for is what the harness and recipes read."""
    clean, noisy = (
        next(corpus_of(DatasetEntry(use="quickstart", limit=1, **what)).chunks())[0]
        for what in ({}, {"noise_snr_db": 0.0})
    )
    added = noisy.audio.astype(float) - clean.audio
    assert 10 * np.log10(np.mean(clean.audio.astype(float) ** 2) / np.mean(added**2)) == pytest.approx(0, abs=0.1)
    assert (noisy.id, noisy.reference, noisy.slices) == (clean.id, clean.reference, clean.slices)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"noise": "babble"}, "noise: the level of the noise is missing"),
        ({"noise_seed": 1}, "noise_seed: the level of the noise is missing"),
        ({"speed": 5}, "speed"),
        ({"noise_snr_db": 500}, "noise_snr_db"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict, problem: str) -> None:
    """Noise without its ratio, and factors that leave no speech, are errors of the entry."""
    with pytest.raises(ValueError, match=problem):
        DatasetEntry(use="quickstart", **wrong)


def test_words_are_spoken_as_much_earlier_as_speech_is_faster() -> None:
    """Twice as fast, each word begins and ends after half of the time; noise moves none."""
    (clip, *_), words = clips(), (WordTime("a", 0.2, 0.6),)
    timed = [replace(clip, words=words)]
    faster_by_two, noisy = (
        Corrupted(lambda: iter(timed), Corruption(**what)) for what in ({"speed": 2.0}, {"gain_db": 1.0})
    )
    assert [one.words for one in (*faster_by_two(), *noisy())] == [(WordTime("a", 0.1, 0.3),), words]
