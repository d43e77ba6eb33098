"""What commands print on a terminal fits it: no table is wider than COLUMNS, and colours are left out when asked."""

import os
import pty
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from greenbench import cache
from greenbench.cli import app, catalogue, output
from greenbench.results import frames

ENTRIES = Path(__file__).parents[2] / "results" / "entries"


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The committed entries, whose runs have long names, many columns and intervals."""
    found = {}
    for path in ENTRIES.glob("*.zip"):
        folder = tmp_path_factory.mktemp(path.stem)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        found[path.name.partition("-")[0]] = next(folder.glob("**/run.json")).parent
    return found


def widest(text: str) -> int:
    """Return the width of a text; a line that is one word, such as a path, is as wide as that is."""
    return max(len(line) for line in text.splitlines() if " " in line.strip())


def printed(*arguments: str) -> str:
    """Run a command, and return what it prints on standard output."""
    done = CliRunner().invoke(app, [*arguments])
    assert done.stdout, done.output
    return done.stdout


@pytest.fixture(params=[80, 120])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The width of the terminal."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


@pytest.mark.parametrize("name", ["quickstart", "students", "bigfoot"])
def test_tables_of_results_fit(entries: dict[str, Path], name: str, columns: int) -> None:
    """Gains and the paper's tables fit, with their titles and legends."""
    text = printed("lineage", str(entries[name]))
    assert "faster" in text
    assert widest(text) <= columns


def test_other_scorers_fit(entries: dict[str, Path], columns: int) -> None:
    """WER under several scorers fits."""
    scored = printed("rescore", str(entries["quickstart"]), "--normalizer", "whisper-english+compound")
    assert "[3.0, 57.1]" in scored
    assert widest(scored) <= columns


def test_comparisons_fit(entries: dict[str, Path], columns: int) -> None:
    """Metrics, verdicts, refusals, legends and hints fit, and no interval is lost."""
    folder = entries["quickstart"]
    text = printed("compare", f"{folder}:wav2vec2/quickstart", f"{folder}:wav2vec2/quickstart+*")
    assert {"better", "no", "resolves", "[+44.5,"} <= set(text.split())
    assert widest(text) <= columns
    refused = printed("compare", f"{entries['quickstart']}", f"{entries['students']}")
    assert "not comparable" in refused
    assert widest(refused) <= columns


@pytest.mark.parametrize("name", ["quickstart", "students", "bigfoot"])
def test_summaries_of_runs_fit(
    entries: dict[str, Path], name: str, columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `run` prints at its end fits, notes included."""
    output.print_summary(frames.load(entries[name]), as_json=False)
    text = capsys.readouterr().out
    assert "RTFx" in text
    assert widest(text) <= columns


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_lists_fit(kind: str, columns: int) -> None:
    """What is registered fits; memory and size are in MB everywhere."""
    text = printed("list", kind)
    assert widest(text) <= columns
    assert not {"GB", "GiB", "MiB", "kB", "KiB"} & set(text.split())


def test_plans_health_and_the_cache_fit(columns: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cells of a dry run, the meters, what `doctor` says and what is kept fit."""
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path))
    about = {"build": "openvino-int8", "settings": {"precision": "bf16", "smoothness": 0.95}}
    cache.artefact(about, lambda aside: (aside / "model.onnx").write_bytes(b"0" * 2_500_000))
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: s\nprotocol: quick\ndatasets: [quickstart]\nvariants: [null/rtfx-100, wav2vec2/quickstart-6l]\n"
        "scenarios: [offline, single-stream]\n"
    )
    texts = [printed("run", str(suite), "--dry-run"), printed("doctor"), printed("cache")]
    assert "expected" in texts[0]
    assert "2.5" in texts[2].split()  # MB
    for text in texts:
        assert widest(text) <= columns


@pytest.mark.parametrize(("setting", "is_styled"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_left_out_when_asked(setting: dict[str, str], is_styled: bool) -> None:
    """On a terminal a title is bold, and NO_COLOR or a dumb terminal makes it plain (https://no-color.org)."""
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "greenbench", "list", "scorers"]
    with subprocess.Popen(command, stdout=follower, env={**plain, "TERM": "xterm", **setting}) as process:
        os.close(follower)
        text = b""
        while part := _read(leader):
            text += part
        assert process.wait() == 0
    os.close(leader)
    assert b"scorers" in text
    assert (b"\x1b[" in text) == is_styled


def _read(leader: int) -> bytes:
    """Read from a terminal; its end is an error on Linux, and empty elsewhere."""
    try:
        return os.read(leader, 65536)
    except OSError:
        return b""
