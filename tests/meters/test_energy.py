"""Energy totals: a sum over the stated scope, or nothing; as good as their weakest part."""

import pytest

from greenbench.meters import energy
from greenbench.plugins import Quantity, Reading


def read(**joules: float | None) -> Reading:
    """A reading of counters, by part."""
    return Reading({f"energy_{part}_j": Quantity(value, "counter", "rapl") for part, value in joules.items()})


@pytest.mark.parametrize(
    ("device", "parts", "scope", "total"),
    [
        ("cpu", {"cpu": 10.0}, "cpu", 10.0),
        ("cpu", {"cpu": 10.0, "dram": 2.0}, "cpu+dram", 12.0),
        ("cpu", {"cpu": 10.0, "gpu": 99.0}, "cpu", 10.0),
        ("cuda", {"cpu": 10.0, "gpu": 30.0}, "cpu+gpu", 40.0),
        ("cuda:1", {"cpu": 10.0, "dram": 2.0, "gpu": 30.0}, "cpu+dram+gpu", 42.0),
        ("cpu", {"cpu": 0.0}, "cpu", 0.0),
        # the whole machine contains the others
        ("cpu", {"system": 50.0}, "system", 50.0),
        ("cuda", {"system": 50.0, "cpu": 10.0, "dram": None, "gpu": 30.0}, "system", 50.0),
        ("cpu", {"system": None, "cpu": 10.0}, None, None),  # rows of one cell must not mix two scopes
        # a part of the scope is missing or unknown
        ("cpu", {}, None, None),
        ("cpu", {"cpu": None}, None, None),
        ("cpu", {"dram": 2.0}, None, None),
        ("cpu", {"cpu": 10.0, "dram": None}, None, None),
        ("cuda", {"gpu": 30.0}, None, None),
        ("cuda", {"cpu": 10.0}, None, None),
        ("cuda", {"cpu": 10.0, "gpu": None}, None, None),
    ],
)
def test_a_total_covers_its_scope_or_is_none(device: str, parts: dict, scope: str | None, total: float | None) -> None:
    """The total sums exactly the parts in scope, and is None, never a partial sum, where one was not read."""
    reading = read(**parts)
    assert energy.total_j(device, reading) == total
    origin = energy.provenance(device, reading)
    assert origin.get("energy_scope") == scope
    assert ("energy_method" in origin) == (total is not None)


@pytest.mark.parametrize(
    ("cpu", "gpu", "method"),
    [
        ("counter", "counter", "counter"),
        ("counter", "sampled", "sampled"),
        ("estimated", "counter", "estimated"),
        ("sampled", "estimated", "estimated"),
    ],
)
def test_a_total_is_as_good_as_its_weakest_part(cpu: str, gpu: str, method: str) -> None:
    """One estimated part makes an estimate, and one sampled part a sample."""
    reading = Reading({"energy_cpu_j": Quantity(1.0, cpu, "a", "TDP 65 W"), "energy_gpu_j": Quantity(1.0, gpu, "b")})
    origin = energy.provenance("cuda", reading)
    assert origin["energy_method"] == method
    assert (origin["energy_cpu_method"], origin["energy_gpu_method"]) == (cpu, gpu)
    assert (origin["energy_cpu_source"], origin["energy_gpu_source"]) == ("a", "b")
    assert (origin["energy_cpu_note"], origin["energy_gpu_note"]) == ("TDP 65 W", None)


def test_an_estimate_out_of_scope_taints_nothing() -> None:
    """A part that the total does not cover does not decide the total's method."""
    reading = read(cpu=1.0)
    reading.add("energy_gpu_j", Quantity(1.0, "estimated", "guess"))
    assert energy.provenance("cpu", reading)["energy_method"] == "counter"


def test_why_a_part_is_unknown_is_told() -> None:
    """A part that answered None keeps its note in the row, although there is no total."""
    reading = Reading({"energy_cpu_j": Quantity(None, "counter", "rapl", "window under 50 ms")})
    assert energy.provenance("cpu", reading)["energy_cpu_note"] == "window under 50 ms"


@pytest.mark.parametrize("parts", [{"cpu": 10.0}, {"system": None, "cpu": 10.0, "dram": 2.0, "gpu": None}, {}])
def test_a_row_gives_back_what_was_read(parts: dict) -> None:
    """What the columns of a row hold is the reading that they were made from."""
    reading = read(**parts)
    reading.add("wall_s", Quantity(4.0, "counter", "perf_counter"))
    names = [f"energy_{part}_{column}" for part in energy.PARTS for column in ("j", "method", "source", "note")]
    row = dict.fromkeys(names) | {name: q.value for name, q in reading.quantities.items()}
    assert energy.reading_of(row | energy.provenance("cpu", reading)) == reading


