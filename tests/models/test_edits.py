"""Structure that a configuration cannot say: a folder with it reopens here as it was, and nowhere else by mistake."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.steps import check
from greenbench.compress.stored import save
from greenbench.errors import InputError, MissingError
from greenbench.models import folders
from greenbench.plugins import Outline
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

NOISE = [np.random.default_rng(seed).standard_normal(n).astype("float32") for seed, n in enumerate((20_000, 16_111))]


def twins() -> Any:
    """A method whose result has the edit ``heads``."""
    from greenbench.compress.twins import ProductTwins

    return ProductTwins(rank=6)


def low_rank() -> Any:
    """A method whose result has the edit ``low_rank``."""
    from greenbench.compress.low_rank import LowRank

    return LowRank(rank=6)


def reduce() -> Any:
    """A method whose result has the edit ``reduce``."""
    from greenbench.compress.reduce import ReduceFrames

    return ReduceFrames(factor=2, at=1)


def signal() -> Any:
    """A method whose result has the edit ``reduce``, before the front end and within the layers."""
    from greenbench.compress.reduce import ReduceFrames

    inside, before = ReduceFrames(factor=2, at=1), ReduceFrames(factor=3, how="signal")
    return lambda model: before(inside(model))


def freeze() -> Any:
    """A method whose result has the edit ``norm_frozen``."""
    from transformers import Wav2Vec2FeatureExtractor

    from greenbench.compress.freeze import FreezeNorm
    from greenbench.plugins import Context

    return lambda model: FreezeNorm(n_calibration=1)(model, Context(extractor=Wav2Vec2FeatureExtractor()))


def packed() -> Any:
    """A method whose result has the edit ``packed``: attention and head stay in floats."""
    from greenbench.compress.mixed import MixedPrecision

    return MixedPrecision(bits=[3], mean_bits=3, exclude=["attention", "lm_head"])


def share() -> Any:
    """A method whose result has the edit ``share``."""
    from greenbench.compress.share import ShareLayers

    return ShareLayers(groups=1)


def exits() -> Callable[[Any], Any]:
    """What gives a model the edit ``exits``, of which the first is always taken."""
    from greenbench.models.edits.exits import MOST, Exits

    def attach(model: Any) -> Any:
        Exits((1,), MOST, "labels").make(model)
        return model

    return attach


def chunks() -> Any:
    """A method whose result has the edit ``chunks``."""
    from greenbench.compress.chunk_attention import ChunkAttention

    return ChunkAttention(chunk_s=[0.08, 60], left_s=0.2, look_ahead_s=0.04)


EDITS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "share": share, "heads": twins, "low_rank": low_rank, "reduce": reduce, "exits": exits, "packed": packed,
    "chunks": chunks, "reduce-signal": signal, "norm_frozen": freeze,
}  # fmt: skip
"""Every edit, by name and what more there is of it, and a method that leaves it."""


@pytest.fixture(scope="module")
def plain(tiny_model: Path) -> Path:
    """The small model, of two layers."""
    return tiny_model


@pytest.fixture(scope="module", params=EDITS)
def edited(request: pytest.FixtureRequest, plain: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model with an edit, and the folder that it was saved as."""
    model, extractor, tokenizer = Wav2Vec2(model=str(plain)).open()
    model = EDITS[request.param]()(model)
    return model, save(model, extractor, tokenizer, tmp_path_factory.mktemp(request.param) / "student")


def load(folder: Path, *builds: Any) -> Any:
    """Load a folder with builds chained on, on the CPU."""
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds)))
    variant.check()
    variant.prepare()
    return variant.load("cpu")


def logits(model: Any) -> Any:
    """Return the logits of noise."""
    with torch.no_grad():
        return model.eval()(torch.from_numpy(NOISE[0])[None]).logits


def change(folder: Path, config: dict[str, Any]) -> None:
    """Write another configuration into a folder."""
    (folder / "config.json").write_text(json.dumps(config))


