"""Precisions: one list, whatever a library calls them, and files that keep the spelling that they have."""

from typing import Any

import pytest

from greenbench import registry
from greenbench.plugins.precisions import floats


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("torch.float32", "fp32"), ("f32", "fp32"), ("float16", "fp16"), ("bfloat16", "bf16"), ("bf16", "bf16"),
     ("int8", None)],
)  # fmt: skip
def test_floats_have_one_name(spelling: str, name: str | None) -> None:
    """What torch, CTranslate2 and OpenVINO call a precision is one of the list; integers are no floats."""
    assert floats(spelling) == name


@pytest.mark.parametrize(
    ("method", "settings", "kept"),
    [("openvino", {}, "f32"), ("openvino-int8", {}, "f32"), ("distill", {"steps": 1}, "no")],
)
def test_fp32_is_understood_everywhere_and_kept_as_it_was(method: str, settings: dict[str, Any], kept: str) -> None:
    """Both spellings are one setting, and the one that keys and lineages have: nothing is made anew for its sake."""
    made = [
        registry.create("methods", method, settings | given)
        for given in ({}, {"precision": "fp32"}, {"precision": kept})
    ]
    assert made[0] == made[1] == made[2]
    assert made[0].precision == kept
    assert registry.create("methods", method, settings | {"precision": "bf16"}).precision == "bf16"
