"""Where results live: a folder a run, append-only JSON lines in it, read back as a pandas frame."""

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench import readback, whole
from greenbench.bounds import BOUNDS
from greenbench.errors import StoreError
from greenbench.metrics import ACCURACY, METRICS
from greenbench.readback import CONTROL, HYPOTHESES, POWER, RECORDS, RUN, SCORES, WINDOWS, Fault, Row
from greenbench.record import KEYS, SCHEMA, columns
from greenbench.unicode import to_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CONTROL", "HYPOTHESES", "POWER", "RECORDS", "REPORT", "RUN", "SCORES", "WINDOWS", "Row"]

REPORT = "report.html"

RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""Names that Windows keeps for devices, whatever follows a dot."""

MAX_ID = 128

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class UnsavedError(StoreError):
    """A row could not be written; ``unsaved`` holds it as JSON lines, so that nothing measured is lost."""

    def __init__(self, message: str, unsaved: str) -> None:
        super().__init__(message)
        self.unsaved = unsaved


def refused_id(run_id: str) -> str | None:
    """Say why a run's id cannot name its folder, among other runs' and beside files, or return None."""
    if not _ID.fullmatch(run_id):
        return "it is letters, digits, '.', '_' and '-', and begins with a letter or digit"
    if len(run_id) > MAX_ID:
        return f"it is at most {MAX_ID} characters long"
    if run_id.endswith(".") or run_id.lower().endswith((".json", ".jsonl", ".html", ".zip", ".csv", ".md", ".xml")):
        return "it ends like a file's name"
    return "the system keeps this name for itself" if run_id.lower().partition(".")[0] in RESERVED else None


def write_run(folder: Path, run: Mapping[str, Any]) -> None:
    """Create the run's folder and write ``run.json`` in one step.

    Raises:
        StoreError: the folder cannot be written.
    """
    text = to_json({"schema": SCHEMA, **run}, indent=2, allow_nan=True) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        whole.write(folder / RUN, text)
    except OSError as error:
        raise StoreError(f"{folder}: cannot write {RUN}: {error.strerror}. Choose another --out.") from error


def read_run(folder: Path) -> dict[str, Any]:
    """Return a run's ``run.json``.

    Raises:
        StoreError: the folder holds no readable run.
    """
    path = folder / RUN
    try:
        return readback.read_checked(path)
    except StoreError as error:
        why = str(error).removeprefix(f"{path}: ")
        raise StoreError(f"{folder}: not a run: {RUN} cannot be read ({why})") from error


def amend_run(folder: Path, **known: Any) -> None:
    """Add to ``run.json`` what is known only once the run has begun.

    Raises:
        StoreError: the folder holds no readable run, or cannot be written.
    """
    write_run(folder, read_run(folder) | known)


def append(folder: Path, rows: Iterable[Mapping[str, Any]], file: str = RECORDS) -> None:
    """Append rows to a run's file and flush them to the disk; on failure the file is as it was before.

    Args:
        folder: the run's folder.
        rows: JSON-ready rows; written whole or not at all.
        file: ``RECORDS``, ``HYPOTHESES``, ``SCORES``, ``WINDOWS`` or ``CONTROL``.

    Raises:
        UnsavedError: the disk is full or gone; it carries the rows.
    """
    text = "".join(to_json(row) + "\n" for row in rows)
    path = folder / file
    try:
        _append_bytes(path, text.encode())
    except OSError as error:
        raise UnsavedError(
            f"{path}: cannot append: {error.strerror}. Earlier rows are intact; "
            "free some space or choose another --out, then continue with --resume.",
            text,
        ) from error


def amend_rows(folder: Path, known: Callable[[Row], Mapping[str, Any] | None]) -> None:
    """Write into rows of ``RECORDS`` what is known only after them; the file is replaced in one step.

    Args:
        folder: the run's folder.
        known: returns the columns of a row that change; None leaves its line as it is.

    Raises:
        StoreError: the file cannot be written; it is as it was before.
    """
    path = folder / RECORDS
    try:
        with whole.file(path) as aside, path.open("rb") as old, aside.open("xb") as new:
            new.writelines(_amended(line, known) for line in old)
    except OSError as error:
        raise StoreError(f"{path}: cannot write: {error.strerror}. Rows are intact; continue with --resume.") from error


def _amended(line: bytes, known: Callable[[Row], Mapping[str, Any] | None]) -> bytes:
    row = readback.judged(RECORDS, 0, line)
    if isinstance(row, dict):
        changed = known(row)
        if changed is not None:
            return (to_json(row | dict(changed)) + "\n").encode()
    return line


def write_file(
    path: Path, content: str | bytes, failure: str = "cannot write", fix: str = "Choose another --out."
) -> None:
    """Write a file that people asked for whole or not at all, and its folder where that is missing.

    Args:
        path: the file.
        content: text is written in UTF-8.
        failure: what the message says could not be done.
        fix: what it proposes.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, content)
    except OSError as error:
        raise StoreError(f"{path}: {failure}: {error.strerror}. {fix}") from error


def _append_bytes(path: Path, data: bytes) -> None:
    """Append whole lines, after ending a line that an earlier crash tore off."""
    with path.open("ab+", buffering=0) as stream:
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
            data = data if stream.read(1) == b"\n" else b"\n" + data
        try:
            if stream.write(data) != len(data):
                raise OSError(28, "no space left on device")
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(end)
            raise


