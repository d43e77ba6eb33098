"""The wav2vec 2.0 family."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jiwer import wer

from greenbench import registry
from greenbench.errors import InputError, MissingError
from greenbench.suite import VariantEntry, build_variant
from greenbench.variants import wav2vec2
from greenbench.variants.wav2vec2 import ARCHITECTURES, CHECKPOINTS, LICENCES, N_PARAMS, VOCABULARY, Wav2Vec2

MB = 1e6

MASKED = {"feat_extract_norm": "layer", "conv_bias": True}


def load(folder: Path | str, *builds: str) -> Any:
    """Load a model's folder with builds chained on, on the CPU."""
    return build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds))).load("cpu")


# --- names cost nothing ----------------------------------------------------------------------------------


def test_building_every_preset_imports_no_torch() -> None:
    """All presets, with every build, become variants in a process that has never imported torch or transformers."""
    script = """
import sys
from greenbench import registry
from greenbench.suite import VariantEntry, build_variant
presets = registry.load("variants", "wav2vec2").presets
for preset in presets:
    for build in [[], *([name] for name in registry.names("methods"))]:
        assert build_variant(VariantEntry(use=f"wav2vec2/{preset}", builds=build)).load
heavy = {"torch", "transformers", "huggingface_hub"} & set(sys.modules)
assert len(presets) >= 8 and not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_preparing_a_hub_id_imports_no_torch(tmp_path: Path) -> None:
    """Fetching, here failing for want of a network, takes the hub's client and not torch."""
    script = """
import sys
from greenbench.errors import MissingError
from greenbench.suite import VariantEntry, build_variant
for entry in ({"use": "wav2vec2/base-960h"}, {"use": "faster-whisper/tiny.en"}):
    try:
        build_variant(VariantEntry(**entry)).prepare()
    except MissingError:
        continue
    raise AssertionError("fetched from nowhere")
assert not {"torch", "transformers", "faster_whisper"} & set(sys.modules)
"""
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=nowhere)


# --- settings, names, lineage ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({}, "give `model`"), ({"config": "base"}, "give `model`"), ({"model": "m", "config": "base"}, "give `model`"),
     ({"weights": "random"}, "takes `config`"), ({"weights": "random", "config": "base", "model": "m"}, "no `model`"),
     ({"model": "m", "weights": "pruned"}, "weights"), ({"model": "m", "beams": 4}, "beams: unknown key")],
)  # fmt: skip
def test_contradictory_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    """Settings that do not say which model is meant are an input error before anything is loaded."""
    with pytest.raises(InputError, match=message):
        registry.create("variants", "wav2vec2", wrong)


def test_the_lineage_names_parent_and_steps() -> None:
    """A build knows the variant it was made from and its steps in order; a model as published has neither."""
    plain = build_variant(VariantEntry(use="wav2vec2/base-960h"))
    built = build_variant(VariantEntry(use="wav2vec2/base-960h", builds=["bf16", "compile"]))
    renamed = build_variant(VariantEntry(use="wav2vec2/base-960h", builds=["bf16"], name="mine"))
    assert (plain.name, plain.parent, plain.steps) == ("wav2vec2/base-960h", None, ())
    assert built.name == "wav2vec2/base-960h+bf16+compile"
    assert (built.parent, built.steps) == ("wav2vec2/base-960h", ("bf16", "compile"))
    assert (renamed.parent, renamed.steps) == ("wav2vec2:facebook/wav2vec2-base-960h", ("bf16",))


def test_builds_are_applied_in_order(tiny_model: Path) -> None:
    """The methods are called one after the other, each on the result of the one before."""
    calls: list[str] = []

    class Step:
        def __init__(self, name: str) -> None:
            self.name = name

        def unsupported(self, device: str) -> str | None:
            return f"{self.name} not on {device}" if self.name != "a" else None

        def __call__(self, model: Any) -> Any:
            calls.append(self.name)
            return model

    variant = Wav2Vec2(model=str(tiny_model))("x+a+b+c", [(name, Step(name)) for name in "abc"])
    variant.load("cpu")
    assert calls == ["a", "b", "c"]
    assert variant.unsupported("cpu") == "b not on cpu"


