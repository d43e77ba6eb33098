"""Every fenced block of README and docs works: its commands, options, keys and names are checked, and it is run."""

import configparser
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from greenbench import registry
from greenbench.assets import QUICKSTART
from greenbench.errors import GreenbenchError
from greenbench.results.runfiles import FILES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md", "SKILL.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def load_tool():
    spec = importlib.util.spec_from_file_location("snippets_tool", ROOT / "tools" / "snippets.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


TOOL = load_tool()
BY_DOCUMENT = {document: TOOL.read(document) for document in DOCUMENTS}
SNIPPETS = [snippet for found in BY_DOCUMENT.values() for snippet in found]


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def install_plugins(folder: Path, snippets: Sequence[Any]) -> None:
    """Write the files of a page, and register the plug-ins of its pyproject.toml as an installed package does."""
    files = {
        snippet.file: snippet.text for snippet in snippets if snippet.file and snippet.language in ("python", "toml")
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    if "pyproject.toml" not in files:
        return
    lines: list[str] = []
    project = configparser.ConfigParser()
    project.read_string(files["pyproject.toml"])
    info = folder / "my_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugins\nVersion: 1.0\n")
    for section in [section for section in project.sections() if "entry-points" in section]:
        names = [f"{name} = {value.strip(chr(34))}" for name, value in project[section].items()]
        lines += [f"[{section.partition(chr(34))[2].rstrip(chr(34))}]", *names]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.place)
def test_every_command_option_key_and_name_exists(
    snippet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a block is run or not, the program knows everything in it; the page's own plug-ins are there."""
    install_plugins(tmp_path, BY_DOCUMENT[snippet.document])
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.entries.cache_clear()
    try:
        TOOL.check(snippet, tmp_path)
    finally:
        registry.entries.cache_clear()


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_every_command_of_a_workflow_exists(workflow: Path, tmp_path: Path) -> None:
    """What the project's own workflows call is there: commands, sessions and scripts."""
    TOOL.check_yaml(workflow.read_text("utf-8"), tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nox -s nothing", "no such session"),
        ("python tools/nothing.py", "no such file"),
        ("bash .ci/nothing", "no such file"),
        ("pip install nothing && greenbench nothing", "no such command"),
    ],
)
def test_what_the_project_has_not_is_named(text: str, reason: str) -> None:
    """A session, a script or a command that is gone is found where a document still calls it."""
    with pytest.raises(ValueError, match=reason):
        TOOL.check_shell(text)


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md", ROOT / "results" / "README.md"], ids=name_of)
def test_every_command_in_prose_exists(document: Path) -> None:
    """A command, option or extra that a sentence names is there."""
    for code in TOOL.inline(document):
        TOOL.check_inline(code)


PLUGINS = ROOT / "docs" / "how-to" / "plug-in.md"


def test_the_plugins_of_the_page_are_short() -> None:
    """A variant, a data set, a meter and a method take at most 15 lines of code each."""
    lengths = {s.file: sum(bool(line.split("#")[0].strip()) for line in s.text.splitlines())
               for s in BY_DOCUMENT[PLUGINS] if s.language == "python" and s.file}  # fmt: skip
    assert set(lengths) == {"my_variant.py", "my_dataset.py", "my_meter.py", "my_method.py"}
    assert max(lengths.values()) <= 15, lengths


def test_the_meter_of_the_page_reads_a_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the joules between the window's edges as counted, and says what is missing where nothing counts."""
    from greenbench.plugins import Reading

    install_plugins(tmp_path, BY_DOCUMENT[PLUGINS])
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.entries.cache_clear()
    try:
        meter = registry.create("meters", "bmc", {"path": str(tmp_path / "energy_j")})
    finally:
        registry.entries.cache_clear()
    assert "start the daemon" in meter.unavailable()
    (tmp_path / "energy_j").write_text("1000.5\n")
    assert meter.unavailable() is None
    reading = Reading()
    with meter.window(reading):
        (tmp_path / "energy_j").write_text("1042.5\n")
    found = reading.quantities["energy_system_j"]
    assert (found.value, found.method, found.source) == (42.0, "counter", "bmc")


