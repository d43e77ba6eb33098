"""Flags: each is raised by its own cause, beyond its documented limit, with its figures, and by nothing else."""

from dataclasses import replace

import pytest

from greenbench.results.flag_rules import Measured
from greenbench.results.flags import FLAGS, flags, flags_over_repeats
from greenbench.suite.protocol import PROTOCOLS

OFFICIAL = replace(PROTOCOLS["official"], window_s=10)
CLEAN = {"wall_s": 10.0, "foreign_cpu_s": 0.0, "harness_cpu_s": 0.0, "n_skipped": 0}
WARM = {"warmup_batches": 10, "warmup_cv_pct": 4.99}


def raised(metrics: dict | None = None, provenance: dict | None = None, unstable: bool = False) -> dict[str, str]:
    """The flags of a row of 10 s on 4 CPUs that is clean but for what is given."""
    return flags(Measured(CLEAN | (metrics or {}), WARM | (provenance or {}), OFFICIAL, 4, unstable))


CAUSES = {
    "synthetic-weights": ({"provenance": {"synthetic": True}}, ""),
    "energy-estimated": ({"provenance": {"energy_method": "estimated"}}, ""),
    "energy-unread": (
        {"provenance": {"energy_unread": "cpu+gpu", "energy_cpu_note": "it wrapped", "energy_gpu_note": "too short"}},
        "cpu: it wrapped; gpu: too short",
    ),
    "gpu-shared": ({"provenance": {"energy_gpu_scope": "device_shared"}}, ""),
    "not-cool": (
        {"provenance": {"cooldown_excess_c": 5.01, "cooldown_s": 60.2}},
        "5.0 °C above the run's start after 60 s of rest, at most 5 °C",
    ),
    "not-warm": (
        {"provenance": {"warmup_cv_pct": 5.0, "warmup_batches": 50}},
        "CV of the last 3 warm-up batches 5 % after 50 batches, the protocol asks for < 5 %",
    ),
    "short-window": ({"metrics": {"wall_s": 9.99}}, "9.99 s, the protocol asks for 10 s"),
    "idle-missing": ({"metrics": {"energy_j": 100.0}}, "the protocol asks for 30 s"),
    "idle-drift": (
        {"metrics": {"idle_power_w": 10.0, "idle_power_after_w": 11.01}},
        "10 W before, 11 W after (+10.1 %), at most 10 %",
    ),
    "throttled": ({"metrics": {"n_cpu_throttles": 1}}, "the CPU 1 times"),
    "temperature-drift": (
        {"metrics": {"cpu_temp_start_c": 60.0, "cpu_temp_end_c": 70.1}},
        "CPU from 60.0 to 70.1 °C",
    ),
    "foreign-load": ({"metrics": {"foreign_cpu_s": 4.01}}, "10.02% of all CPUs, at most 10%"),
    "gpu-foreign-process": ({"metrics": {"n_gpu_foreign_processes": 2}}, "2 processes"),
    "node-shared": ({"provenance": {"exclusive": False}}, ""),
    "processes-left": ({"provenance": {"n_processes_left": 2}}, "2 processes"),
    "trace-lost": ({"metrics": {"trace_lost_s": 2.5}}, "2.5 s of 10 s without a sample"),
    "harness-busy": ({"metrics": {"harness_cpu_s": 0.101}}, "the harness 1.01% of a core, at most 1%"),
    "bound-missed": (
        {
            "provenance": {"arrivals": "poisson at 5 Hz", "server_probes": "5 Hz missed (9 of 459 late)"},
            "metrics": {"server_rate_hz": None},
        },
        "5 Hz missed (9 of 459 late)",
    ),
    "few-utterances": (
        {
            "provenance": {
                "stream_probes": "1 at once held (0 of 459 chunks late, utilisation 9.0 %); 2 at once held (..)"
            }
        },
        "2 at once held (..)",
    ),
    "not-streaming": ({"metrics": {"final_only_pct": 100.0}}, ""),
    "unstable-text": ({"unstable": True}, ""),
    "few-speakers": ({"provenance": {"wer_ci_unit": "speakers like these 4, conservative"}}, "4 speakers"),
    "audio-skipped": ({"metrics": {"n_skipped": 1}}, "1 files"),
    "audio-doubtful": ({"provenance": {"audio_doubts": "a: its 2 channels cancel"}}, "a: its 2 channels cancel"),
}
OVER_REPEATS = {
    "spread": (({"rtfx": [1.0, 1.2]}, 2, 2), "CV of RTFx 12.9 %, at most 10 %"),
    "few-repeats": (({"rtfx": [1.0]}, 1, 2), "1 of 2 windows"),
}


