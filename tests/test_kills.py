"""The kill campaign in small: a few kills of each quick command leave nothing that is not whole."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "kill_campaign.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the campaign forks")
def test_a_few_kills_leave_everything_whole() -> None:
    """Every output is the old or the new one, and every command succeeds when it is repeated."""
    command = [sys.executable, str(TOOL), "--kills", "2", "--only", "export,submit,merge,leaderboard,report,run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "| all | 12 |" in done.stdout


def test_what_is_cut_or_mixed_is_a_fault(tmp_path: Path) -> None:
    """A command that writes in place, as none may, is found out: otherwise the campaign would prove nothing."""
    spec = importlib.util.spec_from_file_location("kill_campaign", TOOL)
    assert spec is not None
    assert spec.loader is not None
    kills = importlib.util.module_from_spec(spec)
    sys.modules["kill_campaign"] = kills
    spec.loader.exec_module(kills)
    (tmp_path / "out").write_bytes(b"old")
    old = kills.tree(tmp_path / "out")
    (tmp_path / "out").write_bytes(b"")
    assert kills.tree(tmp_path / "out") != old
    (tmp_path / "run.json").write_text("{}")
    row = '{"variant": "a", "batch_size": 1, "round": 0, "repeat": 0}\n'
    (tmp_path / "records.jsonl").write_text(row + row)
    assert kills._run_state(tmp_path) == kills.Progress(1)  # a cell that was measured again counts once
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text("{}")
    assert kills._student_state(tmp_path / "student").startswith("half")