def test_every_edit_is_tried_here() -> None:
    """An edit that is added later stands in the table above."""
    from greenbench.models.edits import KINDS

    assert {kind.edit for kind in KINDS} == {name.partition("-")[0] for name in EDITS}


def test_a_folder_with_an_edit_reopens_as_it_was(edited: tuple[Any, Path], plain: Path) -> None:
    """All tensors and logits are those that were saved; the edit is stated once, with the type that it changes."""
    model, folder = edited
    again = load(folder).model
    ours, theirs = again.state_dict(), model.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert torch.equal(logits(again), logits(model))
    assert not torch.equal(logits(again), logits(load(plain).model))
    assert type(again) is type(load(plain).model)
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["greenbench"]["base"]) == ("greenbench-wav2vec2", "wav2vec2")
    (edit,) = config["greenbench"]["edits"]
    said = {
        field: edit["edit"] == name for name, field in (("share", "shared"), ("exits", "exits"), ("chunks", "chunked"))
    }
    assert Wav2Vec2(model=str(folder)).outline() == Outline(
        "wav2vec2", 2, "fp32", group_norm=edit["edit"] != "norm_frozen", **said
    )


def test_an_edited_folder_is_edited_further(edited: tuple[Any, Path], tmp_path: Path) -> None:
    """It loses a layer and uneven neurons, and reopens with the heads, layers and widths that are left."""
    from greenbench.compress import LayerDrop

    model, extractor, tokenizer = Wav2Vec2(model=str(edited[1])).open()
    shorter = LayerDrop(keep=1, select="last_k")(model)
    again = load(save(shorter, extractor, tokenizer, tmp_path / "again")).model
    assert torch.equal(logits(again), logits(shorter))