def test_every_flag_is_tested() -> None:
    """No flag is without a cause here."""
    assert list(CAUSES) + list(OVER_REPEATS) == list(FLAGS)


@pytest.mark.parametrize("flag", CAUSES)
def test_each_flag_has_its_cause(flag: str) -> None:
    """Each flag is raised by its cause alone, and its cause raises no other; the figures stand beside it."""
    cause, figures = CAUSES[flag]
    assert raised(**cause) == {flag: figures}


@pytest.mark.parametrize("flag", OVER_REPEATS)
def test_flags_of_all_repeats_have_their_cause(flag: str) -> None:
    """What only several windows can show is raised by its cause alone."""
    cause, figures = OVER_REPEATS[flag]
    assert flags_over_repeats(*cause) == {flag: figures}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"metrics": {"foreign_cpu_s": 4.0}},
        {"metrics": {"harness_cpu_s": 0.1, "poller_cpu_s": 0.5}},
        {"metrics": {"foreign_cpu_s": None, "harness_cpu_s": None, "n_skipped": None}},
        {"provenance": {"energy_method": "counter", "synthetic": False}},
        {"provenance": {"energy_method": "sampled"}},
        {"provenance": {"arrivals": "poisson at 5 Hz"}, "metrics": {"server_rate_hz": 5.0}},
        {"provenance": {"arrivals": None}, "metrics": {"server_rate_hz": None}},
        {
            "provenance": {
                "stream_probes": "1 at once held (0 of 459 chunks late, utilisation 59.0 %); "
                "2 at once missed (0 of 459 chunks late, utilisation 118.0 %)"
            }
        },
        {"metrics": {"final_only_pct": 99.0}},
        {"metrics": {"final_only_pct": None}},
        {"provenance": {"cooldown_excess_c": 5.0, "cooldown_s": 12.0}},
        {"provenance": {"cooldown_excess_c": None, "cooldown_s": 60.0}},
        {"metrics": {"energy_j": 100.0, "idle_power_w": 10.0, "idle_power_after_w": 11.0}},
        {"metrics": {"energy_j": 100.0, "idle_power_w": 10.0, "idle_power_after_w": 9.0}},
        {"metrics": {"energy_j": 100.0, "idle_power_w": 10.0, "idle_power_after_w": None}},
        {"metrics": {"energy_j": None, "idle_power_w": None}},
        {"metrics": {"n_cpu_throttles": 0, "gpu_throttled_s": 0.0}},
        {"metrics": {"n_cpu_throttles": None, "gpu_throttled_s": None}},
        {"metrics": {"cpu_temp_start_c": 60.0, "cpu_temp_end_c": 70.0}},
        {"metrics": {"gpu_temp_start_c": 70.0, "gpu_temp_end_c": 60.0}},
        {"metrics": {"cpu_temp_start_c": None, "cpu_temp_end_c": 99.0}},
        {"provenance": {"energy_gpu_scope": "device"}, "metrics": {"n_gpu_foreign_processes": 0}},
        {"metrics": {"n_gpu_foreign_processes": None}},
        {"provenance": {"wer_ci_unit": "speakers like these 5"}},
        {"provenance": {"wer_ci_unit": "utterances like these 3, speakers unknown"}},
        {"provenance": {"wer_ci_unit": "utterance"}},
        {"provenance": {"wer_ci_unit": None}},
    ],
)
def test_a_clean_row_has_no_flag(row: dict) -> None:
    """At the limits, and where a meter could not tell, nothing is raised."""
    assert raised(**row) == {}


@pytest.mark.parametrize(
    ("row", "figures"),
    [
        ({"metrics": {"gpu_throttled_s": 0.25}}, {"throttled": "the GPU for 0.25 s"}),
        (
            {"metrics": {"n_cpu_throttles": 2, "gpu_throttled_s": 3.0}},
            {"throttled": "the CPU 2 times and the GPU for 3 s"},
        ),
        (
            {"metrics": {"gpu_temp_start_c": 70.0, "gpu_temp_end_c": 59.9}},
            {"temperature-drift": "GPU from 70.0 to 59.9 °C"},
        ),
        ({"metrics": {"idle_power_w": 10.0, "idle_power_after_w": 8.9}}, "idle-drift"),
        ({"provenance": {"warmup_cv_pct": None}}, "not-warm"),
        (
            {"provenance": {"stream_probes": "1 at once missed (459 of 459 chunks late, utilisation 9.0 %)"}},
            {"bound-missed": "1 at once missed (459 of 459 chunks late, utilisation 9.0 %)"},
        ),
    ],
)
def test_a_flag_has_several_causes(row: dict, figures: dict | str) -> None:
    """The GPU throttles and heats as the CPU does, power drifts both ways, an unknown pace is no steady one,
    and a bound is missed by one stream as by a server.
    """
    found = raised(**row)
    assert found == figures if isinstance(figures, dict) else list(found) == [figures]


