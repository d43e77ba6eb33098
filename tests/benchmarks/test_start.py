"""How long a newcomer waits for an answer that needs no model. Run with: pytest tests/benchmarks --benchmark-only."""

import subprocess
import sys
from pathlib import Path

import pytest

GOALS_S = {"help": 0.5, "typo": 1.0}


@pytest.fixture
def typo(tmp_path: Path) -> Path:
    """A suite whose only fault is a variant's name."""
    path = tmp_path / "typo.yaml"
    path.write_text("name: typo\ndatasets: [{use: manifest, path: x.jsonl}]\nvariants: [wav2vec2/large-960hh]\n")
    return path


@pytest.mark.parametrize("what", ["help", "typo"])
def test_an_answer_without_a_model_is_quick(benchmark, typo: Path, what: str) -> None:
    """`--help` answers within half a second and a typo within one: the median of whole processes."""
    command = [sys.executable, "-m", "greenbench", *({"help": ["--help"], "typo": ["run", str(typo)]}[what])]
    benchmark.pedantic(subprocess.run, [command], {"capture_output": True}, rounds=7, warmup_rounds=1)
    assert benchmark.stats.stats.median < GOALS_S[what]
