"""The voices of the quick-start corpus: free speech synthesisers behind one function, and which voice is for what."""

import random
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import neural
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
        engine: A key of `ENGINES`.
        voice: The engine's own name of the voice; of Kokoro also several joined by `+`: their mean.
        seen: Whether the teacher hears this voice in training.
        share: Share of the training speech.
    """

    name: str
    engine: str
    voice: str
    seen: bool
    share: float


ROBOTS = (
    Voice("pico-us", "pico", "en-US", True, 0.24),
    Voice("flite-slt", "flite", "slt", True, 0.20),
    Voice("flite-rms", "flite", "rms", True, 0.20),
    Voice("flite-kal", "flite", "kal16", True, 0.12),
    Voice("espeak-us", "espeak-ng", "en-us", True, 0.08),
    Voice("espeak-rp", "espeak-ng", "en-gb-x-rp+f3", True, 0.08),
    Voice("espeak-scotland", "espeak-ng", "en-gb-scotland+m3", True, 0.08),
)
PICO_GB = Voice("pico-gb", "pico", "en-GB", False, 0.0)
FLITE_AWB = Voice("flite-awb", "flite", "awb", False, 0.0)
PIPER = Voice("piper-joe", "piper", "joe", False, 0.0)

# More robots for training: accents of eSpeak NG crossed with its timbres, and Festival.
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
MORE_ROBOTS = ESPEAK + FESTIVAL

# Robots for validation alone: neither their accents nor their timbres are heard in training.
VALID_ROBOTS = (
    Voice("espeak-annie", "espeak-ng", "en-gb-x-gbcwmd+Annie", False, 0.5),
    Voice("espeak-michael", "espeak-ng", "en-gb-x-gbcwmd+Michael", False, 0.5),
)


# Kokoro's 54 voices by what they are for. None that is held out is a near copy of another, as the Portuguese
# ones are of the Spanish ones: style tables apart by less than half of what is usual.
KOKORO_UNSEEN = "af_sarah af_sky am_eric am_michael bf_emma bm_fable ff_siwis im_nicola"
KOKORO_VALID = "af_nova bm_lewis jf_alpha"
KOKORO_SEEN = (
    "af_heart af_bella am_fenrir am_puck bf_isabella bm_george hf_alpha zm_yunxi"  # of these evaluation hears too
)
KOKORO_TRAINED = KOKORO_SEEN + (
    " af_alloy af_aoede af_jessica af_kore af_nicole af_river am_adam am_echo am_liam am_onyx am_santa"
    " bf_alice bf_lily bm_daniel ef_dora em_alex em_santa hf_beta hm_omega hm_psi if_sara"
    " jf_gongitsune jf_nezumi jf_tebukuro jm_kumo pf_dora pm_alex pm_santa"
    " zf_xiaobei zf_xiaoni zf_xiaoxiao zf_xiaoyi zm_yunjian zm_yunxia zm_yunyang"
)


def kokoro(voice: str, seen: bool, share: float = 1.0) -> Voice:
    """Return one of Kokoro's voices, or the mean of several."""
    return Voice(f"kokoro-{voice}", "kokoro", voice, seen, share)


def blends(names: list[str], count: int, seed: int) -> tuple[Voice, ...]:
    """Draw distinct means of two or three voices, of which the first decides the accent."""
    rng = random.Random(seed)
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn["+".join(rng.sample(names, rng.choice((2, 3))))] = None
    return tuple(kokoro(name, seen=True) for name in drawn)


KOKORO = tuple(kokoro(name, seen=True) for name in KOKORO_TRAINED.split())
BLENDS = blends(KOKORO_TRAINED.split(), 240, seed=0)

# What is trained on today: no voice of Pico, and none of Piper.
TRAINED = KOKORO + BLENDS
TRAINED_ROBOTS = tuple(voice for voice in ROBOTS + MORE_ROBOTS if voice.engine != "pico")
VALID = tuple(kokoro(name, seen=False) for name in KOKORO_VALID.split())

EVALUATED = (
    *(voice for voice in ROBOTS if voice.name in ("flite-slt", "flite-rms", "espeak-us")),
    *(kokoro(name, seen=True) for name in KOKORO_SEEN.split()),
    *(kokoro(name, seen=False) for name in KOKORO_UNSEEN.split()),
    *(PIPER, PICO_GB, FLITE_AWB),
)
SEEN = tuple(voice for voice in EVALUATED if voice.seen)


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


def _speak_kokoro(text: str, voice: str, _pitch: float, speed: float) -> np.ndarray:
    return soxr.resample(neural.kokoro(text, voice, speed), neural.KOKORO_RATE, SAMPLE_RATE)


def _speak_piper(text: str, _voice: str, _pitch: float, speed: float) -> np.ndarray:
    return soxr.resample(neural.piper(text, speed), neural.PIPER_RATE, SAMPLE_RATE)


ENGINES = {
    "pico": _speak_pico,
    "flite": _speak_flite,
    "festival": _speak_festival,
    "espeak-ng": _speak_espeak,
    "kokoro": _speak_kokoro,
    "piper": _speak_piper,
}
REPEATABLE = ("kokoro",)  # engines whose sound does not depend on what they said before
BY_ESPEAK = ("espeak-ng", "kokoro", "piper")  # engines whose phonemes are eSpeak NG's


def letter_name(letter: str, engine: str) -> str:
    """Return what makes an engine say the name of a letter: eSpeak NG says names itself, but of `a` the article."""
    if engine in BY_ESPEAK:
        return "eh" if letter == "a" else letter
    return LETTER_NAMES[letter]


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
            spoken.append(letter_name(word, engine) + ("," if pause else ""))
    return " ".join(spoken)


def speak(voice: Voice, text: str, pitch: float = 1.0, speed: float = 1.0, pause: bool = False) -> np.ndarray:
    """Synthesise one sentence and trim its silence to at most 0.15 s a side.

    Args:
        voice: Which voice reads.
        text: Lower-case words; single letters are spelled.
        pitch: Factor on the voice's pitch; Kokoro and Piper have none.
        speed: Factor on the voice's rate.
        pause: Whether spelled letters are set apart.

    Returns:
        float32 (n_samples,) at 16 kHz.
    """
    audio = ENGINES[voice.engine](spoken_form(text, voice.engine, pause), voice.voice, pitch, speed)
    loud = np.flatnonzero(np.abs(audio) > 0.01 * np.abs(audio).max())
    margin = int(0.15 * SAMPLE_RATE)
    return audio[max(loud[0] - margin, 0) : loud[-1] + margin]