WRONG = [
    ("sh", "greenbench rnu suite.yaml\n"), ("sh", "greenbnech run\n"), ("sh", "greenbench run --limt 2\n"),
    ("sh", "cd x && greenbench lineage\n"), ("sh", "greenbench run s.yaml --protocol quik | cat\n"),
    ("sh", "greenbench compare a b --fail-on 'wer:-0.2pp'\n"), ("sh", "greenbench export r --format cvs --out x\n"),
    ("sh", "greenbench run --set protokol.rounds=3\n"), ("sh", ".venv/bin/greenbench run --device gpu\n"),
    ("sh", "python -m greenbench reprot x\n"), ("sh", "pip install 'greenbench[onxx]'\n"),
    ("sh", "greenbench power attach r --log x --serie y\n"), ("sh", "sudo greenbench docter\n"),
    ("yaml", "name: a\ndatasets: [quickstart]\nvariants: [null/instant]\nbatchsizes: [8]\n"),
    ("yaml", "name: a\ndatasets: [quickstrat]\nvariants: [null/instant]\n"),
    ("yaml", "name: a\nteacher: wav2vec2/quickstart\nsteps: [{use: layer-drop, kep: 4}]\n"),
    ("yaml", "jobs: {a: {steps: [{run: greenbench runn}]}}\n"), ("yaml", "name: a\n"),
    ("python", "from greenbench.compress import LayerDorp\n"),
    ("python", "import greenbench\ngreenbench.run(limits=2)\n"),
    ("python", "import greenbench\ngreenbench.laod('x')\n"), ("python", "x ==\n"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text"), WRONG, ids=[text.splitlines()[-1] for _, text in WRONG])
def test_what_is_misspelt_fails(language: str, text: str, tmp_path: Path) -> None:
    """Each such block would be refused on a page."""
    with pytest.raises((ValueError, GreenbenchError)):
        TOOL.check(TOOL.Snippet(ROOT / "README.md", 1, language, text), tmp_path)


@pytest.mark.parametrize("text", ["`greenbench rnu`", "`greenbench run --limt 2`", "`pip install 'greenbench[onxx]'`"])
def test_what_is_misspelt_in_prose_fails(text: str, tmp_path: Path) -> None:
    """A code span is checked as well."""
    page = tmp_path / "page.md"
    page.write_text(f"Call {text}.\n\n| a |\n|---|\n| {text} |\n")
    (code, again) = TOOL.inline(page)
    assert code == again
    with pytest.raises(ValueError, match="no such"):
        TOOL.check_inline(code)


@pytest.mark.parametrize(
    "text",
    [
        "```\ngreenbench run\n```\n",
        "```bash\nls\n```\n",
        "<!-- not run: x -->\n\nText.\n",
        "- a\n\n  ```shell\n  x\n  ```\n",
    ],
)
def test_no_block_escapes(text: str, tmp_path: Path) -> None:
    """A fence without a known language is refused, in lists too, and so is a comment that stands before none."""
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md"):
        TOOL.read(page)


def test_a_comment_says_what_becomes_of_a_block(tmp_path: Path) -> None:
    """The reason why it is not run, what is replaced in it, and how it ends; what is to be replaced must be there."""
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: takes long -->\n```sh\nls\n```\n\n<!-- in the tests: 5 -> 6; exit code 3 -->\n```sh\na 5\n```\n"
    )
    first, second = TOOL.read(page)
    assert (first.not_run, second.not_run, second.changed(), second.exit_code) == ("takes long", None, "a 6\n", 3)
    page.write_text("<!-- in the tests: 7 -> 6 -->\n```sh\na 5\n```\n")
    (third,) = TOOL.read(page)
    third = TOOL.Snippet(ROOT / "README.md", 1, "sh", third.text, changes=third.changes)
    with pytest.raises(ValueError, match="there is no '7'"):
        third.changed()


# --- run -------------------------------------------------------------------------------------------------

RUNNABLE = [
    document
    for document, found in BY_DOCUMENT.items()
    if any(not s.not_run and s.language in ("sh", "python") for s in found)
]

GREENBENCH = """#!/bin/bash
# greenbench as the pages call it, with the shortest protocol and little speech
if [ "$1" = run ]; then
  shift
  small=(--set 'protocol={use: quick, repeats: 1, window_s: 0.1, idle_s: 0}')
  small+=(--set control=false --set 'scenarios=[offline]')
  set -- run "${small[@]}" --limit 9 "$@"
fi
exec PYTHON -m greenbench "$@"
"""

RUNS = ("results/mine", "results/before", "results/after", "laptop/results/mine", "server/results/mine")
"""Runs that pages speak of; one that a page makes itself is not put there."""


def executable(path: Path, text: str) -> None:
    path.write_text(text.replace("PYTHON", sys.executable))
    path.chmod(0o755)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `greenbench`, `pytest` and `python` are this checkout's."""
    folder = tmp_path_factory.mktemp("bin")
    executable(folder / "greenbench", GREENBENCH)
    executable(folder / "pytest", '#!/bin/bash\nexec PYTHON -m pytest -p no:cacheprovider "$@"\n')
    executable(folder / "python", '#!/bin/bash\nexec PYTHON "$@"\n')
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}


