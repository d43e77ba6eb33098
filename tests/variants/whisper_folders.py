"""Folders as transformers has them: a tiny Whisper and a tiny Moonshine of random weights, and the real tiny.en."""

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz"
END, START, EN, DE, TRANSCRIBE, TRANSLATE, NO_STAMPS = range(26, 33)
SPECIAL = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|translate|>",
    "<|notimestamps|>", *(f"<|{tick / 50:.2f}|>" for tick in range(51)),
)  # fmt: skip
"""Special tokens of a Whisper whose window is a second."""

SAID = {
    "decoder_start_token_id": START, "eos_token_id": END, "pad_token_id": END, "bos_token_id": END, "max_length": 10,
    "is_multilingual": True, "lang_to_id": {"<|en|>": EN, "<|de|>": DE}, "no_timestamps_token_id": NO_STAMPS,
    "task_to_id": {"transcribe": TRANSCRIBE, "translate": TRANSLATE}, "max_initial_timestamp_index": 50,
}  # fmt: skip
"""What its ``generation_config.json`` says."""

N_LAYERS = 2


def whisper(folder: Path, **said: Any) -> Path:
    """Save a Whisper of two languages that reads windows of one second."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    torch.manual_seed(5)
    ends = {"bos_token_id": END, "eos_token_id": END, "pad_token_id": END, "decoder_start_token_id": START}
    layers = {f"{part}_{key}": value for part in ("encoder", "decoder") for key, value in _SMALL.items()}
    config = WhisperConfig(
        vocab_size=len(LETTERS) + len(SPECIAL), d_model=16, max_source_positions=50, max_target_positions=32,
        init_std=0.6, begin_suppress_tokens=None, **layers, **ends,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**{**SAID, **said})
    model.save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=1).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def moonshine(folder: Path) -> Path:
    """Save a Moonshine, which takes waveforms and knows one language."""
    import torch
    from transformers import MoonshineConfig, MoonshineForConditionalGeneration, Wav2Vec2FeatureExtractor

    torch.manual_seed(5)
    layers = {f"{p}_{key}": n for p in ("encoder", "decoder") for key, n in (("num_hidden_layers", N_LAYERS),)}
    heads = {f"{part}_num_attention_heads": 2 for part in ("encoder", "decoder")}
    config = MoonshineConfig(
        vocab_size=len(LETTERS) + len(SPECIAL), hidden_size=16, intermediate_size=32, initializer_range=0.6,
        bos_token_id=START, eos_token_id=END, decoder_start_token_id=START, pad_token_id=END, **layers, **heads,
    )  # fmt: skip
    model = MoonshineForConditionalGeneration(config)
    model.generation_config.max_length = 10
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    _tokenizer(folder)
    return folder


_SMALL = {"layers": N_LAYERS, "attention_heads": 2, "ffn_dim": 32}


def _tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    tokens = {token: index for index, token in enumerate([*LETTERS, *SPECIAL])}
    backend = Tokenizer(models.WordLevel(tokens, unk_token=SPECIAL[0]))
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([*SPECIAL])
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=SPECIAL[0]).save_pretrained(folder)


# --- the real one ----------------------------------------------------------------------------------------


TINY_START, TINY_NO_STAMPS = 50257, 50362


def tiny_en(converted: Path, folder: Path) -> Path:
    """Save the Whisper tiny.en of CTranslate2 as transformers has it: every weight is there in 16 bits."""
    import torch
    from transformers import (
        GenerationConfig,
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    weights = read_model_bin(converted / "model.bin")
    stated = json.loads((converted / "config.json").read_text())
    config = WhisperConfig(vocab_size=len(weights["decoder/embeddings/weight"]))  # its defaults are those of tiny
    model = WhisperForConditionalGeneration(config)
    state = {f"model.{name}": torch.from_numpy(value.astype(np.float32)) for name, value in _renamed(weights).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["proj_out.weight"], [])  # which is the embedding
    model.generation_config = GenerationConfig(
        decoder_start_token_id=TINY_START, eos_token_id=50256, pad_token_id=50256, bos_token_id=50256, max_length=448,
        is_multilingual=False, no_timestamps_token_id=TINY_NO_STAMPS, suppress_tokens=stated["suppress_ids"],
        begin_suppress_tokens=stated["suppress_ids_begin"],
    )  # fmt: skip
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    tokens = PreTrainedTokenizerFast(tokenizer_file=str(converted / "tokenizer.json"), eos_token="<|endoftext|>")
    tokens.save_pretrained(folder)
    return folder


def _renamed(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights by transformers' names; CTranslate2 keeps query, key and value in one matrix."""
    found = {f"encoder.{n.replace('/', '.')}": weights[f"encoder/{n}"] for n in _CONVOLUTIONS}
    found["decoder.embed_tokens.weight"] = weights["decoder/embeddings/weight"]
    for side in ("encoder", "decoder"):
        found[f"{side}.embed_positions.weight"] = weights[f"{side}/position_encodings/encodings"]
        found |= _norm(weights, f"{side}/layer_norm", f"{side}.layer_norm")
        for layer in range(4):
            place, there = f"{side}/layer_{layer}", f"{side}.layers.{layer}"
            for number in (0, 1):
                found |= _linear(weights, f"{place}/ffn/linear_{number}", [f"{there}.fc{number + 1}"])
            found |= _norm(weights, f"{place}/ffn/layer_norm", f"{there}.final_layer_norm")
            found |= _attention(weights, f"{place}/self_attention", f"{there}.self_attn", [["q", "k", "v"], ["out"]])
            if side == "decoder":
                parts = [["q"], ["k", "v"], ["out"]]
                found |= _attention(weights, f"{place}/attention", f"{there}.encoder_attn", parts)
    return found


