"""The pytest plug-in: the fixture ``greenbench_run``, with which tests gate WER, speed, memory and energy."""

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from greenbench.analysis.outcome import Outcome


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--greenbench-out``."""
    parser.getgroup("greenbench").addoption(
        "--greenbench-out",
        metavar="DIR",
        help="keep what greenbench_run measures in a folder of its own below DIR, instead of among pytest's",
    )


@pytest.fixture(scope="session")
def greenbench_run(request: pytest.FixtureRequest) -> "Callable[..., Outcome]":
    """Return a function that runs a suite and returns its ``Outcome``; fixtures of any scope can use it.

    ``greenbench_run(suite, limit=None, device=None, protocol=None, estimate_energy=False, only=None)``: ``suite``
    is a file (looked for in the working directory, then in pytest's root) or the same as a mapping, the rest is
    what ``greenbench run`` has as options. A cell that fails makes the test fail where its figure is asked for.
    """

    def run(
        suite: str | Path | Mapping[str, Any],
        limit: int | None = None,
        device: str | None = None,
        protocol: str | None = None,
        estimate_energy: bool = False,
        only: str | None = None,
    ) -> "Outcome":
        changes = {"limit": limit, "device": device, "protocol": protocol, "estimate_energy": estimate_energy}
        source = suite if isinstance(suite, Mapping) else _find(Path(suite), request.config.rootpath)
        return _measured(source, changes, _folder(request), only)

    return run


def _measured(
    suite: str | Path | Mapping[str, Any], changes: Mapping[str, Any], folder: Path, only: str | None
) -> "Outcome":
    """Run a suite into a folder.

    Args:
        suite: a YAML file, or the same as a mapping.
        changes: see ``greenbench.suite.config.load``.
        folder: of the run; new or empty.
        only: a glob on cells.

    Raises:
        InputError: a name or setting is wrong; nothing was run.
        MissingError: nothing was measured, or a device or an extra that the suite asks for is not here; a cell that
            failed raises where its figures are asked for.
        StoreError: the results cannot be written.
    """
    from greenbench.analysis.outcome import Outcome
    from greenbench.errors import MissingError
    from greenbench.harness import ahead
    from greenbench.harness.runner import Options, run
    from greenbench.report.pages import write_page
    from greenbench.results.shortfall import anything, shortfall
    from greenbench.suite.config import load

    with ahead.all_at_once():
        loaded = load(suite, changes=changes)
    rows = run(loaded, Options(out=folder, only=only, page=write_page, wait=True))  # tests side by side take turns
    problem = shortfall(rows[rows["status"] != "error"] if anything(rows) else rows)
    if problem:
        raise MissingError(f"{folder}: {problem}")
    return Outcome(rows, folder)


def _find(suite: Path, root: Path) -> Path:
    return suite if suite.exists() or not (root / suite).exists() else root / suite


def _folder(request: pytest.FixtureRequest) -> Path:
    """Make the folder of one run: every call has its own, so that nothing is resumed or overwritten."""
    kept = request.config.getoption("--greenbench-out")
    base = Path(kept) if kept else request.getfixturevalue("tmp_path_factory").getbasetemp()
    base.mkdir(parents=True, exist_ok=True)
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].rpartition(" ")[0]  # "file::test[1] (call)"
    name = re.sub(r"[^\w.-]+", "-", test).strip("-")
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
