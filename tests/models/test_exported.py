"""Builds that other engines run: the same texts as torch, any length of audio, made once and kept."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import cache
from greenbench.datasets.quickstart import Quickstart
from greenbench.errors import InputError, MissingError
from greenbench.plugins import Variant
from greenbench.suite.entries import VariantEntry, build_variant

Reads = Callable[[Any], str]
ENGINES = {
    "onnx": "onnxruntime", "onnx-int4": "onnx_ir", "onnx-int8": "onnxruntime",
    "openvino": "openvino", "openvino-int4": "nncf", "openvino-int8": "nncf",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep exports in a folder of this module's, so that each is made once here and none was there before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GREENBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def variant(model: str | Path, *builds: Any) -> Variant:
    """Return a variant of a folder, or of a preset, with builds."""
    settings = {"use": str(model)} if "/" not in str(model)[:1] else {"use": "wav2vec2", "model": str(model)}
    return build_variant(VariantEntry(**settings, builds=list(builds)))


@pytest.fixture
def tiny_masked_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The small model with layer norm in its front end, and so with an attention mask."""
    from transformers import AutoConfig, AutoModelForCTC, AutoProcessor

    config = AutoConfig.from_pretrained(tiny_model, feat_extract_norm="layer", do_stable_layer_norm=True)
    AutoModelForCTC.from_config(config).save_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tiny_model)
    processor.feature_extractor.return_attention_mask = True
    processor.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_float32_exports_read_the_quick_start_as_torch_does(engine: str, teacher: Any, teacher_reads: Reads) -> None:
    """Greedy texts are identical on every ninth utterance of the bundled evaluation set, alone and in batches."""
    pytest.importorskip(ENGINES[engine], reason="not installed")
    clips = list(Quickstart()())[::9]
    exported = variant("wav2vec2/quickstart", engine).load("cpu")
    assert [exported([clip.read()])[0] for clip in clips] == [teacher_reads(clip) for clip in clips]
    batch = [clip.read() for clip in clips[:8]]
    assert exported(batch) == teacher(batch)


@pytest.mark.parametrize(
    ("engine", "share"), [("onnx-int8", 0.45), ("openvino-int8", 0.33), ("onnx-int4", 0.28), ("openvino-int4", 0.25)]
)
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_integers_read_nearly_as_torch_does(engine: str, share: float, teacher: Any, teacher_reads: Reads) -> None:
    """Weights of 8 and of 4 bits change few words of the bundled speech, and leave a share of the bytes that follows
    from their bits; the other weights are halved in OpenVINO's."""
    import jiwer

    pytest.importorskip(ENGINES[engine], reason="not installed")
    clips = list(Quickstart(voices="seen")())[::7]
    exported = variant("wav2vec2/quickstart", engine).load("cpu")
    assert jiwer.wer([teacher_reads(clip) for clip in clips], [exported([clip.read()])[0] for clip in clips]) < 0.05
    assert exported.footprint.model_bytes < share * teacher.footprint.model_bytes
    assert exported.footprint.n_params == teacher.footprint.n_params
    assert exported.footprint.macs(100_000) == pytest.approx(teacher.footprint.macs(100_000), rel=1e-6)


def in_floats(n: int) -> int:
    """Return the bits of float32."""
    return 32 * n


def in_halves(n: int) -> int:
    """Return the bits of float16."""
    return 16 * n


