"""Which rows may be compared: the columns in which they must agree, and how differences are described."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from greenbench.metrics import ACCURACY, COST, ENERGY_UNITS, METRICS, RATES, missing
from greenbench.plugins import TRANSCRIBE
from greenbench.provenance import Mixed, agreed, each
from greenbench.suite.scenarios import STREAMED

WORK = ("task", "dataset", "data_hash", "scenario", "batch_size", "device")
"""What was done: the same task on the same utterances, sent alike, on the same kind of device."""

PRIMARY = "primary"
"""The error rate that decides; rows of earlier versions do not say it, and of them it is WER."""

EARLIER = {PRIMARY: RATES[0], "task": TRANSCRIBE}
"""Columns that rows of earlier versions do not have, with what holds for them."""

COUNTING = ("normalizer", "scorer", PRIMARY)
"""How errors are counted, and which count decides."""

STREAMING = (*STREAMED, "onset_source", "word_times_source")
"""How speech was streamed, and what its latencies are counted from."""

TIMING = ("device_name", "threads", "batching", "arrivals", *STREAMING, "timed_region", "protocol")
"""How speed, memory and energy are measured, and on what."""

ENERGY = ("energy_scope", "energy_gpu_scope", "energy_kind")
"""What joules cover, and whether they were measured or estimated."""

PRICED = ("price_currency",)
"""In what a cost is counted: two currencies are never compared."""

READ = ("energy_method", "energy_scope")
"""What ``value`` reads in addition to the column that it is asked for."""

KEY = (*WORK, *COUNTING, *TIMING)
"""Rows that agree in all of these may share a chart; their energies must agree in ``ENERGY`` too."""

CONTROL = "control"
"""What is crossed where a change of the machine or its libraries is the subject, so that the controls may differ."""

CROSSABLE = (
    "scenario", "batch_size", "device", "device_name", "threads", "batching", "arrivals", "chunk_s", "pace", "streams",
    "protocol", "energy_scope", "decoding", PRIMARY, CONTROL,
)  # fmt: skip
"""What a comparison may be about, when asked for: the same texts by the same scorer under other conditions.

Other utterances, another scorer or timed region are never compared, nor are estimates with measurements.
"""

EVIDENCE = ("repeats", "rounds", "seed", "idle_s", "idle_drift_pct", "resamples")
"""Steps of a protocol that change how much is known, and not what a window sees: they do not separate rows."""

_OTHER_HASH = "hashes of two versions, which cannot be compared: measure the older run again"

FIXED: dict[str, tuple[str, ...]] = {
    "model_bytes": (), "n_params": (), "bits_per_weight": (),
    "macs_per_audio_s": ("dataset", "data_hash"), "padding_pct": (*WORK, "batching"),
    "mean_layers": (*WORK, "batching"),
}  # fmt: skip
"""What does not vary from window to window -> the columns in which two rows must agree for it."""


def columns(metric: str) -> tuple[str, ...]:
    """Return the columns in which two rows must agree before ``metric`` of the one says anything of the other's."""
    if metric in FIXED:
        return FIXED[metric]
    if metric in ACCURACY:
        return (*WORK, *COUNTING)
    if metric == COST:
        return (*WORK, *TIMING, *PRICED)
    return (*WORK, *TIMING, *(ENERGY if METRICS[metric].unit in ENERGY_UNITS else ()))


def value(row: Mapping[Any, Any], name: str) -> Any:
    """Return what a row has in a column of the key; None where it does not say.

    Args:
        row: a row, or the summary of a cell.
        name: from ``KEY`` or ``ENERGY``.

    Returns:
        One value, or ``Mixed`` where the rows of a cell disagree; of joules the weakest kind.
    """
    if name == "energy_kind":
        methods = each(row.get("energy_method"))
        return None if not methods else "estimated" if "estimated" in methods else "measured"
    found = row.get(name)
    if isinstance(found, Mixed):
        return agreed([value({**row, name: one}, name) for one in found.values])
    if missing(found) or (name == "energy_gpu_scope" and "gpu" not in str(row.get("energy_scope"))):
        return EARLIER.get(name)
    if isinstance(found, float) and found.is_integer():  # pandas makes floats of integers where others are missing
        return int(found)
    return conditions(str(found)) if name == "protocol" else found


def primary(row: Mapping[Any, Any]) -> str:
    """Return by which error rate a row, or the summary of a cell, is judged; where its rows disagree, by WER."""
    found = str(value(row, PRIMARY))
    return found if found in RATES else RATES[0]


def conditions(protocol: str) -> str:
    """Leave out of a protocol's label the steps that do not separate rows: ``quick(rounds=3)`` is ``quick``."""
    name, _, rest = protocol.partition("(")
    steps = [step for step in rest.removesuffix(")").split(", ") if step and step.partition("=")[0] not in EVIDENCE]
    return f"{name}({', '.join(steps)})" if steps else name


def differing(
    a: Mapping[Any, Any], b: Mapping[Any, Any], names: Iterable[str], across: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Return in what two rows differ and may not: column -> both values.

    Args:
        a: a row, or a line that sums rows up.
        b: another one.
        names: the columns in question, from ``columns(metric)`` or ``KEY``.
        across: columns that the comparison is about, which may differ.
    """
    pairs = {name: (value(a, name), value(b, name)) for name in names if name not in across}
    return {name: pair for name, pair in pairs.items() if _differ(*pair)}


def _differ(a: Any, b: Any) -> bool:
    """Say whether two values differ; one that is mixed is like no other."""
    return str(a) != str(b) or isinstance(a, Mixed)


def decodings(a: Mapping[Any, Any], b: Mapping[Any, Any]) -> dict[str, tuple[Any, Any]]:
    """Return how two rows were decoded, where both are known and differ, as ``differing`` does.

    Variants may differ in it on purpose, and are compared; two runs of one variant then are of two recognisers.
    """
    found = differing(a, b, ["decoding"])
    return {} if any(None in pair for pair in found.values()) else found


def describe(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """Say in what two rows differ: ``threads 2 against 4, protocol quick against standard``."""
    known = {name: ["unknown" if value is None else value for value in pair] for name, pair in differences.items()}
    return ", ".join(f"{name} {a} against {b}{_about_hashes(name, a, b)}" for name, (a, b) in known.items())


def _about_hashes(name: str, a: Any, b: Any) -> str:
    """Say of two digests of data that they are of two versions, where they are."""
    versions = {str(value).rpartition("-")[0] for value in (a, b)}
    return f" ({_OTHER_HASH})" if name == "data_hash" and len(versions) > 1 and "unknown" not in (a, b) else ""
