"""Every family that transformers reads as CTC with every registered build: its texts, or one line beforehand."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import cycle, product
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest

from greenbench import registry
from greenbench.compress import Distill
from greenbench.errors import InputError
from greenbench.models import folders
from greenbench.plugins import follow
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.wav2vec2 import Wav2Vec2

VOCABULARY = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]

WIDTHS = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
SMALL = {
    **WIDTHS, "vocab_size": 32, "conv_dim": (16,) * 4, "conv_kernel": (64, 8, 4, 4), "conv_stride": (20, 4, 2, 2),
    "num_feat_extract_layers": 4, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
"""Three layers, so that taking some out can go wrong in the first, and a front end of one frame per 320 samples."""

LAYER = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
SEW = {**SMALL, "squeeze_factor": 2}
CONFORMER = {**SMALL, "max_source_positions": 500, "conv_depthwise_kernel_size": 15}
BERT = {
    **WIDTHS, "vocab_size": 32, "feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 15,
    "output_hidden_size": 32,
}  # fmt: skip
PARAKEET = {
    "vocab_size": 32, "pad_token_id": 0,
    "encoder_config": {
        **WIDTHS, "num_mel_bins": 80, "subsampling_conv_channels": 16, "scale_input": False, "initializer_range": 0.2,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A tiny model of one family.

    Attributes:
        kind: what its transformers classes begin with.
        settings: of its configuration.
        masked: whether its feature extractor gives attention masks.
    """

    kind: str
    settings: Mapping[str, Any]
    masked: bool = False