def runs(*folders: Path) -> list[Path]:
    """Return the run folders at or anywhere below ``folders``, sorted, each once."""
    return sorted({path.parent for folder in folders for path in Path(folder).rglob(RUN)})


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of one of a run's files; lines that are torn or of another form are skipped with one warning.

    Raises:
        StoreError: the file cannot be read.
    """
    if not path.exists():
        return
    yield from _sound(path, (found for _, found in readback.lines(path)))


def read_texts(path: Path, wanted: Callable[[Row], bool]) -> Iterator[Row]:
    """Yield the rows of a file of ``HYPOTHESES`` whose window is wanted, parsing no others: there may be millions.

    Args:
        path: the file; where there is none, nothing is yielded.
        wanted: answers for the ``KEYS`` of a window, asked once for each stretch of lines that share them. A line
            that does not begin with all of them, as ``append`` writes them, is always yielded.
    """
    if not path.exists():
        return
    yield from _sound(path, _asked_for(path, wanted))


def _asked_for(path: Path, wanted: Callable[[Row], bool]) -> Iterator[Row | Fault]:
    last, take = b"", True
    for number, line in readback.numbered(path):
        head, _, _ = (line or b"").partition(b'"utterance_id"')
        if head != last:
            key, last = _key(head), head
            take = key is None or wanted(key)
        if take and (found := readback.judged(path.name, number, line)) is not None:
            yield found


def _sound(path: Path, found: Iterable[Row | Fault]) -> Iterator[Row]:
    """Yield the rows among what was found, and warn of the others once."""
    first: list[Fault] = []
    n_faults, unknown = 0, readback.UNKNOWN.get(path.name, {})
    for one in found:
        if isinstance(one, Fault):
            first, n_faults = first or [one], n_faults + 1
        else:
            yield {**one, **{name: value for name, value in unknown.items() if name not in one}}
    if first:
        warnings.warn(readback.told(path, first[0], n_faults), stacklevel=3)


def _key(head: bytes) -> Row | None:
    """Return the keys that a line begins with, None where some are missing or of another type."""
    try:
        key = json.loads(head.rstrip(b" ,") + b"}")
    except (ValueError, RecursionError):
        return None
    return None if readback.faults(readback.KEY, key) else key


def current(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that stand: of one key the last; a failure only until a later success of its cell.

    A share of the peak above 100 %, which earlier versions wrote, is a fault of the peak and read as unknown.
    """
    standing: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        cell = tuple(row.get(name) for name in KEYS[:-1])
        key = (*cell, row["repeat"])
        for replaced in ((*cell, None), key):
            standing.pop(replaced, None)
        standing[key] = {**row, "mfu_pct": None} if (row.get("mfu_pct") or 0) > 100 else row
    return list(standing.values())


def load(folder: str | Path) -> "pd.DataFrame":
    """Load results as a tidy frame.

    Args:
        folder: a run's folder, or any parent of runs.

    Returns:
        One row per cell and repeat, with the columns of ``record.columns()``; metrics are float64 with NaN
        where nothing was measured. Rows that a resumed run replaced are left out.

    Raises:
        StoreError: there is no run at or below ``folder``.
    """
    found = runs(Path(folder))
    if not found:
        raise StoreError(f"{folder}: no runs here (no {RUN} at or below it)")
    return frame([row for path in found for row in current(read_rows(path / RECORDS))])


def frame(rows: Sequence[Row]) -> "pd.DataFrame":
    """Return rows of ``RECORDS`` as the frame that ``load`` gives."""
    import pandas as pd

    names = columns()
    untyped = pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})
    typed: pd.DataFrame = untyped.astype(
        dict.fromkeys(METRICS, "float64") | dict.fromkeys(("batch_size", "round", "repeat"), "Int64")
    )
    return typed


def load_hypotheses(folder: str | Path) -> "pd.DataFrame":
    """Load the raw texts of the runs at or below ``folder``, one row per utterance of each cell and repeat."""
    import pandas as pd

    names = [*KEYS, "utterance_id", "speaker", "reference", "hypothesis", "audio_s", "audio_digest", "latency_s"]
    frame: pd.DataFrame = pd.DataFrame(_latest(folder, HYPOTHESES, (*KEYS, "utterance_id")), columns=names)
    return frame


def load_scores(folder: str | Path) -> "pd.DataFrame":
    """Load what the runs at or below ``folder`` score under other normalisers and scorers than their rows'.

    Returns:
        One row per measured row and scoring: ``KEYS``, ``normalizer``, ``scorer``, ``non_english_pct``,
        ``wer_ci_unit`` and the metrics of ``ACCURACY``.
    """
    import pandas as pd

    names = [*KEYS, "normalizer", "scorer", "non_english_pct", "wer_ci_unit", *ACCURACY]
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
    for path in runs(Path(folder)):
        origin, session, run_id = 0.0, 0, read_run(path).get("run_id")
        for row in read_rows(path / POWER):
            if "header" in row:
                origin, session = row["header"]["utc_s"] - row["header"]["t_s"], session + 1
            else:
                samples.append({"run_id": run_id, "session": session, "utc_s": origin + row["t_s"], **row})
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
