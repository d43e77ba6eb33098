"""Latencies and rates of a row: only where its scenario has them, and those that its texts have."""

import re
from collections.abc import Iterator, Sequence
from math import isclose
from typing import Any

from greenbench.metrics import STREAMING
from greenbench.results import record, store
from greenbench.statistics.percentiles import holds, median, upper_bound
from greenbench.suite.scenarios import CHUNK_PERCENTILE, SIMULATED, Streaming, chunk_bound_s
from greenbench.validate import form
from greenbench.validate.evidence import Check, Evidence, Row
from greenbench.validate.figures import differs
from greenbench.validate.form import EDITED

LATENCIES = dict(zip((50, 90, 95, 99), form.LATENCIES, strict=True))
FINALS = dict(zip((50, 90, 99), form.FINALS, strict=True))

PARTS = ("buffer_s", "wait_s", "word_compute_s", "emission_delay_s")
"""What the mean latency of words is the sum of."""

EDGE_S = 0.1
SLACK = 3.0
"""A first pass may be so many times slower or quicker than all together."""


def _seconds(row: Row, evidence: Evidence) -> list[float]:
    """Return the latencies that the texts of a row's first pass have, all or none."""
    texts: Sequence[Row] = evidence.texts.get(record.key_of(row), ())
    seconds = [float(t["latency_s"]) for t in texts if isinstance(t.get("latency_s"), (int, float))]
    return seconds if len(seconds) == len(texts) else []


def _fill_the_window(row: Row, evidence: Evidence) -> Iterator[str]:
    """Where utterances are sent one by one, the latencies of a pass are the seconds of a pass."""
    seconds = _seconds(row, evidence)
    if row["scenario"] != "single-stream" or not seconds:
        return
    first_s = ((evidence.window(row) or {}).get("pass_s") or [None])[0]
    if first_s is not None and not isclose(sum(seconds), first_s, rel_tol=1e-6):
        yield f"the latencies of a pass are {sum(seconds):.6g} s, {store.WINDOWS} has {first_s:.6g} s of the first pass"
    pass_s = row["wall_s"] / row["n_passes"]
    if sum(seconds) > SLACK * pass_s + EDGE_S or sum(seconds) < pass_s / SLACK - EDGE_S:
        yield f"the latencies of a pass are {sum(seconds):.3g} s, wall_s / n_passes is {pass_s:.3g} s"


def _are_the_texts(row: Row, evidence: Evidence) -> Iterator[str]:
    """A latency of a row follows from those of its texts: exactly where there was one pass, else the median nearly."""
    names = FINALS if row["scenario"] == "streaming" else LATENCIES
    stated = {pct: row[name] for pct, name in names.items() if row.get(name) is not None}
    if not stated:
        return
    seconds = _seconds(row, evidence)
    if not seconds:
        yield f"{names[min(stated)]} is {stated[min(stated)]:g}, {store.HYPOTHESES} has no latencies of this row"
        return
    known: dict[int, Any] = {pct: upper_bound(seconds, pct) for pct in stated} | {50: median(seconds)}
    for pct, found in stated.items():
        right = known[pct]
        if row["n_passes"] == 1 and (right is None or not isclose(found, right, rel_tol=1e-6)):
            yield f"{names[pct]} is {found:g}, the latencies in {store.HYPOTHESES} give {right}"
        elif pct == 50 and right and row["scenario"] != "server" and not right / SLACK <= found <= SLACK * right:
            yield f"{names[pct]} is {found:g}, its median in {store.HYPOTHESES} is {right:.3g} in the first pass"


def _rate_was_tried(row: Row, _evidence: Evidence) -> Iterator[str]:
    """A server's rate is the highest of those tried that met the bound, which the row lists."""
    rate_hz, probes = row.get("server_rate_hz"), str(row.get("server_probes") or "")
    if rate_hz is None:
        return
    met = [probe.partition(" Hz")[0] for probe in probes.split("; ") if " Hz held " in probe]
    if row["scenario"] != "server":
        yield f"server_rate_hz is {rate_hz:g}, and the scenario is {row['scenario']}"
    elif f"{rate_hz:.4g}" not in met:
        yield f"server_rate_hz is {rate_hz:.4g}, server_probes has the bound met at {', '.join(met) or 'none'}"


_TRIED = re.compile(r"(\d+) at once (held|missed) \((\d+) of (\d+) chunks late, utilisation ([\d.]+) %\)")
"""A probe as ``stream_probes`` has it: streams, verdict, late chunks, chunks, percent."""


