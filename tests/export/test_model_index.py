"""Model cards: Hugging Face's own library reads what is written, and the figures are those of the rows."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

from greenbench.errors import InputError
from greenbench.export import write


def read(path: Path) -> tuple[str, dict[str, object]]:
    """Read a card's metadata with the library that model cards are read with."""
    name, found = model_index_to_eval_results(yaml.safe_load(path.read_text())["model-index"])
    return name, {result.metric_name: result for result in found}


def test_each_variant_has_a_card_that_the_hub_reads(make: Callable[..., Path], tmp_path: Path) -> None:
    """WER is in percent with its interval, energy says whether it was measured and of what, failures are out."""
    estimate = {"energy_method": "estimated", "energy_scope": "cpu", "flags": ("energy-estimated",)}
    results = make({}, {"variant": "b", **estimate}, {"variant": "c", "status": "error", "repeat": None})
    paths = write(results, "model-index", tmp_path / "card.yaml")
    assert [path.name for path in paths] == ["card.a.yaml", "card.b.yaml"]
    name, found = read(paths[0])
    assert name == "a"
    wer, energy = found["WER % (offline x8)"], found["J per second of audio (measured, cpu+dram, offline x8)"]
    assert (wer.metric_type, wer.metric_value, wer.metric_args["interval"]) == ("wer", 25.0, [20.0, 30.0])
    assert (wer.task_type, wer.dataset_name) == ("automatic-speech-recognition", "d")
    assert (energy.metric_type, energy.metric_value) == ("energy_j_per_audio_s", 1.8)
    assert energy.metric_args["device_name"] == "Test CPU"
    _, found = read(paths[1])
    assert "J per second of audio (estimated, cpu, offline x8)" in found


def test_a_single_variant_is_a_single_file(make: Callable[..., Path], tmp_path: Path) -> None:
    """One variant needs no part in its file's name; a name that a file cannot have is made fit for one."""
    results = make({"variant": "wav2vec2/base+int8"})
    assert write(results, "model-index", tmp_path / "card.yaml") == [tmp_path / "card.yaml"]
    both = make({"variant": "wav2vec2/base+int8"}, {"variant": "wav2vec2/base-int8"}, run_id="r2")
    assert len(write(both, "model-index", tmp_path / "two.yaml")) == 2


def test_flagged_cells_are_on_no_card(make: Callable[..., Path], tmp_path: Path) -> None:
    """What may not be ranked is not published on a card either."""
    results = make({"variant": "a", "flags": ("throttled",)})
    with pytest.raises(InputError, match="no row here has"):
        write(results, "model-index", tmp_path / "card.yaml")
