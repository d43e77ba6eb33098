"""How the numbers look: unit and digits that people see, the look of each variant, which metrics are shown where."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

import pandas as pd

from greenbench.analysis.summary import ENERGY
from greenbench.metrics import COST, FELT, METRICS, ORTHOGRAPHIC

BARS = (
    "wer", "eer", "rtfx", "server_rate_hz", "max_streams", ENERGY,
    "latency_p50_s", "latency_p90_s", "latency_p95_s", "latency_p99_s",
    *FELT, "recompute_factor", "first_utterance_s", "load_s", "padding_pct", "macs_per_audio_s", "mfu_pct",
    "peak_rss_bytes", "peak_gpu_bytes", "model_bytes", "idle_power_w",
)  # fmt: skip
"""The metrics that get a bar chart, where there is data; of these a page has every repeat."""

TOTALS = ("audio_s", "wall_s", "energy_j", "energy_net_j", "co2e_g")
"""The metrics that are of a whole window, however long it was."""

LEADING = ("wer", "rtfx", "latency_p50_s", "peak_rss_bytes", "peak_gpu_bytes", "model_bytes", ENERGY)
"""The metrics by which most readers decide: the first columns."""

TABLE = (
    *LEADING, "cer", "wer_worst_slice", "cer_worst_slice", "term_recall", *ORTHOGRAPHIC,
    "eer", "tpr_at_fpr", "auc", "min_dcf", "false_alarms_per_hour",
    "server_rate_hz", "max_streams", *FELT, "late_chunk_pct", "unstable_word_pct", "recompute_factor", "idle_power_w",
    "latency_p90_s", "latency_p95_s", "latency_p99_s", "first_utterance_s", "load_s", "padding_pct", "n_params",
    "macs_per_audio_s", "mean_layers", "mfu_pct", COST, *TOTALS,
)  # fmt: skip
"""The metrics that get a column, where there is data; each energy says where it comes from."""

_SHARES = ("wer", "cer", "term_", "punct_", "case_", "eer", "tpr_")
"""What the names of fractions begin with that people read in percent."""

# Okabe and Ito's colour-blind safe set (https://jfly.uni-koeln.de/color/) less black and yellow, which vanish
# on a dark or a light page, plus a grey. 7 colours and 10 symbols: 70 variants before a pair comes again.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C8C8C")
_SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "cross",
    "triangle-down", "x", "pentagon", "star", "hexagon",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How a variant is drawn, everywhere on a page."""

    colour: str
    symbol: str


def looks(variants: Iterable[str]) -> dict[str, Look]:
    """Give each variant a colour and a symbol, in the order of first appearance."""
    pairs = zip(dict.fromkeys(variants), cycle(_COLOURS), cycle(_SYMBOLS), strict=False)
    return {variant: Look(colour, symbol) for variant, colour, symbol in pairs}


def scale(metric: str) -> tuple[float, str]:
    """Return what a metric is multiplied by for people, and the unit it then has (1 MB = 1e6 bytes)."""
    if metric.startswith(_SHARES):
        return 100.0, "%"
    if metric == ENERGY:
        return 1.0, "J"
    if metric == "rtfx":
        return 1.0, "x real time"
    if metric == "n_params":
        return 1e-6, "million"
    if metric == "macs_per_audio_s":
        return 1e-9, "billion/s"
    unit = METRICS[metric].unit
    return {"bytes": (1e-6, "MB"), "1": (1.0, ""), "currency/h": (1.0, "per audio hour")}.get(unit, (1.0, unit))


def number(metric: str, value: float | None) -> str:
    """Write a value for people without its unit: rates with two decimals, else three significant digits."""
    if value is None or pd.isna(value):
        return "–"
    scaled = value * scale(metric)[0]
    if metric.startswith(_SHARES):
        return f"{scaled:.2f}"
    return f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:#.3g}".rstrip(".")


def quantity(metric: str, value: float | None) -> str:
    """Write a value for people with its unit."""
    return f"{number(metric, value)} {scale(metric)[1]}".strip()


def translucent(colour: str) -> str:
    """Return a colour that lets what is behind it through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.3)"
