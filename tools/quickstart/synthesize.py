"""The voices of the quick-start corpus: free speech synthesisers behind one function."""

import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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
        engine: `pico` (py-nanotts), `flite`, `festival` or `espeak-ng`.
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

# Voices of training alone: accents of eSpeak NG crossed with its timbres, and Festival.
ACCENTS = "en-us en-us-nyc en-029 en-gb en-gb-x-rp en-gb-x-gbclan en-gb-scotland"
TIMBRES = (
    "f1 f2 f4 f5 m1 m2 m4 m5 m6 m7 m8 klatt klatt2 klatt3 klatt4 adam Alex Alicia Andrea Andy antonio benjamin boris "
    "david Denis edward grandma grandpa Lee linda marcelo Mike Nguyen paul steph2 travis victor Zac"
)
CROSSED = [f"{accent}+{timbre}" for accent in ACCENTS.split() for timbre in TIMBRES.split()]
ESPEAK = tuple(Voice(name, "espeak-ng", name, True, 0.6 / len(CROSSED)) for name in CROSSED)
FESTIVAL = tuple(
    Voice(f"festival-{name}", "festival", name, True, 0.05)
    for name in ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")
)
MORE_VOICES = ESPEAK + FESTIVAL

# Voices for validation alone: neither their accents nor their timbres are heard in training.
VALID_VOICES = (
    Voice("espeak-annie", "espeak-ng", "en-gb-x-gbcwmd+Annie", False, 0.5),
    Voice("espeak-michael", "espeak-ng", "en-gb-x-gbcwmd+Michael", False, 0.5),
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


@cache
def _festival() -> subprocess.Popen[str]:
    return subprocess.Popen(["festival", "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")


def _speak_festival(text: str, voice: str, pitch: float, speed: float) -> np.ndarray:
    f0 = f"(target_f0_mean {105 * pitch:.1f}) (target_f0_std 14) (model_f0_mean 170) (model_f0_std 34)"
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        commands = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {1 / speed:.3f})"]
        commands.append(f"(set! int_lr_params '({f0}))" if voice.endswith("diphone") else "")
        commands.append(f"""(utt.save.wave (utt.synth (Utterance Text "{text}")) "{file.name}" 'riff)""")
        engine = _festival()
        engine.stdin.write(" ".join([*commands, '(format t "done\\n")', "(fflush nil)", "\n"]))
        engine.stdin.flush()
        engine.stdout.readline()
        return _decode(Path(file.name).read_bytes())


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


ENGINES = {"pico": _speak_pico, "flite": _speak_flite, "festival": _speak_festival, "espeak-ng": _speak_espeak}


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
