"""The lines of a power log: CSV or JSON within limits, the columns with time and watts, and their values."""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from greenbench.errors import InputError, StoreError
from greenbench.files import readback
from greenbench.files.limits import PREFIX, limits

TIME_NAMES = ("timestamp", "time", "t")
POWER_NAMES = ("watts", "power_w", "power", "w")
"""The names of columns that are recognised, in any case; the first one present is used."""

NO_WATTS = {
    "kw", "mw", "uw", "gw", "kilowatt", "kilowatts", "milliwatt", "milliwatts", "microwatts", "wh", "kwh",
    "mwh", "energy", "joule", "joules", "va", "kva", "var", "volt", "volts", "voltage", "amp", "amps", "ampere",
    "amperes", "ma", "hz", "factor", "percent", "apparent", "reactive", "dbm",
}  # fmt: skip
"""Words in the name of a column whose numbers are no watts."""

EPOCH_S = (1e8, 1e11)
"""Seconds since 1970 lie between these (the years 1973 and 5138); milliseconds do not."""

SAME_TIME_S = 1.0
"""Two columns that differ by less have the same time, one of them perhaps truncated to seconds."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """A power log, and how to read it.

    Attributes:
        path: CSV with a heading, or JSON lines.
        skew_s: how far the meter's clock is ahead of this machine's; None where it was not stated.
        max_gap_s: the longest time between samples over which may be integrated.
        time_name: of the column with the time; by default one of ``TIME_NAMES``.
        power_name: of the column with the watts; by default one of ``POWER_NAMES``.
        series: name of the meter to use, where the log has several, from a column that ``SERIES_WORDS`` recognises.
    """

    path: Path
    skew_s: float | None = None
    max_gap_s: float = 5.0
    time_name: str | None = None
    power_name: str | None = None
    series: str | None = None


def read_text(source: Source) -> str:
    """Return the text of a log.

    Raises:
        InputError: it cannot be read, or is larger than ``Limits`` allow.
    """
    most = limits()
    try:
        with readback.open_file(source.path) as stream:
            content = stream.read(most.max_log_bytes + 1)
        text = content.decode("utf-8-sig")
    except (OSError, StoreError, UnicodeDecodeError) as error:
        why = str(error).removeprefix(f"{source.path}: cannot be read: ")
        raise InputError(f"{source.path}: cannot read the power log: {why}") from error
    if len(content) > most.max_log_bytes:
        raise _too_long(source, f"{most.max_log_bytes / 1e6:.0f} MB", "LOG_BYTES")
    if content.count(b"\n") > most.max_log_lines:
        raise _too_long(source, f"{most.max_log_lines} lines", "LOG_LINES")
    return text


def _too_long(source: Source, what: str, name: str) -> InputError:
    return InputError(f"{source.path}: more than {what}: cut the log to the hours of the run, or raise {PREFIX}{name}")


def whole_rows(source: Source, text: str) -> list[tuple[int, Row]]:
    """Return each whole line's number and its values by column.

    Raises:
        InputError: a line is malformed, or the lines have their time or watts in different columns.
    """
    try:
        rows = list(_rows(source, text))
    except (csv.Error, RecursionError) as error:
        raise InputError(f"{source.path}: this is not a power log: {error}") from error
    for asked, names, what in ((source.time_name, TIME_NAMES, "time"), (source.power_name, POWER_NAMES, "watts")):
        used = {column_of(source, row, asked, names, what).lower(): number for number, row in rows}
        if len(used) > 1:
            raise InputError(f"{source.path}: lines have the {what} in different columns: {', '.join(used)}")
        if what == "watts" and used and (other := NO_WATTS.intersection(*map(words, used))):
            raise InputError(
                f"{source.path}: the column {next(iter(used))} is not in W by its name ({', '.join(sorted(other))}): "
                "convert it to watts, or name another with --power-column"
            )
    _refuse_two_times(source, rows)
    return rows


def _refuse_two_times(source: Source, rows: Sequence[tuple[int, Row]]) -> None:
    """Refuse a log with two columns of different times, such as of reading and of sending, where none was chosen.

    Raises:
        InputError: the times differ by more than the truncation to seconds.
    """
    names = {str(name) for _, row in rows for name in row if str(name).lower() in TIME_NAMES}
    for number, row in rows if len(names) > 1 and source.time_name is None else ():
        times = {name: moment for name in sorted(names) if (moment := _moment(row.get(name))) is not None}
        if times and max(times.values()) - min(times.values()) >= SAME_TIME_S:
            raise InputError(
                f"{source.path}:{number}: {' and '.join(times)} are different times: choose with --time-column"
            )


def _moment(value: Any) -> float | None:
    with suppress(ValueError):
        return utc_s(value)
    return None


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
            row = readback.parse_object(text.encode() or b"{}")
        except ValueError as error:
            raise InputError(f"{source.path}:{number}: {error}") from error
        if row:
            yield number, row


def column_of(source: Source, row: Row, asked: str | None, names: Sequence[str], what: str) -> str:
    """Return the name of a column: the one asked for, else the first recognised one."""
    columns = {str(name).lower(): name for name in row}
    several = [str(columns[name]) for name in names if name in columns]
    if asked is None and what == "watts" and len(several) > 1:
        raise InputError(f"{source.path}: the watts may be in {' or '.join(several)}: choose with --power-column.")
    for name in [asked.lower()] if asked else names:
        if name in columns:
            return str(columns[name])
    wanted = f"no column '{asked}'" if asked else f"no column with the {what} ({', '.join(names)})"
    option = {"time": "--time-column", "watts": "--power-column"}[what]
    raise InputError(f"{source.path}: {wanted} among: {', '.join(map(str, row))}. Name it with {option}.")


def words(name: Any) -> list[str]:
    """Return the words of a column's name in lower case: ``power_kW``, ``deviceId`` and ``power (W)`` have two."""
    return [word.lower() for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+", str(name))]


def utc_s(value: Any) -> float:
    """Return seconds since 1970 of a time in ISO 8601 with its zone, or of such seconds themselves."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
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
        raise ValueError(f"the time '{text:.60}' is neither ISO 8601 nor seconds since 1970") from None
    if moment.tzinfo is None:
        raise ValueError(
            f"the time '{text:.60}' has no zone: write it in UTC (…Z), with its offset (+02:00), or as seconds"
        )
    return moment.timestamp()


def watts(value: Any) -> float | None:
    """Return the watts, or None where the meter recorded no value."""
    if value is None or str(value).strip() == "":
        return None
    try:
        watts = float("true" if isinstance(value, bool) or "_" in str(value) else value)  # Python's own 1_000
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"the power '{value!s:.60}' is not a number of watts") from None
    return watts if math.isfinite(watts) else None
