"""The wav2vec 2.0 family."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.errors import InputError, MissingError
from greenbench.models.ctc import footprint
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants import loading
from greenbench.variants.checkpoints import ARCHITECTURES, CHECKPOINTS, LICENCES, N_PARAMS, VOCABULARY
from greenbench.variants.wav2vec2 import Wav2Vec2

MB = 1e6

MASKED = {"feat_extract_norm": "layer", "conv_bias": True}


def load(folder: Path | str, *builds: str) -> Any:
    """Load a model's folder with builds chained on, on the CPU."""
    return build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds))).load("cpu")


# --- names cost nothing ----------------------------------------------------------------------------------


def test_building_every_preset_imports_no_torch() -> None:
    """All presets, with every precision, become variants in a process that has never imported torch or transformers."""
    script = """
import sys
from greenbench import registry
from greenbench.suite.entries import VariantEntry, build_variant
presets = registry.load("variants", "wav2vec2").presets
for preset in presets:
    for build in ([], ["fp32"], ["fp16"], ["bf16"], ["int8-dynamic"], ["compile"]):
        assert build_variant(VariantEntry(use=f"wav2vec2/{preset}", builds=build)).load
heavy = {"torch", "transformers", "huggingface_hub"} & set(sys.modules)
assert len(presets) >= 8 and not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_preparing_a_hub_id_imports_no_torch(tmp_path: Path) -> None:
    """Fetching, here failing for want of a network, takes the hub's client and not torch."""
    script = """
import sys
from greenbench.errors import MissingError
from greenbench.suite.entries import VariantEntry, build_variant
for entry in ({"use": "wav2vec2/base-960h"}, {"use": "faster-whisper/base.en"}):
    try:
        build_variant(VariantEntry(**entry)).prepare()
    except MissingError:
        continue
    raise AssertionError("fetched from nowhere")
assert not {"torch", "transformers", "faster_whisper"} & set(sys.modules)
"""
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=nowhere)


# --- settings, names, lineage ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({}, "give `model`"), ({"config": "base"}, "give `model`"), ({"model": "m", "config": "base"}, "give `model`"),
     ({"weights": "random"}, "takes `config`"), ({"weights": "random", "config": "base", "model": "m"}, "no `model`"),
     ({"weights": "available", "model": "m"}, "`config` for where"),
     ({"weights": "available", "config": "base"}, "takes `model`"),
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

        def __call__(self, model: Any, context: Any) -> Any:
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
    """The large model has 315.46 million parameters in 1262 MB, and 354 MB as dynamic int8 of every Linear layer (Peng
    et al. 2021, table 1), none of them lost on the way."""
    import torch
    from transformers import AutoModelForCTC, Wav2Vec2Config

    from greenbench.compress.quantize import Int8Dynamic

    with torch.device("meta"):
        model = AutoModelForCTC.from_config(Wav2Vec2Config(**ARCHITECTURES["large"], vocab_size=len(VOCABULARY)))
    model = model.to_empty(device="cpu").eval()  # what is counted needs no weights that were drawn
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    full = footprint(model)
    small = footprint(Int8Dynamic(exclude=())(model))
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


def test_a_model_without_a_trained_head_is_refused(save_model: Callable[..., Path]) -> None:
    """A pre-trained model that was never fine-tuned would get a random head and a meaningless WER, silently."""
    folder = save_model("Wav2Vec2")
    _rewrite(folder, lambda name: None if name == "lm_head.bias" else name)
    with pytest.raises(MissingError, match=r"no weights for lm_head.bias \(1 missing\)") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_published_files_of_older_make_load(save_model: Callable[..., Path]) -> None:
    """Files that lack the mask embedding and spell weight normalisation the old way, as base-960h's does, load."""
    folder = save_model("Wav2Vec2")
    expected = {name: p.clone() for name, p in load(folder).model.named_parameters()}
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}

    def rename(name: str) -> str | None:
        for new, before in old.items():
            name = name.replace(new, before)
        return None if name.endswith("masked_spec_embed") else name

    _rewrite(folder, rename)
    loaded = dict(load(folder).model.named_parameters())
    assert all(loaded[name].equal(p) for name, p in expected.items() if not name.endswith("masked_spec_embed"))


