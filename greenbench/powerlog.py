"""Power logs: how watts that another device wrote down are read, and what they were over a stretch of time."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from greenbench import readback
from greenbench.bounds import impossible_w
from greenbench.errors import InputError, StoreError
from greenbench.traces import Numbers, energy_j

TIME_NAMES = ("timestamp", "time", "t")
POWER_NAMES = ("watts", "power_w", "power", "w")
"""The columns that are recognised, the first that is there, in any case."""

SERIES_WORDS = {
    "id", "name", "sensor", "device", "meter", "channel", "series", "metric", "topic", "plug", "outlet",
    "socket", "phase", "rail", "domain", "host", "node", "label", "location", "address", "mac", "serial",
    "index", "gpu", "source", "port", "circuit", "tag",
}  # fmt: skip
"""The last words of columns that say which meter a sample is of, where a log has several (``entity_id``, ``topic``);
plain numbers that never repeat count lines, not meters."""

NO_WATTS = {
    "kw", "mw", "uw", "gw", "kilowatt", "kilowatts", "milliwatt", "milliwatts", "microwatts", "wh", "kwh",
    "mwh", "energy", "joule", "joules", "va", "kva", "var", "volt", "volts", "voltage", "amp", "amps", "ampere",
    "amperes", "ma", "hz", "factor", "percent",
}  # fmt: skip
"""Words in the name of a column whose numbers are no watts."""

UNIT_NAMES = ("unit", "unit_of_measurement", "units")
WATT = ("w", "watt", "watts", "")

EPOCH_S = (1e8, 1e11)
"""Seconds since 1970 lie between these (the years 1973 and 5138); milliseconds do not."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """Which log to read, and how.

    Attributes:
        path: CSV with a heading, or JSON lines.
        skew_s: how far the meter's clock is ahead of this machine's; None where nobody said so.
        max_gap_s: the longest time between samples over which may be integrated.
        time_name: of the column with the time; by default one of ``TIME_NAMES``.
        power_name: of the column with the watts; by default one of ``POWER_NAMES``.
        series: which of several meters in the log is meant, by its name in a column that ``SERIES_WORDS`` tell.
    """

    path: Path
    skew_s: float | None = None
    max_gap_s: float = 5.0
    time_name: str | None = None
    power_name: str | None = None
    series: str | None = None


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
        InputError: there is no such file, it has no samples or several series, a line's time or watts cannot be
            understood, or its watts cannot be those of a machine.
    """
    try:
        with io.TextIOWrapper(readback.open_file(source.path), "utf-8-sig") as stream:
            text = stream.read()
    except (OSError, StoreError, UnicodeDecodeError) as error:
        raise InputError(f"{source.path}: cannot read the power log: {error}") from error
    points: dict[float, tuple[float, int]] = {}
    for number, row in _of_one_series(source, _whole_rows(source, text)):
        utc_s, watts = _sample(source, number, row)
        if watts is None:
            continue
        known_w, line_of = points.setdefault(utc_s, (watts, number))
        if known_w != watts:
            raise InputError(
                f"{source.path}:{number}: {watts:g} W at the time at which line {line_of} has {known_w:g} W: two "
                "series in one log? Export one meter alone, or add a column `sensor` and choose with --series"
            )
    if not points:
        raise InputError(f"{source.path}: the power log holds no samples: is the meter recording?")
    times, watts_at = np.array([(t, w) for t, (w, _) in points.items()], dtype=np.float64).T
    return PowerLog(source, times - (source.skew_s or 0.0), watts_at)


