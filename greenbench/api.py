"""Measuring from Python: what the command ``greenbench run`` does, with its options as keyword arguments."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from greenbench.suite import Suite


def run(  # noqa: PLR0913 (the options of a command)
    suite: "str | os.PathLike[str] | Mapping[str, Any] | Suite | None" = None,
    *,
    out: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    device: str | None = None,
    protocol: str | None = None,
    only: str | None = None,
    estimate_energy: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> "pd.DataFrame":
    """Run a suite.

    Args:
        suite: a YAML file, the same as a mapping, or a loaded Suite; None is the bundled quick start.
        out: the run's folder; by default ``results/<run_id>``.
        limit: take the first so many utterances of every data set.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``, instead of the suite's.
        protocol: ``quick``, ``standard`` or ``official``, instead of the suite's.
        only: a glob; run only the cells whose label or variant matches.
        estimate_energy: estimate CPU energy where no counter answers (labelled).
        resume: continue the run in ``out`` (by default the suite's latest), running what is missing or failed.
        progress: print what happens to standard error, as the command does.

    Returns:
        The run's rows, one a cell and repeat; the run's folder is in ``frame.attrs["folder"]``, and in
        ``frame.attrs["shortfall"]`` what it fell short of (None: all was measured).

    Raises:
        InputError: a name, a setting or an argument is wrong; nothing was run.
        MissingError: none of the variants can be measured with what is installed; nothing was run.
        StoreError: the results cannot be written, or the folder holds another run.
    """
    from greenbench import runner
    from greenbench.assets import quickstart_suite
    from greenbench.report.pages import write_page
    from greenbench.suite import load

    _check(out, limit, only)
    source = suite if suite is not None else quickstart_suite()
    source = Path(source) if isinstance(source, str | os.PathLike) else source
    changes = {"limit": limit, "device": device, "protocol": protocol, "estimate_energy": estimate_energy}
    loaded = load(source, changes=changes)
    options = runner.Options(None if out is None else Path(out), resume, only, page=write_page)
    if not progress:
        return runner.run(loaded, options)
    from greenbench.cli.progress import Progress

    shown = Progress()
    try:
        return runner.run(loaded, options, shown.observe)
    finally:
        shown.close()


def _check(out: Any, limit: Any, only: Any) -> None:
    """Refuse arguments of the wrong kind, which would otherwise fail somewhere inside."""
    from greenbench.errors import InputError

    is_whole = isinstance(limit, int) and not isinstance(limit, bool)
    if out is not None and not isinstance(out, str | os.PathLike):
        raise InputError(f"out: a folder (str or Path) is expected (got {out!r:.60})")
    if limit is not None and not (is_whole and limit >= 1):
        raise InputError(f"limit: a whole number of at least 1 is expected (got {limit!r:.60})")
    if only is not None and not isinstance(only, str):
        raise InputError(f"only: a glob (str) is expected (got {only!r:.60})")