def _rewrite(folder: Path, rename: Callable[[str], str | None]) -> None:
    """Rename the tensors of a model's file, leaving out those renamed to None."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    tensors = {rename(name): tensor for name, tensor in load_file(file).items()}
    assert set(tensors) != set(load_file(file))
    save_file({name: tensor for name, tensor in tensors.items() if name}, file, metadata={"format": "pt"})


def test_random_weights_depend_on_the_seed_only(tmp_path: Path, save_model: Callable[..., Path]) -> None:
    """The same seed gives the same weights and another seed others, from a configuration without any weights."""
    folder = save_model("Wav2Vec2")
    (folder / "model.safetensors").unlink()

    def head(seed: int) -> Any:
        return loading._random(Wav2Vec2(config=str(folder), weights="random", seed=seed)).lm_head.weight

    assert head(1).equal(head(1))
    assert not head(1).equal(head(2))


def test_available_weights_are_trained_where_they_are_here_and_random_elsewhere(
    local_hub: Any, save_model: Callable[..., Path]
) -> None:
    """What is not on this machine runs with random weights and says so, without asking the hub for it."""
    folder = save_model("Wav2Vec2")
    settings = Wav2Vec2(model="me/tiny", config=str(folder), weights="available")
    absent, here = settings("x", []), replace(settings, model=str(folder))("x", [])
    assert (absent.info.synthetic, here.info.synthetic) == (True, False)
    absent.prepare()
    assert local_hub.requests == []
    head = load(folder).model.lm_head.weight
    assert here.load("cpu").model.lm_head.weight.equal(head)
    assert not absent.load("cpu").model.lm_head.weight.equal(head)


def test_random_weights_of_a_hub_configuration_fetch_no_weights(local_hub: Any, save_model: Callable) -> None:
    """``config`` may be a hub id, of which only the configuration comes."""
    folder = save_model("Wav2Vec2")
    local_hub.repositories["me/tiny"] = {p.name: p.read_bytes() for p in folder.iterdir()}
    model = Wav2Vec2(config="me/tiny", weights="random")("x", []).load("cpu")
    assert len(model([np.zeros(16000, "float32")])) == 1
    assert not any("safetensors" in request for request in local_hub.requests)


@pytest.mark.parametrize(
    ("kind", "masked", "settings"),
    [("Wav2Vec2", True, {**MASKED, "do_stable_layer_norm": True}), ("Wav2Vec2", True, MASKED), ("Wav2Vec2", False, {}),
     ("Hubert", True, {**MASKED, "do_stable_layer_norm": True}), ("Hubert", False, {}),
     ("WavLM", True, MASKED), ("WavLM", False, {}), ("Data2VecAudio", True, {"num_conv_pos_embeddings": 5})],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")  # from WavLM's attention
def test_the_whole_family_loads_and_transcribes(
    kind: str, masked: bool, settings: dict[str, Any], save_model: Callable[..., Path], noise: list[np.ndarray]
) -> None:
    """Every relative runs through the same code, and with a mask a batch reads exactly as one by one.

    Data2vec is the exception: its stack of positional convolutions has no mask, so padding reaches its last frames.
    """
    model = load(save_model(kind, masked, **settings))
    texts = model(noise)
    assert len(texts) == len(noise)
    assert all(texts), "random weights answer something, so that this comparison can fail"
    assert model.batching == "padded"
    if masked and kind != "Data2VecAudio":
        assert texts == [model([waveform])[0] for waveform in noise]


# --- logits that are not finite --------------------------------------------------------------------------


class _Answers:
    """A model that answers given logits, ``(n_utterances, n_frames, n_tokens)``."""

    def __init__(self, config: Any, logits: Any) -> None:
        self.config, self.logits, self.training = config, logits, False

    def parameters(self) -> Any:
        return iter(())

    def __call__(self, **_inputs: Any) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(logits=self.logits)


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> Any:
    """The small model, whose configuration, tokeniser and feature extractor are used; it is not changed."""
    return load(tiny_model)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("at", "value", "broken"),
    [
        ((1, 3, 7), "nan", (1,)),
        ((0, 0, 0), "inf", (0,)),
        ((1, 3, 7), "-inf", ()),  # a token that is ruled out is no fault
        ((0, 48, 2), "nan", ()),  # a frame of padding, which nobody decodes
        ((1, 48, 2), "nan", (1,)),  # the last frame of the longer one
        ((slice(None), 0), "-inf", (0, 1)),  # no token is left
    ],
)
def test_a_frame_without_a_finite_best_logit_is_an_error(
    loaded: Any, dtype: str, at: Any, value: str, broken: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every precision, of the frames that are decoded; the utterances are told by their place in the batch."""
    import torch

    from greenbench.errors import NotFiniteError
    from greenbench.models import ctc

    logits = torch.zeros(2, 49, 32, dtype=getattr(torch, dtype))
    logits[at] = float(value)
    monkeypatch.setattr(ctc, "footprint", lambda _model: None)
    model = ctc.CtcTranscriber(_Answers(loaded.model.config, logits), loaded.extractor, loaded.tokenizer, "cpu")
    batch = [np.zeros(n, "float32") for n in (8000, 16000)]
    if not broken:
        assert model(batch) == ["", ""]
        return
    with pytest.raises(NotFiniteError) as caught:
        model(batch)
    assert caught.value.positions == broken
    assert "of b " in str(caught.value.of(["a", "b"])) if broken == (1,) else True


def test_a_stream_in_one_window_is_what_is_read_offline(loaded: Any) -> None:
    """With all audio in one window the kept tokens are those of the whole; in several, the work is counted."""
    from greenbench.plugins import Framewise
    from greenbench.streaming.chunked import ChunkedWindow

    audio = np.random.default_rng(1).normal(0, 0.1, 16_000).astype("float32")
    whole, halves = (ChunkedWindow(loaded, seconds, seconds).open() for seconds in (2.0, 0.25))
    assert whole.feed(audio) is None
    assert (whole.finish(), whole.n_computed) == (loaded([audio])[0], 16_000)
    assert halves.feed(audio[:8_000]) is not None
    assert halves.feed(audio[8_000:]) is not None
    halves.finish()
    assert halves.n_computed == 8_000 + 16_000 + 8_000
    assert isinstance(loaded, Framewise)
    assert loaded.frame_samples == 320