def in_blocks(n_out: int, n_in: int) -> int:
    """Return the bits of a matrix in ONNX Runtime's blocks of 64: codes, a float32 each, zeros filled up to a byte."""
    n_blocks = -(-n_in // 64)
    return n_out * (n_blocks * (64 * 4 + 32) + 8 * -(-n_blocks // 2))


def in_groups(n_out: int, n_in: int) -> int:
    """Return the bits of a matrix in OpenVINO's groups of 64: codes, and a float16 and a zero of 4 bits for each."""
    return n_out * (n_in * 4 + n_in // 64 * (16 + 4))


@pytest.mark.parametrize(
    ("engine", "of_matrix", "of_others"),
    [
        ("onnx", lambda n_out, n_in: in_floats(n_out * n_in), in_floats),
        ("onnx-int4", in_blocks, in_floats),
        ("openvino", lambda n_out, n_in: in_floats(n_out * n_in), in_floats),
        ("openvino-int4", in_groups, in_halves),
    ],
)
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_the_bits_of_a_weight_are_those_that_are_stored(
    engine: str, of_matrix: Callable[[int, int], int], of_others: Callable[[int], int], teacher: Any
) -> None:
    """They are the arithmetic of groups, scales and zeros over the matrices of the layers, all else being floats; and
    files are larger than that by no more than the graph."""
    import torch

    pytest.importorskip(ENGINES[engine], reason="not installed")
    matrices = [
        (layer.out_features, layer.in_features)
        for path, layer in teacher.model.named_modules()
        if isinstance(layer, torch.nn.Linear) and path != "lm_head"
    ]
    n_others = teacher.footprint.n_params - sum(n_out * n_in for n_out, n_in in matrices)
    by_hand = sum(of_matrix(*shape) for shape in matrices) + of_others(n_others)
    stored = variant("wav2vec2/quickstart", engine).load("cpu").footprint
    assert stored.bits_per_weight == pytest.approx(by_hand / teacher.footprint.n_params, rel=0.01)
    assert by_hand / 8 * 0.99 < stored.model_bytes < by_hand / 8 + 2e6


@pytest.mark.parametrize("engine", ["onnx-int4", "openvino-int4"])
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_matrices_that_are_excluded_keep_their_floats(engine: str, tiny_model: Path) -> None:
    """The fewer layers are left to round, the more bits a weight has; where none is left, one line says so."""
    pytest.importorskip(ENGINES[engine], reason="not installed")
    chains = ([engine], [{"use": engine, "exclude": ["lm_head", "feature_", "pos_conv_embed", "attention"]}])
    few, more = (variant(tiny_model, *chain).load("cpu").footprint.bits_per_weight for chain in chains)
    assert few < more
    with pytest.raises((InputError, MissingError), match=f"{engine}: exclude leaves no matrix") as caught:
        variant(tiny_model, {"use": engine, "exclude": ["model", "lm_head"]}).load("cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_a_part_of_the_weights_may_have_eight_bits(tiny_model: Path) -> None:
    """With ``ratio`` the rest has 8, so that a weight has more bits in the mean than with 4 alone."""
    pytest.importorskip("nncf", reason="not installed")
    chains = (["openvino-int4"], [{"use": "openvino-int4", "ratio": 0.5}])
    four, mixed = (variant(tiny_model, *chain).load("cpu").footprint.bits_per_weight for chain in chains)
    assert four < mixed


@pytest.mark.parametrize(("agreement", "reverted"), [(0.99, False), (0.5, True)])
@pytest.mark.slow
def test_a_guarded_int8_goes_back_to_float_where_it_must(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agreement: float, reverted: bool
) -> None:
    """Within ``max_drop`` of the float model's tokens everything stays int8; beyond it layers go back to float32."""
    pytest.importorskip("nncf", reason="not installed")
    from greenbench.compress import openvino
    from greenbench.variants.wav2vec2 import Wav2Vec2

    monkeypatch.setattr(openvino, "agreement", _first_perfect(agreement))
    sizes = []
    for max_drop in (None, 0.02):
        folder = tmp_path / str(max_drop)
        folder.mkdir()
        model, extractor, _ = Wav2Vec2(model=str(tiny_model)).open()
        build = openvino.OpenVinoInt8(max_drop=max_drop, n_calibration=2, n_validation=2)
        build.export(model, extractor, folder)
        sizes.append((folder / "model.xml").read_text().count('"FakeQuantize"'))
    assert (sizes[1] < sizes[0]) == reverted
    assert sizes[0] > 0


LAST_THREE = [*(f"conv_layers.{number}." for number in range(4)), "pos_conv_embed", "lm_head"]
"""What stays in floats where the last three convolutions of seven are in int8."""


@pytest.mark.parametrize(("settings", "expected"), [({}, []), ({"exclude": LAST_THREE}, [4, 5, 6])])
@pytest.mark.slow
def test_openvino_has_the_convolutions_in_int8_that_are_not_excluded(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], expected: list[int]
) -> None:
    """In the graph these have int8 weights and take in rounded values; unless said otherwise, none has."""
    pytest.importorskip("nncf", reason="not installed")
    from greenbench.compress.openvino import OpenVinoInt8
    from greenbench.compress.openvino_core import core
    from greenbench.variants.wav2vec2 import Wav2Vec2

    model, extractor, _ = Wav2Vec2(model=str(tiny_model)).open()
    OpenVinoInt8(n_calibration=2, **settings).export(model, extractor, tmp_path)
    nodes = core().read_model(tmp_path / "model.xml").get_ordered_ops()
    convolutions = [
        node for node in nodes if "conv_layers" in node.get_friendly_name() and _kind(node) == "Convolution"
    ]
    assert len(convolutions) == 7
    found = [number for number, node in enumerate(convolutions) if _takes_integers(node)]
    assert found == expected


def _kind(node: Any) -> str:
    kind: str = node.get_type_name()
    return kind


def _takes_integers(node: Any) -> bool:
    """Say whether a node of a graph of OpenVINO's multiplies rounded values by weights that are stored as int8."""
    rounded, weights = (node.input_value(port).get_node() for port in (0, 1))
    while _kind(weights) != "Constant":
        weights = weights.input_value(0).get_node()
    of_integers = str(weights.get_element_type().get_type_name()) in ("i8", "u8")
    assert of_integers == (_kind(rounded) == "FakeQuantize")
    return of_integers


@pytest.mark.slow
def test_onnx_runtime_has_no_convolution_in_int8(tiny_model: Path, tmp_path: Path) -> None:
    """Matrix products alone are in integers: all convolutions are those of the float32 graph."""
    onnx = pytest.importorskip("onnx", reason="not installed")
    from greenbench.compress.onnx import OnnxInt8
    from greenbench.variants.wav2vec2 import Wav2Vec2

    model, extractor, _ = Wav2Vec2(model=str(tiny_model)).open()
    OnnxInt8().export(model, extractor, tmp_path)
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert kinds.count("MatMulInteger") > 0
    assert kinds.count("ConvInteger") == 0
    assert kinds.count("Conv") == 8, "seven of the front end, and one of positions"


def _first_perfect(agreement: float) -> Any:
    """Return a stand-in for the guard's measure: 1 for NNCF's trial and the float model, then ``agreement``."""
    values = iter([1.0, 1.0])
    return lambda _compiled, _items, blank: (next(values, agreement), None)


def test_the_guard_counts_tokens_that_differ() -> None:
    """Repeats and blanks are no tokens; one substituted token of four is an agreement of three quarters."""
    from greenbench.compress.openvino import agreement, greedy

    frames = [0, 5, 5, 0, 5, 6, 6, 7, 0]
    logits = np.eye(8, dtype="float32")[frames][None]
    assert [ord(token) - 0xE000 for token in greedy(logits, blank=0)] == [5, 5, 6, 7]
    other = np.eye(8, dtype="float32")[[0, 5, 5, 0, 5, 6, 6, 4, 0]][None]
    items = [({}, greedy(logits, 0)), ({}, "")]
    assert agreement(lambda _inputs: [logits], items[:1], 0)[0] == 1
    assert agreement(lambda _inputs: [other], items[:1], 0)[0] == 0.75
    assert agreement(lambda _inputs: [other[:, :1]], items[1:], 0)[0] == 1, "nothing to read, and nothing read"


@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_builds_can_come_before(tiny_model: Path) -> None:
    """A model that lost layers is exported without them; the shortest audio is read, too."""
    pytest.importorskip("onnxruntime", reason="not installed")
    builds = [{"use": "layer-drop", "keep": 1}, "onnx"]
    shorter, whole = (variant(tiny_model, *chain).load("cpu") for chain in (builds, ["onnx"]))
    assert shorter.footprint.n_params < whole.footprint.n_params
    noise = np.random.default_rng(0).standard_normal(20000).astype("float32")
    plain = variant(tiny_model, builds[0]).load("cpu")
    assert shorter([noise, noise[:5]]) == plain([noise, noise[:5]])


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_a_model_with_an_attention_mask_keeps_it(tiny_masked_model: Path, engine: str) -> None:
    """Padding does not reach the texts of a model that was trained with a mask."""
    pytest.importorskip(ENGINES[engine], reason="not installed")
    plain, exported = (variant(tiny_masked_model, *builds).load("cpu") for builds in ([], [engine]))
    rng = np.random.default_rng(1)
    long, short = (rng.standard_normal(n).astype("float32") for n in (40000, 16000))
    assert exported([long, short]) == plain([long, short]) == exported([long]) + exported([short])


@pytest.mark.slow
def test_an_export_is_made_once_and_again_when_the_weights_change(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second load finds the files; other weights under the same name are another artefact."""
    from greenbench.models import exported

    pytest.importorskip("onnxruntime", reason="not installed")
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    made = []
    export = exported.export_apart
    monkeypatch.setattr(exported, "export_apart", lambda *args: (made.append(1), export(*args)))
    variant(folder, "onnx").prepare()
    variant(folder, "onnx").load("cpu")
    n_made = len(made)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-8:] = bytes(8)
    weights.write_bytes(data)
    variant(folder, "onnx").prepare()
    assert (n_made, len(made)) in {(0, 1), (1, 2)}  # 0 where another test left the same model's export


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["memos emptied", "memos swapped", "exports swapped", "folders swapped"])
@pytest.mark.usefixtures("exports_here")
def test_two_models_never_share_an_export(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Whatever befalls the cache, each model runs as itself: logits are torch's, and the size is its own."""
    import torch
    from transformers import AutoModelForCTC

    pytest.importorskip("onnxruntime", reason="not installed")
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SETTLED_S", -1.0)
    other = shutil.copytree(tiny_model, tmp_path / "other")
    module = AutoModelForCTC.from_pretrained(other)
    torch.nn.init.normal_(module.lm_head.weight)
    module.save_pretrained(other)
    folders = [tiny_model, other]
    for folder in folders:
        variant(folder, "onnx").prepare()
    _spoil(damage)
    noise = torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0))
    for folder in folders:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that an export is made again
            engine = variant(folder, "onnx").load("cpu").model
        expected = AutoModelForCTC.from_pretrained(folder).eval()(noise).logits
        assert torch.allclose(engine(input_values=noise).logits, expected, atol=1e-3)


def _spoil(damage: str) -> None:
    memos = sorted((cache.folder().parent / "digests").iterdir())
    first, second = (kept.path for kept in cache.artefacts())
    if damage == "memos emptied":
        for memo in memos:
            memo.write_bytes(b"")
    elif damage == "memos swapped":
        texts = [memo.read_bytes() for memo in memos]
        for memo, text in zip(memos, texts[1:] + texts[:1], strict=True):
            memo.write_bytes(text)
    else:
        between = first.parent / "between"
        name = "model.onnx" if damage == "exports swapped" else ""
        (first / name).rename(between)
        (second / name).rename(first / name)
        between.rename(second / name)


def test_an_export_belongs_to_the_settings_of_the_feature_extractor(tiny_model: Path, tmp_path: Path) -> None:
    """Two models that differ in how audio is prepared alone share no export: calibration hears what it prepares."""
    from greenbench.variants.wav2vec2 import Wav2Vec2, _source

    other = shutil.copytree(tiny_model, tmp_path / "other")
    path = other / "preprocessor_config.json"
    if not path.exists():
        path = other / "processor_config.json"
    path.write_text(path.read_text("utf-8").replace('"do_normalize": true', '"do_normalize": false'), "utf-8")
    one, two = (_source(Wav2Vec2(model=str(folder)), ()).about for folder in (tiny_model, other))
    assert one != two


def test_random_weights_are_drawn_by_the_config_as_it_is_now(tiny_model: Path, tmp_path: Path) -> None:
    """A folder's configuration that was edited is another model, though it is called the same."""
    from greenbench.variants.wav2vec2 import Wav2Vec2, _source

    settings = Wav2Vec2(config=str(shutil.copytree(tiny_model, tmp_path / "config")), weights="random")
    before = _source(settings, ()).about
    path = tmp_path / "config" / "config.json"
    path.write_text(path.read_text("utf-8").replace('"num_hidden_layers": ', '"num_hidden_layers": 1'), "utf-8")
    assert _source(settings, ()).about != before


def test_nothing_follows_an_exported_build(tiny_model: Path) -> None:
    """The chain says which build has to come last."""
    with pytest.raises(InputError, match=r"bf16 cannot follow onnx"):
        variant(tiny_model, "onnx", "bf16")


def test_a_failed_export_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    """What the exporting process said last is the reason; no half artefact is kept."""
    from greenbench.compress.onnx import Onnx
    from greenbench.models.exported import ExportSource, files

    before = len(cache.artefacts())
    with pytest.raises(MissingError, match=r"Onnx: the model could not be exported: .*ZeroDivisionError"):
        files(ExportSource(_broken, {"name": "broken"}), Onnx())
    assert len(cache.artefacts()) == before


def _broken() -> Any:
    raise ZeroDivisionError("by design")


def test_a_missing_engine_is_a_reason(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    """Where the engine is not installed, or on a device that it does not know, the row says what to do."""
    from greenbench import extras

    for package, build in (("onnx", "onnx"), ("onnx_ir", "onnx-int4"), ("nncf", "openvino-int8")):
        assert "cuda:0" in (variant(tiny_model, build).unsupported("cuda:0") or "")
        with monkeypatch.context() as patch:
            patch.setattr(extras, "is_installed", lambda module, package=package: module != package)
            command = f"pip install 'greenbench[{build.partition('-')[0]}]'"
            name = package.replace("_", "-")
            assert variant(tiny_model, build).unsupported("cpu") == f"{name} not installed: {command}"
