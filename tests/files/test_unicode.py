"""Text for people: nothing that a plug-in or a file of results says steers a terminal or becomes a formula."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from greenbench.files.unicode import for_csv, for_markdown, for_terminal, visible
from greenbench.results import store

PACKAGE = Path(store.__file__).parent
NASTY = "a\x1b[2J\x07\r\x9b31m\u202eb\u2066c\ufeff|d\nerror: e\tf"
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_what_steers_a_terminal_is_an_escape() -> None:
    """Lines and tabs of a text stay; of a name they are escapes, so that none pretends to be a message of ours."""
    assert for_terminal("line\n\tschön 語音 😀 नमस्ते\u200d") == "line\n\tschön 語音 😀 नमस्ते\u200d"
    assert for_terminal("\x1b[31m\x07\x9b\u202e\x7f") == r"\u001b[31m\u0007\u009b\u202e\u007f"
    assert visible("a\nerror: b\t\r") == r"a\nerror: b\t\r"
    assert not STEERS.search(for_terminal(NASTY))
    assert json.loads(for_terminal(json.dumps([NASTY], ensure_ascii=False))) == [NASTY], "JSON stays the same JSON"


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=1", "\uff1d1"]
)
def test_no_cell_is_a_formula(text: str) -> None:
    assert for_csv(text).startswith("'")
    assert visible(text) in for_csv(text)


@pytest.mark.parametrize("value", [-1.5, 3, None, True, "a-b", "x=1", ""])
def test_numbers_and_usual_texts_are_as_they_were(value: object) -> None:
    assert for_csv(value) == value


def test_a_text_of_markdown_is_shown_as_it_is() -> None:
    assert for_markdown("a|b *c* <script> `d`\n# e") == r"a\|b \*c\* &lt;script&gt; \`d\` \# e"
    assert not STEERS.search(for_markdown(NASTY))
    assert "\n" not in for_markdown(NASTY)


def test_every_print_goes_through_one_function() -> None:
    """The command line prints by ``console`` and by rich's consoles, whose texts are made visible."""
    allowed = {PACKAGE / "cli/console.py"}
    direct = re.compile(r"(typer|click)\.s?echo\(|(?<![\w.])print\(|\.console\.print\(")
    found = [
        f.name for f in (PACKAGE / "cli").rglob("*.py") if f not in allowed and direct.search(f.read_text("utf-8"))
    ]
    assert found == []


@pytest.fixture(scope="module")
def nasty_run(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose names, reasons and data sets hold what steers terminals and begins formulas."""
    folder = tmp_path_factory.mktemp("nasty") / "run"
    store.write_run(folder, store.read_run(whole_run))
    rows = [*store.read_rows(whole_run / store.RECORDS)]
    for number, name in enumerate((f"={NASTY}", f"@{NASTY}")):
        store.append(folder, [{**row, "variant": name, "dataset": NASTY, "device_name": f"+{NASTY}"} for row in rows])
        dead = {**rows[0], "variant": f"-dead{number}", "status": "error", "reason": NASTY, "repeat": None}
        store.append(folder, [dead])
    return folder


@pytest.mark.parametrize("form", ["csv", "codecarbon"])
def test_no_csv_holds_what_steers_or_a_formula(nasty_run: Path, tmp_path: Path, form: str) -> None:
    from greenbench.export import write

    (path,) = write(nasty_run, form, tmp_path / "out.csv")
    text = path.read_bytes().decode()
    assert not STEERS.search(text.replace("\r\n", "\n"))
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert any(cell.startswith("'=") for cell in cells) or form == "codecarbon"
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+")) or re.match(r"-\D", cell)]


@pytest.mark.parametrize(
    "command",
    [["report", "--table", "OUT.md"], ["report", "--table", "OUT.tex"], ["compare"], ["lineage"], ["validate"]],
)
def test_no_command_passes_on_what_steers(greenbench, nasty_run: Path, tmp_path: Path, command: list[str]) -> None:
    """On a foreign folder: neither output nor the tables hold a raw control character."""
    folders = [str(nasty_run)] * (2 if command[0] == "compare" else 1)
    rest = [str(tmp_path / word) if word.startswith("OUT") else word for word in command[1:]]
    more = ["--out", str(tmp_path / "page.html")] if command[0] == "report" else []
    done = greenbench(command[0], *folders, *rest, *more)
    told = done.stdout + done.stderr
    assert "Traceback" not in told
    assert not STEERS.search(told)
    for table in tmp_path.glob("OUT.*"):
        assert not STEERS.search(table.read_text("utf-8"))
