"""The documentation cannot rot: what it says of commands, metrics, suites and versions is checked."""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import yaml

from greenbench import __version__, registry, suite
from greenbench.protocol import PROTOCOLS, Protocol
from greenbench.scenarios import Scenario

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def load_tool():
    spec = importlib.util.spec_from_file_location("readme_tool", ROOT / "tools" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        spec.loader.exec_module(module)
    return module


TOOL = load_tool()
COMMANDS = TOOL.commands()


@pytest.fixture(scope="module")
def tool():
    """The script that writes the generated parts."""
    return TOOL


def generated(part: str) -> str:
    found = re.search(rf"<!-- generated: {part} -->\n(.*?)\n?<!-- end -->", README, flags=re.S)
    assert found, f"the README has no part '{part}'"
    return found[1]


def test_the_readme_shows_the_commands_as_they_are(tool) -> None:
    """Every command and option stands in the README with its help; `python tools/readme.py` mends it."""
    assert generated("help") == tool.command_help()


def test_the_readme_shows_the_metrics_as_they_are(tool) -> None:
    """The README's table is the METRICS table; `python tools/readme.py` mends it."""
    assert generated("metrics") == tool.metrics_table()


def test_the_readme_shows_the_flags_as_they_are(tool) -> None:
    """The README's table is the FLAGS table; `python tools/readme.py` mends it."""
    assert generated("flags") == tool.flags_table()


@pytest.fixture(scope="module")
def committed(tool):
    """The committed runs, unpacked."""
    with tool.figures.unpacked() as runs:
        yield runs


PLACES = [
    pytest.param(document, name, content, id=f"{document.relative_to(ROOT)}:{name}")
    for document in TOOL.DOCUMENTS
    for name, content in TOOL.parts(document.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("document", "name", "content"), PLACES)
def test_every_figure_is_that_of_committed_rows(tool, committed, document: Path, name: str, content: str) -> None:
    """What a document quotes is what its rows and files give now; `python tools/readme.py` mends it."""
    assert content.strip() == tool.part(name, committed).strip()


def test_every_part_that_can_be_generated_is_used() -> None:
    """No figure is computed for nobody."""
    assert {*TOOL.DECLARED, *TOOL.figures.PARTS} == {place.values[1] for place in PLACES}


MEASURED = r"\d\.\d+ ?%|\d(\.\d+)? times (as|smaller)|\d kJ|WER (is|of|was) \d|\d\.\d+x\b|RTFx \d|-> \d"


@pytest.mark.parametrize("document", TOOL.DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_measured_figure_is_written_by_hand(tool, document: Path) -> None:
    """Beside the generated parts there is no error rate, no factor of speed or size, and no energy."""
    prose = tool.GENERATED.sub("", document.read_text(encoding="utf-8"))
    assert [line for line in prose.splitlines() if re.search(MEASURED, line)] == []


def test_documents_take_fewer_and_more_runs(tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any committed run every part is there still, and what no row holds is not written."""
    monkeypatch.setattr(tool.figures, "ENTRIES", tmp_path)
    with tool.figures.unpacked() as runs:
        for document in tool.DOCUMENTS:
            text = tool.rewritten(document.read_text(encoding="utf-8"), runs)
            assert tool.rewritten(text, runs) == text
            assert len(list(tool.parts(text))) == len(list(tool.parts(document.read_text(encoding="utf-8"))))
        assert "whisper-english" not in tool.part("teacher-wer", runs)


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_every_command_that_is_mentioned_exists(file: str) -> None:
    """No document names a command or option of greenbench that is not there."""
    text = (ROOT / file).read_text()
    for line in re.findall(r"greenbench (\w+[^`\n]*)", text):
        words = (
            shlex.split(line, comments=True) if line.count('"') % 2 == 0 and line.count("'") % 2 == 0 else line.split()
        )
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), None)
        if name is None:
            continue
        valid = {option for p in COMMANDS[name].params for option in p.opts}
        assert {w for w in words if w.startswith("--")} <= valid, line
    for command in re.findall(r"`greenbench (\w+)", text):
        assert command in {name.split()[0] for name in COMMANDS}, command


def test_every_command_is_in_readme_and_changelog() -> None:
    """A command that exists is documented in both."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for name in COMMANDS:
        assert f"`greenbench {name}" in README
        assert re.search(rf"`(greenbench )?{name}`", changelog), name


def test_the_changelog_knows_this_version() -> None:
    """The version of the package has its entry."""
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_readme_suite_loads() -> None:
    """The suite that the README shows is valid, and it names every key a suite may have or its default applies."""
    (block,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.S)
    loaded = suite.load(yaml.safe_load(block))
    assert len(loaded.variants) == 9, "five, one by its name's suffix, and three alternatives"


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_suite_loads_and_is_in_the_readme(path: Path) -> None:
    """The suites that come along are valid and named in the README."""
    assert suite.load(path).name == path.stem
    assert f"suites/{path.name}" in README


def test_the_readme_has_every_exit_code() -> None:
    """The line on exit codes names those that the command line and its errors end with, and no other."""
    (line,) = re.findall(r"^Exit codes: (.*?\.)$", README, flags=re.S | re.M)
    files = [*(ROOT / "greenbench" / "cli").glob("*.py"), ROOT / "greenbench" / "errors.py"]
    source = "".join(file.read_text() for file in files)
    used = set(re.findall(r"typer\.Exit\((\d+)\)|exit_code = (\d+)", source))
    assert {"0", *(a or b for a, b in used)} == set(re.findall(r"\b(\d+) ", line))


def test_the_readme_protocols_are_the_protocols() -> None:
    """The README's table has a column for each protocol."""
    assert f"| step | {' | '.join(PROTOCOLS)} |" in README


def test_every_step_of_a_protocol_is_in_the_readme() -> None:
    """Each step stands in the table under the name that overrides it."""
    steps = {name for line in README.splitlines() if line.startswith("| ") for name in re.findall(r"`(\w+)`", line)}
    assert set(Protocol.__dataclass_fields__) <= steps


def test_every_registered_group_is_described() -> None:
    """The README names each entry-point group."""
    assert all(f".{group}`" in README or f"greenbench.{group}" in README for group in registry.GROUPS)


def test_ci_runs_the_readme_line() -> None:
    """The README has exactly one test command, which .ci/run picks out."""
    lines = [line for line in README.splitlines() if re.match(r"python3 -m venv .*pytest", line)]
    assert len(lines) == 1


def test_the_page_on_measurement_explains_every_flag_and_energy_source() -> None:
    """docs/measurement.md has a row for each flag, and names each meter of energy and each scenario."""
    from greenbench.validity import FLAGS

    page = (ROOT / "docs" / "measurement.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \|", page, flags=re.M)
    assert [name for name in rows if name in FLAGS] == list(FLAGS)
    for source in ("rapl", "nvml-total-energy", "nvml-power", "external", "hwmon", "battery", "codecarbon-tdp"):
        assert f"`{source}`" in page
    assert all(f"| `{name}` |" in page for name in get_args(Scenario))