def _of_one_series(source: Source, rows: Sequence[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    """Yield the lines of the meter that is meant, with their numbers.

    Raises:
        InputError: the log is of several meters, and none of them or one that is not there was chosen.
    """
    of = _series(rows)
    names, asked = dict.fromkeys(name for name in of if name), source.series
    if asked is None and len(names) > 1:
        raise InputError(
            f"{source.path}: several series in one log: {', '.join(names)}. Choose one with --series NAME."
        )
    if asked is not None and asked.lower() not in map(str.lower, names):
        listed = ", ".join(names) or "none is named (a column entity_id, sensor, device ...)"
        raise InputError(f"{source.path}: --series {asked} is not in the log. It has: {listed}.")
    yield from (row for row, name in zip(rows, of, strict=True) if asked is None or name.lower() == asked.lower())


def _series(rows: Sequence[tuple[int, Row]]) -> list[str]:
    """Return which meter each sample is of, empty where no column says so."""
    candidates = dict.fromkeys(name for _, row in rows for name in row if (_words(name) or [""])[-1] in SERIES_WORDS)
    columns = [[_name(row.get(column)) for _, row in rows] for column in candidates]
    told = [column for column in columns if _tells_series(column)]
    return ["/".join(filter(None, dict.fromkeys(names))) for names in zip(*told, strict=True)] or [""] * len(rows)


def _tells_series(names: Sequence[str]) -> bool:
    """Say whether a column names meters, several or one by a text, and does not number the lines."""
    known = [name for name in names if name]
    numbers = all(name.replace(".", "").isdigit() for name in known)
    return bool(known) and (1 < len(set(known)) < len(known) if numbers else True)


def _name(value: Any) -> str:
    return "" if value is None or isinstance(value, Mapping | list) else str(value).strip()


def _words(name: Any) -> list[str]:
    """Return the words of a column's name in lower case: ``power_kW``, ``deviceId`` and ``power (W)`` have two."""
    return [word.lower() for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+", str(name))]


def _sample(source: Source, number: int, row: Row) -> tuple[float, float | None]:
    """Return a line's time and watts.

    Raises:
        InputError: one of them cannot be understood, is of another unit, or cannot be the power of a machine.
    """
    time_name = _column(source, row, source.time_name, TIME_NAMES, "time")
    power_name = _column(source, row, source.power_name, POWER_NAMES, "watts")
    try:
        utc_s, watts = _utc_s(row[time_name]), _watts(row[power_name])
        unit = _unit(row)
        if unit.lower() not in WATT:
            raise ValueError(f"the unit is {unit}, not W: name another column, take one meter's lines with --series")
        if watts is not None and (why := impossible_w("system", watts)):
            raise ValueError(why)
    except ValueError as error:
        raise InputError(f"{source.path}:{number}: {error}") from error
    return utc_s, watts


def _unit(row: Row) -> str:
    """Return the unit that a column of a sample states, or its attributes do (Home Assistant)."""
    inner = row.get("attributes")
    cells = [*row.items(), *(inner.items() if isinstance(inner, Mapping) else ())]
    return next((str(v).strip() for k, v in cells if str(k).lower() in UNIT_NAMES and v is not None), "")


def _whole_rows(source: Source, text: str) -> list[tuple[int, Row]]:
    """Return each whole line's number and its values by column.

    Raises:
        InputError: a line is none, or the lines have their time or watts in different columns.
    """
    try:
        rows = list(_rows(source, text))
    except (csv.Error, RecursionError) as error:
        raise InputError(f"{source.path}: this is no power log: {error}") from error
    for asked, known, what in ((source.time_name, TIME_NAMES, "time"), (source.power_name, POWER_NAMES, "watts")):
        used = {_column(source, row, asked, known, what).lower(): number for number, row in rows}
        if len(used) > 1:
            raise InputError(f"{source.path}: lines have the {what} in different columns: {', '.join(used)}")
        if what == "watts" and used and (other := NO_WATTS.intersection(*map(_words, used))):
            raise InputError(
                f"{source.path}: the column {next(iter(used))} is not in W by its name ({', '.join(sorted(other))}): "
                "convert it to watts, or name another with --power-column"
            )
    return rows


def _rows(source: Source, text: str) -> Iterator[tuple[int, Row]]:
    """Yield each whole line's number and its values by column."""
    whole = text[: text.rfind("\n") + 1]  # the meter may be writing the last line this moment
    if whole.lstrip().startswith("{"):
        yield from _json_rows(source, whole)
        return
    heading = whole.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    reader = csv.DictReader(io.StringIO(whole), delimiter=delimiter, skipinitialspace=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    read = {*TIME_NAMES, *POWER_NAMES, (source.time_name or "").lower(), (source.power_name or "").lower()} - {""}
    if twice := next((name for name in names if name in read and names.count(name) > 1), None):
        raise InputError(f"{source.path}: two columns are called {twice}: which one is meant? Rename one.")
    for row in reader:
        if any(row.pop(None, ())):  # DictReader's key of what is too much
            raise InputError(
                f"{source.path}:{reader.line_num}: more values than the heading has columns: decimal commas? Write "
                "them as points, or separate by semicolons"
            )
        yield reader.line_num, {(name or "").strip(): value for name, value in row.items()}


def _json_rows(source: Source, whole: str) -> Iterator[tuple[int, Row]]:
    for number, text in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(text or "{}")
        except ValueError as error:
            raise InputError(f"{source.path}:{number}: this line is not JSON") from error
        if not isinstance(row, dict):
            raise InputError(f"{source.path}:{number}: this line is no JSON object")
        if row:
            yield number, row


def _column(source: Source, row: Row, asked: str | None, known: Sequence[str], what: str) -> str:
    """Return the name of a column: the one asked for, else the first known one."""
    found = {str(name).lower(): name for name in row}
    several = [str(found[name]) for name in known if name in found]
    if asked is None and what == "watts" and len(several) > 1:
        raise InputError(f"{source.path}: the watts may be in {' or '.join(several)}: choose with --power-column.")
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
        watts = float("true" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise ValueError(f"the power '{value}' is not a number of watts") from None
    return watts if math.isfinite(watts) else None
