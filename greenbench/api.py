"""Measuring from Python: what the command ``greenbench run`` does, with its options as keyword arguments."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from greenbench.report.acceptance import Acceptance
    from greenbench.suite.config import Suite


def run(  # noqa: PLR0913 (the options of a command)
    suite: "str | os.PathLike[str] | Mapping[str, Any] | Suite | None" = None,
    *,
    model: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    builds: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    device: str | None = None,
    protocol: str | None = None,
    only: str | None = None,
    estimate_energy: bool = False,
    resume: bool = False,
    wait: bool = False,
    lock: bool = True,
    progress: bool = False,
) -> "pd.DataFrame":
    """Run a suite.

    Args:
        suite: a YAML file, the same as a mapping, or a loaded Suite; None is the bundled quick start, or the suite that
            ``model`` and ``data`` make.
        model: instead of a suite: a registered variant, the folder of a checkpoint, or a hub id.
        data: what it is measured on: a registered data set, a manifest, or the folder of a LibriSpeech subset.
        builds: methods, or chains of them with ``+``, to measure in addition to the model as it is.
        out: the run's folder; by default ``results/<run_id>``.
        limit: take the first so many utterances of every data set.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``, instead of the suite's.
        protocol: ``quick``, ``standard`` or ``official``, instead of the suite's.
        only: a glob; run only the cells whose label or variant matches.
        estimate_energy: estimate CPU energy where no counter answers (labelled).
        resume: continue the run in ``out`` (by default the suite's latest), running what is missing or failed.
        wait: begin once nobody else measures on this machine, rather than to refuse.
        lock: keep others on this machine from measuring meanwhile; rows of a run that does not are not ranked.
        progress: print what happens to standard error, as the command does.

    Returns:
        The run's rows, one per cell and repeat, which a notebook shows as a summary with the trade-off chart. The
        run's folder is in ``frame.attrs["folder"]``, and in ``frame.attrs["shortfall"]`` what was not measured (None:
        everything was).

    Raises:
        InputError: a name, a setting or an argument is wrong; nothing was run.
        MissingError: none of the variants can be measured with what is installed; nothing was run.
        BusyError: another process measures on this machine, or writes into the folder; nothing was run.
        StoreError: the results cannot be written, or the folder holds another run.
    """
    from greenbench.harness import ahead, runner
    from greenbench.report.pages import write_page
    from greenbench.suite import starter

    _check(out, limit, only)
    _check_wanted(model, data, builds)
    source = Path(suite) if isinstance(suite, str | os.PathLike) else suite
    wanted = {"model": _text(model), "data": _text(data), "builds": builds}
    changes = {"limit": limit, "device": device, "protocol": protocol, "estimate_energy": estimate_energy}
    with ahead.all_at_once():
        loaded, made = starter.load(source, wanted, changes)
    folder = None if out is None else Path(out)
    options = runner.Options(folder, resume, only, page=write_page, made=made, wait=wait, lock=lock)
    if not progress:
        return _as_shown(runner.run(loaded, options))
    from greenbench.cli.progress import ProgressDisplay

    with ProgressDisplay() as shown:
        return _as_shown(runner.run(loaded, options, shown.observe))


def fleet(  # noqa: PLR0913 (the options of a command)
    suite: "str | os.PathLike[str] | Mapping[str, Any] | Suite",
    *,
    engine: str,
    settings: Mapping[str, Any] | None = None,
    on: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    device: str | None = None,
    protocol: str | None = None,
    only: str | None = None,
    estimate_energy: bool = False,
    resume: bool = False,
) -> "pd.DataFrame":
    """Measure a suite on many machines, and merge what comes of it, as ``greenbench fleet run`` does.

    Args:
        suite: a YAML file, the same as a mapping, or a loaded Suite; its paths must be there on every node.
        engine: what reaches the machines: ``local``, ``ray://HOST:6379``, ``slurm``, or a plug-in's.
        settings: of the engine, by name.
        on: only nodes with these labels, ``LABEL=VALUE`` each, in which ``*`` stands for anything.
        out: the fleet's folder; by default ``results/<fleet_id>``.
        limit: take the first so many utterances of every data set.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``, instead of the suite's.
        protocol: ``quick``, ``standard`` or ``official``, instead of the suite's.
        only: a glob; run only the cells whose label or variant matches.
        estimate_energy: estimate CPU energy where no counter answers (labelled).
        resume: continue the fleet in ``out``: measure what is missing.

    Returns:
        The rows of all nodes, one per cell and repeat. The fleet's folder is in ``frame.attrs["folder"]``, and in
        ``frame.attrs["shortfall"]`` which nodes were not measured to the end (None: all were).

    Raises:
        InputError: a name, a setting or an argument is wrong, or no node matches; nothing was run.
        MissingError: the engine's library is not installed.
        StoreError: the results cannot be written.
    """
    from greenbench.fleets import conductor, engines
    from greenbench.fleets.suites import portable

    _check(out, limit, only)
    source = Path(suite) if isinstance(suite, str | os.PathLike) else suite
    changes = {"limit": limit, "device": device, "protocol": protocol, "estimate_energy": estimate_energy}
    options = conductor.FleetOptions(None if out is None else Path(out), tuple(on), only, resume)
    reached = engines.create(engine, settings)
    return _as_shown(conductor.table(conductor.run(portable(source, (), changes), reached, options)))


def accept(
    baseline: str | os.PathLike[str],
    new: str | os.PathLike[str],
    conditions: Sequence[str],
    across: Sequence[str] = (),
) -> "Acceptance":
    """Say whether a new version is shown to keep to conditions, as ``greenbench compare --accept`` does.

    A condition is met only where the whole 95 % interval keeps to its bound, in every pair of cells.

    Args:
        baseline: what ``greenbench compare`` takes: a run's folder, or ``FOLDER:VARIANT``.
        new: the same.
        conditions: ``wer<=+1pp`` (points), ``rtfx>=2x`` or ``energy_j_per_audio_s<=-20%`` against the baseline,
            ``wer<=5%`` of the new one alone.
        across: conditions of measuring that differ on purpose, such as ``device_name``.

    Returns:
        What is true where every condition is met in every pair, and prints a line for each: what was asked, what was
        measured with its interval, and whether it is met, not met or not shown.

    Raises:
        InputError: a condition has another form or names no metric, there is none, or no cell has a partner.
    """
    from greenbench.analysis import acceptance, compare
    from greenbench.analysis.selection import select
    from greenbench.errors import InputError
    from greenbench.report.acceptance import Acceptance

    asked = [acceptance.parse(text, "conditions") for text in conditions]
    if not asked:
        raise InputError("conditions: none is given, so nothing would be asked")
    compare.check_across(across)
    metrics = list(dict.fromkeys(one.metric for one in asked))
    comparison = compare.compare(select(os.fspath(baseline)), select(os.fspath(new)), metrics, across)
    return Acceptance(tuple(acceptance.judge(comparison, asked)))


def _as_shown(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Return rows that a notebook shows as a summary."""
    from greenbench.report.notebook import Rows

    shown: pd.DataFrame = Rows(rows)
    shown.attrs = rows.attrs
    return shown


def _check(out: Any, limit: Any, only: Any) -> None:
    """Refuse arguments of the wrong type, which would otherwise fail later."""
    from greenbench.errors import InputError

    is_whole = isinstance(limit, int) and not isinstance(limit, bool)
    if out is not None and not isinstance(out, str | os.PathLike):
        raise InputError(f"out: a folder (str or Path) is expected (got {out!r:.60})")
    if limit is not None and not (is_whole and limit >= 1):
        raise InputError(f"limit: a whole number of at least 1 is expected (got {limit!r:.60})")
    if only is not None and not isinstance(only, str):
        raise InputError(f"only: a glob (str) is expected (got {only!r:.60})")


def _check_wanted(model: Any, data: Any, builds: Any) -> None:
    """Refuse a model or data set that is no name or path, and builds that are no list of names."""
    from greenbench.errors import InputError

    for name, value in {"model": model, "data": data}.items():
        if value is not None and not isinstance(value, str | os.PathLike):
            raise InputError(f"{name}: a name or path (str or Path) is expected (got {value!r:.60})")
    if builds is not None and not (isinstance(builds, list | tuple) and all(isinstance(one, str) for one in builds)):
        raise InputError(f"builds: a list of names is expected (got {builds!r:.60})")


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)
