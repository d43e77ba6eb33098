"""The timeline: every peak of a long run in few points, windows where they were, and nothing made up in gaps."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from greenbench.meters.poller import CPU
from greenbench.report import timeline
from greenbench.report.figures import looks
from greenbench.report.timeline import N_BUCKETS, draw

START = 1_700_000_000.0
LOOK = looks(["a", "b"])


def sampled(seconds: Any, session: int = 1, run_id: str = "r1", **values: Any) -> pd.DataFrame:
    """Samples of one poller, at seconds after ``START``."""
    times = np.asarray(seconds, dtype=float)
    base = {"run_id": run_id, "session": session, "utc_s": START + times, CPU: 0.01 * times}
    return pd.DataFrame(base | values)


def windows(*stretches: tuple[str, str, float, float], run_id: str = "r1") -> pd.DataFrame:
    """Stretches of time as (kind, variant, start, end)."""
    rows = [
        {"run_id": run_id, "kind": kind, "variant": variant, "start_utc_s": START + start, "end_utc_s": START + end}
        for kind, variant, start, end in stretches
    ]
    return pd.DataFrame(rows, columns=["run_id", "kind", "variant", "start_utc_s", "end_utc_s"])


def figure(power: pd.DataFrame, stretches: pd.DataFrame | None = None) -> dict[str, Any]:
    (line,) = draw(power, windows() if stretches is None else stretches, LOOK)
    return dict(line.figure)


def test_a_long_run_stays_small_and_keeps_its_peaks() -> None:
    """Ten hours at ten samples a second are a thousand points, with the least and most of each stretch of time."""
    watts = 50 + np.sin(np.arange(360_000) / 500)
    watts[123_456], watts[234_567] = 300.0, 3.0
    (line,) = figure(sampled(np.arange(360_000) / 10, **{"nvml.0.power_w": watts}))["data"]
    assert len(line["x"]) <= 2 * N_BUCKETS + 2
    assert (max(line["y"]), min(line["y"])) == (300.0, 3.0)
    assert line["x"][line["y"].index(300.0)] == pytest.approx(12_345.6 / 3600, abs=1e-4)
    assert list(line["x"]) == sorted(line["x"])


def test_a_short_run_has_every_sample() -> None:
    """What is few enough is drawn as it is, in seconds."""
    drawn = figure(sampled([0, 1, 2, 3], **{"hwmon.VDD_IN.power_w": [5.0, 6.0, np.nan, 8.0]}))
    (line,) = drawn["data"]
    assert (list(line["x"]), list(line["y"])) == ([0, 1, 3], [5, 6, 8])
    assert line["name"] == "hwmon.VDD_IN power"
    assert drawn["layout"]["xaxis"]["title"]["text"] == "time since the first sample (s)"


def test_power_and_temperature_below_each_other() -> None:
    """Each quantity has a panel of its own and each source its line; the load is left out where there is power."""
    values = {
        "nvml.0.power_w": 90.0,
        "rapl.package-0.power_w": 30.0,
        "cpu.temperature_c": 60.0,
        "cpu.utilisation_pct": 9.0,
    }
    drawn = figure(sampled(range(9), **values))
    assert [(line["name"], line["yaxis"]) for line in drawn["data"]] == [
        ("nvml.0 power", "y"), ("rapl.package-0 power", "y"), ("cpu temperature", "y2"),
    ]  # fmt: skip
    titles = [drawn["layout"][axis]["title"]["text"] for axis in ("yaxis", "yaxis2")]
    assert titles == ["power (W)", "temperature (°C)"]
    assert drawn["layout"]["yaxis"]["domain"][0] > drawn["layout"]["yaxis2"]["domain"][1]


def test_without_power_there_is_the_load() -> None:
    """A machine without a sensor of power shows how busy it was."""
    drawn = figure(sampled(range(9), **{"cpu.utilisation_pct": 40.0, "cpu.frequency_hz": 3e9}))
    assert [line["name"] for line in drawn["data"]] == ["cpu utilisation"]
    assert drawn["layout"]["yaxis"]["title"]["text"] == "CPU load (%)"


def test_a_pause_is_a_break_in_the_line() -> None:
    """Nothing is drawn over the time in which nothing was sampled, as before a run was resumed."""
    power = pd.concat([sampled([0, 1, 2]), sampled([900, 901], session=2)], ignore_index=True)
    (line,) = figure(power.assign(**{"x.power_w": 7.0}))["data"]
    assert list(line["y"]) == [7, 7, 7, None, 7, 7]
    assert list(line["x"]) == [0, 0.0167, 0.0333, 15, 15, 15.0167]


def test_windows_are_shaded_where_they_were() -> None:
    """Each variant's windows have its colour, idle baselines are grey, and each appears in the legend once."""
    of_a = [("idle", "a", 0, 10), ("window", "a", 20, 30), ("window", "a", 40, 50)]
    stretches = windows(*of_a, ("idle", "b", 60, 65), ("window", "b", 70, 80))
    drawn = figure(sampled(range(100), **{"x.power_w": 7.0}), stretches)
    found = [(s["name"], s["x0"], s["x1"], s["showlegend"]) for s in drawn["layout"]["shapes"]]
    assert found == [
        ("idle baseline", 0, 10, True), ("idle baseline", 60, 65, False),
        ("a", 20, 30, True), ("a", 40, 50, False), ("b", 70, 80, True),
    ]  # fmt: skip
    colours = {s["name"]: s["fillcolor"] for s in drawn["layout"]["shapes"]}
    assert len(set(colours.values())) == 3


def test_stretches_too_close_to_be_seen_apart_are_one() -> None:
    """Thousands of segments a hair apart do not make the page large."""
    stretches = windows(*(("window", "a", 10 * n, 10 * n + 9.9) for n in range(5000)))
    (shape,) = figure(sampled(range(50_000), **{"x.power_w": 7.0}), stretches)["layout"]["shapes"]
    assert (shape["x0"], shape["x1"]) == (0, pytest.approx(49_999.9 / 3600, abs=1e-3))


def test_what_variants_and_sensors_are_called_is_no_markup() -> None:
    """Names are escaped, since Plotly takes markup."""
    evil = "<b>x</b>"
    drawn = figure(sampled(range(9), **{f"{evil}.power_w": 7.0}), windows(("window", evil, 1, 2)))
    assert drawn["data"][0]["name"] == "&lt;b&gt;x&lt;/b&gt; power"
    assert drawn["layout"]["shapes"][0]["name"] == "&lt;b&gt;x&lt;/b&gt;"


def test_every_run_has_its_own_and_says_what_sampling_cost() -> None:
    """Runs are drawn apart; the poller's CPU time is that of all its sessions over the time they lasted."""
    first = pd.concat([sampled(range(11)), sampled(range(500, 511), session=2)])
    power = pd.concat([first, sampled(range(11), run_id="r2")], ignore_index=True).assign(**{"x.power_w": 7.0})
    lines = draw(power, windows(("window", "a", 1, 2), run_id="r2"), LOOK)
    assert [line.run_id for line in lines] == ["r1", "r2"]
    assert [len(line.figure["layout"]["shapes"]) for line in lines] == [0, 1]
    assert lines[0].note == "22 samples; the process that took them used 1.0% of a core."


def test_without_samples_there_is_no_timeline() -> None:
    """A run that was not sampled, or once only, has none."""
    assert draw(pd.DataFrame(columns=["run_id", "session", "utc_s"]), windows(), LOOK) == []
    assert draw(sampled([0], **{"x.power_w": 7.0}), windows(), LOOK) == []
    assert timeline.N_BUCKETS > 100
