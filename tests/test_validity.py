"""Flags: each is raised by its own cause, at its documented limit, and by nothing else."""

import pytest

from greenbench.validity import FLAGS, flags

CLEAN = {"wall_s": 10.0, "foreign_cpu_s": 0.0, "harness_cpu_s": 0.0, "n_skipped": 0}


def raised(metrics: dict | None = None, provenance: dict | None = None, unstable: bool = False) -> tuple[str, ...]:
    """The flags of a row of 10 s on 4 CPUs that is clean but for what is given."""
    return flags(CLEAN | (metrics or {}), provenance or {}, window_s=10.0, n_cpus=4, unstable=unstable)


CAUSES = {
    "synthetic-weights": {"provenance": {"synthetic": True}},
    "energy-estimated": {"provenance": {"energy_method": "estimated"}},
    "short-window": {"metrics": {"wall_s": 9.99}},
    "foreign-load": {"metrics": {"foreign_cpu_s": 4.01}},
    "harness-busy": {"metrics": {"harness_cpu_s": 0.101}},
    "unstable-text": {"unstable": True},
    "audio-skipped": {"metrics": {"n_skipped": 1}},
}


@pytest.mark.parametrize("flag", FLAGS)
def test_each_flag_has_its_cause(flag: str) -> None:
    """Each flag is raised by its cause alone, and its cause raises no other."""
    assert raised(**CAUSES[flag]) == (flag,)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"metrics": {"foreign_cpu_s": 4.0}},
        {"metrics": {"harness_cpu_s": 0.1, "poller_cpu_s": 0.5}},
        {"metrics": {"foreign_cpu_s": None, "harness_cpu_s": None, "n_skipped": None}},
        {"provenance": {"energy_method": "counter", "synthetic": False}},
        {"provenance": {"energy_method": "sampled"}},
    ],
)
def test_a_clean_row_has_no_flag(row: dict) -> None:
    """At the limits, and where a meter could not tell, nothing is raised."""
    assert raised(**row) == ()


def test_a_busy_poller_is_a_busy_harness() -> None:
    """A process that samples sensors with more than 5 % of a core is flagged."""
    assert raised({"poller_cpu_s": 0.501}) == ("harness-busy",)


def test_foreign_load_is_a_share_of_the_whole_machine() -> None:
    """A tenth of the CPU time of all CPUs in the window is allowed, so the same seconds pass on a larger machine."""
    metrics = CLEAN | {"foreign_cpu_s": 2.0}
    assert flags(metrics, {}, window_s=10.0, n_cpus=1, unstable=False) == ("foreign-load",)
    assert flags(metrics, {}, window_s=10.0, n_cpus=4, unstable=False) == ()


def test_several_flags_come_in_the_order_of_the_table() -> None:
    """A row with several faults has every flag once, in the table's order."""
    everything = {"metrics": {}, "provenance": {}, "unstable": True}
    for cause in CAUSES.values():
        for part in ("metrics", "provenance"):
            everything[part] |= cause.get(part, {})
    assert raised(**everything) == tuple(FLAGS)
