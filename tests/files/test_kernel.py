"""Small files of the kernel: their text, or nothing; their integer, or the reason."""

from pathlib import Path

import pytest

from greenbench.files import kernel


def test_text_is_read_without_the_space_around_it(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 do not stop it, and what cannot be read is empty: a missing file, a folder."""
    (tmp_path / "label").write_bytes(b" VDD_IN \n")
    (tmp_path / "odd").write_bytes(b"caf\xe9\n")
    read = [kernel.text(tmp_path / name) for name in ("label", "odd", "missing", "")]
    assert read == ["VDD_IN", "caf\ufffd", "", ""]


def test_an_integer_is_read_or_refused(tmp_path: Path) -> None:
    """A counter that is none raises, so that its meter decides what that means."""
    (tmp_path / "energy_uj").write_text("-17\n")
    (tmp_path / "empty").write_text("")
    assert kernel.integer(tmp_path / "energy_uj") == -17
    with pytest.raises(ValueError, match="invalid literal"):
        kernel.integer(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        kernel.integer(tmp_path / "missing")
