"""The files for github-action-benchmark, against what its `extractCustomBenchmarkResult` takes."""

import json
from pathlib import Path

import jsonschema
import pytest

from greenbench.export import write
from greenbench.metrics import METRICS

ENTRIES = {
    "type": "array",
    "minItems": 1,  # the action fails on an empty one
    "items": {
        "type": "object",
        "properties": {
            "value": {"type": "number"},
            **{key: {"type": "string"} for key in ("name", "unit", "range", "extra")},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}
"""``BenchmarkResult`` in ``src/extract.ts`` of benchmark-action/github-action-benchmark."""


@pytest.fixture
def entries(results: Path, tmp_path: Path) -> dict[str, dict[str, dict]]:
    """The entries by file and name."""
    found = {}
    for path in write(results, "github-benchmark", tmp_path / "out.json"):
        content = json.loads(path.read_text())
        jsonschema.validate(content, ENTRIES)
        found[path.name] = {entry["name"]: entry for entry in content}
        assert len(found[path.name]) == len(content), "a name twice would share one chart"
    return found


def test_each_file_has_one_direction(entries: dict) -> None:
    """What is better when smaller and what is better when bigger are told apart, as the action has one for a file."""
    assert set(entries) == {"out.smaller.json", "out.bigger.json"}
    labels = {
        name: {entry.partition(" | ")[0].removesuffix(" (estimated)") for entry in found}
        for name, found in entries.items()
    }
    better = {metric.label: metric.better for metric in METRICS.values()}
    assert {better[label] for label in labels["out.smaller.json"]} == {"lower"}
    assert {better[label] for label in labels["out.bigger.json"]} == {"higher"}


def test_values_are_medians_with_their_range(entries: dict) -> None:
    """A value is the median over the repeats, the range its least and most, for WER the interval."""
    wer = entries["out.smaller.json"]["WER | a | d | offline x8"]
    assert (wer["value"], wer["range"], wer["extra"]) == (0.25, "0.2 to 0.3", "repeats: 2\nflags: spread")
    rtfx = entries["out.bigger.json"]["RTFx | a | d | offline x8"]
    assert rtfx["value"] == pytest.approx((10 + 20 / 3) / 2)
    assert rtfx["range"] == "6.667 to 10"


def test_an_estimate_never_shares_a_chart_with_a_measurement(entries: dict) -> None:
    """Estimated energy has a name of its own."""
    names = [name for name in entries["out.smaller.json"] if name.startswith("energy per audio second")]
    assert names == [
        "energy per audio second | a | d | offline x8",
        "energy per audio second (estimated) | b | d | offline x8",
    ]
