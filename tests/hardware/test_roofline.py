"""The roofline: what a row is held against, and what a machine says of itself."""

import pytest

from greenbench.hardware.roofline import Peaks, best, ceiling, describe, of_run, read, share
from greenbench.metrics import mfu_pct

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
    assert mfu_pct(2e9, 60.0, 1e11) == pytest.approx(120.0)
    for unknown in ((None, 20.0, 1e11), (2e9, None, 1e11), (2e9, 20.0, None), (2e9, 20.0, 0.0)):
        assert mfu_pct(*unknown) is None


def test_more_than_the_peak_is_no_share_but_a_reason() -> None:
    """40 % is a share; 120 % says that the peak is too low, with both figures."""
    assert share(2e9, 20.0, PEAKS, "fp32") == (pytest.approx(40.0), None)
    assert share(2e9, 60.0, PEAKS, "fp32") == (
        None, "120 % of the peak that was measured, 0.2 TFLOP/s: it is too low"
    )  # fmt: skip
    assert share(2e9, 60.0, PEAKS, "fp16") == share(None, 60.0, PEAKS, "fp32") == (None, None)


def test_of_several_engines_the_fastest_counts_in_each_precision() -> None:
    """Each rate is the largest, with the name of what gave it; memory, threads and neighbours are the first's."""
    torch = Peaks({"fp32": 1e11, "int8": 4e11}, 2e10, 2, 3.0, engines={"fp32": "torch", "int8": "torch"})
    other = Peaks({"fp32": 2e11, "bf16": 5e11, "int8": 3e11}, None, 2, 9.0, engines=dict.fromkeys(
        ("fp32", "bf16", "int8"), "openvino"))  # fmt: skip
    found = best([torch, other])
    assert list(found.macs_per_s.items()) == [("fp32", 2e11), ("bf16", 5e11), ("int8", 4e11)]
    assert found.engines == {"fp32": "openvino", "bf16": "openvino", "int8": "torch"}
    assert (found.bytes_per_s, found.threads, found.foreign_pct) == (2e10, 2, 3.0)


def test_peaks_say_which_engine_reached_them_and_which_did_not() -> None:
    """What a run.json holds of engines is read back and said."""
    content = {"macs_per_s": {"fp32": 1e11}, "engines": {"fp32": "openvino"}, "failed": {"numpy": "no BLAS"}}
    found = read(content | {"n_measured": 2})
    assert describe(found) == (
        "fp32 0.2 by openvino TFLOP/s; numpy gave nothing: no BLAS; measured 2 times, since a row was above it"
    )
    odd = read({"engines": 3, "failed": {"numpy": 3}, "n_measured": "x"})
    assert (odd.engines, odd.failed, odd.n_measured) == ({}, {}, 1)


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
    devices = content if isinstance(content, dict) else {}  # as if its keys were names of devices
    assert of_run({"peaks": content}) == dict.fromkeys(devices, Peaks())


def test_a_run_of_an_earlier_version_has_none() -> None:
    """A run.json without peaks reads as one of no device."""
    assert of_run({}) == {}


def test_a_machine_says_what_it_reached() -> None:
    """In units that people read; a busy machine says so, and one that was not measured why."""
    assert describe(PEAKS) == "fp32 0.2, bf16 0.6, int8 0.4 TFLOP/s; memory 20 GB/s; 2 threads"
    busy = describe(Peaks({"fp32": 1e11}, foreign_pct=43.2))
    assert busy == "fp32 0.2 TFLOP/s; too low: other processes used 43 % of the CPUs during the measurement"
    assert describe(Peaks(reason="no torch")) == "not measured: no torch"
    assert describe(Peaks()) == "not measured: no reason recorded"