def test_a_copy_is_independent(edited: tuple[Any, Path]) -> None:
    """What is done to a copy does not reach the model, and both read alike before."""
    model, _ = edited
    before, other = logits(model), copy.deepcopy(model)
    assert torch.equal(logits(other), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(logits(model), before)


def test_hidden_states_keep_their_number(edited: tuple[Any, Path], plain: Path) -> None:
    """There is a state before each layer and one after the last; logits have the rate that the convolutions say."""
    from greenbench.models.exits import leaving_never

    with torch.no_grad(), leaving_never():
        noise = torch.from_numpy(NOISE[0])[None]
        ours, theirs = (model(noise, output_hidden_states=True) for model in (edited[0].eval(), load(plain).model))
    assert len(ours.hidden_states) == len(theirs.hidden_states) == 3
    assert ours.logits.shape == theirs.logits.shape


def test_plain_transformers_refuses_it_by_name(edited: tuple[Any, Path]) -> None:
    """No program loads it with random weights where it does not know the structure."""
    from transformers import AutoModelForCTC

    with pytest.raises(ValueError, match="greenbench-wav2vec2"):
        AutoModelForCTC.from_pretrained(edited[1])


def test_other_precisions_chain_on(edited: tuple[Any, Path]) -> None:
    """Int8 and halves take it as it is: they answer, do the same work and are smaller."""
    whole = load(edited[1])
    for build in ("int8-dynamic", "bf16"):
        built = load(edited[1], build)
        assert all(isinstance(text, str) for text in built(NOISE))
        assert work(built) == work(whole) > 0
        assert built.footprint.model_bytes < whole.footprint.model_bytes


def work(model: Any) -> Any:
    """Return the multiply-accumulates for 20,000 samples; of a model with exits after its first layer."""
    footprint = model.footprint
    return footprint.macs(20_000) if footprint.exits is None else footprint.exits.macs(20_000, 1)


@pytest.mark.parametrize(
    ("build", "package", "same"),
    [("onnx", "onnxruntime", True), ("onnx-int8", "onnxruntime", False), ("onnx-int4", "onnx_ir", False),
     ("openvino", "openvino", True), ("openvino-int4", "nncf", False),
     ({"use": "openvino-int8", "n_calibration": 2}, "openvino", False)],
)  # fmt: skip
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_engines_take_it(edited: tuple[Any, Path], build: Any, package: str, same: bool) -> None:
    """An engine in float32 reads what torch reads, at every length; one in integers answers. Both count its work.

    That of chunks is no polynomial of the length, by which exports tell their work: it is None there.
    """
    pytest.importorskip(package, reason="not installed")
    chunked = Wav2Vec2(model=str(edited[1])).outline().chunked
    if chunked and "onnx" not in str(build):
        with pytest.raises(InputError, match="cannot follow chunk-attention, whose caches it does not keep"):
            load(edited[1], build)
        return
    whole, exported = load(edited[1]), load(edited[1], build)
    clips = [NOISE[0][:n] for n in (3_000, 12_345, 16_000, 16_320, 16_640, 20_000)]
    texts = [exported([clip])[0] for clip in clips]
    assert not same or texts == [whole([clip])[0] for clip in clips]
    assert exported.footprint.n_params == whole.footprint.n_params
    assert work(exported) == (None if chunked else pytest.approx(work(whole), rel=1e-6))


def damaged(of: tuple[Any, Path], to: Path, value: Any) -> Path:
    """Return a copy of an edited folder with something else under ``greenbench``."""
    folder = shutil.copytree(of[1], to / "damaged")
    change(folder, json.loads((folder / "config.json").read_text()) | {"greenbench": value})
    return folder


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("nonsense", "greenbench: "),
        ({"form": 1, "base": "wav2vec2", "edits": [{"edit": "wings"}]}, r"edits\.0"),
        ({"form": 1, "base": "wav2vec2", "edits": []}, "edits"),
        ({"form": 2, "base": "wav2vec2", "edits": [{"edit": "wings"}]}, "form"),
    ],
)
def test_a_damaged_list_is_one_line(edited: tuple[Any, Path], tmp_path: Path, value: Any, says: str) -> None:
    """What is no list of edits is refused before anything is loaded, with its place in the file."""
    folder = damaged(edited, tmp_path, value)
    with pytest.raises(
        MissingError, match=rf"config\.json: greenbench: .*{says.removeprefix('greenbench: ')}"
    ) as caught:
        build_variant(VariantEntry(use="wav2vec2", model=str(folder))).check()
    assert "\n" not in str(caught.value)


def test_edits_of_another_type_are_one_line(edited: tuple[Any, Path], tmp_path: Path) -> None:
    """A base that is no CTC model is refused as any other model of that type."""
    config = json.loads((edited[1] / "config.json").read_text())
    folder = damaged(edited, tmp_path, config["greenbench"] | {"base": "bert"})
    with pytest.raises(InputError, match="is of the type 'bert'"):
        folders.check("mine", folder)


