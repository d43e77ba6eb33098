"""The whole simulation of what intervals cover. Run with: pytest tests/benchmarks --benchmark-only."""

import importlib.util
import sys
from math import sqrt
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_in_the_documentation_is_what_the_simulation_gives(benchmark) -> None:
    """Every share of the table agrees with 1,000 corpora drawn anew, within four deviations of both."""
    spec = importlib.util.spec_from_file_location("coverage_tool", ROOT / "tools" / "coverage.py")
    tool = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = tool
    spec.loader.exec_module(tool)
    found = benchmark.pedantic(tool.table, (1000,), rounds=1)
    for cell, share in tool.documented().items():
        assert abs(found[cell] - share) <= 4 * sqrt(max(share * (1 - share), 0.005) * (1 / 1000 + 1 / 4000)), cell
