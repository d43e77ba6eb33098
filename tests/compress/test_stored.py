"""What is saved loads elsewhere as it was: a model in another precision than float32 is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress import save
from greenbench.errors import InputError
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")


def in_int8(model: Any) -> Any:
    return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def as_stored(dtype: Any) -> Callable[[Any], Any]:
    """Put the weights of one layer into another type, as a tool for quantisation may leave them."""

    def change(model: Any) -> Any:
        head = model.lm_head
        head.weight = torch.nn.Parameter(head.weight.detach().to(dtype), requires_grad=False)
        return model

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.half(), lambda model: model.bfloat16(), lambda model: model.double(), in_int8,
        as_stored(torch.int8), as_stored(torch.float8_e4m3fn),
    ],
    ids=["fp16", "bf16", "fp64", "int8-dynamic", "plain-int8", "float8"],
)  # fmt: skip
def test_what_would_load_as_something_else_is_not_saved(
    tiny_model: Path, tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    """Halves and integers would be read as float32, with other texts: nothing is written of them."""
    model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
    with pytest.raises(InputError, match="only a transformers model in float32 can be saved"):
        save(change(model), extractor, tokenizer, tmp_path / "student")
    assert list(tmp_path.iterdir()) == []


def test_what_is_saved_says_float32(tiny_model: Path, tmp_path: Path) -> None:
    """By the folder's config.json transformers loads it in float32."""
    folder = save(*Wav2Vec2(model=str(tiny_model)).open(), tmp_path / "student")
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert "torch_dtype" not in config
