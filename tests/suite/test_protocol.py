"""Protocols: the documented table, and a label that shows every deviation from it."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from greenbench.suite.protocol import PROTOCOLS, Protocol, label


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("quick", {"warmup_batches": 3, "warmup_cv_pct": None, "idle_s": 5, "window_s": 2, "cooldown_s": 0}),
        ("standard", {"warmup_batches": 10, "warmup_cv_pct": 5, "idle_s": 30, "window_s": 10, "cooldown_s": 10}),
        (
            "official",
            {"warmup_batches": 10, "warmup_cv_pct": 5, "idle_s": 30, "idle_drift_pct": 10, "window_s": 60}
            | {"cooldown_s": 60, "cooldown_within_c": 5},
        ),
    ],
)
def test_the_table_of_protocols(name: str, steps: dict) -> None:
    """Each protocol has the steps that are documented."""
    protocol = PROTOCOLS[name]
    assert {step: getattr(protocol, step) for step in steps} == steps
    assert protocol.warmup_max_batches == 50
    assert protocol.order == ("as-written" if name == "quick" else "interleaved")
    assert protocol.warmup_s == (60 if name == "official" else 0)
    assert protocol.resamples == (10_000 if name == "official" else 1_000)
    if name != "official":
        assert protocol.idle_drift_pct is protocol.cooldown_within_c is None


@pytest.mark.parametrize(("name", "n_windows"), [("quick", 3), ("standard", 5), ("official", 10)])
def test_what_is_repeated(name: str, n_windows: int) -> None:
    """Quick repeats windows in one process; the others repeat the whole process, once a round."""
    protocol = PROTOCOLS[name]
    assert protocol.repeats * protocol.rounds == n_windows
    assert (protocol.rounds == 1) == (name == "quick")


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("quick", {}, "quick"),
        ("quick", {"window_s": 2.0}, "quick"),
        ("quick", {"repeats": 1}, "quick(repeats=1)"),
        ("quick", {"window_s": 0.5, "repeats": 1}, "quick(window_s=0.5, repeats=1)"),
        ("standard", {"warmup_cv_pct": None}, "standard(warmup_cv_pct=None)"),
        ("quick", {"resamples": 10_000}, "quick(resamples=10000)"),
        ("official", {"window_s": 10, "seed": 7}, "official(window_s=10, seed=7)"),
        ("official", {"cooldown_within_c": 3}, "official(cooldown_within_c=3)"),
        ("quick", {"idle_drift_pct": 10.0}, "quick(idle_drift_pct=10)"),
    ],
)
def test_a_label_shows_every_override(name: str, changes: dict, expected: str) -> None:
    """A protocol is called by its plain name only where no step was changed."""
    assert label(replace(PROTOCOLS[name], **changes)) == expected


@pytest.mark.parametrize(
    "step",
    [
        {"repeats": 0},
        {"rounds": 0},
        {"resamples": 0},
        {"window_s": -1},
        {"warmup_cv_pct": 0},
        {"warmup_max_batches": 2},
        {"order": "x"},
        {"idle_drift_pct": 0},
        {"cooldown_within_c": -1},
    ],
)
def test_a_step_out_of_range_is_refused(step: dict) -> None:
    """A step that makes no sense is refused when the protocol is made."""
    steps = {name: getattr(PROTOCOLS["quick"], name) for name in PROTOCOLS["quick"].__dataclass_fields__}
    with pytest.raises(ValidationError, match=next(iter(step))):
        Protocol(**(steps | step))
