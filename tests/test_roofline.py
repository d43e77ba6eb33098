"""The roofline: what a row is held against, and what a machine says of itself."""

import pytest

from greenbench.metrics import mfu_pct
from greenbench.roofline import Peaks, ceiling, of_run, told

PEAKS = Peaks({"fp32": 1e11, "bf16": 3e11, "int8": 2e11}, 2e10, 2, 3.0)


@pytest.mark.parametrize(
    ("compute_dtype", "expected"),
    [
        ("fp32", 1e11),
        ("bf16", 3e11),
        ("fp32+int8", 2e11),
        ("bf16+int8", 3e11),
        ("fp16", None),
        ("fp32+int16", None),
        (None, None),
    ],
)
def test_a_row_is_held_against_the_fastest_precision_that_takes_part(
    compute_dtype: str | None, expected: float | None
) -> None:
    """So its share is never flattered; where a part has no peak, there is none."""
    assert ceiling(PEAKS, compute_dtype) == expected
    assert ceiling(None, compute_dtype) is None


def test_the_share_of_the_peak_is_work_a_second_against_it() -> None:
    """2 GMAC for a second of audio at 20 times real time are 40 % of 100 GMAC/s, and what is unknown stays so."""
    assert mfu_pct(2e9, 20.0, 1e11) == pytest.approx(40.0)
    assert mfu_pct(2e9, 60.0, 1e11) == pytest.approx(120.0)  # a bad peak is seen, not cut off
    for unknown in ((None, 20.0, 1e11), (2e9, None, 1e11), (2e9, 20.0, None), (2e9, 20.0, 0.0)):
        assert mfu_pct(*unknown) is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"macs_per_s": 3},
        {"macs_per_s": {"fp32": "1e12", "bf16": -1, "int8": True, "fp64": 1.0}, "bytes_per_s": "x", "reason": 3},
        {"macs_per_s": {"fp32": float("nan")}},
    ],
)
def test_peaks_of_another_form_are_not_measured(content: object) -> None:
    """Whatever a run.json that somebody sends holds there, nothing fails and nothing is believed."""
    assert of_run({"peaks": {"cpu": content}}) == {"cpu": Peaks()}
    assert of_run({"peaks": content}) in ({}, {"macs_per_s": Peaks()}) or isinstance(content, dict)


def test_a_run_of_an_earlier_version_has_none() -> None:
    """A run.json without peaks reads as one of no device."""
    assert of_run({}) == {}


def test_a_machine_says_what_it_reached() -> None:
    """In units that people read; a busy machine says so, and one that was not measured why."""
    assert told(PEAKS) == "fp32 0.2, bf16 0.6, int8 0.4 TFLOP/s; memory 20 GB/s; 2 threads"
    busy = told(Peaks({"fp32": 1e11}, foreign_pct=43.2))
    assert busy == "fp32 0.2 TFLOP/s; too low: other processes used 43 % of the CPUs meanwhile"
    assert told(Peaks(reason="no torch")) == "not measured: no torch"
    assert told(Peaks()) == "not measured: no reason recorded"
