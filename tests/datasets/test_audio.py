"""read_audio gives true 16 kHz mono samples, or one line that names the file and the cause."""

import hashlib
import os
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.datasets import decoding
from greenbench.datasets.audio import AudioWarning, audio_digest, read_audio, read_duration_s, samples_digest
from greenbench.errors import BadAudioError


def sine(hz: float, rate_hz: int, seconds: float = 1.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)


def peak_hz(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.argmax(spectrum)) * 16_000 / len(audio)


def refusal(path: Path) -> str:
    with pytest.raises(BadAudioError) as caught:
        read_audio(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message.removeprefix(f"{path}: bad audio: ")


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_frequency_level_and_duration_survive_resampling(tmp_path: Path, rate_hz: int) -> None:
    """A 1 kHz tone stays at 1 kHz, at its level and 1 s long, whatever the file's rate."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, sine(1000, rate_hz), rate_hz, subtype="FLOAT")
    audio = read_audio(path)
    assert audio.dtype == np.float32
    assert audio.shape == (16_000,)
    assert peak_hz(audio) == pytest.approx(1000, abs=1)
    middle = audio[2000:-2000]
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=1e-3)


def test_what_16_khz_cannot_hold_is_removed_not_folded(tmp_path: Path) -> None:
    """A 10 kHz tone at 48 kHz vanishes; taking every third sample would fold it to 6 kHz."""
    path = tmp_path / "high.wav"
    soundfile.write(path, sine(10_000, 48_000), 48_000, subtype="FLOAT")
    assert np.abs(read_audio(path)[2000:-2000]).max() < 1e-3


def test_files_at_16_khz_are_not_touched(tmp_path: Path) -> None:
    """The very samples of a 16 kHz mono file come back, 16-bit full scale at 32768."""
    path = tmp_path / "exact.flac"
    written = np.random.default_rng(0).integers(-32768, 32767, 5000, dtype=np.int16, endpoint=True)
    soundfile.write(path, written, 16_000)
    np.testing.assert_array_equal(read_audio(path), written.astype(np.float32) / 32768)


def test_stereo_is_averaged(tmp_path: Path) -> None:
    """Mono is the mean of the channels: not the first one, not the sum, not interleaved."""
    path = tmp_path / "stereo.wav"
    left, right = sine(400, 16_000), sine(400, 16_000, level=0.1)
    soundfile.write(path, np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path), (left + right) / 2, atol=1e-6)


def test_opposite_channels_cancel_after_resampling_too(tmp_path: Path) -> None:
    """A tone and its negative are silence, of which a warning tells, and stereo at 48 kHz is as long as mono."""
    path = tmp_path / "cancel.wav"
    tone = sine(400, 48_000)
    soundfile.write(path, np.stack([tone, -tone], axis=1), 48_000, subtype="FLOAT")
    with pytest.warns(AudioWarning, match=r"cancel\.wav: its 2 channels cancel each other: their mean keeps 0 % of"):
        audio = read_audio(path)
    assert audio.shape == (16_000,)
    assert np.abs(audio).max() < 1e-6


@settings(deadline=None, max_examples=50)
@given(n_frames=st.integers(3, 3000), n_channels=st.integers(1, 4), rate_hz=st.sampled_from([8000, 24_000, 48_000]))
def test_any_readable_file_is_finite_mono_of_its_duration(n_frames: int, n_channels: int, rate_hz: int) -> None:
    """Whatever the length, channels and rate, samples are finite, mono, and last as long as the file."""
    import tempfile

    samples = np.random.default_rng(n_frames).uniform(-1, 1, (n_frames, n_channels))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.wav")
        soundfile.write(path, samples, rate_hz)
        audio = read_audio(path)
    assert audio.ndim == 1
    assert np.isfinite(audio).all()
    assert abs(len(audio) - n_frames * 16_000 / rate_hz) <= 1


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_the_length_is_known_without_decoding(tmp_path: Path, suffix: str, monkeypatch) -> None:
    """The header tells the length in seconds, whatever the rate, and no sample is read for it."""
    path = tmp_path / f"speech{suffix}"
    soundfile.write(path, np.full(11_025, 0.1), 22_050)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *a, **k: pytest.fail("decoded"))
    assert read_duration_s(path) == 0.5


@pytest.mark.parametrize("content", [None, b"", b"no audio at all"])
def test_the_length_of_what_is_no_audio_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, empty or no audio has no length, and the error names it."""
    path = tmp_path / "speech.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadAudioError, match=r"speech\.wav: bad audio: it (is empty|cannot be (opened|decoded) \()"):
        read_duration_s(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    """A missing file is said to be missing, not to be a system error."""
    assert "No such file" in refusal(tmp_path / "missing.flac")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder in place of a file is one line, not a traceback."""
    assert "directory" in refusal(tmp_path)


def test_an_empty_file_is_refused_as_empty(tmp_path: Path) -> None:
    """A file of 0 bytes is called empty rather than of unknown format."""
    path = tmp_path / "empty.flac"
    path.touch()
    assert refusal(path) == "it is empty"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<html>404</html>\n" * 20, "it is a web page, as a download that failed leaves it: fetch it again"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "run `git lfs pull`"),
        ("of no format\n" * 20, "it cannot be decoded ("),
    ],
)
def test_text_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """A web page or a git-lfs pointer in place of audio is called so, with the remedy; else the decoder's reason."""
    path = tmp_path / "page.flac"
    path.write_text(text)
    assert reason in refusal(path)


def test_headerless_audio_is_refused(tmp_path: Path) -> None:
    """A raw file, whose rate nobody knows, is refused like other bad audio."""
    path = tmp_path / "headerless.raw"
    path.write_bytes(bytes(2000))
    assert "it cannot be decoded (" in refusal(path)


@pytest.mark.parametrize("seconds", [0.0, 1 / 48_000])
def test_no_samples_are_refused(tmp_path: Path, seconds: float) -> None:
    """A sound header without samples is bad audio, and so is a sample too short to survive resampling."""
    path = tmp_path / "silent.wav"
    soundfile.write(path, sine(1000, 48_000, seconds), 48_000)
    assert refusal(path) == "it has no samples"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, (np.inf, -np.inf)])
def test_non_finite_samples_are_refused(tmp_path: Path, value: float) -> None:
    """One NaN or infinity anywhere is refused, also where the channels' mean makes it NaN."""
    path = tmp_path / "nan.wav"
    samples = np.zeros((4800, 2), dtype=np.float32)
    samples[3000] = value
    soundfile.write(path, samples, 48_000, subtype="FLOAT")
    assert refusal(path) == "it has samples that are NaN or infinite"


@pytest.mark.parametrize("suffix", ["flac", "wav"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    """Half a recording is bad audio; the decoder alone would call a cut WAV a shorter one."""
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    soundfile.write(whole, np.random.default_rng(0).uniform(-0.5, 0.5, 48_000), 16_000)
    contents = whole.read_bytes()
    path.write_bytes(contents[: int(part * len(contents))])
    cause = refusal(path)
    assert suffix == "flac" or "breaks off" in cause


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    """A FLAC file with a hole in the middle is bad audio, not two halves."""
    path = tmp_path / "hole.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 48_000), 16_000)
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2 : len(contents) // 2 + 3000] = bytes(3000)
    path.write_bytes(contents)
    cause = refusal(path)
    assert re.search(r"it is damaged somewhere after \d\.\d s \(.+\); another decoder may read it: ffmpeg", cause)


def test_an_absurd_length_is_refused(tmp_path: Path) -> None:
    """A FLAC header that promises 2**36 - 1 samples is bad audio, not a crash for want of memory."""
    path = tmp_path / "huge.flac"
    soundfile.write(path, np.zeros(1000), 16_000)
    contents = bytearray(path.read_bytes())
    contents[21] |= 0x0F  # STREAMINFO's 36-bit count ends at byte 26
    contents[22:26] = b"\xff" * 4
    path.write_bytes(contents)
    refusal(path)


def test_a_wav_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    """The placeholder length that streaming writers leave is no truncation."""
    path = tmp_path / "piped.wav"
    soundfile.write(path, sine(1000, 16_000), 16_000)
    contents = bytearray(path.read_bytes())
    contents[4:8] = contents[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(contents)
    assert read_audio(path).shape == (16_000,)


# --- parts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_part_is_what_a_file_cut_there_would_give(tmp_path: Path, suffix: str, n_channels: int, rate_hz: int) -> None:
    """The samples of a part are those of the same stretch cut out beforehand, to the sample, whatever the rate."""
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / "cut.wav"
    rng = np.random.default_rng(0)
    soundfile.write(whole, rng.uniform(-0.5, 0.5, (3 * rate_hz, n_channels)), rate_hz)
    stored, _ = soundfile.read(whole, dtype="float32", always_2d=True)
    start, n = rate_hz + 7, rate_hz // 2 + 1
    soundfile.write(cut, stored[start : start + n], rate_hz, subtype="FLOAT")
    part = read_audio(whole, start / rate_hz, n / rate_hz)
    np.testing.assert_allclose(part, read_audio(cut), atol=1e-6)
    assert read_duration_s(whole, start / rate_hz, n / rate_hz) == n / rate_hz
    rest = read_audio(whole, start / rate_hz)
    assert len(rest) == pytest.approx((len(stored) - start) * 16_000 / rate_hz, abs=1)
    assert read_duration_s(whole, start / rate_hz) == pytest.approx((len(stored) - start) / rate_hz)


@pytest.mark.parametrize("start", [1, 12_345, 40_001, 50_000])
def test_a_part_of_opus_is_what_the_whole_has_there(tmp_path: Path, start: int) -> None:
    """A codec fills in noise that depends on where it starts; the speech is at the same samples all the same."""
    path = tmp_path / "whole.opus"
    tone = sine(300, 16_000, 4.0) + np.random.default_rng(0).normal(0, 0.05, 64_000)
    soundfile.write(path, tone, 16_000, format="OGG", subtype="OPUS")
    part = read_audio(path, start / 16_000, 0.5)
    whole = read_audio(path)
    np.testing.assert_allclose(part, whole[start : start + 8000], atol=0.01)
    assert np.abs(part - whole[start + 1 : start + 8001]).max() > 0.05, "a sample beside it is another"


@pytest.mark.parametrize("codec", ["GSM610", "ALAW", "ULAW"])
def test_recordings_of_telephones_are_read(tmp_path: Path, codec: str) -> None:
    """A WAV file with such a codec, of which GSM cannot be sought in, has all of its samples, and parts of them."""
    path = tmp_path / "call.wav"
    soundfile.write(path, sine(300, 8_000, 1.76), 8_000, subtype=codec, format="WAV")
    found = read_audio(path)
    assert len(found) == 28_160 == round(read_duration_s(path) * 16_000)
    np.testing.assert_allclose(found[2_000:-2_000], sine(300, 16_000, 1.76)[2_000:-2_000], atol=0.05)
    np.testing.assert_allclose(read_audio(path, 0.5, 0.5)[500:-500], found[8_500:15_500], atol=1e-3)


def test_times_are_rounded_to_the_nearest_sample(tmp_path: Path) -> None:
    """A time that is a sample's but for the last bit of a double means that sample, not the one before."""
    path = tmp_path / "whole.wav"
    written = np.random.default_rng(0).integers(-9999, 9999, 200_000, dtype=np.int16)
    soundfile.write(path, written, 16_000)
    start_s = 10.139937499999998  # of 162239 / 16000
    assert int(start_s * 16_000) == 162_238
    part = read_audio(path, start_s, 4 / 16_000)
    np.testing.assert_array_equal(part * 32768, written[162_239:162_243])


def test_a_part_is_read_without_what_is_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far into a recording a part is, no more than the part is decoded."""
    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros(60 * 16_000), 16_000)
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda *a, out, **k: asked.append(len(out)) or read(*a, out=out, **k)
    )
    assert len(read_audio(path, 50.0, 2.0)) == 32_000
    assert sum(asked) <= 32_000 + 1


@pytest.mark.parametrize(
    ("offset_s", "duration_s", "told"),
    [
        (0.5, 0.6, "the part from 0.500 to 1.100 s reaches past its end, 1.000 s"),
        (2.0, 0.5, "the part from 2.000 to 2.500 s reaches past its end, 1.000 s"),
        (1.0, None, "the part from 1.000 s on begins at its end or past it"),
        (3.0, None, "begins at its end or past it"),
        (None, 2.0, "the manifest's duration is 2.000 s, its header 1.000 s at 16000 Hz; give `offset` to read a part"),
        (None, 0.5, "the manifest's duration is 0.500 s, its header 1.000 s at 16000 Hz"),
    ],
)
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_what_the_file_does_not_have_is_refused(
    tmp_path: Path, suffix: str, offset_s: float | None, duration_s: float | None, told: str
) -> None:
    """A part past the end, and a whole file that is stated to be of another length, are refused with all figures."""
    path = tmp_path / f"short.{suffix}"
    soundfile.write(path, sine(1000, 16_000), 16_000)
    with pytest.raises(BadAudioError) as caught:
        read_audio(path, offset_s, duration_s)
    assert told in str(caught.value)


def test_rounded_times_are_no_contradiction(tmp_path: Path) -> None:
    """A part that ends within 10 ms of the file's end, and a length that is about the file's, are read."""
    path = tmp_path / "short.wav"
    soundfile.write(path, sine(1000, 16_000), 16_000)
    assert len(read_audio(path, 0.5, 0.508)) == 8000
    assert len(read_audio(path, None, 1.05)) == len(read_audio(path, None, 0.95)) == 16_000


# --- headers and what they hide --------------------------------------------------------------------------


def patched(path: Path, at: int, value: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


def noise(path: Path, rate_hz: int = 16_000, **how: str) -> Path:
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 2 * rate_hz), rate_hz, **how)
    return path


@pytest.mark.parametrize("suffix", ["ogg", "opus", "mp3", "flac", "wav"])
def test_joined_recordings_are_refused(tmp_path: Path, suffix: str) -> None:
    """Two files joined by `cat` are not the first one alone."""
    how = {"opus": {"format": "OGG", "subtype": "OPUS"}}.get(suffix, {})
    one, two = noise(tmp_path / f"one.{suffix}", **how), tmp_path / f"two.{suffix}"
    assert len(read_audio(one)) == 32_000
    two.write_bytes(2 * one.read_bytes())
    assert "several files joined end to end" in refusal(two)
    two.write_bytes(one.read_bytes() + b"TAG" + bytes(125))  # an old MP3 tag, and padding elsewhere
    assert len(read_audio(two)) == 32_000 if suffix == "mp3" else True


@pytest.mark.parametrize(
    ("suffix", "between", "seconds"),
    [
        ("mp3", b"APETAGEX" + struct.pack("<4I", 2000, 32, 0, 1 << 31) + bytes(8), 2.0),
        ("mp3", bytes(1000), 2.0),
        ("mp3", b"", 0.1),
        ("mp3", b"LYRICSBEGIN" + b"x" * 3000 + b"LYRICS200", 2.0),
        ("ogg", bytes(50), 2.0),
    ],
)
def test_what_is_between_joined_recordings_hides_none(
    tmp_path: Path, suffix: str, between: bytes, seconds: float
) -> None:
    """Behind tags, padding or in a tenth of a second there is speech that decoding of the first never comes to."""
    one, two = noise(tmp_path / f"one.{suffix}"), tmp_path / f"two.{suffix}"
    soundfile.write(two, np.random.default_rng(1).uniform(-0.5, 0.5, int(16_000 * seconds)), 16_000)
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(one.read_bytes() + between + two.read_bytes())
    assert "several files joined end to end" in refusal(joined)
    if suffix == "mp3":
        joined.write_bytes(one.read_bytes() + between)
        assert len(read_audio(joined)) == 32_000


def test_a_file_of_another_format_behind_mp3_is_no_tag(tmp_path: Path) -> None:
    """Whatever wrote a WAV behind an MP3 meant it to be heard."""
    one, two = noise(tmp_path / "one.mp3"), noise(tmp_path / "two.wav")
    one.write_bytes(one.read_bytes() + two.read_bytes())
    assert "several files joined end to end" in refusal(one)


def test_mp3_without_a_count_of_frames_is_read_to_its_end(tmp_path: Path) -> None:
    """Where the length is an estimate, what the decoder gives is all there is, in parts and in whole."""
    path = tmp_path / "plain.mp3"
    rng = np.random.default_rng(0)
    uncounted_mp3(path, np.concatenate([np.zeros(64_000), rng.uniform(-0.5, 0.5, 32_000)]))
    with soundfile.SoundFile(path) as sound:
        estimate = sound.frames
    audio = read_audio(path)
    assert abs(len(audio) - 96_000) < 3 * 1152 < abs(estimate - 96_000)
    assert read_duration_s(path) == len(audio) / 16_000
    np.testing.assert_allclose(read_audio(path, 1.0, 0.5), audio[16_000:24_000], atol=1e-6)
    np.testing.assert_allclose(read_audio(path, 5.5), audio[88_000:], atol=1e-6)


def test_a_tag_before_mp3_is_no_audio(tmp_path: Path) -> None:
    """Where the length is an estimate from the bytes, those of a tag count; the audio is read all the same."""
    path = tmp_path / "plain.mp3"
    uncounted_mp3(path, np.random.default_rng(0).uniform(-0.5, 0.5, 64_000), "CONSTANT")
    plain, n_bytes = read_audio(path), 20_000
    size = bytes(n_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))  # seven bits a byte
    path.write_bytes(b"ID3\x03\0\0" + size + bytes(n_bytes) + path.read_bytes())
    np.testing.assert_array_equal(read_audio(path), plain)
    assert read_duration_s(path) == len(plain) / 16_000


def uncounted_mp3(path: Path, samples: np.ndarray, mode: str = "VARIABLE") -> None:
    """Write an MP3 file without its first frame, which holds nothing but the count of frames."""
    soundfile.write(path, samples, 16_000, bitrate_mode=mode, compression_level=0.5)
    content = path.read_bytes()
    path.write_bytes(content[content.find(content[:2], 2) :])


def test_mp3_of_which_the_decoder_would_lose_the_end_is_refused(tmp_path: Path) -> None:
    """Where the estimate is too short the decoder stops there; the frames in the file tell."""
    path = tmp_path / "plain.mp3"
    uncounted_mp3(path, np.concatenate([np.random.default_rng(0).uniform(-0.5, 0.5, 32_000), np.zeros(64_000)]))
    with soundfile.SoundFile(path) as sound:
        assert sound.frames < 64_000
    assert re.search(r"decoding would end after [1-3]\.\d s of [56]\.\d s: have it counted \(ffmpeg", refusal(path))


def test_mp3_whose_first_frame_counts_too_few_is_refused(tmp_path: Path) -> None:
    """A changed count of frames would end the recording there; the frames in the file tell."""
    path = noise(tmp_path / "a.mp3")
    at = re.search(rb"Xing|Info", path.read_bytes()).end() + 4
    count = int.from_bytes(path.read_bytes()[at : at + 4], "big")
    told = refusal(patched(path, at, (count // 2).to_bytes(4, "big")))
    assert re.match(r"its first frame counts too few, and decoding would end after 1\.\d s of 2\.\d s: have it", told)


def test_flac_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    """A stream written to a pipe says no length; its samples are all there, and so are those of a part."""
    path = noise(tmp_path / "piped.flac")
    whole = read_audio(path)
    patched(path, 21, bytes([path.read_bytes()[21] & 0xF0]) + bytes(4 + 16))  # count and MD5 of STREAMINFO
    np.testing.assert_array_equal(read_audio(path), whole)
    np.testing.assert_array_equal(read_audio(path, 0.25, 1.0), whole[4000:20_000])
    assert read_duration_s(path) == 2.0


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (0, "its header says 0 bytes of samples, 64000 follow"),
        (32_000, "its header says 32000 bytes of samples, 64000 follow"),
        (80_000, "it breaks off: its header says 80000 bytes of samples, 64000 follow"),
    ],
)
def test_a_wav_header_that_counts_wrong_is_refused(tmp_path: Path, declared: int, told: str) -> None:
    """A recorder that died before it wrote the sizes, or wrote others, left a file of which both figures are said."""
    assert told in refusal(patched(noise(tmp_path / "a.wav"), 40, struct.pack("<I", declared)))


@pytest.mark.parametrize(
    "tail", [b"LIST\x04\0\0\0INFO", bytes(4000), b"id3 \x02\0\0\0ab", b"ab"], ids=["chunk", "zeros", "tag", "crumbs"]
)
def test_chunks_after_the_samples_are_no_samples(tmp_path: Path, tail: bytes) -> None:
    """What writers put after the samples (tags, padding) does not matter."""
    path = noise(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + tail)
    assert len(read_audio(path)) == 32_000


@pytest.mark.parametrize(("suffix", "at"), [("wav", 24), ("flac", 18)])
def test_a_changed_sample_rate_is_refused(tmp_path: Path, suffix: str, at: int) -> None:
    """A header whose rate was changed contradicts the rest of the file, and both rates are said."""
    path = noise(tmp_path / f"a.{suffix}")
    old = path.read_bytes()[at : at + 3]
    rate = struct.pack("<I", 8000)[:3] if suffix == "wav" else (8000 << 4 | old[2] & 15).to_bytes(3, "big")
    told = refusal(patched(path, at, rate))
    assert "its header contradicts itself: 8000 Hz" in told
    assert "16000 Hz" in told


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("n", [100, 4096, 4097, 40_000, 300_000])
def test_a_flac_header_that_counts_too_few_is_refused(tmp_path: Path, rate_hz: int, n: int) -> None:
    """The decoder would stop at the header's count; the number of the last frame tells how many there are."""
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(n).integers(-9999, 9999, n, dtype=np.int16), rate_hz)
    read_audio(path)
    assert int.from_bytes(path.read_bytes()[22:26], "big") == n
    told = refusal(patched(path, 22, (n // 2).to_bytes(4, "big")))
    assert told.startswith(f"its header says {n // 2} samples, its last frame {n}: write the header anew")


def test_a_rate_of_no_speech_is_refused(tmp_path: Path) -> None:
    """Samples at 50 Hz are not resampled to hours of hum."""
    soundfile.write(tmp_path / "slow.au", np.zeros(100), 50)
    assert (
        refusal(tmp_path / "slow.au")
        == "its header declares 50 samples a second, which is not a sampling rate of speech"
    )


@pytest.mark.parametrize("suffix", ["aiff", "au", "w64", "caf", "rf64", "mp3"])
def test_other_formats_that_break_off_are_refused(tmp_path: Path, suffix: str) -> None:
    """Half a recording is refused whatever its container, where that says how long it was."""
    path = noise(tmp_path / f"cut.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refusal(path)


# --- scale, channels, bombs, what is no file -------------------------------------------------------------


@pytest.mark.parametrize(("full_scale", "told"), [(2**15, "32768"), (2**23, "8388608"), (2**31, "2147483648")])
def test_floats_in_the_scale_of_integers_are_refused(tmp_path: Path, full_scale: float, told: str) -> None:
    """Integers that were stored as floats without dividing them are refused with the divisor."""
    path = tmp_path / "integers.wav"
    soundfile.write(path, 0.9 * full_scale * sine(400, 16_000, level=1), 16_000, subtype="FLOAT")
    cause = refusal(path)
    assert cause.startswith("it has samples up to ")
    assert cause.endswith(f"not within -1..1: divide them (by {told})")


@pytest.mark.parametrize("level", [1.0, 1.2, 4.0])
def test_a_little_over_full_scale_is_read(tmp_path: Path, level: float) -> None:
    """Mixing and filters overshoot; such samples are taken as they are."""
    path = tmp_path / "loud.wav"
    soundfile.write(path, sine(400, 16_000, level=level), 16_000, subtype="FLOAT")
    assert np.abs(read_audio(path)).max() == pytest.approx(level, rel=1e-3)


@pytest.mark.parametrize(
    ("second", "cancels"), [(-1.0, True), (-0.9, True), (-0.3, False), (0.0, False), (0.5, False), (1.0, False)]
)
@pytest.mark.filterwarnings("default::greenbench.datasets.audio.AudioWarning")
def test_channels_that_cancel_are_told(tmp_path: Path, second: float, cancels: bool) -> None:
    """A second channel of nearly opposite sign is told of with the share that is left; a quiet or silent one is not."""
    path = tmp_path / "stereo.wav"
    tone = np.random.default_rng(0).normal(0, 0.1, 16_000)
    soundfile.write(path, np.stack([tone, second * tone], axis=1), 16_000)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        read_audio(path)
    assert bool(found) == cancels


def test_many_independent_channels_do_not_cancel(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """The mean of 32 independent microphones has a 32nd of their power, and is no accident."""
    path = tmp_path / "array.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (16_000, 32)), 16_000)
    read_audio(path)
    assert not recwarn.list


def test_a_bomb_is_refused_before_it_takes_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a file is refused by its header, and where that says no length, when the limit is reached."""
    monkeypatch.setattr(decoding, "MAX_S", 20.0)
    path = tmp_path / "bomb.flac"
    soundfile.write(path, np.zeros(40 * 16_000), 16_000)
    told = "it lasts more than 0.00555556 h: cut it, or read parts with `offset` and `duration`"
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda *a, out, **k: asked.append(len(out)) or read(*a, out=out, **k)
    )
    assert refusal(path) == told
    assert not asked
    assert len(read_audio(path, 30.0, 5.0)) == 5 * 16_000  # a part of it is no bomb
    patched(path, 21, bytes([path.read_bytes()[21] & 0xF0]) + bytes(4 + 16))
    asked.clear()
    assert refusal(path) == told
    assert sum(asked) <= 2 * 20 * 16_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_device_is_refused_at_once(tmp_path: Path) -> None:
    """What is no regular file would be waited for, or never end."""
    os.mkfifo(tmp_path / "pipe.wav")
    assert refusal(tmp_path / "pipe.wav") == "it is a pipe or a device, not a regular file"
    assert refusal(Path("/dev/zero")) == "it is a pipe or a device, not a regular file"


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.m4a", b"\0\0\0\x20ftypM4A ", "MPEG-4 (m4a, mp4)"),
        ("a.webm", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81", "Matroska or WebM"),
        ("a.aac", b"\xff\xf1\x50\x80\x2e\x7f", "AAC"),
        ("a.wma", b"\x30\x26\xb2\x75\x8e\x66", "Windows Media"),
        ("a.amr", b"#!AMR\n", "AMR"),
    ],
)
def test_formats_that_are_not_decoded_are_named(tmp_path: Path, name: str, head: bytes, kind: str) -> None:
    """A sound file of another world is no broken one: it is to be converted, and the line says how."""
    path = tmp_path / name
    path.write_bytes(head + bytes(4000))
    assert refusal(path) == f"{kind} is not decoded here: convert it to FLAC or WAV (ffmpeg -i {name} a.flac)"


# --- what identifies audio -------------------------------------------------------------------------------


def identified(path: Path, *part: float) -> str:
    return audio_digest(path, *part) or samples_digest(read_audio(path, *part))


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(16_000, 1), (44_100, 1), (16_000, 2)])
def test_lossless_formats_of_the_same_samples_have_one_digest(tmp_path: Path, rate_hz: int, n_channels: int) -> None:
    """FLAC, WAV and AIFF of the same samples are the same speech; a part is what a file cut there would be."""
    samples = np.random.default_rng(0).integers(-9999, 9999, (rate_hz, n_channels), dtype=np.int16)
    paths = [tmp_path / f"a.{suffix}" for suffix in ("wav", "flac", "aiff")]
    for path in paths:
        soundfile.write(path, samples, rate_hz)
    (found,) = {identified(path) for path in paths}
    soundfile.write(tmp_path / "cut.flac", samples[100:600], rate_hz)
    assert (
        {identified(p, 100 / rate_hz, 500 / rate_hz) for p in paths} == {identified(tmp_path / "cut.flac")} != {found}
    )
    samples[500, 0] += 1
    soundfile.write(paths[0], samples, rate_hz)
    assert identified(paths[0]) != found


def test_resampled_audio_is_identified_by_what_is_stored(tmp_path: Path) -> None:
    """Where reading resamples, whose last bits are a processor's own, the digest is SHA-256 of the stored samples."""
    samples = np.random.default_rng(0).integers(-9999, 9999, 4410, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 44_100)
    stored = (samples.astype("<f4") / 32768).tobytes()
    assert audio_digest(tmp_path / "a.wav") == hashlib.sha256(b"44100 1\n" + stored).hexdigest()[:16]


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_audio_is_identified_by_its_bytes(tmp_path: Path, suffix: str) -> None:
    """Decoders of lossy formats differ by version, so the file counts; each part has a digest of its own."""
    path, copy = noise(tmp_path / f"a.{suffix}"), tmp_path / "elsewhere" / f"b.{suffix}"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert audio_digest(path) == audio_digest(copy)
    assert len({audio_digest(path), audio_digest(path, 0.0, 1.0), audio_digest(path, 0.5, 1.0)}) == 3
    copy.write_bytes(path.read_bytes() + b"\0")
    assert audio_digest(path) != audio_digest(copy)


@pytest.mark.parametrize("form", ["AU", "CAF", "W64", "RF64"])
def test_joined_files_of_rarer_formats_are_refused(tmp_path: Path, form: str) -> None:
    """The second recording is neither left out nor read as noise; one alone is read whole."""
    one, two = tmp_path / "one.audio", tmp_path / "two.audio"
    soundfile.write(one, np.random.default_rng(3).uniform(-0.5, 0.5, 4000), 16000, format=form, subtype="PCM_16")
    two.write_bytes(2 * one.read_bytes())
    assert len(read_audio(one)) == 4000
    with pytest.raises(BadAudioError, match="several files joined end to end"):
        read_audio(two)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_cut_within_a_page_is_refused(tmp_path: Path, subtype: str) -> None:
    """Half a download is not a shorter recording."""
    path = tmp_path / "cut.ogg"
    soundfile.write(path, np.random.default_rng(3).uniform(-0.1, 0.1, 48000), 16000, format="OGG", subtype=subtype)
    whole = path.read_bytes()
    assert len(read_audio(path)) == 48000
    path.write_bytes(whole[:-100])
    with pytest.raises(BadAudioError, match="it breaks off: its last page"):
        read_audio(path)
    pages = [found.start() for found in re.finditer(b"OggS", whole)]
    assert len(pages) > 2
    path.write_bytes(whole[: pages[-1]])  # between two pages, so that each that is there is whole
    with pytest.raises(BadAudioError, match="its last page is not marked as the last"):
        read_audio(path)


@pytest.mark.parametrize("part", [(2.0, None), (3.5, None), (1.5, 1.0), (5.0, 0.5)])
def test_the_length_of_a_part_past_the_end_is_refused(part: tuple[float, float | None], tmp_path: Path) -> None:
    """As reading it is; it is not negative, nor what the manifest says."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(3).uniform(-0.1, 0.1, 32_000), 16_000)
    assert read_duration_s(path, 1.5, None) == 0.5
    assert read_duration_s(path, 1.5, 0.5) == 0.5
    told = []
    for ask in (read_audio, read_duration_s):
        with pytest.raises(BadAudioError) as refused:
            ask(path, *part)
        told.append(str(refused.value))
    assert told[0] == told[1]
