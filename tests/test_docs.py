"""The documentation cannot rot: what it says of commands, keys, columns, suites and versions is checked."""

import importlib.util
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import get_args

import pytest
import yaml
from markdown_it import MarkdownIt

from greenbench import registry
from greenbench.analysis.cells import CellSummary, Spread
from greenbench.metrics import METRICS
from greenbench.power.log import EXTERNAL
from greenbench.provenance import PROVENANCE
from greenbench.results import store
from greenbench.results.flags import FLAGS
from greenbench.suite import config
from greenbench.suite.protocol import PROTOCOLS, steps_of
from greenbench.suite.scenarios import Scenario
from greenbench.validate.joules import SOURCES
from greenbench.version import __version__

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def load_tool():
    spec = importlib.util.spec_from_file_location("readme_tool", ROOT / "tools" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        spec.loader.exec_module(module)
    return module


TOOL = load_tool()
COMMANDS = TOOL.reference.commands()


@pytest.fixture(scope="module")
def tool():
    """The script that writes the generated parts."""
    return TOOL


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
def test_every_generated_part_is_as_the_program_has_it(
    tool, committed, document: Path, name: str, content: str
) -> None:
    """What a document quotes is what tables, rows and files give now; `python tools/readme.py` mends it."""
    assert content.strip() == tool.part(name, committed).strip()


def test_every_part_that_can_be_generated_is_used() -> None:
    """No figure and no table is made for nobody."""
    assert {*TOOL.reference.PARTS, *TOOL.figures.PARTS} == {place.values[1] for place in PLACES}


SIMULATED = [DOCS / "explanation" / name for name in ("measurement.md", "comparing.md")]
"""Pages whose figures are of simulations, of other people's papers and of constants, each with a test of its own."""

MEASURED = r"\d\.\d+ ?%|\d(\.\d+)? times (as|smaller)|\d kJ|WER (is|of|was) \d|\d\.\d+x\b|RTFx \d|-> \d"


@pytest.mark.parametrize(
    "document", [path for path in TOOL.DOCUMENTS if path not in SIMULATED], ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_measured_figure_is_written_by_hand(tool, document: Path) -> None:
    """Beside the generated parts there is no error rate, no factor of speed or size, and no energy."""
    prose = re.sub("<!-- in the tests: .*? -->", "", tool.GENERATED.sub("", document.read_text(encoding="utf-8")))
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


def test_a_packed_run_fills_the_page_on_shapes(tool, committed) -> None:
    """The teacher and each of its builds get a line, and their rate on all voices is between those on known and new."""
    folder = committed.folders["students"]
    told = tool.part("smaller-faster", tool.figures.Runs({"smaller-faster": folder}))
    table = [line.strip("| ").split(" | ") for line in told.splitlines() if re.match(r"\| `(wav|file)", line)]
    lines = {cells[0].strip("`"): cells for cells in table}
    rows = [row for row in store.read_rows(folder / store.RECORDS) if row["status"] == "ok"]
    assert set(lines) == {row["variant"] for row in rows}
    assert lines["wav2vec2/quickstart"][1] == "6.03"
    for row in rows:
        known, new = map(float, lines[row["variant"]][-2:])
        assert known - 0.05 <= 100 * row["wer"] <= new + 0.05


def test_sizes_are_ranked_by_what_they_cost(tool) -> None:
    """Where the smaller build is always faster tau is 1, where always slower -1; what is not known has none."""

    def cell(n_params: float, model_bytes: float, rtfx: float):
        found = {"n_params": n_params, "model_bytes": model_bytes, "rtfx": rtfx}
        return CellSummary({}, spreads={name: Spread((v,), ((0, 0),), v, v, v) for name, v in found.items()})

    parameters, n_bytes, macs = tool.figures.shapes.orders([cell(3, 1, 10), cell(2, 2, 20), cell(1, 3, 30)])
    assert list(parameters.values()) == ["parameters", "+1.00", None]
    assert list(n_bytes.values())[1] == "-1.00"
    assert list(macs.values())[1] is None


# --- the generated reference says everything -------------------------------------------------------------


def described(page: str) -> set[str]:
    """The names in the first cell of the rows of a page's tables, and its headings that are code."""
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    return {
        name
        for cell in re.findall(r"^(?:\||#+) (`[^|\n]+)", text, flags=re.M)
        for name in re.findall("`([^`]+)`", cell)
    }


def test_the_reference_has_every_table_of_the_program() -> None:
    """Metrics, provenance, flags, steps, keys, plug-ins and commands are on their pages, with a meaning each."""
    assert described("metrics.md") == set(METRICS)
    assert described("row.md") == set(PROVENANCE)
    assert described("flags.md") == set(FLAGS)
    assert described("protocols.md") == set(steps_of(PROTOCOLS["quick"]))
    assert {*config.Suite.model_fields, *registry.names("datasets"), *registry.names("meters")} <= described("suite.md")
    assert {f"greenbench {name}" for name in COMMANDS} <= described("commands.md")
    assert set(registry.names("methods")) <= described("builds.md")


@pytest.mark.parametrize("page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.stem)
def test_no_cell_of_the_reference_is_empty(page: Path) -> None:
    """Each name in a table has something said of it: a key without a docstring fails here."""
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert [row for row in rows if re.search(r"\|\s*\|", row)] == []


def test_the_glossary_has_what_is_ours_alone() -> None:
    """Keys of a row and groups of plug-ins that no other tool has, and the words of suites; in alphabetical order."""
    page = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
    entries = [entry.lower() for entry in re.findall(r"^\| ([A-Z][^|]+) \| \S", page, flags=re.M)]
    ours = {
        "suite", "cell", "window", "repeat", "round", "variant", "build", "method", "recipe", "student, teacher",
        "protocol", "scenario", "meter", "platform", "flag", "gate", "control", "scope", "origin", "lineage",
    }  # fmt: skip
    assert ours <= set(entries)
    assert entries == sorted(entries)


def test_what_is_declared_is_installed(tool) -> None:
    """Every plug-in that pyproject.toml declares is here; if not, install anew: pip install -e ."""
    installed = distribution("greenbench").entry_points
    assert tool.lacking(installed) == []
    assert tool.lacking(one for one in installed if one.name != "rapl") == ["rapl"]


def test_the_readme_is_short_and_has_no_generated_part(tool) -> None:
    """It is read in five minutes; what is long is in docs."""
    assert len(README.splitlines()) <= 150
    assert list(tool.parts(README)) == []


# --- links and navigation --------------------------------------------------------------------------------

PAGES = sorted(path for path in DOCS.rglob("*.md") if DOCS / "upstream" not in path.parents)


def links(document: Path) -> list[str]:
    """The targets of links and images of a document."""
    inline = [token.children or () for token in MarkdownIt("commonmark").parse(document.read_text(encoding="utf-8"))]
    return [child.attrs.get("href") or child.attrs["src"] for tokens in inline for child in tokens
            if child.type in ("link_open", "image")]  # fmt: skip


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_link_leads_somewhere(document: Path) -> None:
    """The file is there, and so is the heading; a page of the site links to no file outside it."""
    for link in links(document):
        place, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), link
        assert document not in PAGES or target.is_relative_to(DOCS), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_navigation_and_the_readme() -> None:
    """The site shows all pages, and the README leads to each."""
    sections = [
        pages for section in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"] for pages in section.values()
    ]
    listed = [
        [pages] if isinstance(pages, str) else [name for page in pages for name in page.values()] for pages in sections
    ]
    shown = [name for names in listed for name in names]
    assert sorted(shown) == sorted(str(page.relative_to(DOCS)) for page in PAGES)
    linked = {(ROOT / link).resolve() for link in links(ROOT / "README.md") if "://" not in link}
    hidden = {page for page in PAGES if page not in linked}
    assert hidden == {DOCS / "index.md", DOCS / "explanation" / "robustness.md"}


# --- README and the other documents ----------------------------------------------------------------------


def test_every_command_is_in_the_changelog() -> None:
    """A command that exists is in the list of changes."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for name in COMMANDS:
        assert re.search(rf"`(greenbench )?{name}`", changelog), name


def test_the_changelog_knows_this_version() -> None:
    """The version of the package has its entry."""
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_suite_loads_and_is_documented(path: Path) -> None:
    """The suites that come along are valid and named in the documentation."""
    assert config.load(path).name == path.stem
    assert f"suites/{path.name}" in (DOCS / "reference" / "suite.md").read_text()


def test_the_reference_has_every_exit_code() -> None:
    """The table of exit codes names those that the command line and its errors end with, and no other."""
    page = (DOCS / "reference" / "commands.md").read_text()
    files = [*(ROOT / "greenbench" / "cli").glob("*.py"), ROOT / "greenbench" / "errors.py"]
    source = "".join(file.read_text() for file in files)
    used = set(re.findall(r"typer\.Exit\((\d+)\)|exit_code = (\d+)", source))
    assert {"0", *(a or b for a, b in used)} == set(re.findall(r"^\| (\d+) \|", page, flags=re.M))


def test_the_protocols_are_the_columns_of_their_table() -> None:
    """The table has a column for each protocol."""
    assert f"| step | {' | '.join(PROTOCOLS)} |" in (DOCS / "reference" / "protocols.md").read_text()


def test_every_registered_group_is_described() -> None:
    """The page on plug-ins names each entry-point group."""
    page = (DOCS / "how-to" / "plug-in.md").read_text()
    assert [group for group in registry.GROUPS if f"greenbench.{group}" not in page] == []


def test_ci_runs_the_readme_line() -> None:
    """The README has exactly one test command, which .ci/run picks out."""
    lines = [line for line in README.splitlines() if re.match(r"python3 -m venv .*pytest", line)]
    assert len(lines) == 1


def test_the_docs_explain_every_flag_and_energy_source() -> None:
    """Each flag has a row that says what to do, and the page on measurement names each meter of energy and scenario."""
    remedies = (DOCS / "reference" / "flags.md").read_text().partition("## Why a flag matters")[2]
    assert re.findall(r"^\| `([a-z-]+)` \|", remedies, flags=re.M) == list(FLAGS)
    page = (DOCS / "explanation" / "measurement.md").read_text()
    for source in (*SOURCES, EXTERNAL):
        assert f"`{source}`" in page
    assert all(f"| `{name}` |" in page for name in get_args(Scenario))


def test_the_architecture_names_what_is_there() -> None:
    """Each path on the page exists; tests/test_rooms.py holds the picture."""
    page = DOCS / "explanation" / "architecture.md"
    paths = set(re.findall(r"`(greenbench/[\w./]+)`", page.read_text()))
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
