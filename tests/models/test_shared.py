"""Shared parts of layers: one object under several names is stored, counted and quantised once, and run each time."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress.share import ShareLayers
from greenbench.errors import MissingError
from greenbench.models import edits, opening, shared
from greenbench.models.ctc import footprint
from greenbench.models.edits.share import Share
from greenbench.models.macs import count_macs

torch = pytest.importorskip("torch")

PARTS = ("attention", "feed_forward", "final_layer_norm", "layer_norm")


@pytest.fixture
def plain() -> Any:
    """A random CTC model of four layers."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, vocab_size=32,
        conv_dim=(16,) * 4, conv_kernel=(64, 8, 4, 4), conv_stride=(20, 4, 2, 2), num_feat_extract_layers=4,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(3)
    return Wav2Vec2ForCTC(config).eval()


@pytest.fixture
def halved(plain: Any) -> Any:
    """The same with two groups of two layers."""
    return ShareLayers(groups=2)(copy.deepcopy(plain))


def logits(model: Any) -> Any:
    """Return the logits of noise."""
    with torch.no_grad():
        return model(torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0))).logits


def layer_size(model: Any) -> int:
    """Return the parameters of a layer."""
    return sum(parameter.numel() for parameter in model.wav2vec2.encoder.layers[0].parameters())


def test_what_is_shared_is_found_and_stated_by_layer(plain: Any, halved: Any) -> None:
    """Of a plain model nothing; else for each part the first layer that has the same object, also beside own norms."""
    assert shared.owners(plain) == {}
    assert edits.find(plain) is None
    assert shared.owners(halved) == dict.fromkeys(PARTS, (0, 0, 2, 2))
    assert edits.find(halved) == edits.Structure("wav2vec2", (Share(dict.fromkeys(PARTS, (0, 0, 2, 2))),))
    own = ShareLayers(groups=[[1, 3]], share_norms=False)(plain)
    assert shared.owners(own) == dict.fromkeys(PARTS[:2], (0, 1, 2, 1))


def test_a_shared_layer_counts_once_and_runs_each_time(plain: Any, halved: Any) -> None:
    """Two layers less in parameters and bytes, none in work; to count it leaves the model as it is."""
    before = logits(halved)
    whole, ours = footprint(plain), footprint(halved)
    assert whole.n_params - ours.n_params == 2 * layer_size(plain)
    assert whole.model_bytes - ours.model_bytes == pytest.approx(4 * 2 * layer_size(plain), rel=0.2)
    assert ours.n_nonzero_params() == sum(int(p.count_nonzero()) for p in halved.parameters())
    assert count_macs(halved, 20_000) == count_macs(plain, 20_000) > 0
    assert torch.equal(logits(halved), before)


def test_a_folder_has_it_once_and_reopens_shared(halved: Any, tmp_path: Path) -> None:
    """The file has the two first layers' tensors; opened again layers have one object, not equal ones."""
    from safetensors import safe_open

    opening.save(halved, tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as tensors:
        names = set(tensors.keys())
    assert names == {name for name in halved.state_dict() if ".layers.1." not in name and ".layers.3." not in name}
    again = opening.opened("mine", tmp_path, torch.float32).eval()
    layers = again.wav2vec2.encoder.layers
    assert all(getattr(layers[1], part) is getattr(layers[0], part) for part in PARTS)
    assert layers[2].attention is not layers[0].attention
    assert shared.owners(again) == shared.owners(halved)
    assert torch.equal(logits(again), logits(halved))


def test_a_copy_shares_within_itself(halved: Any) -> None:
    """A deep copy has its own objects, which its layers share; so have 16 bits."""
    other = copy.deepcopy(halved).bfloat16()
    assert shared.owners(other) == shared.owners(halved)
    assert not {id(module) for module in other.modules()} & {id(module) for module in halved.modules()}


def test_hooks_and_hidden_states_see_each_run(plain: Any, halved: Any) -> None:
    """A hook on a shared part is called for each of its layers; there is a state for each layer and one before."""
    calls: list[Any] = []
    halved.wav2vec2.encoder.layers[0].attention.register_forward_hook(lambda *_: calls.append(1))
    noise = torch.randn(1, 20_000)
    with torch.no_grad():
        states = halved(noise, output_hidden_states=True).hidden_states
    assert len(calls) == 2
    assert len(states) == 5


def test_integers_of_a_shared_layer_are_made_and_counted_once(plain: Any, halved: Any) -> None:
    """int8-dynamic leaves one quantised layer under all of its names, and bytes of one."""
    from torch.ao.nn.quantized.dynamic import Linear

    from greenbench.compress import Int8Dynamic

    whole, ours = (Int8Dynamic()(model) for model in (plain, halved))
    layers = ours.wav2vec2.encoder.layers
    assert layers[1].attention.q_proj is layers[0].attention.q_proj
    assert isinstance(layers[0].attention.q_proj, Linear)
    assert logits(ours).isfinite().all()
    ratio = footprint(ours).model_bytes / footprint(whole).model_bytes
    assert ratio < 0.8, "as large as without sharing if each name had its own"
    assert footprint(whole).n_params - footprint(ours).n_params == 2 * layer_size_of_int8(whole)


def layer_size_of_int8(model: Any) -> int:
    """Return the parameters of a layer of quantised ones."""
    layer = model.wav2vec2.encoder.layers[0]
    packed = [module for module in layer.modules() if hasattr(module, "in_features")]
    norms = sum(parameter.numel() for parameter in layer.parameters())
    return norms + sum(module.weight().numel() + module.bias().numel() for module in packed)


@pytest.mark.parametrize("firsts", [[0, 0, 2], [0, 0, 3, 3], [0, 0, 1, 0], [0, 2, 2, 2], [4, 0, 0, 0]])
def test_a_list_that_does_not_fit_is_one_line(halved: Any, tmp_path: Path, firsts: list[int]) -> None:
    """Of another length, or a layer that comes later or has it from another one: refused with the part's name."""
    opening.save(halved, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["greenbench"]["edits"][0]["parts"]["attention"] = firsts
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="share: attention: give each of 4 layers the first that has the same one"):
        opening.opened("mine", tmp_path, torch.float32)


def test_a_part_that_is_not_there_is_one_line(halved: Any, tmp_path: Path) -> None:
    """A name that no layer has is refused; so are weights that a shared layer lacks."""
    opening.save(halved, tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"attention": [', '"wings": ['))
    with pytest.raises(ValueError, match="share: wings: "):
        opening.opened("mine", tmp_path, torch.float32)
    value = json.loads(text)
    del value["greenbench"]["edits"][0]["parts"]["attention"]
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(MissingError, match=r"no weights for .*layers\.1\.attention"):
        opening.opened("mine", tmp_path, torch.float32)
