"""Corruptions: noise has its ratio, everything is the same each time, and no two data sets are taken for one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from greenbench.datasets.corpus import Corpus
from greenbench.datasets.corruptions import Corrupted, Corruption
from greenbench.datasets.signals import amplified, companded, decaying, faster, in_room, telephone
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


@pytest.mark.parametrize("noise", ["white", "pink", "babble"])
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


def test_pink_noise_has_as_much_in_each_octave() -> None:
    """From 125 Hz to 8 kHz the power of each octave is the same, and there is no offset."""
    added = read(noise_snr_db=0, noise="pink")["u7"].astype(float) - voice(7, 1.7)
    power, hz = np.abs(np.fft.rfft(added)) ** 2, np.fft.rfftfreq(len(added), 1 / RATE)
    octaves = np.array([power[(hz >= low) & (hz < 2 * low)].sum() for low in (125, 250, 500, 1000, 2000, 4000)])
    assert octaves / octaves.sum() == pytest.approx([1 / 6] * 6, abs=0.04)
    assert abs(added.mean()) < 1e-6


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
        {"noise_snr_db": 10, "noise": "pink"}, {"rt60_s": 0.5}, {"rt60_s": 0.6}, {"telephone": True},
    ]  # fmt: skip
    found = [data_hash(**what) for what in settings]
    assert len(set(found)) == len(settings)
    assert found == [data_hash(**what) for what in settings]


def test_hashes_are_those_of_earlier_versions() -> None:
    """A setting that came later changes no data hash of a data set that does without it."""
    assert data_hash(noise_snr_db=10, noise="babble", gain_db=-6) == "v2-0dd0fcf5750b1857"


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


# --- recordings of noise ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of noise, one of them within a folder and shorter than an utterance, and a text beside them."""
    import soundfile

    (tmp_path / "street" / "car").mkdir(parents=True)
    times = np.arange(5 * RATE) / RATE
    soundfile.write(tmp_path / "street" / "tram.wav", 0.5 * np.sin(2 * np.pi * 1000 * times), RATE)
    soundfile.write(
        tmp_path / "street" / "car" / "horn.flac", 0.1 * np.sin(2 * np.pi * 3000 * times[: RATE // 2]), RATE
    )
    (tmp_path / "street" / "README.txt").write_text("none")
    return tmp_path / "street"


def test_noise_of_a_folder_is_what_was_recorded(folder: Path) -> None:
    """Each utterance gets one of the recordings at its ratio, and not all the same; each pass and machine the same."""
    found = read(noise_snr_db=5, noise=str(folder))
    pitches = set()
    for clip in clips():
        clean = clip.read().astype(float)
        added = found[clip.id] - clean
        assert 10 * np.log10(np.mean(clean**2) / np.mean(added**2)) == pytest.approx(5, abs=0.1)
        spectrum = np.abs(np.fft.rfft(added[:RATE]))
        pitches.add(int(spectrum.argmax()))
    assert pitches == {1000, 3000}
    again = read(noise_snr_db=5, noise=str(folder))
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_the_hash_of_recorded_noise_is_of_its_content(folder: Path, tmp_path: Path) -> None:
    """The same recordings elsewhere are the same data set; another recording is another."""
    here = data_hash(noise_snr_db=5, noise=str(folder))
    moved = folder.rename(tmp_path / "elsewhere")
    assert data_hash(noise_snr_db=5, noise=str(moved)) == here
    (moved / "tram.wav").write_bytes((moved / "car" / "horn.flac").read_bytes())
    assert data_hash(noise_snr_db=5, noise=str(moved)) != here


def test_folders_are_named_and_looked_into_beforehand(folder: Path, tmp_path: Path) -> None:
    """A relative folder is that beside the suite; one without recordings is an error of the entry, in one line."""
    (resolved,) = resolve_dataset(DatasetEntry(use="quickstart", noise_snr_db=5, noise="street"), tmp_path)
    assert (resolved["name"], resolved["noise"]) == ("quickstart(street=5dB)", str(folder))
    for key, more in (("noise", {"noise_snr_db": 5}), ("rir", {})):
        with pytest.raises(InputError, match=f"{key}: .*brown holds no audio files") as caught:
            resolve_dataset(DatasetEntry(use="quickstart", **{key: "brown"}, **more), tmp_path)
        assert "\n" not in str(caught.value)


def test_silence_is_no_noise(tmp_path: Path) -> None:
    """Of a silent recording there is no ratio: it is named, rather than the speech left as it is."""
    import soundfile

    soundfile.write(tmp_path / "none.wav", np.zeros(RATE), RATE)
    with pytest.raises(InputError, match=r"none\.wav is silent"):
        read(noise_snr_db=5, noise=str(tmp_path))


# --- rooms and telephones --------------------------------------------------------------------------------


def test_a_simulated_room_decays_by_sixty_decibels() -> None:
    """In its time, evenly in decibels; direct sound and reverberation have the same energy."""
    response = decaying(np.random.PCG64(1), 0.5)
    energy = response**2
    assert len(response) == RATE // 2
    assert energy[0] == pytest.approx(energy[1:].sum())
    left = 10 * np.log10(np.cumsum(energy[:0:-1])[::-1] / energy[1:].sum())  # Schroeder's integral
    for share in (0.25, 0.5):
        assert left[int(share * len(left))] == pytest.approx(-60 * share, abs=1.5)


def test_a_room_keeps_time_length_and_level() -> None:
    """The direct sound comes when the dry one did, however late it is in the response; what comes after is later."""
    click = np.zeros(RATE, np.float32)
    click[1000] = 0.5
    response = np.zeros(800)
    response[[100, 500]] = 1.0, 0.5  # an echo after 25 ms
    heard = in_room(click, response)
    assert len(heard) == RATE
    assert np.flatnonzero(np.abs(heard) > 1e-3).tolist() == [1000, 1400]
    assert heard[1400] / heard[1000] == pytest.approx(0.5, abs=1e-3)
    assert np.mean(heard**2) == pytest.approx(np.mean(click**2), rel=1e-3)
    assert not in_room(np.zeros(100, np.float32), response).any()


def test_rooms_of_a_folder_are_heard(tmp_path: Path) -> None:
    """An impulse response of one sample changes nothing; one with an echo does, and its content is in the hash."""
    import soundfile

    soundfile.write(tmp_path / "dry.wav", np.array([1.0, 0, 0]), RATE, subtype="FLOAT")
    dry, dry_hash = read(rir=str(tmp_path)), data_hash(rir=str(tmp_path))
    assert all(np.allclose(dry[clip.id], clip.read(), atol=1e-6) for clip in clips())
    soundfile.write(tmp_path / "dry.wav", np.array([1.0, 0, 0.5]), RATE, subtype="FLOAT")
    assert not np.allclose(read(rir=str(tmp_path))["u1"], voice(1, 1.1), atol=1e-3)
    assert data_hash(rir=str(tmp_path)) != dry_hash


def test_utterances_have_rooms_of_their_own_by_the_seed() -> None:
    """The tail of a simulated room is another for each utterance and seed, and the same each time."""
    first, again, other = (read(rt60_s=0.3, noise_seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_a_telephone_has_its_band() -> None:
    """Tones within 300 to 3400 Hz pass, those beyond are at least 30 dB weaker; time and length stay."""
    times = np.arange(RATE) / RATE
    loss = {}
    for hz in (60, 100, 400, 1000, 3000, 3900, 6000):
        tone = (0.5 * np.sin(2 * np.pi * hz * times)).astype(np.float32)
        line = telephone(tone)
        assert len(line) == len(tone)
        loss[hz] = 10 * np.log10(np.mean(tone[2000:-2000] ** 2) / max(np.mean(line[2000:-2000] ** 2), 1e-12))
    assert all(abs(loss[hz]) < 1 for hz in (400, 1000, 3000)), loss
    assert all(loss[hz] > 30 for hz in (60, 100, 3900, 6000)), loss
    tone = np.sin(2 * np.pi * 440 * times).astype(np.float32) * (times > 0.5)
    assert np.abs(telephone(tone)[: RATE // 2 - 300]).max() < 0.01


@pytest.mark.parametrize("n_samples", [1, 7, 100, 16_001])
def test_a_telephone_takes_any_length(n_samples: int) -> None:
    """Shorter than its filter, too."""
    assert len(telephone(np.full(n_samples, 0.1, np.float32))) == n_samples


def test_the_mu_law_is_that_of_the_standard() -> None:
    """Full scale and silence stay; 8 bits have at most 255 values, finer at small ones; what is louder is clipped."""
    samples = np.linspace(-1, 1, 100_001)
    kept = companded(samples)
    steps = np.unique(kept)
    assert (kept[0], kept[50_000], kept[-1], companded(np.array([3.0]))[0]) == pytest.approx((-1, 0, 1, 1))
    assert len(steps) == 255
    widths = np.diff(steps[steps >= 0])
    assert (np.diff(widths) > 0).all()
    signal = 0.1 * np.sin(np.arange(RATE))
    noise = companded(signal) - signal
    assert 10 * np.log10(np.mean(signal**2) / np.mean(noise**2)) == pytest.approx(38, abs=2)


# --- entries ---------------------------------------------------------------------------------------------


def test_a_list_of_ratios_is_a_data_set_each(tmp_path: Path) -> None:
    """With names of their own, whoever gave them; null is the speech without noise, whose hash is that of the clean."""
    given = {"use": "quickstart", "limit": 2, "noise": "pink", "noise_seed": 3, "noise_snr_db": [None, 10, 0, 10]}
    found = resolve_dataset(DatasetEntry(**given), tmp_path)
    names = [f"quickstart{done}[:2]" for done in ("", "(pink=10dB,seed=3)", "(pink=0dB,seed=3)")]
    assert [one["name"] for one in found] == names
    assert found[0] == resolve_dataset(DatasetEntry(use="quickstart", limit=2), tmp_path)[0]
    named = resolve_dataset(DatasetEntry(**given, name="mine", telephone=True), tmp_path)
    assert [one["name"] for one in named] == [
        "mine(telephone)", "mine(pink=10dB,seed=3,telephone)", "mine(pink=0dB,seed=3,telephone)"
    ]  # fmt: skip
    buckets = resolve_dataset(DatasetEntry(**given, length_buckets=2), tmp_path)
    assert len({one["name"] for one in buckets}) == len(buckets) == 6
    with pytest.raises(InputError, match="a list makes several data sets"):
        corpus_of(DatasetEntry(**given))


def test_an_entry_names_its_corruption(tmp_path: Path) -> None:
    """The data set's name says what was done, so that two corruptions are told apart; a clean one is as it was."""
    entry = DatasetEntry(use="quickstart", limit=2, noise_snr_db=10, noise="babble", gain_db=-6, speed=0.9)
    (resolved,) = resolve_dataset(entry, tmp_path)
    assert resolved["name"] == "quickstart(speed=0.9,babble=10dB,gain=-6dB)[:2]"
    again = DatasetEntry(**resolved)
    assert again.corruption == entry.corruption
    (plain,) = resolve_dataset(DatasetEntry(use="quickstart", limit=2), tmp_path)
    assert plain["name"] == "quickstart[:2]"
    assert not {"noise", "noise_snr_db", "noise_seed", "gain_db", "speed", "rt60_s", "rir", "telephone"} & set(plain)
    (worse,) = resolve_dataset(DatasetEntry(use="quickstart", rt60_s=0.5, noise_seed=2, telephone=True), tmp_path)
    assert worse["name"] == "quickstart(room=0.5s,seed=2,telephone)"


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
        ({"noise_snr_db": [10, 500]}, "noise_snr_db"),
        ({"noise_snr_db": []}, "noise_snr_db"),
        ({"noise": "pink", "rt60_s": 0.5}, "noise: the level of the noise is missing"),
        ({"rir": "rooms", "rt60_s": 0.5}, "rt60_s: the speech is in a simulated room, or in those of rir"),
        ({"rt60_s": 0}, "rt60_s"),
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