def test_weights_without_a_place_are_one_line(edited: tuple[Any, Path], tmp_path: Path) -> None:
    """A folder with weights that its structure does not have, or without some that it has, is damaged."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(edited[1], tmp_path / "damaged")
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"more": torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingError, match="no place for more .* damaged"):
        load(folder)
    del tensors["wav2vec2.encoder.layers.0.attention.k_proj.bias"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingError, match=r"no weights for wav2vec2\.encoder\.layers\.0\.attention\.k_proj\.bias"):
        load(folder)


def test_heads_of_other_layers_are_one_line(edited: tuple[Any, Path], tmp_path: Path) -> None:
    """A list of heads for more layers than there are does not fit, and says so."""
    value = {"form": 1, "base": "wav2vec2", "edits": [{"edit": "heads", "number": [2, 2, 2], "size": [6, 6, 6]}]}
    with pytest.raises(MissingError, match="heads: 3 numbers and 3 sizes for 2 attention layers") as caught:
        load(damaged(edited, tmp_path, value))
    assert "\n" not in str(caught.value)


def test_factors_of_what_is_not_there_are_one_line(edited: tuple[Any, Path], tmp_path: Path) -> None:
    """A path that is no Linear layer does not fit, and is named."""
    value = {"form": 1, "base": "wav2vec2", "edits": [{"edit": "low_rank", "ranks": {"wav2vec2.encoder": 4}}]}
    with pytest.raises(MissingError, match=r"low_rank: there is no Linear layer wav2vec2\.encoder") as caught:
        load(damaged(edited, tmp_path, value))
    assert "\n" not in str(caught.value)


def test_bits_of_what_is_not_there_are_one_line(edited: tuple[Any, Path], tmp_path: Path) -> None:
    """A path that is no Linear layer does not fit, and is named; nine bits are damage."""
    base: dict[str, Any] = {"form": 1, "base": "wav2vec2"}
    value = base | {"edits": [{"edit": "packed", "bits": {"wav2vec2.encoder": 4}}]}
    with pytest.raises(MissingError, match=r"packed: there is no Linear layer wav2vec2\.encoder") as caught:
        load(damaged(edited, tmp_path, value))
    assert "\n" not in str(caught.value)
    value = base | {"edits": [{"edit": "packed", "bits": {"lm_head": 9}}]}
    (tmp_path / "nine").mkdir()
    with pytest.raises(MissingError, match=r"config\.json: greenbench: edits\.0\.packed\.bits\.lm_head"):
        load(damaged(edited, tmp_path / "nine", value))


def test_chunks_that_do_not_fit_are_one_line(edited: tuple[Any, Path], tmp_path: Path) -> None:
    """A look-ahead beyond the positional convolution is named; a chunk of no frames is damage."""
    made = {"edit": "chunks", "sizes": [4], "left": 8, "ahead": 99, "level": True}
    value = {"form": 1, "base": "wav2vec2", "edits": [made]}
    with pytest.raises(MissingError, match="chunks: ahead: the positional convolution sees 7 frames ahead") as caught:
        load(damaged(edited, tmp_path, value))
    assert "\n" not in str(caught.value)
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingError, match=r"config\.json: greenbench: edits\.0\.chunks\.sizes\.0"):
        load(damaged(edited, tmp_path / "none", value | {"edits": [made | {"sizes": [0]}]}))


def test_factors_of_uneven_widths_reopen(plain: Path, tmp_path: Path) -> None:
    """Layers that lost neurons, each its own number, and were factorised then, come back as they were."""
    from greenbench.compress import PruneFfn

    model, extractor, tokenizer = Wav2Vec2(model=str(plain)).open()
    with torch.no_grad():
        model.wav2vec2.encoder.layers[0].feed_forward.intermediate_dense.weight[:40] *= 3
    model = low_rank()(PruneFfn(keep=0.5, scope="model")(model))
    again = load(save(model, extractor, tokenizer, tmp_path / "student")).model
    assert torch.equal(logits(again), logits(model))
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in model.parameters())


def test_factors_of_a_reduction_reopen(plain: Path, tmp_path: Path) -> None:
    """Its maps are Linear layers like others, within the layers and behind them."""
    from greenbench.compress.low_rank import LowRank

    model, extractor, tokenizer = Wav2Vec2(model=str(plain)).open()
    model = LowRank(rank=4, include=[])(signal()(model))
    again = load(save(model, extractor, tokenizer, tmp_path / "student")).model
    assert torch.equal(logits(again), logits(model))
    factored = [name for name in again.state_dict() if "reducer.up." in name or "expander.up." in name]
    assert len(factored) == 6, "two matrices and a bias each"


def test_random_weights_have_the_edits_of_their_configuration(edited: tuple[Any, Path]) -> None:
    """A configuration with edits gives a model of that shape, whose speed and work can be measured."""
    random = Wav2Vec2(config=str(edited[1]), weights="random")
    model, *_ = random.open()
    assert {name: t.shape for name, t in model.state_dict().items()} == {
        name: t.shape for name, t in edited[0].state_dict().items()
    }
    check([], random.outline(), [])
