"""What makes a row unfit to rank: each flag has a name, a meaning and a rule."""

from collections.abc import Mapping
from typing import Any

FLAGS = {
    "synthetic-weights": "the weights are random: speed, memory and energy mean something, WER does not",
    "energy-estimated": "energy is modelled, not measured; it ranks among estimates only",
    "short-window": "the window was shorter than the protocol asks for",
    "foreign-load": "other processes used more than a tenth of the CPU during the window",
    "harness-busy": "the waiting harness used more than 1 % of a core during the window, or its poller more than 5 %",
    "unstable-text": "passes over the same audio gave different texts",
    "audio-skipped": "bad audio files were left out",
}
"""Flag -> what it means. A flagged row is kept and shown, and not ranked."""

MAX_FOREIGN_SHARE = 0.1
MAX_HARNESS_SHARE = 0.01
MAX_POLLER_SHARE = 0.05


def flags(
    metrics: Mapping[str, Any], provenance: Mapping[str, Any], window_s: float, n_cpus: int, unstable: bool
) -> tuple[str, ...]:
    """Return the flags of a measured row.

    Args:
        metrics: the row's metrics.
        provenance: the row's provenance.
        window_s: the window that the protocol asks for.
        n_cpus: CPUs of the machine, all of which foreign processes can use.
        unstable: whether passes over the same audio gave different texts.
    """
    wall_s = metrics["wall_s"]
    raised = {
        "synthetic-weights": bool(provenance.get("synthetic")),
        "energy-estimated": provenance.get("energy_method") == "estimated",
        "short-window": wall_s < window_s,
        "foreign-load": _share(metrics.get("foreign_cpu_s"), wall_s * n_cpus) > MAX_FOREIGN_SHARE,
        "harness-busy": _share(metrics.get("harness_cpu_s"), wall_s) > MAX_HARNESS_SHARE
        or _share(metrics.get("poller_cpu_s"), wall_s) > MAX_POLLER_SHARE,
        "unstable-text": unstable,
        "audio-skipped": bool(metrics.get("n_skipped")),
    }
    return tuple(name for name in FLAGS if raised[name])


def _share(used_s: float | None, available_s: float) -> float:
    """Return the used share; what is unknown raises no flag."""
    return 0.0 if used_s is None or available_s <= 0 else used_s / available_s
