"""Languages of MMS checkpoints: one adapter of a thousand, with its own vocabulary and head."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.errors import InputError, MissingError
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.wav2vec2 import Wav2Vec2

MODEL = "someone/mms"
TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
VOCABULARY = {lang: {t: i for i, t in enumerate(TOKENS + more)} for lang, more in (("eng", []), ("fra", ["É", "Ç"]))}
NOISE = np.random.default_rng(7).standard_normal(16000).astype("float32") / 10


@pytest.fixture(scope="module")
def mms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint of two languages, of which French has two letters more."""
    import torch
    from safetensors.torch import save_file
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("mms")
    small = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
        "conv_dim": (16,) * 4, "conv_kernel": (64, 8, 4, 4), "conv_stride": (20, 4, 2, 2), "num_feat_extract_layers": 4,
        "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "adapter_attn_dim": 8,
        "do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True,
    }  # fmt: skip
    torch.manual_seed(3)
    Wav2Vec2ForCTC(Wav2Vec2Config(**small, vocab_size=32)).save_pretrained(folder)
    french = Wav2Vec2ForCTC(Wav2Vec2Config(**small, vocab_size=34))
    save_file(dict(french._get_adapters()), folder / "adapter.fra.safetensors")
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), target_lang="eng").save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


def transformers_reads(folder: Path, language: str) -> list[str]:
    """Return what transformers alone reads in a language, as its documentation says to."""
    import torch
    from transformers import AutoFeatureExtractor, AutoTokenizer, Wav2Vec2ForCTC

    model, tokenizer = Wav2Vec2ForCTC.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    if language != "eng":
        tokenizer.set_target_lang(language)
        model.load_adapter(language)
    inputs = AutoFeatureExtractor.from_pretrained(folder)([NOISE], sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        return list(tokenizer.batch_decode(model(**inputs).logits.argmax(-1)))


def test_a_language_reads_what_transformers_reads(mms: Path) -> None:
    """Each language has its own texts and head; names, identities and the decoding tell them apart."""
    texts, names, identities = [], [], []
    for language in (None, "fra"):
        given = {} if language is None else {"target_lang": language}
        variant = build_variant(VariantEntry(use="wav2vec2", model=str(mms), **given))
        variant.check()
        texts.append(variant.load("cpu")([NOISE]))
        names.append(variant.name)
        identities.append(variant.identity())
        assert variant.decoding() == ("greedy" if language is None else "greedy, language fra")
    assert texts == [transformers_reads(mms, "eng"), transformers_reads(mms, "fra")]
    assert texts[0] != texts[1]
    assert names[1] == f"{names[0]}-fra"
    assert identities[0][0] in identities[1][0] != identities[0][0]


def test_the_head_of_a_language_counts(mms: Path) -> None:
    """Two letters more are 2 x 33 parameters more, and the student of a language is of that language."""
    module, _, tokenizer = Wav2Vec2(model=str(mms), target_lang="fra").open()
    assert module.lm_head.out_features == module.config.vocab_size == tokenizer.vocab_size == 34
    english = Wav2Vec2(model=str(mms)).open()[0]
    assert sum(p.numel() for p in module.parameters()) - sum(p.numel() for p in english.parameters()) == 2 * 33


@pytest.mark.parametrize(
    ("language", "message"),
    [("frr", "target_lang: 'frr' is none of its languages. Did you mean 'fra'?"), ("xyz", "Valid: eng, fra")],
)
def test_an_unknown_language_is_refused_first(mms: Path, language: str, message: str) -> None:
    """The vocabulary says which there are, before anything is loaded."""
    with pytest.raises(InputError) as caught:
        build_variant(VariantEntry(use="wav2vec2", model=str(mms), target_lang=language)).check()
    assert message in str(caught.value)
    assert str(mms) in str(caught.value)


def test_a_language_without_its_adapter_is_a_missing_file(mms: Path) -> None:
    """A vocabulary alone reads nothing."""
    with pytest.raises(MissingError, match=r"adapter\.eng\.safetensors is missing in"):
        build_variant(VariantEntry(use="wav2vec2", model=str(mms), target_lang="eng")).check()


def test_a_model_of_one_language_takes_no_language(tiny_model: Path) -> None:
    """It has no adapters, and random weights have no language at all."""
    with pytest.raises(InputError, match="target_lang: it has no adapters for languages"):
        build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), target_lang="fra")).check()
    with pytest.raises(InputError, match="`target_lang` takes trained weights"):
        build_variant(VariantEntry(use="wav2vec2", config="base", weights="random", target_lang="fra"))


def test_of_a_thousand_adapters_one_is_fetched(mms: Path, local_hub: Any) -> None:
    """Without a language none, then the one alone; it is announced, and not asked for again."""
    files = {path.name: path.read_bytes() for path in mms.iterdir()}
    others = [f"adapter.{language}.{ending}" for language in ("abc", "xyz") for ending in ("safetensors", "bin")]
    local_hub.repositories[MODEL] = {**files, **dict.fromkeys(others, b"adapter")}
    build_variant(VariantEntry(use="wav2vec2", model=MODEL)).fetch()
    assert not any("adapter" in request for request in local_hub.requests)
    french = build_variant(VariantEntry(use="wav2vec2", model=MODEL, target_lang="fra"))
    assert french.to_fetch() is not None
    french.fetch()
    assert {r.rpartition("/")[2] for r in local_hub.requests if "adapter" in r} == {"adapter.fra.safetensors"}
    local_hub.requests.clear()
    assert french.to_fetch() is None
    assert french.load("cpu")([NOISE]) == transformers_reads(mms, "fra")
    assert local_hub.requests == []


@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_an_export_is_of_its_language(mms: Path) -> None:
    """The graph has the head of the language, and is not taken for that of another."""
    builds = {
        language: build_variant(VariantEntry(use="wav2vec2", model=str(mms), target_lang=language, builds=["onnx"]))
        for language in (None, "fra")
    }
    for variant in builds.values():
        variant.prepare()
    texts = [variant.load("cpu")([NOISE]) for variant in builds.values()]
    assert texts == [transformers_reads(mms, "eng"), transformers_reads(mms, "fra")]
