"""What a domain can draw at most is within a factor of what the largest are rated, and joules beyond it are none."""

from pathlib import Path

import pytest

from greenbench.hardware.bounds import BOUNDS, domain_of, domain_of_sensor, implausible, impossible_w

RATED_W = {"package": 500, "dram": 480, "gpu": 1400, "module": 130, "rail": 15_000, "battery": 330, "system": 15_000}
"""The largest of 2025: EPYC 9965 and Xeon 6980P, 24 DIMMs, GB300, Jetson Thor, DGX B300, chargers of workstations."""


@pytest.mark.parametrize("domain", BOUNDS)
def test_the_largest_there_is_can_be_and_twenty_times_that_cannot(domain: str) -> None:
    """No true machine is refused, and no fault of a unit (a thousand) or of a counter's range passes."""
    assert implausible(domain, RATED_W[domain] * 10.0, 10.0) is None
    assert impossible_w(domain, RATED_W[domain]) is None
    said = implausible(domain, 20 * RATED_W[domain] * 10.0, 10.0)
    assert said is not None
    assert f"{BOUNDS[domain].highest_w:,g} W" in said
    assert impossible_w(domain, 20 * RATED_W[domain]) is not None


def test_a_small_machine_can_be() -> None:
    """A board of half a watt, and a package that idles at a tenth of one, are not refused."""
    assert implausible("system", 0.5 * 60, 60) is None
    assert implausible("package", 0.1 * 60, 60) is None
    assert implausible("package", 0.001 * 60, 60) is not None
    assert implausible("package", 0.0, 60, may_rest=True) is None


def test_units_add_up() -> None:
    """Two packages may draw what one cannot."""
    assert implausible("package", 1500.0, 1.0) is not None
    assert implausible("package", 1500.0, 1.0, n_units=2) is None
    assert "2 x a CPU package (2,000 W)" in str(implausible("package", 2500.0, 1.0, n_units=2))


def test_an_edge_that_is_stale_by_an_update_is_allowed_for() -> None:
    """A GPU's counter moves every 100 ms: a window of 100 ms may catch the joules of three steps."""
    assert implausible("gpu", 3 * 140.0, 0.1) is None
    assert implausible("gpu", 700.0, 0.1) is not None


def test_negative_watts_have_a_remedy() -> None:
    """What flows backwards is a clamp the wrong way round."""
    assert "is the clamp reversed?" in str(impossible_w("system", -41.0))
    assert "is the clamp reversed?" in str(implausible("system", -82.5, 2.0))


@pytest.mark.parametrize(
    ("part", "source", "domain"),
    [
        ("cpu", "rapl", "package"), ("dram", "rapl", "dram"), ("gpu", "nvml-power", "gpu"), ("system", "hwmon", "rail"),
        ("system", "battery", "battery"), ("system", "external", "system"), ("system", None, "system"),
        ("cpu", None, "package"),
    ],
)  # fmt: skip
def test_every_part_has_a_domain(part: str, source: str | None, domain: str) -> None:
    """A part and its source say whose bound counts."""
    assert domain_of(part, source) == domain


def test_what_feeds_a_module_is_bound_by_the_module() -> None:
    """The input of a Jetson draws less than a server: its label is in the name of its samples."""
    assert domain_of_sensor("hwmon.VDD_IN.power_w", "rail") == "module"
    assert domain_of_sensor("hwmon.ina226/power1.power_w", "rail") == "rail"
    assert impossible_w("module", 1073.2) is not None


def test_the_page_on_measurement_has_the_table() -> None:
    """What the page says of each domain is what the code holds joules to."""
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "measurement.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ") and line.count("|") == 5]
    stated = {name: cells for _, name, *cells, _ in ([cell.strip() for cell in line.split("|")] for line in lines)}
    names = {"CPU package": "package", "memory of a package": "dram", "GPU board": "gpu", "battery": "battery",
             "module": "module", "machine, input rail": "system"}  # fmt: skip
    factor = {"mW": 1e-3, "W": 1.0, "kW": 1e3}
    for name, domain in names.items():
        for said, bound in zip(stated[name], (BOUNDS[domain].lowest_w, BOUNDS[domain].highest_w), strict=False):
            number, unit = said.split()
            assert float(number) * factor[unit] == bound
    assert BOUNDS["rail"].highest_w == BOUNDS["system"].highest_w
