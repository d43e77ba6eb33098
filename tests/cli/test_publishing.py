"""The command line's part about publishing: each command in a line or two, and exit codes that pipelines can use."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greenbench import store
from greenbench.cli import app
from greenbench.errors import InputError

CELL: dict[str, Any] = {"variant": "a", "n_wrong": 1, "rounds": [{"wall_s": 1.0 + i / 100} for i in range(3)]}


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_results_are_merged_packed_checked_and_published(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """The way from two machines' folders to a site, by the commands that the README names."""
    first = sound_run("r1", CELL)
    machine = store.read_run(first)["machine"] | {"cpu_model": "Other CPU"}
    second = sound_run("r2", CELL | {"n_wrong": 2}, machine=machine)
    done = call("merge", first, second, first, "--out", tmp_path / "all")
    assert done.stdout == f"{tmp_path / 'all'}: 2 runs, on 2 platforms, 1 duplicate dropped, 0 refused\n"
    done = call("submit", tmp_path / "all", "--out", tmp_path / "entry.zip")
    assert done.stdout.startswith(f"{tmp_path / 'entry.zip'}: r1, r2\nsha256 of its files: ")
    done = call("leaderboard", "--check", tmp_path / "entry.zip")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'entry.zip'}: ok\n")
    done = call("leaderboard", tmp_path / "entry.zip", "--out", tmp_path / "site", "--title", "Mine")
    assert done.stdout == f"{tmp_path / 'site' / 'index.html'}: 2 boards, 2 ranked, 0 apart, 0 refused\n"
    assert json.loads((tmp_path / "site" / "leaderboard.json").read_text())["title"] == "Mine"


def test_what_is_refused_is_told_of_and_fails(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """A run that does not hold is named with the reason; where nothing is left, or an entry is bad, it exits with 1."""
    run = sound_run("r1", CELL)
    content = store.read_run(run)
    (run / store.RUN).write_text(json.dumps(content | {"suite_hash": "forged"}))
    done = call("merge", run, "--out", tmp_path / "all")
    assert done.exit_code == 1
    assert "refused: r1: run.json: suite_hash is forged" in done.output
    (tmp_path / "entry.zip").write_bytes(b"no archive")
    done = call("leaderboard", "--check", tmp_path / "entry.zip")
    assert done.exit_code == 1
    assert "refused: entry.zip: cannot be read as an entry" in done.stdout
    assert done.stdout.endswith("entry.zip: refused\n")


def test_the_workflow_is_printed(tmp_path: Path) -> None:
    """`--workflow` prints a file to save, and reads nothing."""
    assert call("leaderboard", "--workflow").stdout.startswith("# Publishes a leaderboard")


def test_a_leaderboard_of_nothing_is_an_input_error() -> None:
    """Without results there is nothing to publish, and the message says what to name."""
    assert isinstance(call("leaderboard").exception, InputError)
    with pytest.raises(InputError, match="name folders of runs"):
        raise call("leaderboard").exception
