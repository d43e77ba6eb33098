"""What makes a row unfit to rank: the flags with their meanings, and how those of rows and cells are decided."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from greenbench.metrics import METRICS
from greenbench.results.flag_rules import RULES, Measured
from greenbench.statistics.repeats import cv_pct
from greenbench.text.population import FEW_SPEAKERS

ESTIMATED = "energy-estimated"
"""A row with it ranks by energy among estimates."""

FEW = "few-speakers"
"""A row with it ranks: its interval is as wide as so few speakers make it, and gates and ranks go by the interval."""

RANKABLE = frozenset({ESTIMATED, FEW})
"""The flags that leave a row rankable."""

BY_ENERGY = (ESTIMATED, "energy-unread", "gpu-shared", "idle-missing", "idle-drift")
"""The flags that depend on how energy was read, and on nothing else."""

BY_ACCURACY = (FEW,)
"""The flags that depend on how texts were scored, and on nothing else."""

MAX_SPREAD_PCT = 10.0
SPREAD = ("rtfx", "energy_j_per_audio_s")
"""The metrics that must agree over the repeats: those that rank, and that vary from window to window."""

FLAGS = {
    "synthetic-weights": "the weights are random: speed, memory and energy mean something, WER does not",
    ESTIMATED: "energy is modelled, not measured; it ranks among estimates only",
    "energy-unread": "a meter was available and could not read the energy of this window",
    "gpu-shared": "the model had a slice of a GPU (MIG, vGPU), and the joules are those of the whole board",
    "not-cool": "the machine was still warmer than the protocol allows when the process began",
    "not-warm": "the pace had not become steady when the warm-up ended",
    "short-window": "the window was shorter than the protocol asks for",
    "idle-missing": "energy was read, and the idle baseline that the protocol asks for was not",
    "idle-drift": "idle power after the window, measured twice, was not what it had been before",
    "throttled": "the CPU or GPU slowed down during the window to cool off, or was braked by its hardware",
    "temperature-drift": "CPU or GPU were more than 10 °C hotter or cooler at the end of the window than at its start",
    "foreign-load": "other processes used more than a tenth of the CPU during the window",
    "gpu-foreign-process": "other processes computed on the GPU at an edge of the window",
    "node-shared": "others could measure (`--no-lock`) or be given work by the scheduler on this machine meanwhile",
    "processes-left": "the model's process left others behind, whose memory and work no figure of the row takes in",
    "trace-lost": "the poller died or was delayed: a part of the window has no samples of power, heat and load",
    "harness-busy": "the waiting harness used more than 1 % of a core during the window, or its poller more than 5 %",
    "bound-missed": "the latency bound was not held: at the server's rate, at any tried, or by one stream alone",
    "few-utterances": "as many streams as there are utterances held the latency bound: how many more would is unknown",
    "not-streaming": "streaming: no utterance showed any text before its audio had ended",
    "unstable-text": "passes over the same audio gave different texts",
    FEW: f"fewer than {FEW_SPEAKERS} speakers: they say little about others, and the interval of WER is conservative",
    "audio-skipped": "bad audio files were left out",
    "audio-doubtful": "audio was read that has words and hardly any sound: channels cancel each other, or it is silent",
    "spread": "speed or energy varied over the repeats with a coefficient of variation above 10 %",
    "few-repeats": "fewer windows were measured than the protocol asks for",
}
"""Flag -> what it means. A flagged row is kept and shown, and not ranked, except with those of ``RANKABLE`` alone."""


def barring(names: Iterable[str]) -> list[str]:
    """Return those of some flags that keep their row from being ranked, in their order."""
    return [name for name in names if name not in RANKABLE]


def flags(row: Measured) -> dict[str, str]:
    """Return the flags of a measured row in the order of the table, each with the figures behind it."""
    found = {name: rule(row) for name, rule in RULES.items()}
    return {name: found[name] or "" for name in FLAGS if found.get(name) is not None}


def flags_anew(row: Measured, old: Mapping[str, str], which: Collection[str]) -> dict[str, str]:
    """Return the flags of a row some of whose figures have changed since it was measured.

    Args:
        row: as it is now.
        old: the flags that it had, each with its figures.
        which: names from FLAGS: ``BY_ENERGY`` or ``BY_ACCURACY``; only these are decided again.
    """
    raised = {name: text for name, text in flags(row).items() if name in which}
    kept = {name: text for name, text in old.items() if name not in which}
    return {name: (raised | kept)[name] for name in dict.fromkeys([*FLAGS, *kept]) if name in raised | kept}


def flags_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags that a row has, each with its figures; a row of an earlier version has no notes."""
    return dict(zip(row["flags"], row.get("flag_notes") or [""] * len(row["flags"]), strict=True))


def flags_over_repeats(
    values: Mapping[str, Sequence[float]], n_windows: int, n_windows_asked: int | None
) -> dict[str, str]:
    """Return the flags that a cell gets for all its repeats together, each with the figures behind it.

    Args:
        values: of each metric of ``SPREAD``, one value a window; a single one has no spread.
        n_windows: windows measured, over all rounds.
        n_windows_asked: windows that the protocol asks for; None where a row does not state it.
    """
    spreads = {name: cv_pct(found) for name, found in values.items() if name in SPREAD}
    wide = [f"{METRICS[n].label} {cv:.3g} %" for n, cv in spreads.items() if cv is not None and cv > MAX_SPREAD_PCT]
    raised = {"spread": f"CV of {', '.join(wide)}, at most {MAX_SPREAD_PCT:g} %"} if wide else {}
    if n_windows_asked is not None and n_windows < n_windows_asked:
        raised["few-repeats"] = f"{n_windows} of {n_windows_asked} windows"
    return raised


def flagged(row: Mapping[str, Any], flag: str, note: str) -> dict[str, list[str]]:
    """Return the columns ``flags`` and ``flag_notes`` of a row that gets one flag more."""
    notes = {**dict(zip_longest(row["flags"], row["flag_notes"], fillvalue="")), flag: note}
    names = [name for name in dict.fromkeys([*FLAGS, *notes]) if name in notes]
    return {"flags": names, "flag_notes": [notes[name] for name in names]}


def explain(names: Sequence[str], notes: Sequence[str]) -> str:
    """Return flags with their figures in one line; a row of an earlier version has no notes."""
    pairs = zip_longest(names, notes[: len(names)], fillvalue="")
    return ", ".join(f"{name} ({note})" if note else name for name, note in pairs)
