"""Layers of several widths: such a student runs at once, and can be healed, quantised, exported and shrunk further."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from greenbench.errors import MissingError
from greenbench.recipes import recipe
from greenbench.recipes.student import make_student
from greenbench.suite.entries import VariantEntry, build_family, build_variant

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def teacher(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with a first layer of large weights, so that over the model it keeps more neurons."""
    from greenbench.variants.wav2vec2 import Wav2Vec2

    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("uneven") / "teacher")
    model = Wav2Vec2(model=str(folder)).open()[0]
    with torch.no_grad():
        model.wav2vec2.encoder.layers[0].feed_forward.intermediate_dense.weight[:40] *= 3
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def make(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make a student by steps, of this teacher or of another folder."""

    def make(*steps: dict[str, Any], of: Path = teacher, **more: Any) -> Path:
        folder = tmp_path_factory.mktemp("student")
        entry = {"use": "wav2vec2", "model": str(of), "name": "uneven"}
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump({"name": "student", "teacher": entry, "steps": list(steps), **more}))
        return make_student(recipe.load(path), folder / "student")

    return make


@pytest.fixture(scope="module")
def narrow(make: Any) -> Path:
    """A student whose two layers keep 48 and 16 of 64 neurons."""
    return make({"use": "prune-ffn", "keep": 0.5, "scope": "model"})


def load(folder: Path, *builds: Any) -> Any:
    """Load a folder with builds chained on, on the CPU."""
    return build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds))).load("cpu")


def widths(model: Any) -> list[int]:
    """Return the width of each layer, which both of its halves must have."""
    layers = [layer.feed_forward for layer in model.wav2vec2.encoder.layers]
    found = [layer.intermediate_dense.out_features for layer in layers]
    assert found == [layer.output_dense.in_features for layer in layers]
    return found


def test_a_folder_of_two_widths_is_a_variant(narrow: Path, teacher: Path) -> None:
    """It loads as the very model that the build makes, with its parameters and work, and says what it is."""
    loaded, built = load(narrow), load(teacher, {"use": "prune-ffn", "keep": 0.5, "scope": "model"})
    assert widths(loaded.model) == widths(built.model) == [48, 16]
    ours, theirs = loaded.model.state_dict(), built.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for part in ("n_params", "model_bytes"):
        assert getattr(loaded.footprint, part) == getattr(built.footprint, part)
    assert loaded.footprint.macs(32_000) == built.footprint.macs(32_000) > 0
    assert build_variant(VariantEntry(use="wav2vec2", model=str(narrow))).steps == ("prune-ffn",)


def test_builds_chain_onto_two_widths(narrow: Path) -> None:
    """Int8 and half precision take the layers as they are, and do the same work."""
    noise = np.random.default_rng(0).standard_normal(20_000).astype("float32")
    plain = load(narrow)
    for build in ("int8-dynamic", "bf16", "fp16"):
        built = load(narrow, build)
        assert isinstance(built([noise])[0], str)
        assert built.footprint.macs(20_000) == plain.footprint.macs(20_000)
        assert built.footprint.model_bytes < plain.footprint.model_bytes


@pytest.mark.parametrize(("engine", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
@pytest.mark.slow
@pytest.mark.usefixtures("exports_here")
def test_engines_take_two_widths(narrow: Path, engine: str, package: str) -> None:
    """An export reads as torch does, and has its parameters and its work."""
    pytest.importorskip(package, reason="not installed")
    plain, exported = load(narrow), load(narrow, engine)
    noise = np.random.default_rng(0).standard_normal(20_000).astype("float32")
    assert exported([noise]) == plain([noise])
    assert exported.footprint.n_params == plain.footprint.n_params
    assert exported.footprint.macs(50_000) == pytest.approx(plain.footprint.macs(50_000), rel=1e-6)


@pytest.mark.slow
def test_two_widths_are_healed_saved_in_half_and_shrunk_again(make: Any, narrow: Path, manifest: Path) -> None:
    """Training follows pruning; a folder of two widths is a teacher, loses layers, and takes half as much in halves."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    train = {"train": [{"use": "manifest", "path": str(manifest)}], "validation_share": 0.25}
    distill = {"use": "distill", "steps": 2, "batch_s": 4, "lr": 1e-3, "losses": {"kl": 1, "hidden": 1}}
    healed = make({"use": "prune-ffn", "keep": 0.5, "scope": "model"}, distill, {"use": "fp16"}, **train)
    loaded = load(healed)
    assert (widths(loaded.model), str(loaded.dtype)) == ([48, 16], "torch.float16")
    n_bytes = [(folder / "model.safetensors").stat().st_size for folder in (narrow, healed)]
    assert n_bytes[1] == pytest.approx(n_bytes[0] / 2, rel=0.1)
    opened = build_family(VariantEntry(use="wav2vec2", model=str(healed))).open()[0]
    assert (widths(opened), str(opened.dtype)) == ([48, 16], "torch.float32")
    shorter = make({"use": "layer-drop", "keep": 1, "select": "last_k"}, distill, of=healed, **train)
    assert widths(load(shorter).model) == [16]


def test_one_width_needs_nobody_but_transformers(make: Any, narrow: Path) -> None:
    """Equally wide layers are in the configuration, as any program reads it; two widths do not load there wrongly."""
    from transformers import AutoModelForCTC

    folder = make({"use": "prune-ffn", "keep": 0.5})
    with pytest.raises(RuntimeError):
        AutoModelForCTC.from_pretrained(narrow)
    plain, ours = AutoModelForCTC.from_pretrained(folder, dtype=torch.float32), load(folder)
    assert (plain.config.intermediate_size, widths(plain)) == (32, [32, 32])
    assert all(torch.equal(ours.model.state_dict()[name], tensor) for name, tensor in plain.state_dict().items())


def test_a_damaged_folder_is_one_line(narrow: Path, tmp_path: Path) -> None:
    """Weights that are no layer of any width, or of another model, are refused with the first that does not fit."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(narrow, tmp_path / "student")
    name = "wav2vec2.encoder.layers.1.feed_forward.output_dense.weight"
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, name: tensors[name][:, :-8].contiguous()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingError, match=r"layers\.1\.feed_forward\..* has another shape .*damaged") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 48}))
    with pytest.raises(MissingError, match="has another shape"):
        load(folder)


@pytest.mark.parametrize("kind", ["Hubert", "WavLM", "Data2VecAudio", "UniSpeechSat"])
def test_the_relatives_of_wav2vec_2_have_widths_too(save_model: Any, kind: str) -> None:
    """HuBERT, WavLM, data2vec and UniSpeech lose neurons and come back with the layers that they were saved with."""
    from greenbench.compress.prune import PruneFfn
    from greenbench.variants.wav2vec2 import Wav2Vec2

    folder = save_model(kind, num_hidden_layers=2)
    model = Wav2Vec2(model=str(folder)).open()[0]
    with torch.no_grad():
        model.base_model.encoder.layers[0].feed_forward.intermediate_dense.weight[:40] *= 3
    saved = PruneFfn(keep=0.5, scope="model")(model)
    saved.save_pretrained(folder)
    loaded = load(folder)
    ours, theirs = loaded.model.state_dict(), saved.state_dict()
    assert loaded.footprint.n_params == sum(parameter.numel() for parameter in saved.parameters())
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len({len(tensor) for name, tensor in ours.items() if name.endswith("intermediate_dense.bias")}) == 2
