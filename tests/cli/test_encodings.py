"""Names and texts as they were given, whatever the terminal's encoding is, and what is no text at all as an escape."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import yaml

from greenbench.files import kernel
from greenbench.files.unicode import from_json, printable, to_json
from greenbench.harness import messages
from greenbench.harness.job import Job
from greenbench.results import store
from greenbench.suite import config as suites
from greenbench.suite.plan import plan

ROOT = Path(__file__).parents[2]

LOCALES = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
}

MODEL, SPEECH = "modèle Ω", "語音 test"


Command = Callable[..., "subprocess.CompletedProcess[str]"]

WESTERN = "cp1252"
"""The encoding of a terminal that has few letters."""


def process(*arguments: object, locale: dict[str, str]) -> "subprocess.CompletedProcess[bytes]":
    """Run a command in a process of its own, as a console of that locale would; elsewhere its streams are enough."""
    kept = {n: v for n, v in os.environ.items() if n not in ("PYTHONIOENCODING", "PYTHONUTF8") and n[:3] != "LC_"}
    command = [sys.executable, "-m", "greenbench", *map(str, arguments)]
    return subprocess.run(command, env=kept | locale, capture_output=True, check=False)


def write_suite(folder: Path, texts: list[str], **changes: object) -> Path:
    """Write a suite, its manifest and its audio below a folder; return the suite's path."""
    folder.mkdir(parents=True)
    for number in range(len(texts)):
        with (folder / f"ü{number}.wav").open("wb") as file:  # soundfile itself encodes names strictly
            sf.write(file, np.zeros(1600), 16_000, format="WAV")
    lines = [{"audio_filepath": f"ü{number}.wav", "text": text} for number, text in enumerate(texts)]
    manifest = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "m.jsonl").write_text(manifest, encoding="utf-8")
    suite = {
        "name": "names",
        "protocol": {"use": "quick", "repeats": 1, "idle_s": 0, "window_s": 0.02},
        "datasets": [{"use": "manifest", "path": "m.jsonl", "name": SPEECH}],
        "variants": [{"use": "null", "name": MODEL}],
        "normalizer": "none",
        "threads": 1,
        "trace_hz": 0,
        "control": False,
        **changes,
    }
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(suite, allow_unicode=True), encoding="utf-8")
    return path


@pytest.mark.parametrize("locale", LOCALES.values(), ids=LOCALES)
def test_names_and_texts_are_as_given_under_any_locale(
    greenbench: Command, tmp_path: Path, locale: dict[str, str]
) -> None:
    """Rows, texts and run.json have the names of the suite; --resume finds them again, and nothing contradicts."""
    folder, out = tmp_path / "Jörg Müller" / "語音", tmp_path / "run Ω"
    suite = write_suite(folder, ["schön ° 好", "quiet"])
    run = process("run", suite, "--out", out, locale=locale)
    assert run.returncode == 0, run.stderr
    (row,) = store.read_rows(out / store.RECORDS)
    assert (row["variant"], row["dataset"], row["status"]) == (MODEL, SPEECH, "ok")
    texts = list(store.read_rows(out / store.HYPOTHESES))
    assert [(t["utterance_id"], t["reference"]) for t in texts] == [("ü0", "schön ° 好"), ("ü1", "quiet")]
    assert store.read_run(out)["suite"]["datasets"][0]["path"] == str(folder / "m.jsonl")
    again = process("run", suite, "--out", out, "--resume", locale=locale)
    assert (again.returncode, b"0 cells to run, 1 done before" in again.stderr) == (0, True)
    assert len(list(store.read_rows(out / store.RECORDS))) == 1
    checked = greenbench("validate", out, encoding=WESTERN)
    assert "0 errors" in checked.stdout, checked.stdout


