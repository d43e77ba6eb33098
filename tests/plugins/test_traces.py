"""Traces: samples around a window, and joules by the trapezoid rule."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.plugins import traces
from greenbench.plugins.traces import Trace, integrate_j


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


# --- a file that grows -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.floats(0.01, 1), min_size=1, max_size=60),
    start=st.floats(-1, 30),
    length=st.floats(0, 10),
    block=st.sampled_from([1, 40, 300, 1 << 16]),
)
def test_a_long_file_is_read_where_the_window_is(
    steps: list[float], start: float, length: float, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However long the file, bisecting it finds what reading all of it does."""
    path = tmp_path_factory.mktemp("trace") / "power.jsonl"
    times = [round(sum(steps[:n]), 4) for n in range(1, len(steps) + 1)]
    path.write_text('{"header": {}}\n' + "".join(json.dumps({"t_s": t, "a": 10**18}) + "\n" for t in times))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "BLOCK_BYTES", block)
        found = [sample["t_s"] for sample in Trace(path).samples(start, start + length)]
    before = [t for t in times if t < start][-1:]
    after = [t for t in times if t > start + length][:1]
    assert found == [*before, *(t for t in times if start <= t <= start + length), *after]


def test_torn_lines_are_left_out(tmp_path: Path) -> None:
    """A line that a full disk tore off costs itself and the one it ran into, and no other."""
    path = tmp_path / "power.jsonl"
    path.write_text('{"t_s": 1}\n{"t_s": 2, "a{"t_s": 3}\n{"t_s": 4}\n5\n{"t_s": 6}\n')
    assert [sample["t_s"] for sample in Trace(path).samples(0, 9)] == [1, 4, 6]


def test_waiting_ends_with_the_sample_or_when_it_must_have_been_missed(tmp_path: Path, monkeypatch) -> None:
    """One waits for the sample after the window, and not for ever: the poller may have died."""
    path, slept = tmp_path / "power.jsonl", []
    path.write_text('{"t_s": 1}\n')
    monkeypatch.setattr(time, "sleep", lambda s: (slept.append(s), path.write_text('{"t_s": 1}\n{"t_s": 2}\n')))
    Trace(path).await_sample(1.5)
    assert len(slept) == 1
    slept.clear()
    Trace(path, period_s=0.1).await_sample(2.5)
    assert sum(slept) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("gone", "window", "lost_s"),
    [
        (range(0), (10.0, 20.0), 0.0),
        (range(120, 128), (10.0, 20.0), 0.0),  # a few samples that are late are no gap
        (range(120, 150), (10.0, 20.0), 3.1),
        (range(50, 150), (10.0, 20.0), 5.0),  # it began before the window
        (range(150, 1000), (10.0, 20.0), 5.1),  # nothing came after
        (range(120), (10.0, 20.0), 2.0),  # nothing was before
        (range(1000), (10.0, 20.0), 10.0),
        (range(201, 1000), (10.0, 20.05), 0.0),  # the next sample is not due yet
    ],
)
def test_what_is_lost_of_a_window(tmp_path, gone, window, lost_s):
    """Of ten samples a second those of a second must be missing in a row: then the seconds between count as lost."""
    path = tmp_path / "power.jsonl"
    path.write_text("".join(json.dumps({"t_s": n / 10}) + "\n" for n in range(1000) if n not in gone))
    assert Trace(path).lost_s([window]) == pytest.approx(lost_s)
    assert Trace(path).lost_s([window, (50.0, 50.5)]) == pytest.approx(lost_s + (0.5 if 500 in gone else 0.0))


def test_a_poller_that_wrote_no_sample_counts_only_where_it_is_the_last() -> None:
    """A file of headers alone was written, and has one session; those that another followed cost nothing."""
    began = [{"header": {"utc_s": 100.0 + n, "t_s": 0.0, "period_s": 0.1}} for n in range(3)]
    (empty,) = traces.sessions(began)
    assert (empty.offset_s, empty.samples) == (102.0, [])
    first, last = traces.sessions([*began, {"t_s": 1.0}, {"window": []}, *began[:2], {"t_s": 2.0}])
    assert [(one.offset_s, one.samples) for one in (first, last)] == [(102.0, [{"t_s": 1.0}]), (101.0, [{"t_s": 2.0}])]
