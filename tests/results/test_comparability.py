"""Which rows may be set against each other, and what is said of those that may not."""

import pytest

from greenbench.metrics import METRICS
from greenbench.provenance import Mixed
from greenbench.results import comparability
from greenbench.results.comparability import columns, conditions, describe, differing, value
from greenbench.results.record import columns as row_columns

ROW = {
    "dataset": "d", "data_hash": "abc", "scenario": "offline", "batch_size": 8, "device": "cpu",
    "normalizer": "whisper-english@1", "scorer": "jiwer-4",
    "device_name": "a board", "threads": 2, "batching": "sorted", "timed_region": "waveform-to-text",
    "protocol": "quick", "energy_scope": "cpu+gpu", "energy_gpu_scope": "device", "energy_method": "counter",
}  # fmt: skip
J = "energy_j_per_audio_s"


def refused(metric: str, across: tuple[str, ...] = (), **changes: object) -> dict:
    return differing(ROW, ROW | changes, columns(metric), across)


def test_the_key_is_made_of_columns_that_rows_have() -> None:
    """Every column of the key is in a row, or derives from one; besides, control and decoding may be crossed."""
    named = {*comparability.KEY, *comparability.ENERGY}
    assert named - set(row_columns()) == {"energy_kind"}
    assert set(comparability.CROSSABLE) - {comparability.CONTROL, "decoding"} < named
    assert set(comparability.FIXED) <= set(METRICS)


@pytest.mark.parametrize("metric", ["wer", "rtfx", J, "peak_rss_bytes", "model_bytes"])
def test_rows_measured_alike_may_be_compared(metric: str) -> None:
    """Rows that agree are refused for no metric, whatever else differs."""
    assert refused(metric, variant="b", run_id="r2", engine_batching="padded", parent="a") == {}


@pytest.mark.parametrize(
    ("column", "other", "kept_apart"),
    [
        ("task", "detect", {"wer", "rtfx", J}),
        ("dataset", "e", {"wer", "rtfx", J}),
        ("data_hash", "def", {"wer", "rtfx", J}),
        ("scenario", "single-stream", {"wer", "rtfx", J}),
        ("batch_size", 1, {"wer", "rtfx", J}),
        ("device", "cuda:0", {"wer", "rtfx", J}),
        ("normalizer", "none@1", {"wer"}),
        ("scorer", "jiwer-5", {"wer"}),
        ("device_name", "another CPU", {"rtfx", J}),
        ("threads", 4, {"rtfx", J}),
        ("batching", "bucketed", {"rtfx", J}),
        ("timed_region", "file-to-text", {"rtfx", J}),
        ("chunk_s", 0.64, {"rtfx", J}),
        ("pace", "real-time", {"rtfx", J}),
        ("streams", "4", {"rtfx", J, "final_p50_s", "max_streams"}),
        ("finalise", "voice activity", {"rtfx", J}),
        ("onset_source", "first word", {"rtfx", J}),
        ("word_times_source", "manifest:0123abcd", {"rtfx", J}),
        ("protocol", "standard", {"rtfx", J}),
        ("energy_scope", "cpu+gpu+dram", {J}),
        ("energy_gpu_scope", "device_shared", {J}),
        ("energy_method", "estimated", {J}),
    ],
)
def test_each_column_separates_the_metrics_it_can_change(column: str, other: object, kept_apart: set[str]) -> None:
    """A difference keeps apart the metrics it bears on, and no other; both values are told."""
    for metric in ("wer", "rtfx", J, "model_bytes"):
        found = refused(metric, **{column: other})
        name = "energy_kind" if column == "energy_method" else column
        assert set(found) == ({name} if metric in kept_apart else set())


def test_a_refusal_names_both_values() -> None:
    """What differs is told with both values; what one row does not say is unknown, and differs from what is known."""
    found = refused("rtfx", threads=None, protocol="standard")
    assert describe(found) == "threads 2 against unknown, protocol quick against standard"
    assert differing(ROW | {"threads": None}, ROW | {"threads": float("nan")}, columns("rtfx")) == {}


def test_hashes_of_two_versions_are_told_apart_from_other_data() -> None:
    """Of an old and a new form of the data hash nobody says that the data differ; of two of one form they do."""
    found = refused("wer", data_hash="v2-0123456789abcdef")
    assert describe(found).endswith("(hashes of two versions, which cannot be compared: measure the older run again)")
    for other in ("def", None):
        assert "versions" not in describe(refused("wer", data_hash=other))


def test_what_the_comparison_is_about_may_differ() -> None:
    """Other hardware is compared when asked for, and only in what was asked for."""
    assert refused("rtfx", ("device_name",), device_name="another CPU") == {}
    assert set(refused("rtfx", ("device_name",), device_name="another CPU", threads=4)) == {"threads"}


def test_a_shared_gpu_matters_where_its_joules_count() -> None:
    """What a GPU that no figure covers is shared with keeps no rows apart."""
    cpu = ROW | {"energy_scope": "cpu"}
    assert differing(cpu, cpu | {"energy_gpu_scope": None}, columns(J)) == {}


def test_counters_and_samples_are_measured_alike_and_estimates_are_not() -> None:
    """Joules from counters stand beside joules from sampled power; a modelled part makes an estimate."""
    assert refused(J, energy_method="sampled") == {}
    assert value({"energy_method": Mixed(("counter", "estimated"))}, "energy_kind") == "estimated"
    assert value({"energy_method": float("nan")}, "energy_kind") is None


@pytest.mark.parametrize(
    ("label", "same"),
    [
        ("quick", "quick"),
        ("quick(repeats=1, rounds=5, idle_s=3)", "quick"),
        ("quick(window_s=10, repeats=1)", "quick(window_s=10)"),
        ("official(seed=7)", "official"),
    ],
)
def test_more_evidence_is_no_other_protocol(label: str, same: str) -> None:
    """Steps that only say how often something is measured do not separate rows; those a window sees do."""
    assert conditions(label) == same
