"""Weights that a package brings."""

from pathlib import Path

import pytest

from greenbench.models.packaged import Packaged


def test_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder and version are read from its files."""
    (tmp_path / "brings" / "model").mkdir(parents=True)
    (tmp_path / "brings" / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "brings_weights-1.2.dist-info").mkdir()
    (tmp_path / "brings_weights-1.2.dist-info" / "METADATA").write_text("Name: brings-weights\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    packaged = Packaged("brings-weights", "brings", "model")
    assert (packaged.folder, str(packaged)) == (tmp_path / "brings" / "model", "brings-weights 1.2")


@pytest.mark.parametrize(
    ("module", "inside"), [("json", "no-such-folder"), ("no_such_module", "model"), ("math", "model")]
)
def test_what_is_not_there_is_none(module: str, inside: str) -> None:
    """Neither a package that is not installed, nor one without the folder, nor one without files has a model."""
    packaged = Packaged("no-such-package", module, inside)
    assert (packaged.folder, str(packaged)) == (None, "no-such-package")