def _streams_were_tried(row: Row, evidence: Evidence) -> Iterator[str]:
    """The most streams at once are the most that held of the numbers tried, where one more was missed."""
    probes, most = row.get("stream_probes"), row.get("max_streams")
    streaming = Streaming.model_validate(evidence.run["suite"].get("streaming") or {})
    if row["scenario"] != "streaming" or streaming.streams != "search":
        if probes is not None or most is not None:
            yield f"max_streams is {most}, stream_probes {probes!r:.60}: the suite asks for no search of streams here"
        return
    tried = _TRIED.findall(str(probes))
    yield from _contradictions(tried)
    held, missed = ({int(n) for n, verdict, *_ in tried if verdict == which} for which in ("held", "missed"))
    if most != (max(held) if held and max(held) + 1 in missed else None):
        yield f"max_streams is {most}, which does not follow from stream_probes: {probes}"
    yield from _is_of_its_probe(row, max(held, default=1), tried)
    latency_s, bound_s = row.get("chunk_latency_p99_s"), chunk_bound_s(streaming)
    if most is not None and (latency_s is None or latency_s > bound_s):
        yield f"chunk_latency_p99_s is {latency_s}, and max_streams of a search within {bound_s:g} s is {most}"


_Tried = Sequence[tuple[str, str, str, str, str]]


def _contradictions(tried: _Tried) -> Iterator[str]:
    """Yield each probe whose verdict is not that of its figures."""
    for n, verdict, n_late, n_chunks, pct in tried:
        if (verdict == "held") != (holds(int(n_chunks), int(n_late), CHUNK_PERCENTILE) and float(pct) <= 100):
            yield f"stream_probes has {n} at once {verdict}: {n_late} of {n_chunks} late, utilisation {pct} %"


def _is_of_its_probe(row: Row, n_streams: int, tried: _Tried) -> Iterator[str]:
    """The row is of the window with so many streams: what each costs, times their number, is the utilisation."""
    row_pct = 100 * n_streams * (row.get("stream_rtf") or 0.0)
    if not any(int(n) == n_streams and isclose(float(pct), row_pct, abs_tol=0.06) for n, *_, pct in tried):
        yield f"stream_rtf of {n_streams} at once is a utilisation of {row_pct:.1f} %, not that in stream_probes"


def _was_streamed(row: Row, _evidence: Evidence) -> Iterator[str]:
    """Only streaming has latencies of words and of first and final texts; a simulated pace has no joules."""
    stray = [name for name in STREAMING if row.get(name) is not None] if row["scenario"] != "streaming" else []
    if stray:
        yield f"{', '.join(stray)}: the scenario is {row['scenario']}, which has none"
    if row.get("pace") == SIMULATED and row.get("energy_j") is not None:
        yield f"energy_j is {row['energy_j']:g}, and the speech was streamed at a simulated pace"


def _parts_add_up(row: Row, _evidence: Evidence) -> Iterator[str]:
    """The mean latency of words is the sum of its four parts."""
    parts = [row.get(name) for name in PARTS]
    known = [part for part in parts if part is not None]
    total = sum(known) if len(known) == len(parts) else None
    yield from differs("word_latency_mean_s", row.get("word_latency_mean_s"), total, " + ".join(PARTS))


def _shown_ends_in_the_text(row: Row, evidence: Evidence) -> Iterator[str]:
    """The last that an utterance showed is its text, as long after the audio as its latency says."""
    for text in evidence.texts.get(record.key_of(row), ()):
        if not text.get("shown"):
            continue
        last, where = text["shown"][-1], f"{text['utterance_id']} in {store.HYPOTHESES}"
        if last["text"] != text["hypothesis"]:
            yield f"{where} ends with {last['text']!r:.60} in what was shown, and its hypothesis is another text"
        after_s, latency_s = last["time_s"] - (text.get("audio_s") or 0.0), text.get("latency_s") or 0.0
        if not isclose(after_s, latency_s, rel_tol=1e-6, abs_tol=1e-6):
            yield f"{where} has its final text {after_s:.6g} s after its audio, and a latency of {latency_s:.6g} s"


TIMES = (
    Check(_fill_the_window, EDITED),
    Check(_are_the_texts, EDITED),
    Check(_rate_was_tried, EDITED),
    Check(_streams_were_tried, EDITED),
    Check(_was_streamed, EDITED),
    Check(_parts_add_up, EDITED),
    Check(_shown_ends_in_the_text, EDITED),
)
"""What holds of the latencies and rates of a measured row."""
