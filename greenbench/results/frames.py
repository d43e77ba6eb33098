"""The results of runs as pandas frames: rows, texts, scores, samples of power and windows."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from greenbench.errors import StoreError
from greenbench.hardware.bounds import BOUNDS
from greenbench.metrics import ACCURACY, METRICS
from greenbench.provenance import PROVENANCE
from greenbench.results.record import KEYS, columns
from greenbench.results.runfiles import HYPOTHESES, POWER, RECORDS, RUN, SCORED, SCORES, WINDOWS, Row
from greenbench.results.store import current, open_runs, read_rows, runs

if TYPE_CHECKING:
    import pandas as pd

EPOCH, LAST_YEAR = 1970, 2262
"""Years of the times that 64 bits of nanoseconds can hold, from the beginning of Unix's clock."""

TIMES = tuple(name for name, column in PROVENANCE.items() if column.kind == "time")
"""The columns of a row that are times."""

_KINDS = {"number": "float64", "whole": "Int64", "flag": "boolean", "time": "datetime64[ns, UTC]"}
DTYPES = {
    **dict.fromkeys(("batch_size", "round", "repeat"), "Int64"), **dict.fromkeys(METRICS, "float64"),
    **{name: _KINDS[column.kind] for name, column in PROVENANCE.items() if column.kind in _KINDS},
}  # fmt: skip
"""Column of a row -> its type in a frame, of each that is neither a text nor a list."""


def load(folder: str | Path) -> "pd.DataFrame":
    """Load results as a tidy frame.

    Args:
        folder: a run's folder, or any parent of runs.

    Returns:
        One row per cell and repeat, with the columns of ``record.columns()``. Metrics and other numbers are float64
        with NaN where nothing was measured, whole numbers Int64, what is true or false boolean, both with ``pd.NA``,
        times are datetime64[ns, UTC]; texts and lists are objects. Rows that a resumed run replaced are left out.

    Raises:
        StoreError: there is no run at or below ``folder``.
    """
    found = runs(Path(folder))
    if not found:
        raise StoreError(f"{folder}: no runs here (no {RUN} at or below it)")
    return of_runs(found)


def of_runs(folders: Iterable[Path]) -> "pd.DataFrame":
    """Return the rows of the runs in some folders as the frame that ``load`` gives."""
    return frame([row for folder in folders for row in current(read_rows(folder / RECORDS))])


def frame(rows: Sequence[Row]) -> "pd.DataFrame":
    """Return rows of ``RECORDS`` as the frame that ``load`` gives."""
    import pandas as pd

    values = {name: [row.get(name) for row in rows] for name in columns()}
    values |= {name: list(map(_time, values[name])) for name in TIMES}
    index = pd.RangeIndex(len(rows))  # one for all columns, which pandas need not compare then
    typed = {name: pd.Series(of_all, index, DTYPES.get(name, "object")) for name, of_all in values.items()}
    found: pd.DataFrame = pd.DataFrame(typed, index)
    return found


def _time(text: str | None) -> datetime | None:
    """Return a time of ISO 8601 with its zone in UTC; None where it is none, or pandas' nanoseconds do not reach it."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.astimezone(timezone.utc) if found.tzinfo and EPOCH <= found.year < LAST_YEAR else None


def load_hypotheses(folder: str | Path) -> "pd.DataFrame":
    """Load the raw texts of the runs at or below ``folder``, one row per utterance of each cell and repeat."""
    import pandas as pd

    names = [*KEYS, "utterance_id", "speaker", "reference", "hypothesis", "audio_s", "audio_digest", "slices",
             "terms", "latency_s"]  # fmt: skip
    frame: pd.DataFrame = pd.DataFrame(_latest(folder, HYPOTHESES, (*KEYS, "utterance_id")), columns=names)
    return frame


def load_scores(folder: str | Path) -> "pd.DataFrame":
    """Load what the runs at or below ``folder`` score under other normalisers and scorers than their rows'.

    Returns:
        One row per measured row and scoring: ``KEYS``, ``normalizer``, ``scorer``, ``non_english_pct``,
        ``SCORED`` and the metrics of ``ACCURACY``.
    """
    import pandas as pd

    names = [*KEYS, "normalizer", "scorer", "non_english_pct", *SCORED, *ACCURACY]
    frame: pd.DataFrame = pd.DataFrame(_latest(folder, SCORES, (*KEYS, "normalizer", "scorer")), columns=names)
    typed: pd.DataFrame = frame.astype(dict.fromkeys(("non_english_pct", *ACCURACY), "float64"))
    return typed


def load_power(folder: str | Path) -> "pd.DataFrame":
    """Load what was sampled during the runs at or below ``folder``.

    Returns:
        One row a sample: ``run_id``, ``session`` (a run that was resumed has several), ``utc_s``, and the values
        seen, each a column as in ``power.jsonl``. Of a counter ``<name>.energy_uj`` there is the mean power since
        the sample before, too, as ``<name>.power_w``; NaN where the counter wrapped or was reset.
    """
    import pandas as pd

    samples: list[Row] = []
    for run in open_runs(Path(folder)):
        origin, session = 0.0, 0
        for row in read_rows(run.folder / POWER):
            if "header" in row:
                origin, session = row["header"]["utc_s"] - row["header"]["t_s"], session + 1
            else:
                samples.append({"run_id": run.id, "session": session, "utc_s": origin + row["t_s"], **row})
    frame: pd.DataFrame = pd.DataFrame(samples, columns=None if samples else ["run_id", "session", "utc_s"])
    pollers = frame.groupby(["run_id", "session"])
    for counter in [name for name in map(str, frame) if name.endswith(".energy_uj")]:
        watts = pollers[counter].diff() / 1e6 / pollers["utc_s"].diff()
        frame[f"{counter.removesuffix('.energy_uj')}.power_w"] = watts.where(
            (watts >= 0) & (watts <= BOUNDS["package"].highest_w)
        )
    return frame


def load_windows(folder: str | Path) -> "pd.DataFrame":
    """Load when the windows and idle baselines of the runs at or below ``folder`` were.

    Returns:
        One row for each stretch of time: ``kind`` (``window`` or ``idle``), ``KEYS``, ``start_utc_s``, ``end_utc_s``.
    """
    import pandas as pd

    stretches = [
        {**row, "start_utc_s": start, "end_utc_s": end}
        for path in runs(Path(folder))
        for row in read_rows(path / WINDOWS)
        for start, end in segments_utc(row)
    ]
    frame: pd.DataFrame = pd.DataFrame(stretches, columns=["kind", *KEYS, "start_utc_s", "end_utc_s"])
    return frame


def segments_utc(edges: Row) -> list[tuple[float, float]]:
    """Return the segments of a row of ``WINDOWS`` in UTC: it has the time on both clocks at one moment near them."""
    shift_s = edges["utc_s"] - edges["t_s"]
    return [(start + shift_s, end + shift_s) for start, end in edges["segments"]]


def _latest(folder: str | Path, file: str, key: Sequence[str]) -> list[Row]:
    """Return of the rows that agree in ``key`` the last, over all runs at or below a folder."""
    rows = (row for path in runs(Path(folder)) for row in read_rows(path / file))
    return list({tuple(row.get(name) for name in key): row for row in rows}.values())