def test_what_derives_agrees_with_itself() -> None:
    """Net energy, energy per audio second and CO2e follow from the total; without it all of them are None."""
    reading = read(system=3600.0, cpu=1.0)
    reading.add("wall_s", Quantity(60.0, "counter", "perf_counter"))
    assert energy.derived("cpu", reading, 20.0, 1200.0, (500.0, 2.0)) == {
        "energy_j": 3600.0, "energy_net_j": 2400.0, "energy_j_per_audio_s": 3.0, "co2e_g": pytest.approx(1.0),
    }  # fmt: skip
    assert energy.derived("cpu", reading, None, 1200.0, None)["energy_net_j"] is None
    reading.add("energy_system_j", Quantity(None, "sampled", "external"))
    assert set(energy.derived("cpu", reading, 20.0, 1200.0, (500.0, 2.0)).values()) == {None}


@pytest.mark.parametrize(
    ("shared", "gpu", "total"), [(False, "device", "cpu+gpu"), (True, "device_shared", "cpu+gpu-shared")]
)
def test_a_shared_board_shows_in_the_scope(shared: bool, gpu: str, total: str) -> None:
    """Joules of a whole board of which the model has a slice are in the total, which says so in its scope."""
    reading = read(cpu=1.0)
    for _ in range(2):
        reading.add("energy_gpu_j", Quantity(1.5, "counter", "nvml-total-energy", shared=shared))
    origin = energy.provenance("cuda", reading)
    assert (origin["energy_gpu_scope"], origin["energy_scope"]) == (gpu, total)
    assert energy.total_j("cuda", reading) == 4.0
    row = {"energy_cpu_j": 1.0, "energy_gpu_j": 3.0, "wall_s": 2.0}
    assert energy.provenance("cuda", energy.reading_of(row | origin)) == origin


def test_an_unknown_part_has_no_scope() -> None:
    """A board that could not be read is not said to be shared: there are no joules to share."""
    reading = Reading({"energy_gpu_j": Quantity(None, "counter", "nvml-total-energy", shared=True)})
    assert "energy_gpu_scope" not in energy.provenance("cuda", reading)


@pytest.mark.parametrize(
    ("device", "parts", "unread"),
    [
        ("cpu", {"cpu": 1.0, "gpu": None}, None),
        ("cpu", {"cpu": None}, "cpu"),
        ("cuda", {"cpu": None, "gpu": None}, "cpu+gpu"),
        ("cuda", {"gpu": None}, "gpu"),
        ("cuda", {}, None),
        ("cpu", {"system": None, "cpu": None}, "system"),
    ],
)
def test_a_part_of_the_scope_that_its_meter_could_not_tell_is_unread(device, parts, unread) -> None:
    """Unread is what has a meter and no joules; a part without a meter, or outside the scope, is not."""
    assert energy.provenance(device, read(**parts))["energy_unread"] == unread


def test_a_part_without_a_meter_says_why() -> None:
    """The row of a part in scope that nothing measures carries the reason, and of no other part."""
    reading = Reading(absent={"energy_cpu_j": "rapl: no counter", "energy_gpu_j": "nvml: no driver"})
    assert energy.provenance("cpu", reading) == {"energy_cpu_note": "rapl: no counter", "energy_unread": None}
    assert energy.provenance("cuda", reading)["energy_gpu_note"] == "nvml: no driver"


@pytest.mark.parametrize(
    ("system_j", "method", "is_known"),
    [(16.0, "counter", False), (60.0, "counter", True), (90.0, "counter", True), (16.0, "estimated", True)],
)
def test_a_machine_draws_no_less_than_its_parts(system_j: float, method: str, is_known: bool) -> None:
    """A meter of 16 J beside packages of 64 J is another machine's, or not in W; an estimate contradicts nothing."""
    reading = Reading()
    reading.add("energy_cpu_j", Quantity(60.0, method, "x"))
    reading.add("energy_dram_j", Quantity(4.0, method, "x"))
    reading.add("energy_system_j", Quantity(system_j, "sampled", "hwmon"))
    energy.reject_low_system(reading)
    assert (reading.value("energy_system_j") is not None) is is_known
    assert is_known or "less than the 64 J" in str(reading.quantities["energy_system_j"].note)
    assert (energy.total_j("cpu", reading) is not None) is is_known  # not the parts' sum: cells do not mix scopes
