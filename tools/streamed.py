"""What docs/explanation/streaming.md shows: WER, latency and joules of each way to stream, by the length of a chunk."""

import re
from collections.abc import Iterator, Mapping, Sequence

from voices import scoring

from greenbench.analysis.cells import CellSummary, median_of

SECONDS: Mapping[str, tuple[str, ...]] = {
    "first text, s": ("first_partial_p50_s",),
    "words, p50 s": ("word_latency_p50_s",),
    "words, p90 s": ("word_latency_p90_s",),
    "final text, s": ("final_p50_s", "latency_p50_s"),
}
"""Heading -> metric of a streamed cell, and of one of whole utterances, whose text comes at once."""

NAMES = re.compile(r"streaming-(chunked-)?[0-9.]+")
"""Of the runs, one for each length of a chunk and way of a window."""

Line = dict[str, str | None]


def table(found: Sequence[CellSummary]) -> list[Line]:
    """Return a line a cell: those of whole utterances first, then by way and by length of a chunk."""
    return [dict(_columns(cell)) for cell in sorted(found, key=_order)]


def _order(cell: CellSummary) -> tuple[bool, str, str, float]:
    shared = cell.shared
    streamed = shared["scenario"] == "streaming"
    return streamed, str(shared["variant"]).split("+")[0], str(_way(cell)), float(shared.get("chunk_s") or 0)


def _way(cell: CellSummary) -> str | None:
    """Name how a cell was streamed; None for whole utterances."""
    return str(cell.shared["streamed_by"]) if cell.shared["scenario"] == "streaming" else None


def _columns(cell: CellSummary) -> Iterator[tuple[str, str | None]]:
    shared = cell.shared
    chunk_s = shared.get("chunk_s") if shared["scenario"] == "streaming" else None
    yield "variant", f"`{shared['variant']}`"
    yield "streamed by", _way(cell)
    yield "chunk, s", None if chunk_s is None else f"{chunk_s:g}"
    wer = median_of(cell, "wer")
    yield f"WER % (`{scoring(shared)}`)", None if wer is None else f"{100 * wer:.1f}"
    for heading, metrics in SECONDS.items():
        value = next((found for metric in metrics if (found := median_of(cell, metric)) is not None), None)
        yield heading, None if value is None else f"{value:.2f}"
    recomputed, joules = median_of(cell, "recompute_factor"), median_of(cell, "energy_j_per_audio_s")
    yield "audio computed / audio", None if recomputed is None else f"{recomputed:.2f}"
    yield "J a second of audio", None if joules is None else f"{joules:.3g} ({shared['energy_method']})"
