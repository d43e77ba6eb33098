"""Power logs: watts that another device recorded are read, and integrated over windows."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import numpy as np

from greenbench.errors import InputError
from greenbench.hardware.bounds import impossible_w
from greenbench.power.rows import (
    POWER_NAMES,
    TIME_NAMES,
    Row,
    Source,
    column_of,
    read_text,
    utc_s,
    watts,
    whole_rows,
    words,
)
from greenbench.statistics.integration import Numbers, energy_j

__all__ = ["PowerLog", "Source", "line", "read"]

SERIES_WORDS = {
    "id", "name", "sensor", "device", "meter", "channel", "series", "metric", "topic", "plug", "outlet",
    "socket", "phase", "rail", "domain", "host", "node", "label", "location", "address", "mac", "serial",
    "index", "gpu", "source", "port", "circuit", "tag",
}  # fmt: skip
"""The last words of columns that name the meter of a sample, where a log has several (``entity_id``, ``topic``);
plain numbers that never repeat count lines, not meters."""

UNIT_NAMES = ("unit", "unit_of_measurement", "units")
WATT = ("w", "watt", "watts", "")


EXTERNAL = "external"
"""The source of joules from a power log."""


@dataclass(frozen=True)
class PowerLog:
    """A log's samples, in the order in which they were written.

    Attributes:
        source: the file and how it is read.
        times: in s since 1970 (UTC) on this machine's clock.
        watts: at these times.
    """

    source: Source
    times: Numbers
    watts: Numbers

    def energy_j(self, segments: Iterable[Sequence[float]]) -> tuple[float | None, str | None]:
        """Return the joules over segments, each ``(start, end)`` in UTC; or None and why they do not follow."""
        total_j = 0.0
        for start_s, end_s in segments:
            joules, why = energy_j(self.times, self.watts, start_s, end_s, self.source.max_gap_s)
            if joules is None:
                return None, why
            total_j += joules
        return total_j, None


def line(utc_s: float, watts: float) -> str:
    """Return a sample as a line of a log, as ``read`` accepts it."""
    timestamp = datetime.fromtimestamp(utc_s, timezone.utc).isoformat(timespec="milliseconds")
    return json.dumps({"timestamp": timestamp, "watts": watts}) + "\n"


def read(source: Source) -> PowerLog:
    """Read a log. A last line that is still being written, and samples without a value, are left out.

    Raises:
        InputError: there is no such file, it has no samples or several series, a line's time or watts cannot be
            parsed, or its watts are impossible for a machine.
    """
    points: dict[float, tuple[float, int]] = {}
    for number, row in _of_one_series(source, whole_rows(source, read_text(source))):
        at_s, power_w = _sample(source, number, row)
        if power_w is None:
            continue
        known_w, line_of = points.setdefault(at_s, (power_w, number))
        if known_w != power_w:
            raise InputError(
                f"{source.path}:{number}: {power_w:g} W at the time at which line {line_of} has {known_w:g} W: two "
                "series in one log? Export one meter alone, or add a column `sensor` and choose with --series"
            )
    if not points:
        raise InputError(f"{source.path}: the power log holds no samples: is the meter recording?")
    times, watts_at = np.array([(t, w) for t, (w, _) in points.items()], dtype=np.float64).T
    return PowerLog(source, times - (source.skew_s or 0.0), watts_at)


def _of_one_series(source: Source, rows: Sequence[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    """Yield the lines of the chosen meter, with their numbers.

    Raises:
        InputError: the log has several meters and none was chosen, or the chosen one is not in it.
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
    """Return the name of each sample's meter, empty where no column states it."""
    candidates = dict.fromkeys(name for _, row in rows for name in row if str(name).lower() not in _OTHERS)
    columns = {name: [_name(row.get(name)) for _, row in rows] for name in candidates}
    series = [names for name, names in columns.items() if _names_series(name, names)]
    return ["/".join(filter(None, dict.fromkeys(names))) for names in zip(*series, strict=True)] or [""] * len(rows)


_OTHERS = {*TIME_NAMES, *POWER_NAMES}


def _names_series(column: str, names: Sequence[str]) -> bool:
    """Say whether a column names meters: several, or one by a text, but not the number of a line.

    A column whose name does not end in one of ``SERIES_WORDS`` does so where its texts alternate from line to line, as
    the names of meters do that are polled in turn; those of a state stay the same for a while.
    """
    filled = [name for name in names if name]
    numbers = all(name.replace(".", "").isdigit() for name in filled)
    if (words(column) or [""])[-1] in SERIES_WORDS:
        return bool(filled) and (1 < len(set(filled)) < len(filled) if numbers else True)
    n_changes = sum(name != after for name, after in pairwise(filled))
    return not numbers and 1 < len(set(filled)) <= len(filled) / 2 and n_changes >= len(filled) / 2


def _name(value: Any) -> str:
    return "" if value is None or isinstance(value, Mapping | list) else str(value).strip()


def _sample(source: Source, number: int, row: Row) -> tuple[float, float | None]:
    """Return a line's time and watts.

    Raises:
        InputError: one of them cannot be parsed, has another unit, or is impossible for a machine.
    """
    time_name = column_of(source, row, source.time_name, TIME_NAMES, "time")
    power_name = column_of(source, row, source.power_name, POWER_NAMES, "watts")
    try:
        at_s, power_w = utc_s(row[time_name]), watts(row[power_name])
        unit = _unit(row)
        if unit.lower() not in WATT:
            raise ValueError(f"the unit is {unit}, not W: name another column, take one meter's lines with --series")
        if power_w is not None and (why := impossible_w("system", power_w)):
            raise ValueError(why)
    except ValueError as error:
        raise InputError(f"{source.path}:{number}: {error}") from error
    return at_s, power_w


def _unit(row: Row) -> str:
    """Return the unit in a column of a sample, or in its attributes (Home Assistant)."""
    inner = row.get("attributes")
    cells = [*row.items(), *(inner.items() if isinstance(inner, Mapping) else ())]
    return next((str(v).strip() for k, v in cells if str(k).lower() in UNIT_NAMES and v is not None), "")
