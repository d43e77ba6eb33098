"""The shipped suites that compare shapes: what they are about is in them."""

import re
from collections import defaultdict
from pathlib import Path

from greenbench.suite import config

ROOT = Path(__file__).parents[2]


def test_every_structural_method_of_the_page_is_measured_at_two_strengths() -> None:
    """The suite has each method alone, with two different settings, and the page describes just those."""
    page = (ROOT / "docs" / "explanation" / "smaller-faster.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `([\w-]+)`", page, flags=re.M))
    strengths = defaultdict[str, list[dict[str, object]]](list)
    for variant in config.load(ROOT / "suites" / "smaller-faster.yaml").variants:
        for build in variant.builds if len(variant.builds) == 1 else ():
            strengths[build.use].append(build.settings)
    plain = {"prune-magnitude", "int8-dynamic"}
    assert set(strengths) - plain == described
    assert all(len(given) == 2 and given[0] != given[1] for use, given in strengths.items() if use in described)


def test_shapes_of_the_large_model_need_no_weights() -> None:
    """Every variant has random weights, and each of the six shapes is measured in three precisions."""
    large, *shapes = config.load(ROOT / "suites" / "shapes-large.yaml").variants
    assert {variant.settings["weights"] for variant in (large, *shapes)} == {"random"}
    last = [(build.use, build.settings.get("precision")) for variant in shapes for build in variant.builds[-1:]]
    assert last == [("openvino", None), ("openvino-int8", None), ("openvino-int8", "bf16")] * 6
    assert len({(variant.settings["config"], *map(str, variant.builds[:-1])) for variant in shapes}) == 6