@pytest.fixture(scope="module")
def finished(greenbench: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with such names."""
    folder = tmp_path_factory.mktemp("finished")
    suite = write_suite(folder / "speech", ["schön ° 好"])
    done = greenbench("run", suite, "--out", folder / "run", encoding=WESTERN)
    assert done.returncode == 0, done.stderr
    return folder / "run"


COMMANDS = {
    "list metrics": ("list", "metrics"),
    "rescore": ("rescore", "RUN", "--normalizer", "librispeech"),
    "compare": ("compare", "RUN", "RUN"),
    "a name that is wrong": ("run", "Ω 語音.yaml"),
}


@pytest.mark.parametrize(("command", "code"), [*zip(COMMANDS, (0, 0, 2, 2), strict=True)])
def test_what_the_terminal_cannot_write_is_escaped(
    greenbench: Command, finished: Path, command: str, code: int
) -> None:
    """No command ends in an error of encoding for a character, and none leaves it out."""
    arguments = [finished if part == "RUN" else part for part in COMMANDS[command]]
    done = greenbench(*arguments, encoding=WESTERN)
    assert done.returncode == code, done.stderr
    assert ("\xb0C" if command == "list metrics" else "\\u03a9") in done.stdout + done.stderr


# --- what is no text --------------------------------------------------------------------------------------


def test_a_path_that_is_not_utf8_runs(greenbench: Command, tmp_path: Path) -> None:
    """A folder's name with a byte that is no UTF-8 is opened as it is, and written as an escape."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Andr\xe9"))
    try:
        suite = write_suite(folder, ["quiet"], datasets=[{"use": "manifest", "path": "m.jsonl"}])
    except OSError:
        pytest.skip("this file system has no such names")
    out = folder / "run"
    run = greenbench("run", suite, "--out", out, encoding=WESTERN)
    assert run.returncode == 0, run.stderr
    (row,) = store.read_rows(out / store.RECORDS)
    assert (row["status"], row["dataset"]) == ("ok", "Andr\\udce9/m"), "not UTF-8: an escape"
    again = greenbench("run", suite, "--out", out, "--resume", encoding=WESTERN)
    assert "0 cells to run, 1 done before" in again.stderr, again.stderr
    checked = greenbench("validate", out, encoding=WESTERN)
    assert "0 errors" in checked.stdout, checked.stdout


def test_half_a_character_from_a_model_is_a_row(
    greenbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hypothesis or an error with a lone surrogate is written as an escape; the cells after it are measured."""
    text = "half \ud83d of a pair, byte \udcff"
    (tmp_path / "sitecustomize.py").write_text(PLUGIN.replace("TEXT", ascii(text)), encoding="utf-8")
    variants = [{"use": "null", "name": name, "text": name} for name in ("says", "fails", "fine")]
    suite = write_suite(tmp_path / "speech", ["quiet"], variants=variants)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)  # for the cells' processes
    done = greenbench("run", suite, "--out", tmp_path / "run", encoding=WESTERN)
    assert done.returncode == 1, done.stderr
    rows = {row["variant"]: row for row in store.read_rows(tmp_path / "run" / store.RECORDS)}
    assert {name: row["status"] for name, row in rows.items()} == {"says": "ok", "fails": "error", "fine": "ok"}
    assert printable(text) in rows["fails"]["reason"]
    said = [t["hypothesis"] for t in store.read_rows(tmp_path / "run" / store.HYPOTHESES) if t["variant"] == "says"]
    assert said == [printable(text)]
    checked = greenbench("validate", tmp_path / "run", encoding=WESTERN)
    assert "0 errors" in checked.stdout, checked.stdout


PLUGIN = """
from greenbench.variants import null

def answer(self, batch):
    if self.settings.text == "fails":
        raise RuntimeError(TEXT)
    return [TEXT if self.settings.text == "says" else "quiet"] * len(batch)

null._Sleeper.__call__ = answer
"""


@pytest.mark.parametrize(
    "line", ["", "garbage", '{"kind": "rec', "[1, 2]", "null", '{"row": 1}', '{"kind": 3}', "[" * 100_000, "\udcff{"]
)
def test_what_is_no_message_of_a_worker_is_refused_as_such(line: str, suite_data: dict) -> None:
    """A line that a kill cut off, or that a plug-in forced onto the channel, ends its cell and not the run."""
    loaded = suites.load(suite_data)
    job = Job("r", 0, loaded, plan(loaded)[0])
    with pytest.raises(messages.UnreadableError, match="not a message|cannot be read"):
        messages.read(line.encode(errors="surrogateescape"), job)
    read = messages.read('{"kind": "phase", "text": "Ω \\ud800"}'.encode(), job)
    assert read == messages.PhaseMessage(kind="phase", text="Ω \\ud800")


def test_json_keeps_everything_but_what_is_no_text() -> None:
    """Characters beyond the first plane are whole; a lone surrogate comes back as its escape, once and for all."""
    given = {"a": ["語音 😀", "byte \udce9", 1.5, None], "b\ud800": "\\udce9"}
    written = to_json(given)
    assert written.encode()
    assert from_json(written.encode()) == {"a": ["語音 😀", "byte \\udce9", 1.5, None], "b\\ud800": "\\udce9"}
    assert from_json(json.dumps(given).encode()) == from_json(written.encode())
    assert printable("Jörg".encode().decode("ascii", "surrogateescape")) == "Jörg"
    with pytest.raises(ValueError, match="utf-8"):
        from_json(b'"\xed\xb3\xa9"')


OPENS = re.compile(r"\b(?:(?:read|write)_text|run|Popen|check_output|(?:fd)?open)\(")
"""What ``_lacks_encoding`` asks about; a file without any of it need not be parsed."""


def test_every_text_file_is_opened_with_its_encoding() -> None:
    """Nothing reads, writes or pipes text in whatever encoding the machine has by default."""
    sources = [*(ROOT / "greenbench").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    texts = {path: text for path in sources if OPENS.search(text := path.read_text("utf-8"))}
    calls = [(path, node) for path, text in texts.items() for node in ast.walk(ast.parse(text))]
    found = [f"{path}:{node.lineno}" for path, node in calls if isinstance(node, ast.Call) and _lacks_encoding(node)]
    assert not found


def _lacks_encoding(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = {keyword.arg for keyword in call.keywords}
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    n_without = {"read_text": 1, "write_text": 2}.get(name)
    if "encoding" in given:
        return False
    if n_without is not None:
        return len(call.args) < n_without
    if name in ("run", "Popen", "check_output"):
        return not given.isdisjoint({"text", "universal_newlines"})
    return name in ("open", "fdopen") and any(mode and set(mode) <= set("rwax+t") for mode in modes)


def test_a_process_may_be_called_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says of other programs and of boards is bytes: those that are no UTF-8 cost no measurement."""

    (tmp_path / "product_name").write_bytes(b"Caf\xe9 board\n")
    assert kernel.text(tmp_path / "product_name") == "Caf\ufffd board"


# --- other languages ---------------------------------------------------------------------------------------


def test_english_normalisation_of_another_language_is_warned_of_once(greenbench: Command, tmp_path: Path) -> None:
    """The run, `rescore` and the page say it once for a data set, with the share and what fits; nothing else does."""
    changes = {"normalizer": "whisper-english", "scenarios": ["offline", "single-stream"]}
    suite, out = write_suite(tmp_path / "speech", ["schön war der Baum", "über Nacht"], **changes), tmp_path / "run"
    warning = f"warning: {SPEECH}: 8.3 % of the letters in its references are not English"
    run = greenbench("run", suite, "--out", out)
    assert run.stderr.count("of the letters in its references") == run.stderr.count(warning) == 1, run.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("of the letters in its references are not English") == 1
    assert {round(row["non_english_pct"], 6) for row in store.read_rows(out / store.RECORDS)} == {round(200 / 24, 6)}
    for normalizer, n in (("whisper-english+compound", 1), ("whisper-basic", 0)):
        done = greenbench("rescore", out, "--normalizer", normalizer)
        assert (done.returncode, done.stderr.count(warning)) == (0, n), done.stderr