def furnish(folder: Path) -> None:
    """Put there what pages take for granted: the user's model and manifest, and the suites of the repository."""
    (folder / "suites").symlink_to(ROOT / "suites")
    (folder / "models").mkdir()
    (folder / "models" / "mine").symlink_to(QUICKSTART / "students" / "quickstart-2l")
    (folder / "audio").symlink_to(QUICKSTART / "evaluation")
    lines = [json.loads(line) for line in (QUICKSTART / "evaluation" / "manifest.jsonl").read_text().splitlines()]
    ours = [{**line, "audio_filepath": f"audio/{line['audio_filepath']}"} for line in lines]
    one_a_speaker = list({line["speaker"]: line for line in ours}.values())
    (folder / "speech.jsonl").write_text("".join(json.dumps(line) + "\n" for line in one_a_speaker))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """Two runs of the null family, in three rounds each, so that they can be compared and ranked."""
    folder = tmp_path_factory.mktemp("measured")
    suite = {"name": "mine", "datasets": ["quickstart"], "variants": ["null/rtfx-100", "null/instant"]}
    (folder / "suite.yaml").write_text(json.dumps(suite))
    for name in ("before", "after"):
        command = f"greenbench run suite.yaml --set protocol.rounds=3 --out {name}"
        subprocess.run(["bash", "-euc", command], cwd=folder, env=environment, check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("document", RUNNABLE, ids=name_of)
def test_the_blocks_of_a_page_run(document: Path, tmp_path: Path, environment: dict[str, str], measured: Path) -> None:
    """One after the other, in one folder, as a reader would, with little speech and the shortest protocol."""
    furnish(tmp_path)
    snippets = BY_DOCUMENT[document]
    install_plugins(tmp_path, snippets)
    texts = "\n".join(snippet.text for snippet in snippets)
    for place in RUNS:
        is_made = f"--out {place}" in texts or f'out="{place}"' in texts
        if not is_made and (place in texts or f"{Path(place).parent} " in texts):
            shutil.copytree(measured / ("before" if place.endswith("before") else "after"), tmp_path / place)
    environment = {**environment, "PYTHONPATH": str(tmp_path)}
    for snippet in snippets:
        if not snippet.not_run:
            take(snippet, tmp_path, environment)
    for run in (path.parent for path in tmp_path.rglob("records.jsonl")):
        rows = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
        rows = [row for row in rows if row["skipped_for"] != "emulated"]  # bf16, where the CPU has no arithmetic for it
        assert {row["status"] for row in rows} == {"ok"}, [row["reason"] for row in rows]
        assert {path.name for path in run.iterdir()} - {".lock", ".writer.json"} <= {name.rstrip("/") for name in FILES}


def take(snippet: Any, folder: Path, environment: dict[str, str]) -> None:
    """Write the file that a block is, or run it."""
    text = snippet.changed()
    command = {"sh": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}.get(
        snippet.language
    )
    if snippet.file:
        (folder / snippet.file).write_text(text)
    elif command:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == snippet.exit_code, (
            f"{snippet.place}\n{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
