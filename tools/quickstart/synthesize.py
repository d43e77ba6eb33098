"""The voices of the quick-start corpus: free speech synthesisers behind one function."""

import subprocess
from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr

SAMPLE_RATE = 16000
ALPHABET = "ay bee see dee ee eff jee aitch eye jay kay ell em en oh pee cue are ess tee you vee double-you ex why zee"
LETTER_NAMES = dict(
    zip("abcdefghijklmnopqrstuvwxyz", (name.replace("-", " ") for name in ALPHABET.split()), strict=True)
)


@dataclass(frozen=True)
class Voice:
    """One voice of one engine.

    Attributes:
        name: Speaker name in the manifests.
        engine: `pico` (py-nanotts), `flite` or `espeak-ng`.
        voice: The engine's own name of the voice.
        seen: Whether the teacher hears this voice in training.
        share: Share of the training speech.
    """

    name: str
    engine: str
    voice: str
    seen: bool
    share: float


VOICES = (
    Voice("pico-us", "pico", "en-US", True, 0.24),
    Voice("flite-slt", "flite", "slt", True, 0.20),
    Voice("flite-rms", "flite", "rms", True, 0.20),
    Voice("flite-kal", "flite", "kal16", True, 0.12),
    Voice("espeak-us", "espeak-ng", "en-us", True, 0.08),
    Voice("espeak-rp", "espeak-ng", "en-gb-x-rp+f3", True, 0.08),
    Voice("espeak-scotland", "espeak-ng", "en-gb-scotland+m3", True, 0.08),
    Voice("flite-awb", "flite", "awb", False, 0.0),
    Voice("pico-gb", "pico", "en-GB", False, 0.0),
)


@cache
def _pico() -> object:
    from py_nanotts import NanoTTS

    return NanoTTS()


def _speak_pico(text: str, voice: str, pitch: float, speed: float) -> np.ndarray:
    pcm = _pico().speak(text, voice=voice, pitch=pitch, speed=speed)
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768


def _speak_flite(text: str, voice: str, pitch: float, speed: float) -> np.ndarray:
    mean_f0 = {"slt": 170, "rms": 110, "awb": 130, "kal16": 105}[voice] * pitch
    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={1 / speed:.3f}"]
    command += ["--setf", f"int_f0_target_mean={mean_f0:.1f}", "-t", text, "-o", "/dev/stdout"]
    return _decode(subprocess.run(command, capture_output=True, check=True).stdout)


def _speak_espeak(text: str, voice: str, pitch: float, speed: float) -> np.ndarray:
    command = ["espeak-ng", "-v", voice, "-p", str(round(50 * pitch)), "-s", str(round(150 * speed))]
    return _decode(subprocess.run([*command, "--stdout", text], capture_output=True, check=True).stdout)


def _decode(wav: bytes) -> np.ndarray:
    """Decode a RIFF stream, whose header may not know its length, to 16 kHz."""
    start = wav.index(b"data") + 8
    rate = int.from_bytes(wav[24:28], "little")
    audio = np.frombuffer(wav[start : start + (len(wav) - start) // 2 * 2], dtype="<i2")
    audio = audio.astype(np.float32) / 32768
    return audio if rate == SAMPLE_RATE else soxr.resample(audio, rate, SAMPLE_RATE)


ENGINES = {"pico": _speak_pico, "flite": _speak_flite, "espeak-ng": _speak_espeak}


def spoken_form(text: str, engine: str, pause: bool) -> str:
    """Write single letters as their names; with `pause`, put a comma between them.

    `a` and `i` stand for letters only beside other letters: elsewhere they are words.
    """
    words = text.split()
    single = [len(word) == 1 for word in words]
    spoken = []
    for i, word in enumerate(words):
        beside = (i > 0 and single[i - 1]) or (i + 1 < len(words) and single[i + 1])
        if not single[i] or (word in "ai" and not beside):
            spoken.append(word)
        else:
            name = "eh" if word == "a" and engine == "espeak-ng" else LETTER_NAMES[word]
            spoken.append(name + ("," if pause else ""))
    return " ".join(spoken)


def speak(voice: Voice, text: str, pitch: float = 1.0, speed: float = 1.0, pause: bool = False) -> np.ndarray:
    """Synthesise one sentence and trim its silence to at most 0.15 s a side.

    Args:
        voice: Which voice reads.
        text: Lower-case words; single letters are spelled.
        pitch: Factor on the voice's pitch.
        speed: Factor on the voice's rate.
        pause: Whether spelled letters are set apart.

    Returns:
        float32 (n_samples,) at 16 kHz.
    """
    audio = ENGINES[voice.engine](spoken_form(text, voice.engine, pause), voice.voice, pitch, speed)
    loud = np.flatnonzero(np.abs(audio) > 0.01 * np.abs(audio).max())
    margin = int(0.15 * SAMPLE_RATE)
    return audio[max(loud[0] - margin, 0) : loud[-1] + margin]