FAMILIES = {
    "wav2vec2": Family("Wav2Vec2", SMALL),
    "wav2vec2-layer": Family("Wav2Vec2", SMALL | LAYER, masked=True),
    "group-masked": Family("Wav2Vec2", SMALL, masked=True),
    "layer-unmasked": Family("Wav2Vec2", SMALL | LAYER),
    "adapter": Family("Wav2Vec2", SMALL | LAYER | {"add_adapter": True, "num_adapter_layers": 1}, masked=True),
    "mms": Family("Wav2Vec2", SMALL | LAYER | {"adapter_attn_dim": 8}, masked=True),
    "hubert": Family("Hubert", SMALL),
    "hubert-layer": Family("Hubert", SMALL | LAYER, masked=True),
    "wavlm": Family("WavLM", SMALL),
    "wavlm-layer": Family("WavLM", SMALL | LAYER, masked=True),
    "unispeech": Family("UniSpeech", SMALL),
    "unispeech-sat": Family("UniSpeechSat", SMALL),
    "sew": Family("SEW", SEW),
    "sew-d": Family("SEWD", SEW),
    "data2vec": Family("Data2VecAudio", SMALL | {"conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2}, masked=True),
    "conformer": Family("Wav2Vec2Conformer", CONFORMER, masked=True),
    "conformer-rotary": Family("Wav2Vec2Conformer", CONFORMER | {"position_embeddings_type": "rotary"}, masked=True),
    "w2v-bert": Family("Wav2Vec2Bert", BERT, masked=True),
    "w2v-bert-rotary": Family("Wav2Vec2Bert", BERT | {"position_embeddings_type": "rotary"}, masked=True),
    "w2v-bert-adapter": Family("Wav2Vec2Bert", BERT | {"add_adapter": True, "num_adapter_layers": 1}, masked=True),
    "parakeet": Family("Parakeet", PARAKEET, masked=True),
}


# --- models and what transformers alone reads with them --------------------------------------------------


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns the folder of a family's tiny random model with tokeniser and feature extractor, made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            _save(FAMILIES[name], made[name])
        return made[name]

    return make


def _save(family: Family, folder: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(3)
    kind = family.kind + ("CTC" if family.kind == "Parakeet" else "")
    config = getattr(transformers, f"{kind}Config")(**family.settings)
    getattr(transformers, f"{family.kind}ForCTC")(config).save_pretrained(folder)
    _tokenizer(family, folder).save_pretrained(folder)
    extractors = {
        "Wav2Vec2Bert": transformers.SeamlessM4TFeatureExtractor, "Parakeet": transformers.ParakeetFeatureExtractor
    }  # fmt: skip
    waveforms = partial(transformers.Wav2Vec2FeatureExtractor, return_attention_mask=family.masked)
    extractors.get(family.kind, waveforms)().save_pretrained(folder)


def _tokenizer(family: Family, folder: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models
    from transformers import ParakeetTokenizer, Wav2Vec2CTCTokenizer

    tokens = {token: index for index, token in enumerate(VOCABULARY)}
    if family.kind == "Parakeet":
        backend = Tokenizer(models.WordLevel(tokens, unk_token="<unk>"))
        backend.decoder = decoders.Fuse()
        return ParakeetTokenizer(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    (folder / "vocab.json").write_text(json.dumps(tokens))
    return Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))


def _model(folder: Path) -> Any:
    from transformers import AutoModelForCTC

    return AutoModelForCTC.from_pretrained(folder).eval()


@pytest.fixture(scope="session")
def plain(folder: Callable[[str], Path]) -> Callable[[str], list[str]]:
    """Returns what transformers alone reads with a family's model in float32, each waveform alone."""

    @cache
    def read(name: str) -> list[str]:
        import torch
        from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer

        kinds = (AutoModelForCTC, AutoFeatureExtractor, AutoTokenizer)
        model, extractor, tokenizer = (kind.from_pretrained(folder(name)) for kind in kinds)
        texts = []
        for waveform in NOISE:
            inputs = extractor([waveform], sampling_rate=16000, return_tensors="pt")
            with torch.inference_mode():
                generated = name == "parakeet"  # whose own greedy decoding leaves out the frame behind the audio
                best = model.generate(**inputs) if generated else model.eval()(**inputs).logits.argmax(-1)
            texts += tokenizer.batch_decode(best)
        return texts

    return read


_RNG = np.random.default_rng(7)
NOISE = [_RNG.standard_normal(n).astype("float32") / 10 for n in (16000, 8000, 20111, 12345)]
SHORT = [NOISE[0][:1], NOISE[0][:300], NOISE[0][:1700]]
"""Shorter than a frame of any family, than one of most, and than a pair of frames."""


@pytest.fixture(scope="module", autouse=True)
def _own_exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep exports in a folder of this module's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GREENBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


# --- the table -------------------------------------------------------------------------------------------

TRAININGS = ("distill", "elastic", "predict-features", "prune-learned", "quantize-aware")
"""Steps of recipes, which are no builds."""

BUILDS: dict[str, Any] = {
    **{name: [name] for name in registry.names("methods") if name not in TRAININGS},
    "chunk-attention": [{"use": "chunk-attention", "look_ahead_s": 0.1}],
    "layer-drop": [{"use": "layer-drop", "list": [1, 2], "refit": True, "refit_steps": 2, "n_calibration": 1}],
    "prune-ffn": [{"use": "prune-ffn", "keep": 0.5, "score": "taylor", "refit": True, "n_calibration": 1}],
    "heal-layers": [
        {"use": "layer-drop", "keep": 2, "select": "last_k"},
        {"use": "heal-layers", "steps": 1, "n_calibration": 1},
    ],
    "freeze-norm": [{"use": "freeze-norm", "n_calibration": 1}],
    "share-layers": [{"use": "share-layers", "groups": 2, "begin": "mean"}],
    "subnet": [{"use": "subnet", "layers": 2, "ffn": 24}],
    "thin-conv": [{"use": "thin-conv", "keep": 0.5, "n_calibration": 1}],
    "prune-heads": [{"use": "prune-heads", "n_calibration": 2}],
    "low-rank": [{"use": "low-rank", "rank": 4, "include": []}],
    "early-exit": [{"use": "early-exit", "threshold": 3, "refit_steps": 1, "n_calibration": 1}],
    "mixed-precision": [{"use": "mixed-precision", "n_calibration": 1}],
    "openvino-int8": [{"use": "openvino-int8", "n_calibration": 2}],
    "int4-weight-only": ["bf16", "int4-weight-only"],
}
"""Every registered build, as a chain; a method that is registered later stands here by its name."""

EXACT = ("fp32", "compile", "onnx", "openvino")
"""Builds that compute in float32 and read what transformers reads."""

NEAR = ("fp16", "bf16", "int8-dynamic", "onnx-int8")
"""Builds of less precision, which change some tokens of a random model and not most."""

RELATIVE = {name for name in FAMILIES if name.startswith(("wavlm", "sew-d", "conformer", "w2v-bert", "parakeet"))}
"""Families whose attention has terms of positions of its own."""

REFUSED = {
    ("sew-d", "layer-drop"): "models of the type sew-d",
    ("sew-d", "prune-ffn"): "models of the type sew-d",
    ("sew-d", "heal-layers"): "models of the type sew-d",
    ("sew-d", "share-layers"): "models of the type sew-d",
    ("sew-d", "subnet"): "models of the type sew-d",
    ("parakeet", "layer-drop"): "models of the type parakeet_ctc have a convolution for a head",
    ("parakeet", "prune-ffn"): "models of the type parakeet_ctc",
    ("parakeet", "subnet"): "models of the type parakeet_ctc",
    **{
        (family, name): f"{name}: models of the type .* so their heads must stay"
        for family, name in product(RELATIVE, ("product-twins", "prune-heads"))
    },
    **{
        (family, "thin-conv"): "thin-conv: models of the type .* so their channels must stay"
        for family in FAMILIES
        if family.startswith(("sew", "w2v-bert", "parakeet"))
    },
    **{
        (family, "early-exit"): "early-exit: models of the type .* have another encoder"
        for family in FAMILIES
        if family.startswith(("sew", "conformer", "w2v-bert", "parakeet"))
    },
    ("adapter", "early-exit"): "early-exit: the model has an adapter",
    **{
        (family, "chunk-attention"): "chunk-attention: models of the type .* have another encoder"
        for family in {*RELATIVE, "sew", "data2vec"}
    },
    **{
        (name, "freeze-norm"): "freeze-norm: the front end of the model has no group norm"
        for name, family in FAMILIES.items()
        if family.settings.get("feat_extract_norm") == "layer" or name.startswith(("data2vec", "w2v-bert", "parakeet"))
    },
    ("adapter", "chunk-attention"): "chunk-attention: the model has an adapter",
    **{(family, "reduce-frames"): "reduce-frames: models of the type" for family in {*RELATIVE, "sew"}},
}
"""Pairs that cannot be, and the words by which they are refused."""

QUICK = {
    *product(FAMILIES, ("fp32",)),
    ("wavlm", "int8-dynamic"),
    ("wavlm-layer", "int8-dynamic"),
    ("w2v-bert", "onnx"),
    *REFUSED,
}
"""Pairs that are tried in every run of the tests; the others train, export or calibrate."""

UNLIKE = ("wav2vec2", "wavlm", "w2v-bert")
"""Families as unlike as can be: waveforms, relative positions, spectra without a positional convolution."""

RESHAPED = (
    "chunk-attention", "early-exit", "heal-layers", "layer-drop", "low-rank", "mixed-precision", "product-twins",
    "prune-ffn", "prune-heads", "reduce-frames", "share-layers", "subnet",
)  # fmt: skip
"""Builds that take a model's own layers apart."""

IN_CI = {
    *product(UNLIKE, BUILDS),
    *product(("data2vec", "sew", "parakeet"), RESHAPED),
    *zip(FAMILIES, cycle(("onnx", "openvino")), strict=False),
} - {*product(FAMILIES, ("compile",))}
"""Every build with the families that are unlike, what takes layers apart with those whose encoders differ further, and
the graph of each family by one exporter, in turn; ``compress/test_compile.py`` compiles. ``nox -s matrix`` has all."""


def _pairs() -> Iterator[Any]:
    for pair in product(FAMILIES, BUILDS):
        slow = [] if pair in QUICK else [pytest.mark.slow]
        yield pytest.param(*pair, marks=[*slow, *([] if pair in QUICK | IN_CI else [pytest.mark.matrix])])


@pytest.mark.parametrize(("family", "build"), [*_pairs()])
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")  # from WavLM's attention
@pytest.mark.usefixtures("exports_here")
def test_every_family_runs_every_build_or_is_refused_first(
    family: str, build: str, folder: Callable[[str], Path], plain: Callable[[str], list[str]]
) -> None:
    """Float32 reads what transformers alone reads, the rest nearly or anything; what cannot be is one line before."""
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(folder(family)), builds=BUILDS[build]))
    if (family, build) in REFUSED:
        with pytest.raises(InputError, match=REFUSED[family, build]) as caught:
            variant.check()
        assert "\n" not in str(caught.value)
        return
    if reason := variant.unsupported("cpu"):
        pytest.skip(reason)
    variant.check()
    variant.prepare()
    model = variant.load("cpu")
    noise, short = (NOISE[:2], SHORT[1:2]) if build == "compile" else (NOISE, SHORT)  # compiled anew per form
    expected = plain(family)[: len(noise)]
    texts = [model([waveform])[0] for waveform in noise]
    assert all(texts), "random weights answer something, so that this comparison can fail"
    if build in EXACT:
        assert texts == expected
    if build in NEAR:
        assert jiwer.cer(expected, texts) < 0.5
    assert len(model(short)) == len(short) == len([model([clip])[0] for clip in short])
    assert len(model([*noise, *short])) == len(noise) + len(short)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_or_is_refused_first(family: str, folder: Callable[[str], Path]) -> None:
    """A recipe knows from a model's configuration what it is, how deep, and whether it can be distilled."""
    outline = Wav2Vec2(model=str(folder(family))).outline()
    config = json.loads((folder(family) / "config.json").read_text())
    assert (outline.model_type, outline.n_layers, outline.floats) == (config["model_type"], 3, "fp32")
    if FAMILIES[family].kind in ("Wav2Vec2Bert", "Parakeet"):
        with pytest.raises(InputError, match=f"distill: models of the type {config['model_type']} read spectra"):
            follow(replace(outline, teacher=outline), [Distill(steps=1)])
    else:
        assert follow(replace(outline, teacher=outline), [Distill(steps=1)]).n_layers == 3


def test_every_type_that_transformers_loads_is_measured_or_refused_by_name(tmp_path: Path) -> None:
    """A family that a later transformers brings stands in the table of types, or is refused in one line."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES

    kinds = {family.kind for family in FAMILIES.values()}
    assert set(folders.TYPES) <= set(MODEL_FOR_CTC_MAPPING_NAMES)
    assert {MODEL_FOR_CTC_MAPPING_NAMES[kind] for kind in folders.TYPES} == {f"{kind}ForCTC" for kind in kinds}
    for other in set(MODEL_FOR_CTC_MAPPING_NAMES) - set(folders.TYPES):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": other}))
        with pytest.raises(InputError, match=f"is of the type '{other}'. greenbench measures"):
            folders.check_type("mine", tmp_path)


@pytest.mark.parametrize(
    ("family", "names"),
    [("wav2vec2", ["input_values"]), ("group-masked", ["input_values", "attention_mask"]),
     ("layer-unmasked", ["input_values"]), ("data2vec", ["input_values", "attention_mask"]),
     ("w2v-bert", ["input_features", "attention_mask"])],
)  # fmt: skip
def test_an_export_takes_what_the_feature_extractor_gives(
    family: str, names: list[str], folder: Callable[[str], Path]
) -> None:
    """Waveforms or spectra, with a mask or without: whatever the norm of the front end would suggest."""
    from transformers import AutoFeatureExtractor

    from greenbench.models.graphs import graphs

    (graph,) = graphs(_model(folder(family)), AutoFeatureExtractor.from_pretrained(folder(family)))
    assert list(graph.inputs) == names
    assert graph.module(*graph.inputs.values()).shape[::2] == (2, 32)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_work_of_every_family_is_that_of_a_real_run(family: str, folder: Callable[[str], Path]) -> None:
    """What shapes alone give equals a count while computing, also where the inputs are spectra; no module keeps any."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoFeatureExtractor

    from greenbench.models.macs import count_macs

    model, extractor = _model(folder(family)), AutoFeatureExtractor.from_pretrained(folder(family))
    inputs = extractor([NOISE[0]], sampling_rate=16000, return_tensors="pt")
    counter = FlopCounterMode(display=False)
    counted = count_macs(model, len(NOISE[0]))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(inputs[extractor.model_input_names[0]])
    again = count_macs(model, len(NOISE[0]))
    assert counted == again == counter.get_total_flops() / 2 > 0


# --- what methods leave ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["wavlm", "mms", "data2vec", "conformer", "w2v-bert", "parakeet"])
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
def test_a_shorter_model_is_read_back_as_it_was(family: str, folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A saved student of any family has the layers that it should have, and all weights that it needs."""
    import torch
    from transformers import AutoModelForCTC

    from greenbench.compress.layers import LayerDrop

    model = AutoModelForCTC.from_pretrained(folder(family)).eval()
    whole = {id(layer) for layer in model.base_model.encoder.layers[-2:]}
    student = LayerDrop(keep=2, select="last_k")(model)
    assert {id(layer) for layer in student.base_model.encoder.layers} == whole
    student.save_pretrained(tmp_path)
    again, found = AutoModelForCTC.from_pretrained(tmp_path, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    for name, tensor in student.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_shared_layers_is_read_back_as_it_was(
    family: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Of any family, what layers share is stated and stored once; tensors, buffers and sharing are the same again."""
    import torch
    from safetensors import safe_open

    from greenbench.compress.share import ShareLayers
    from greenbench.models import edits, opening, shared

    model = _model(folder(family))
    assert edits.find(model) is None
    if family == "sew-d":
        return
    student = ShareLayers(groups=[[0, 2]], begin="mean")(model)
    opening.save(student, tmp_path)
    again = opening.opened(family, tmp_path, torch.float32).eval()
    assert shared.owners(again) == shared.owners(student) == dict.fromkeys(shared.owners(student), (0, 1, 0))
    ours, theirs = student.state_dict(), again.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as tensors:
        assert not any("encoder.layers.2." in name for name in tensors.keys())  # noqa: SIM118


def test_a_shorter_wavlm_keeps_the_positions_of_its_first_layer(folder: Callable[[str], Path]) -> None:
    """The one embedding of relative positions, which the first layer has for all, is that of the first that stays."""
    import torch
    from transformers import AutoModelForCTC

    from greenbench.compress.layers import LayerDrop

    model = AutoModelForCTC.from_pretrained(folder("wavlm"))
    embedding = model.wavlm.encoder.layers[0].attention.rel_attn_embed.weight.clone()
    student = LayerDrop(keep=1, select="last_k")(model)
    assert torch.equal(student.wavlm.encoder.layers[0].attention.rel_attn_embed.weight, embedding)


def test_int8_of_wavlm_takes_the_layers_that_the_model_calls(folder: Callable[[str], Path]) -> None:
    """Feed-forward layers become int8; the projections whose weights the attention passes on stay in float32."""
    import torch

    from greenbench.compress.quantize import chosen

    model = _model(folder("wavlm"))
    names = chosen(model, (), ("lm_head",), "int8-dynamic")
    called: set[str] = set()
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _m, _i, _o, name=name: called.add(name))
    model(torch.from_numpy(NOISE[0])[None])
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert set(names) == linear & called - {"lm_head"}


@pytest.mark.parametrize("family", ["w2v-bert", "parakeet"])
def test_paper_faithful_needs_a_positional_convolution(family: str, folder: Callable[[str], Path]) -> None:
    """What the method would start anew is not there, which is one line."""
    from greenbench.compress.layers import LayerDrop

    with pytest.raises(InputError, match="paper_faithful: .* has no positional convolution"):
        LayerDrop(keep=1, paper_faithful=True)(_model(folder(family)))