def test_what_is_known_before_loading() -> None:
    """Parameters, licence and revision of published checkpoints; random weights are marked synthetic."""
    large = Wav2Vec2(model="facebook/wav2vec2-large-960h", revision="main")("x", []).info
    assert (large.n_params, large.licence, large.revision, large.synthetic) == (
        N_PARAMS["large"], "Apache-2.0", "main", False,
    )  # fmt: skip
    random = Wav2Vec2(config="base", weights="random")("x", []).info
    assert (random.n_params, random.licence, random.synthetic) == (N_PARAMS["base"], None, True)
    unknown = Wav2Vec2(model="me/mine")("x", []).info
    assert (unknown.n_params, unknown.licence) == (None, None)
    assert set(LICENCES) <= {model for model, _ in CHECKPOINTS.values()}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameter_counts_are_those_of_the_architectures(name: str) -> None:
    """N_PARAMS equals a count over the real modules, built without memory on the meta device."""
    import torch
    from transformers import AutoModelForCTC, Wav2Vec2Config

    with torch.device("meta"):
        model = AutoModelForCTC.from_config(Wav2Vec2Config(**ARCHITECTURES[name], vocab_size=len(VOCABULARY)))
    assert sum(p.numel() for p in model.parameters()) == N_PARAMS[name]


def test_sizes_of_the_paper() -> None:
    """The large model has 315.46 million parameters in 1262 MB, and 354 MB as dynamic int8 (Peng et al. 2021,
    table 1), none of them lost on the way."""
    from greenbench.compress.quantize import Int8Dynamic

    model, _, _ = wav2vec2._random(Wav2Vec2(config="large", weights="random"))
    full = wav2vec2.footprint(model)
    small = wav2vec2.footprint(Int8Dynamic()(model))
    assert full.n_params == small.n_params == N_PARAMS["large"] == pytest.approx(315.46e6, rel=1e-4)
    assert full.model_bytes == pytest.approx(1262 * MB, rel=0.005)
    assert small.model_bytes == pytest.approx(354 * MB, rel=0.005)


# --- loading ---------------------------------------------------------------------------------------------


def test_a_half_precision_file_is_loaded_in_float32(save_model: Callable[..., Path], noise: list[np.ndarray]) -> None:
    """The builds choose the precision, so a file stored in float16 runs in float32 without one."""
    import torch
    from safetensors import safe_open
    from transformers import Wav2Vec2ForCTC

    folder = save_model("Wav2Vec2")
    Wav2Vec2ForCTC.from_pretrained(folder, dtype=torch.float16).save_pretrained(folder)
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.get_tensor("lm_head.weight").dtype == torch.float16
    model = load(folder)
    assert {p.dtype for p in model.model.parameters()} == {torch.float32}
    assert len(model(noise)) == len(noise)


def test_a_folder_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    """A folder without a model names itself, on one line."""
    with pytest.raises(MissingError, match="does not load as a CTC model") as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_random_weights_depend_on_the_seed_only(tmp_path: Path, save_model: Callable[..., Path]) -> None:
    """The same seed gives the same weights and another seed others, from a configuration without any weights."""
    folder = save_model("Wav2Vec2")
    (folder / "model.safetensors").unlink()

    def head(seed: int) -> Any:
        return wav2vec2._random(Wav2Vec2(config=str(folder), weights="random", seed=seed))[0].lm_head.weight

    assert head(1).equal(head(1))
    assert not head(1).equal(head(2))


def test_random_weights_of_a_hub_configuration_fetch_no_weights(local_hub: Any, save_model: Callable) -> None:
    """``config`` may be a hub id, of which only the configuration comes."""
    folder = save_model("Wav2Vec2")
    local_hub.repositories["me/tiny"] = {p.name: p.read_bytes() for p in folder.iterdir()}
    model = Wav2Vec2(config="me/tiny", weights="random")("x", []).load("cpu")
    assert len(model([np.zeros(16000, "float32")])) == 1
    assert not any("safetensors" in request for request in local_hub.requests)


@pytest.mark.parametrize(
    ("kind", "masked", "settings"),
    [("Wav2Vec2", True, {**MASKED, "do_stable_layer_norm": True}), ("Wav2Vec2", False, {}),
     ("Hubert", True, {**MASKED, "do_stable_layer_norm": True}), ("Hubert", False, {}),
     ("WavLM", True, MASKED), ("WavLM", False, {}), ("Data2VecAudio", True, {"conv_pos_kernel_size": 3})],
)  # fmt: skip
def test_the_whole_family_loads_and_transcribes(
    kind: str, masked: bool, settings: dict[str, Any], save_model: Callable[..., Path], noise: list[np.ndarray]
) -> None:
    """Every relative runs through the same code, and with a mask a batch reads exactly as one by one."""
    model = load(save_model(kind, masked, **settings))
    texts = model(noise)
    assert len(texts) == len(noise)
    assert all(texts), "random weights answer something, so that this comparison can fail"
    assert model.batching == "padded"
    if masked:
        assert texts == [model([waveform])[0] for waveform in noise]


