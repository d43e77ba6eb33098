"""read_audio gives true 16 kHz mono samples, or one line that names the file and the cause."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.datasets.audio import read_audio, read_duration_s
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
    """A tone and its negative are silence, and stereo at 48 kHz is as long as mono."""
    path = tmp_path / "cancel.wav"
    tone = sine(400, 48_000)
    soundfile.write(path, np.stack([tone, -tone], axis=1), 48_000, subtype="FLOAT")
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
    with pytest.raises(BadAudioError, match=r"speech\.wav: bad audio: its length cannot be read"):
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


def test_text_is_refused(tmp_path: Path) -> None:
    """A web page saved as audio is refused with the decoder's reason."""
    path = tmp_path / "page.flac"
    path.write_text("<html>404</html>\n" * 20)
    assert "it cannot be decoded (" in refusal(path)


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
    assert "it cannot be decoded (" in refusal(path)


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