_CONVOLUTIONS = ("conv1/weight", "conv1/bias", "conv2/weight", "conv2/bias")


def _attention(weights: dict[str, np.ndarray], place: str, there: str, parts: list[list[str]]) -> dict[str, np.ndarray]:
    found = _norm(weights, f"{place}/layer_norm", f"{there}_layer_norm")
    for number, names in enumerate(parts):
        found |= _linear(weights, f"{place}/linear_{number}", [f"{there}.{name}_proj" for name in names])
    return found


def _linear(weights: dict[str, np.ndarray], place: str, names: list[str]) -> dict[str, np.ndarray]:
    found = {}
    for kind in ("weight", "bias"):
        for name, part in zip(names, np.split(weights[f"{place}/{kind}"], len(names)), strict=True):
            if kind == "bias" and name.endswith("k_proj"):
                assert not part.any()  # Whisper's keys have none
            else:
                found[f"{name}.{kind}"] = part
    return found


def _norm(weights: dict[str, np.ndarray], place: str, there: str) -> dict[str, np.ndarray]:
    return {f"{there}.weight": weights[f"{place}/gamma"], f"{there}.bias": weights[f"{place}/beta"]}


def read_model_bin(file: Path) -> dict[str, np.ndarray]:
    """Return CTranslate2's variables by name; ``model_spec.py`` writes this layout. Only floats of 16 bits are read."""
    found = {}
    with file.open("rb") as stream:
        _unpack(stream, "I")
        _text(stream)
        _unpack(stream, "I")
        for _ in range(_unpack(stream, "I")[0]):
            name = _text(stream)
            shape = _unpack(stream, f"{_unpack(stream, 'B')[0]}I")
            kind, n_bytes = *_unpack(stream, "B"), *_unpack(stream, "I")
            content = stream.read(n_bytes)
            if kind == 4:
                found[name] = np.frombuffer(content, np.float16).reshape(shape)
    return found


def _unpack(stream: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(f"={form}", stream.read(struct.calcsize(f"={form}")))


def _text(stream: BinaryIO) -> str:
    return stream.read(_unpack(stream, "H")[0]).rstrip(b"\0").decode()
