"""Traces: samples around a window, and joules by the trapezoid rule."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.traces import Trace, integrate_j


def test_a_trace_gives_the_window_and_one_sample_at_each_side(tmp_path: Path) -> None:
    """Lines of other kinds and a line that is still being written are left out."""
    path = tmp_path / "power.jsonl"
    lines = [json.dumps({"t_s": t, "cpu.power_w": 10.0}) for t in range(6)]
    path.write_text("\n".join([*lines, '{"window": []}', '{"t_s": 6, "cpu.po']))
    assert [sample["t_s"] for sample in Trace(path).samples(1.5, 3)] == [1, 2, 3, 4]
    assert Trace(tmp_path / "none").samples(0, 1) == []


@given(watts=st.floats(0, 500), start=st.floats(0.1, 4), length=st.floats(0.01, 5))
def test_constant_power_is_watts_times_seconds(watts: float, start: float, length: float) -> None:
    """Whatever the window's edges, constant power integrates to power x time."""
    samples = [{"t_s": t / 10, "p_w": watts} for t in range(100)]
    assert integrate_j(samples, "p_w", start, start + length) == pytest.approx(watts * length)


def test_a_ramp_is_its_area() -> None:
    """Values at the edges are interpolated between samples."""
    samples = [{"t_s": float(t), "p_w": 10.0 * t} for t in range(5)]
    assert integrate_j(samples, "p_w", 0.5, 3.5) == pytest.approx(5 * (3.5**2 - 0.5**2))


@pytest.mark.parametrize("times", [[], [1.0], [1.5, 3.0], [0.0, 1.5]])
def test_a_window_that_the_samples_do_not_cover_has_no_energy(times: list[float]) -> None:
    """Nothing is extrapolated beyond the first and last sample."""
    assert integrate_j([{"t_s": t, "p_w": 1.0} for t in times], "p_w", 1.0, 2.0) is None