def test_a_protocol_that_does_not_ask_is_met() -> None:
    """What a protocol leaves out cannot fail."""
    worst = {"cooldown_excess_c": 50.0, "warmup_cv_pct": 90.0, "warmup_batches": 3}
    power = {"idle_power_w": 1.0, "idle_power_after_w": 9.0}
    steps = replace(PROTOCOLS["quick"], window_s=10)
    assert flags(Measured(CLEAN | power, worst, steps, 4)) == {}
    assert list(flags(Measured(CLEAN | {"energy_j": 1.0}, {}, steps, 4))) == ["idle-missing"]
    assert flags(Measured(CLEAN | {"energy_j": 1.0}, {}, replace(steps, idle_s=0), 4)) == {}


def test_a_busy_poller_is_a_busy_harness() -> None:
    """A process that samples sensors with more than 5 % of a core is flagged."""
    assert tuple(raised(metrics={"poller_cpu_s": 0.501})) == ("harness-busy",)


@pytest.mark.parametrize(
    ("metrics", "found"),
    [
        ({"wall_s": 1e-6, "foreign_cpu_s": 1e-3}, []),
        ({"wall_s": 0.19, "foreign_cpu_s": 0.5}, []),
        ({"wall_s": 0.2, "foreign_cpu_s": 0.5}, ["foreign-load"]),
        ({"wall_s": 0.1, "harness_cpu_s": 0.01, "poller_cpu_s": 0.01}, []),
        ({"wall_s": 0.1, "harness_cpu_s": 0.02}, ["harness-busy"]),
    ],
)
def test_a_share_within_the_clocks_ticks_is_no_flag(metrics: dict, found: list[str]) -> None:
    """In a window of microseconds one tick would be thousands of percent; one tick of a process is no share."""
    assert list(flags(Measured(CLEAN | metrics, {}, replace(PROTOCOLS["quick"], window_s=0), 4))) == found


def test_foreign_load_is_a_share_of_the_whole_machine() -> None:
    """A tenth of the CPU time of all CPUs in the window is allowed, so the same seconds pass on a larger machine."""
    metrics = CLEAN | {"foreign_cpu_s": 2.0}
    assert list(flags(Measured(metrics, WARM, OFFICIAL, 1))) == ["foreign-load"]
    assert flags(Measured(metrics, WARM, OFFICIAL, 4)) == {}


def test_no_foreign_load_is_above_all_cpus() -> None:
    """The clocks of the system and of the window differ a little; nobody is told of 107 % of all CPUs."""
    metrics = CLEAN | {"foreign_cpu_s": 1.07 * CLEAN["wall_s"]}
    assert flags(Measured(metrics, WARM, OFFICIAL, 1)) == {"foreign-load": "100.00% of all CPUs, at most 10%"}


def test_several_flags_come_in_the_order_of_the_table() -> None:
    """A row with several faults has every flag once, in the table's order."""
    everything = {"metrics": {}, "provenance": {}, "unstable": True}
    for flag, (cause, _) in CAUSES.items():
        for part in ("metrics", "provenance"):
            everything[part] |= cause.get(part, {}) if flag != "idle-missing" else {}
    assert list(raised(**everything)) == [flag for flag in CAUSES if flag != "idle-missing"]


@pytest.mark.parametrize(
    ("values", "n_windows", "n_asked"),
    [
        ({"rtfx": [90.0, 100.0, 110.0]}, 3, 3),  # a CV of 10 %
        ({"rtfx": [1.0]}, 1, 1),
        ({"rtfx": [], "energy_j_per_audio_s": []}, 2, None),
        ({"wer": [0.1, 0.9], "wall_s": [1.0, 9.0]}, 2, 2),
        ({"rtfx": [1.0, 1.0]}, 4, 2),
    ],
)
def test_repeats_that_agree_have_no_flag(values: dict, n_windows: int, n_asked: int | None) -> None:
    """At the limit, with nothing to compare, and in what does not rank by speed or energy, nothing is raised."""
    assert flags_over_repeats(values, n_windows, n_asked) == {}


def test_the_spread_of_energy_counts_too() -> None:
    """Speed and energy must both agree over the repeats, and both figures are told."""
    wide = {"rtfx": [1.0, 1.2], "energy_j_per_audio_s": [1.0, 2.0]}
    assert flags_over_repeats(wide, 2, 2) == {
        "spread": "CV of RTFx 12.9 %, energy per audio second 47.1 %, at most 10 %"
    }
