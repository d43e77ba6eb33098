"""The notebooks of the documentation: stored without outputs, and run to the end without a network."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def test_there_are_two() -> None:
    """A first run, and a comparison of builds."""
    assert [path.stem for path in NOTEBOOKS] == ["compare-builds", "first-run"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_stored_without_outputs(path: Path) -> None:
    """No figure of some machine stands in them, and no change of a counter makes a difference."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert set(cell["metadata"]) == set()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_run(path: Path, tmp_path: Path, patience: Callable[[float], float]) -> None:
    """Every cell runs offline, all cells of the suite are measured, and the run shows itself as a summary."""
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(path, as_version=4)
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "default"}
    client = nbclient.NotebookClient(notebook, timeout=int(patience(600)), kernel_name="python3",
                                     resources={"metadata": {"path": str(tmp_path)}})  # fmt: skip
    client.execute(env={**os.environ, **offline})
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in shown if output.output_type == "error"]
    pages = ["".join(output.data["text/html"]) for output in shown if "text/html" in output.get("data", {})]
    assert pages[0].count("<svg") <= 1
    assert "medians over" in pages[0]
    (folder,) = (tmp_path / "results").iterdir()
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert {row["status"] for row in rows} == {"ok"}
