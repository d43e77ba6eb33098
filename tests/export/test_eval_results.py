"""Files for `.eval_results/`: Hugging Face's own library reads them, and only whole benchmarks are in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from greenbench.errors import InputError
from greenbench.export import write
from greenbench.results import store

parse_eval_result_entries = pytest.importorskip("huggingface_hub", minversion="1.4").parse_eval_result_entries

REVISION = "5503434ddd753f426f4b38109466949a1217c2bb"
WHOLE: dict[str, Any] = {"use": "open-asr", "name": "d", "subset": "librispeech.clean", "limit": None}


@pytest.fixture
def with_data(make: Callable[..., Path]) -> Callable[..., Path]:
    """Write a run of rows whose suite has these entries of data sets."""

    def build(entries: list[dict[str, Any]], *rows: dict[str, Any]) -> Path:
        results = make(*rows)
        run = store.read_run(results / "r1")
        store.write_run(results / "r1", {**run, "suite": {"datasets": entries}})
        return results

    return build


def test_the_hubs_library_reads_what_is_written(with_data: Callable[..., Path], tmp_path: Path) -> None:
    """Data set, task, revision, percent, date and how it was measured are where the library looks for them."""
    entry = {**WHOLE, "path": "hf-audio/open-asr-leaderboard", "revision": REVISION}
    results = with_data([entry], {"normalizer": "whisper-english@1"}, {"repeat": 1, "normalizer": "whisper-english@1"})
    (path,) = write(results, "eval-results", tmp_path / "results.yaml")
    (found,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (found.dataset_id, found.task_id) == ("hf-audio/open-asr-leaderboard", "librispeech_clean_wer")
    assert (found.dataset_revision, found.value, found.date) == (REVISION, 25.0, "2025-01-02T03:04:05+00:00")
    assert found.notes is not None
    assert found.notes.startswith("WER in per cent, 95 % interval [20.00, 30.00]; normalizer whisper-english@1")
    assert found.notes.endswith("device_name Test CPU; measured by greenbench 0.1.0")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (WHOLE, ("hf-audio/open-asr-leaderboard", "librispeech_clean_wer")),
        ({"use": "hf", "name": "d", "path": "owner/speech", "config": "en"}, ("owner/speech", "en")),
        ({"use": "hf", "name": "d", "path": "owner/speech"}, ("owner/speech", "default")),
    ],
)
def test_a_data_set_of_the_hub_is_named_as_there(
    with_data: Callable[..., Path], tmp_path: Path, entry: dict[str, Any], expected: tuple[str, str]
) -> None:
    """A set of the leaderboard has its task, another its configuration; a branch is no revision."""
    results = with_data([{**entry, "revision": "main"}], {})
    (path,) = write(results, "eval-results", tmp_path / "results.yaml")
    (found,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (found.dataset_id, found.task_id, found.dataset_revision) == (*expected, None)


@pytest.mark.parametrize(
    ("entry", "row"),
    [
        ({**WHOLE, "limit": 100}, {}),
        ({**WHOLE, "noise_snr_db": 10.0}, {}),
        ({**WHOLE, "length_bucket": 1, "length_buckets": 4}, {}),
        ({**WHOLE, "subset": "ami_cleaned"}, {}),
        ({**WHOLE, "path": "/data/copy"}, {}),
        ({"use": "hf", "name": "d", "path": "/data/copy"}, {}),
        ({"use": "manifest", "name": "d", "path": "speech.jsonl"}, {}),
        ({**WHOLE, "name": "another"}, {}),
        (WHOLE, {"flags": ("audio-skipped",)}),
        (WHOLE, {"flags": ("throttled",)}),
        (WHOLE, {"status": "error", "repeat": None}),
        (WHOLE, {"wer": None}),
    ],
)
def test_what_is_no_whole_benchmark_is_left_out(
    with_data: Callable[..., Path], tmp_path: Path, entry: dict[str, Any], row: dict[str, Any]
) -> None:
    """A part, noise, a copy, a set whose task is unknown, and flagged or failed cells are not published."""
    with pytest.raises(InputError, match="no row here has what --format eval-results needs"):
        write(with_data([entry], row), "eval-results", tmp_path / "results.yaml")


def test_each_variant_has_a_file_with_each_data_set_once(with_data: Callable[..., Path], tmp_path: Path) -> None:
    """Two batch sizes of one variant are one entry, that of the first; two variants are two files."""
    later = "2025-02-03T04:05:06+00:00"
    rows = [
        {},
        {"batch_size": 16, "wer": 0.5},
        {"variant": "b"},
        {"variant": "b", "dataset": "e", "timestamp_utc": later},
    ]
    results = with_data([WHOLE, {**WHOLE, "name": "e", "subset": "ami"}], *rows)
    paths = write(results, "eval-results", tmp_path / "results.yaml")
    assert [path.name for path in paths] == ["results.a.yaml", "results.b.yaml"]
    first, second = (parse_eval_result_entries(yaml.safe_load(path.read_text())) for path in paths)
    assert [entry.value for entry in first] == [25.0]
    assert [(entry.task_id, entry.date) for entry in second] == [
        ("librispeech_clean_wer", "2025-01-02T03:04:05+00:00"), ("ami_wer", later),
    ]  # fmt: skip


def test_without_an_interval_the_notes_claim_none(with_data: Callable[..., Path], tmp_path: Path) -> None:
    """Where a row has no interval the value stands alone: the spread over windows is not one."""
    (path,) = write(with_data([WHOLE], {"wer_ci_low": None, "wer_ci_high": None}), "eval-results", tmp_path / "r.yaml")
    (found,) = yaml.safe_load(path.read_text())
    assert (found["value"], found["notes"].partition("; ")[0]) == (25.0, "WER in per cent")