# --- decoding --------------------------------------------------------------------------------------------


def test_decoding_is_greedy_ctc(tone_model: Path, tone_corpus: tuple[list[np.ndarray], list[str]]) -> None:
    """Texts equal the logits' best path with repeats merged, then blanks dropped, then ``|`` read as a space."""
    import torch

    model = load(tone_model)
    for waveform in tone_corpus[0][:20]:
        normed = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
        with torch.inference_mode():
            path = model.model(torch.tensor(normed)[None]).logits[0].argmax(-1).tolist()
        merged = [token for at, token in enumerate(path) if at == 0 or token != path[at - 1]]
        expected = "".join(VOCABULARY[token] for token in merged if token != 0).replace("|", " ").strip()
        assert model([waveform]) == [expected]


def test_a_doubled_letter_needs_a_blank_between(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``L L`` is one letter and ``L <pad> L`` two: dropping blanks before merging would lose it."""
    model = load(tiny_model)
    spelled = ["H", "H", "E", "<pad>", "L", "L", "<pad>", "L", "O", "|", "|", "<pad>", "A"]
    _answer(model, [[VOCABULARY.index(token) for token in spelled]], monkeypatch)
    assert model([np.zeros(16000, "float32")]) == ["HELLO A"]


def test_frames_of_padding_are_cut(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model says about the padded tail of a shorter clip is not part of its text."""
    model = load(tiny_model)
    waveforms = [np.zeros(16000, "float32"), np.zeros(400 + 320 * 3, "float32")]  # 49 frames and 4
    a, b = VOCABULARY.index("A"), VOCABULARY.index("B")
    _answer(model, [[a, 0] * 24 + [a], [a, 0, a, 0] + [b, 0] * 22 + [b]], monkeypatch)
    assert model(waveforms) == ["A" * 25, "AA"]


def _answer(model: Any, paths: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model's logits spell the given tokens."""
    import torch

    class Output:
        logits = torch.nn.functional.one_hot(torch.tensor(paths), len(VOCABULARY)).float()

    monkeypatch.setattr(model.model, "forward", lambda **_inputs: Output)


@pytest.mark.parametrize("n_samples", [1, 399, 400, 401, 719, 720])
def test_very_short_clips_give_text(n_samples: int, tiny_model: Path, noise: list[np.ndarray]) -> None:
    """A clip shorter than one frame's receptive field (400 samples) is text, alone and beside a long one."""
    model = load(tiny_model)
    assert model.min_samples == 400
    short = noise[0][:n_samples]
    assert len(model([short])) == 1
    assert len(model([short, noise[2]])) == 2


def test_the_order_of_a_batch_is_kept(tone_model: Path, tone_corpus: tuple[list[np.ndarray], list[str]]) -> None:
    """Reversing a batch reverses its texts."""
    model, waveforms = load(tone_model), tone_corpus[0][:4]
    assert model(waveforms[::-1]) == model(waveforms)[::-1]


# --- padding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [True, False])
def test_group_norm_models_get_zeros_and_no_mask(
    masked: bool, save_model: Callable[..., Path], noise: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mask follows the model's own feature extractor: none with group norm, one up to each clip's end else."""
    model = load(save_model("Wav2Vec2", masked, **(MASKED if masked else {})))
    forward, seen = model.model.forward, {}
    monkeypatch.setattr(model.model, "forward", lambda **inputs: seen.update(inputs) or forward(**inputs))
    model(noise)
    assert seen["input_values"].shape == (len(noise), 32000)
    assert ("attention_mask" in seen) == masked
    if masked:
        assert seen["attention_mask"].sum(-1).tolist() == [len(waveform) for waveform in noise]


def test_batching_a_group_norm_model_keeps_its_wer(
    tone_model: Path, tone_corpus: tuple[list[np.ndarray], list[str]]
) -> None:
    """In batches of 8 sorted by length, as the harness forms them, WER stays within 0.01 of batch size 1."""
    from greenbench.plugins import Utterance
    from greenbench.scenarios import batches

    model = load(tone_model)
    utterances = [Utterance(str(i), w, text) for i, (w, text) in enumerate(zip(*tone_corpus, strict=True))]

    def error_rate(batch_size: int) -> float:
        texts = {}
        for batch in batches("offline", utterances, batch_size):
            texts |= dict(zip([u.id for u in batch], model([u.audio for u in batch]), strict=True))
        return wer([u.reference for u in utterances], [texts[u.id] for u in utterances])

    alone, batched = error_rate(1), error_rate(8)
    assert alone < 0.1, "the model reads, so that padding has something to spoil"
    assert abs(batched - alone) <= 0.01
