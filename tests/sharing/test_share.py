"""A run's files as they are shared: every line is JSON in UTF-8, whatever its texts hold."""

import json
from pathlib import Path

from greenbench.sharing.share import write_lines


def test_half_a_surrogate_is_written_as_its_escape(tmp_path: Path) -> None:
    """A text that no encoding has costs no run its publication: other readers see the escape."""
    write_lines(tmp_path / "rows.jsonl", [{"hypothesis": "caf\udce9 \ud83d"}, {"hypothesis": "é"}])
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["hypothesis"] for line in lines] == [r"caf\udce9 \ud83d", "é"]


def test_a_file_of_no_line_is_none(tmp_path: Path) -> None:
    """Where nothing is left of a file, the old one goes, too."""
    (tmp_path / "rows.jsonl").write_text("{}\n")
    write_lines(tmp_path / "rows.jsonl", iter(()))
    assert not (tmp_path / "rows.jsonl").exists()
