"""The contracts: readings add up without hiding what is unknown, and paths in suites find their files."""

import ast
import inspect
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter
from typing_extensions import get_protocol_members, is_protocol

import greenbench
from greenbench import plugins, registry
from greenbench.plugins import Chained, ModelRef, Quantity, Reading, SuitePath, Utterance


def counter(value: float | None, note: str | None = None) -> Quantity:
    return Quantity(value, "counter", "rapl", note)


def test_a_window_in_segments_adds_up() -> None:
    """Joules of several segments are summed and keep their origin."""
    reading = Reading()
    for joules in (1.5, 2.0, 4.0):
        reading.add("energy_cpu_j", counter(joules, "a note"))
    assert reading.quantities == {"energy_cpu_j": counter(7.5, "a note")}


def test_a_peak_is_the_largest_of_the_segments() -> None:
    """A high-water mark over several segments is the largest one, neither their sum nor the last."""
    reading = Reading()
    for size in (20, 30, 10):
        reading.peak("peak_rss_bytes", counter(size))
    assert reading.value("peak_rss_bytes") == 30


@pytest.mark.parametrize("combine", [Reading.add, Reading.peak])
@pytest.mark.parametrize("values", sorted(set(permutations([None, 1.0, 2.0])), key=str))
def test_one_unknown_segment_makes_the_whole_unknown(combine, values) -> None:
    """A segment that could not be read never counts as 0, whenever it comes, and its reason is kept."""
    reading = Reading()
    for value in values:
        combine(reading, "energy_cpu_j", counter(value, "why" if value is None else None))
    assert reading.quantities["energy_cpu_j"] == counter(None, "why")


def test_the_edges_of_the_whole_are_the_first_and_the_last() -> None:
    """Of a window in segments a start is that of the first and an end that of the last, read or not."""
    reading = Reading()
    for start, end in ((1.0, 2.0), (None, 3.0), (4.0, None)):
        reading.first("cpu_temp_start_c", counter(start))
        reading.last("cpu_temp_end_c", counter(end))
    assert (reading.value("cpu_temp_start_c"), reading.value("cpu_temp_end_c")) == (1.0, None)


def test_what_no_meter_answered_is_none() -> None:
    """A metric that was not read is None, and a metric that read 0 is 0."""
    reading = Reading()
    reading.add("cpu_s", counter(0.0))
    assert reading.value("cpu_s") == 0
    assert reading.value("energy_cpu_j") is None


def test_duration_is_samples_over_16_khz() -> None:
    """8000 samples are half a second."""
    assert Utterance("a", np.zeros(8000, np.float32), "").duration_s == 0.5


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A suite's folder and a working directory, each with a file that the other lacks and one of the same name."""
    beside, cwd = tmp_path / "suites", tmp_path / "cwd"
    for folder, own in ((beside, "suite-only"), (cwd, "cwd-only")):
        (folder / own).mkdir(parents=True)
        (folder / "both").mkdir()
    monkeypatch.chdir(cwd)
    return beside, cwd


@pytest.mark.parametrize(("name", "home"), [("suite-only", 0), ("cwd-only", 1), ("both", 0), ("../suites/both", 0)])
@pytest.mark.parametrize("kind", [SuitePath, ModelRef])
def test_the_suite_folder_wins_where_the_path_exists(folders, kind, name: str, home: int) -> None:
    """A relative path is made absolute: beside the suite if it exists there, else in the working directory."""
    found = TypeAdapter(kind).validate_python(name, context={"base": folders[0]})
    assert Path(found) == (folders[home] / name).resolve()


def test_an_absolute_path_stays(folders) -> None:
    """An absolute path is taken as it is."""
    path = folders[1] / "both"
    assert TypeAdapter(SuitePath).validate_python(path, context={"base": folders[0]}) == path


def test_a_hub_id_is_no_path(folders) -> None:
    """A model that is no folder stays as it was written: it is a hub id."""
    name = "facebook/wav2vec2-base-960h"
    assert TypeAdapter(ModelRef).validate_python(name, context={"base": folders[0]}) == name


def test_combining_two_origins_is_as_weak_as_the_weaker() -> None:
    """An estimate that meets a counter stays an estimate, whichever came first."""
    counted, guessed = Quantity(1.0, "counter", "rapl"), Quantity(2.0, "estimated", "codecarbon-tdp")
    for first, second in ((counted, guessed), (guessed, counted)):
        reading = Reading()
        reading.add("energy_cpu_j", first)
        reading.add("energy_cpu_j", second)
        assert reading.quantities["energy_cpu_j"] == Quantity(3.0, "estimated", "codecarbon-tdp")


# --- the contract as a whole -----------------------------------------------------------------------------

PROTOCOLS = [kind for name in plugins.__all__ if inspect.isclass(kind := getattr(plugins, name)) and is_protocol(kind)]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.__name__)
def test_a_contract_can_be_read_alone(protocol: type) -> None:
    """Each protocol, and each thing that it asks for, is described where it is declared."""
    about = inspect.getdoc(protocol) or ""
    assert about
    for name in get_protocol_members(protocol):
        described = inspect.getdoc(inspect.getattr_static(protocol, name, None)) if name not in about else name
        assert described, f"{protocol.__name__}.{name} is not described"


def test_what_is_asked_of_a_plugin_is_declared() -> None:
    """No module looks for a member of a contract by its name: what is optional is a protocol of its own."""
    members = set().union(*map(get_protocol_members, PROTOCOLS))
    assert {"period_s", "compute_dtype", "footprint", "presets", "outline"} <= members
    found = [
        f"{file.name}:{call.lineno}: {call.args[1].value}"
        for file in Path(greenbench.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("getattr", "hasattr")
        if isinstance(call.args[1], ast.Constant) and call.args[1].value in members
    ]
    assert found == []


@pytest.mark.parametrize("name", registry.names("methods"))
def test_every_method_of_ours_says_what_it_can_follow(name: str) -> None:
    """A chain of registered methods is known to be possible, or refused, before anything is loaded."""
    assert issubclass(registry.load("methods", name), Chained)


def test_the_page_on_plugins_lists_what_is_optional() -> None:
    """Each protocol that a plug-in may leave out is in the page's table, with all that it asks for."""
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "plug-in.md").read_text(encoding="utf-8")
    optional = [protocol for protocol in PROTOCOLS if "(optional)" in (inspect.getdoc(protocol) or "")]
    assert {"Chained", "Compressible", "Fetched", "NeedsExtra", "Paced"} <= {kind.__name__ for kind in optional}
    for protocol in optional:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{protocol.__name__}` |")]
        inherited = set().union(*(get_protocol_members(base) for base in protocol.__bases__ if base in PROTOCOLS))
        assert all(f"`{name}`" in row for name in get_protocol_members(protocol) - inherited), row
