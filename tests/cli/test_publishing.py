"""The command line's part about publishing: each command in a line or two, and exit codes that pipelines can use."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greenbench.cli import app
from greenbench.errors import InputError
from greenbench.results import store
from greenbench.sharing.submission import preview

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
    done = call("submit", tmp_path / "all", "--out", tmp_path / "entry.zip", "--yes")
    assert done.stdout.startswith(f"{tmp_path / 'entry.zip'}: r1, r2\nsha256 of its files: ")
    done = call("leaderboard", "--check", tmp_path / "entry.zip")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'entry.zip'}: ok\n")
    done = call("leaderboard", tmp_path / "entry.zip", "--out", tmp_path / "site", "--title", "Mine")
    assert done.stdout == f"{tmp_path / 'site' / 'index.html'}: 2 boards, 2 ranked, 0 not ranked, 0 refused\n"
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


def described(run: Path, description: str) -> Path:
    content = store.read_run(run)
    (run / store.RUN).write_text(json.dumps(content | {"description": description}))
    return run


def test_a_script_must_agree_to_what_is_published(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """Without a terminal nothing is packed before --yes; the description is shown as it will be published."""
    run = described(sound_run("r1", CELL), "On vault13.acme.internal by jane@acme.org; hf_" + "a1B2" * 6)
    entry = tmp_path / "entry.zip"
    done = call("submit", run, "--out", entry)
    assert isinstance(done.exception, InputError)
    assert "pass --yes" in str(done.exception)
    assert not entry.exists()
    assert 'r1: published description: "On <host> by <mail>; <token>"' in done.stderr
    assert 'taken out: mail "jane@acme.org" (r1: description)' in done.stderr
    assert "a1B2a1B2" not in done.stderr, "a secret would stand in the log of a script"
    assert call("submit", run, "--out", entry, "--yes").exit_code == 0
    with zipfile.ZipFile(entry) as archive:
        assert json.loads(archive.read("r1/run.json"))["description"] == "On <host> by <mail>; <token>"


def test_what_is_kept_private_is_shown_as_it_is(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """With --keep-private the same is shown as kept."""
    run = described(sound_run("r1", CELL), "by jane@acme.org")
    done = call("submit", run, "--out", tmp_path / "entry.zip", "--keep-private", "--yes")
    assert 'published description: "by jane@acme.org"' in done.stderr
    assert 'kept: mail "jane@acme.org" (r1: description)' in done.stderr


def test_everything_that_is_kept_private_is_searched(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """--keep-private packs keys that are not shared otherwise, and ids that are paths: they are listed, too."""
    run = sound_run("r1", CELL)
    content = store.read_run(run)
    machine = content["machine"] | {"mac": "3c:22:fb:aa:bb:cc"}
    (run / store.RUN).write_text(json.dumps(content | {"contact": "jane@acme.org", "machine": machine}))
    lines = [json.loads(line) for line in (run / store.HYPOTHESES).read_text().splitlines()]
    store.append(run, [lines[0] | {"utterance_id": "/home/jane/a.wav"}], store.HYPOTHESES)
    control = {"edge": "start", "device": "cpu", "control": "x", "session": 0, "round": 0}
    store.append(run, [control | {"reason": "no route to vault13.acme.internal"}], store.CONTROL)
    listed = {
        'mail "jane@acme.org" (r1: contact)', 'hardware address "3c:22:fb:aa:bb:cc" (r1: machine.mac)',
        'path "/home/jane/a.wav" (r1: utterance_id)', 'host "vault13.acme.internal" (r1: reason)',
    }  # fmt: skip
    kept, shared = (preview([run], keep_private).identifiers for keep_private in (True, False))
    assert listed <= {f'{one.kind} "{one.text}" ({one.where})' for one in kept}
    assert [one.where for one in shared] == ["r1: reason"], "the rest is not packed, or refuses the run"


@pytest.mark.parametrize(("answer", "is_packed"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_a_terminal_is_asked(
    answer: str, is_packed: bool, sound_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sits at a terminal is asked, and without a yes nothing is packed."""
    run = described(sound_run("r1", CELL), "a description")
    monkeypatch.setattr("greenbench.cli.publishing.is_at_terminal", lambda: True)
    done = CliRunner().invoke(app, ["submit", str(run), "--out", str(tmp_path / "entry.zip")], input=answer)
    assert "Pack this for publication?" in done.stderr
    assert (tmp_path / "entry.zip").exists() == is_packed
