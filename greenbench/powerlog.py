"""Power logs: how watts that another device wrote down are read, and what they were over a stretch of time."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from greenbench.errors import InputError
from greenbench.traces import Numbers, energy_j

TIME_NAMES = ("timestamp", "time", "t")
POWER_NAMES = ("watts", "power_w", "power", "w")
"""The columns that are recognised, the first that is there, in any case."""

EPOCH_S = (1e8, 1e11)
"""Seconds since 1970 lie between these (the years 1973 and 5138); milliseconds do not."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """Which log to read, and how.

    Attributes:
        path: CSV with a heading, or JSON lines.
        skew_s: how far the meter's clock is ahead of this machine's.
        max_gap_s: the longest time between samples over which may be integrated.
        time_name: of the column with the time; by default one of ``TIME_NAMES``.
        power_name: of the column with the watts; by default one of ``POWER_NAMES``.
    """

    path: Path
    skew_s: float = 0.0
    max_gap_s: float = 5.0
    time_name: str | None = None
    power_name: str | None = None


@dataclass(frozen=True)
class PowerLog:
    """A log's samples, in the order in which they were written.

    Attributes:
        source: where it is from.
        times: in s since 1970 (UTC) on this machine's clock.
        watts: at these times.
    """

    source: Source
    times: Numbers
    watts: Numbers

    def energy_j(self, segments: Iterable[Sequence[float]]) -> tuple[float | None, str | None]:
        """Return the joules over stretches of time, each ``(start, end)`` in UTC, or None and what the log lacks."""
        total_j = 0.0
        for start_s, end_s in segments:
            joules, why = energy_j(self.times, self.watts, start_s, end_s, self.source.max_gap_s)
            if joules is None:
                return None, why
            total_j += joules
        return total_j, None


def line(utc_s: float, watts: float) -> str:
    """Return a sample as a line of a log that ``read`` understands."""
    timestamp = datetime.fromtimestamp(utc_s, timezone.utc).isoformat(timespec="milliseconds")
    return json.dumps({"timestamp": timestamp, "watts": watts}) + "\n"


def read(source: Source) -> PowerLog:
    """Read a log. A last line that is still being written, and samples without a value, are left out.

    Raises:
        InputError: there is no such file, it has no samples, or a line's time or watts cannot be understood.
    """
    try:
        text = source.path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source.path}: cannot read the power log: {error}") from error
    points: list[tuple[float, float]] = []
    for number, row in _rows(source, text):
        time_name = _column(source, row, source.time_name, TIME_NAMES, "time")
        power_name = _column(source, row, source.power_name, POWER_NAMES, "watts")
        try:
            utc_s, watts = _utc_s(row[time_name]), _watts(row[power_name])
        except ValueError as error:
            raise InputError(f"{source.path}:{number}: {error}") from error
        if watts is not None:
            points.append((utc_s - source.skew_s, watts))
    if not points:
        raise InputError(f"{source.path}: the power log holds no samples: is the meter recording?")
    times, watts = np.array(points, dtype=np.float64).T
    return PowerLog(source, times, watts)


def _rows(source: Source, text: str) -> Iterator[tuple[int, Row]]:
    """Yield each whole line's number and its values by column."""
    whole = text[: text.rfind("\n") + 1]  # the meter may be writing the last line this moment
    if whole.lstrip().startswith("{"):
        yield from _json_rows(source, whole)
        return
    heading = whole.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    for row in (reader := csv.DictReader(io.StringIO(whole), delimiter=delimiter, skipinitialspace=True)):
        yield reader.line_num, {(name or "").strip(): value for name, value in row.items()}


def _json_rows(source: Source, whole: str) -> Iterator[tuple[int, Row]]:
    for number, text in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(text or "{}")
        except ValueError as error:
            raise InputError(f"{source.path}:{number}: this line is not JSON") from error
        if row:
            yield number, row


def _column(source: Source, row: Row, asked: str | None, known: Sequence[str], what: str) -> str:
    """Return the name of a column: the one asked for, else the first known one."""
    found = {str(name).lower(): name for name in row}
    for name in [asked.lower()] if asked else known:
        if name in found:
            return str(found[name])
    wanted = f"no column '{asked}'" if asked else f"no column with the {what} ({', '.join(known)})"
    option = {"time": "--time-column", "watts": "--power-column"}[what]
    raise InputError(f"{source.path}: {wanted} among: {', '.join(map(str, row))}. Name it with {option}.")


def _utc_s(value: Any) -> float:
    """Return seconds since 1970 of a time in ISO 8601 with its zone, or of such seconds themselves."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return _iso_s(str(value).strip())
    if not EPOCH_S[0] < seconds < EPOCH_S[1]:
        raise ValueError(
            f"the time {value} is not in seconds since 1970 (UTC); milliseconds have to be divided by 1000"
        )
    return seconds


def _iso_s(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise ValueError(f"the time '{text}' is neither ISO 8601 nor seconds since 1970") from None
    if moment.tzinfo is None:
        raise ValueError(
            f"the time '{text}' has no zone: write it in UTC (…Z), with its offset (+02:00), or as seconds"
        )
    return moment.timestamp()


def _watts(value: Any) -> float | None:
    """Return the watts, or None where the meter had none to tell."""
    if value is None or str(value).strip() == "":
        return None
    try:
        watts = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the power '{value}' is not a number of watts") from None
    return watts if math.isfinite(watts) else None
