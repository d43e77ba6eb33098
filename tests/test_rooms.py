"""The order of the rooms: which folder of the package may import which, read from every import that there is."""

import ast
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = "greenbench"
ROOT = Path(__file__).parents[1] / PACKAGE

HOUSE = """
    version errors wording registry metrics provenance identifiers extras assets files cache guard processes
    statistics plugins text tasks streaming hardware meters datasets models variants compress.distill compress power
    suite recipes results harness analysis
    report validate export sharing leaderboard doctor fleets
    cli
    api pytest_plugin __init__ __main__
"""
"""The rooms in their order; each imports only from those before it, and what is new gets its place here.

Ground first: no room's business, and every room's tools. Then the way of the data: a suite is read, results say what a
row is, the harness fills them, analysis compares them. Then what shows and shares results, the commands, and the face.
"""

Imports = Mapping[str, frozenset[str]]
"""Module -> the modules that it imports, wherever in its text."""


def modules(root: Path) -> dict[str, Path]:
    """Return the modules of a package by name; a folder's ``__init__`` has the folder's name."""
    found = {".".join(path.relative_to(root).with_suffix("").parts): path for path in sorted(root.rglob("*.py"))}
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def imports(root: Path) -> dict[str, frozenset[str]]:
    """Return what each module of a package imports of it: at the top, in functions and for types alike."""
    known = modules(root)
    return {name: frozenset(_imported(path, known, root.name)) - {name} for name, path in known.items()}


def _imported(path: Path, known: Mapping[str, Path], package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports here are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == package:
                yield rest if rest in known else rest.rpartition(".")[0] or "__init__"


def room(module: str, house: list[str]) -> str:
    """Return the room of a module: the innermost folder that the house names, or the module itself."""
    parts = module.split(".")
    return next((name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in house), module)


def circles(graph: Imports) -> list[list[str]]:
    """Return the groups whose members import each other, however many steps apart."""
    reached = {name: _reached(name, graph) for name in graph}
    groups = {tuple(sorted(n for n in graph if name in reached[n] and n in reached[name])) for name in graph}
    return sorted(list(group) for group in groups if len(group) > 1)


def _reached(start: str, graph: Imports) -> set[str]:
    found, left = {start}, [start]
    while left:
        new = graph.get(left.pop(), frozenset()) - found
        found |= new
        left += new
    return found


def problems(root: Path, house: list[str]) -> list[str]:
    """Say what of a package is not in the order of a house."""
    graph = imports(root)
    rooms = {name: room(name, house) for name in graph}
    homeless = [f"{name}: in no room of the house" for name in graph if rooms[name] not in house]
    if homeless:
        return homeless
    place = house.index
    back = [
        f"{name} imports {other}: {rooms[other]} comes after {rooms[name]}"
        for name, others in graph.items()
        for other in sorted(others)
        if place(rooms[other]) > place(rooms[name])
    ]
    return [*back, *(f"circle of files: {', '.join(circle)}" for circle in circles(graph))]


def test_no_room_imports_from_one_that_comes_after_it() -> None:
    """No arrow goes back, no room stands twice, so that there is no circle of rooms; and no circle of files."""
    house = HOUSE.split()
    assert len(house) == len(set(house))
    assert problems(ROOT, house) == []


def test_the_name_of_a_class_has_one_meaning() -> None:
    """No two modules define classes, or a class and a type alias, that differ by an underscore at most."""
    nodes = [(name, node) for name, path in modules(ROOT).items() for node in ast.parse(path.read_text("utf-8")).body]
    defined: dict[str, list[str]] = {}
    for module, node in nodes:
        if isinstance(node, ast.ClassDef):
            defined.setdefault(node.name.lstrip("_"), []).append(module)
    assigned = [(part.id, module) for module, node in nodes if isinstance(node, ast.Assign)
                for part in node.targets if isinstance(part, ast.Name)]  # fmt: skip
    assert {name: places for name, places in defined.items() if len(places) > 1} == {}
    assert [place for place in assigned if place[0] in defined] == []


def test_the_house_names_no_room_that_is_not_there() -> None:
    """A room that was emptied leaves the list."""
    known = modules(ROOT)
    assert [name for name in HOUSE.split() if name not in known] == []


def test_the_picture_is_of_this_house() -> None:
    """The page on architecture shows every folder, in this order; `python tools/rooms.py` draws it anew."""
    drawn = (ROOT.parent / "docs" / "explanation" / "rooms.svg").read_text(encoding="utf-8")
    assert drawn == runpy.run_path(str(ROOT.parent / "tools" / "rooms.py"))["picture"]()
    boxes = re.findall(r">(\w+)/<", drawn)
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert set(boxes) == folders
    bands = [[name for name in line.split() if name in folders] for line in HOUSE.strip().splitlines()]
    assert boxes == [name for band in reversed(bands) for name in band]


@pytest.mark.parametrize(
    ("module", "text", "problem"),
    [
        ("low.a", "from fake.high import b", "low.a imports high.b: high comes after low"),
        ("low.a", "def f():\n    from fake.high.b import x", "low.a imports high.b: high comes after low"),
        ("low.a", "if TYPE_CHECKING:\n    import fake.high.b", "low.a imports high.b: high comes after low"),
        ("low.a", "from fake import high", "low.a imports high: high comes after low"),
        ("low.c", "from fake.low import a", "circle of files: low.a, low.c"),
        ("other.d", "", "other.d: in no room of the house"),
        ("high.b", "from fake.low import a", None),
    ],
)  # fmt: skip
def test_a_planted_arrow_is_found(tmp_path: Path, module: str, text: str, problem: str | None) -> None:
    """An import back is found at the top of a module, in a function and for types; so are circles and new folders."""
    files = {"__init__": "", "low.__init__": "", "high.__init__": "", "low.a": "from fake.low import c", "low.c": "",
             "high.b": "", module: text}  # fmt: skip
    if module == "low.a":
        files["low.c"] = ""
    for name, content in files.items():
        path = tmp_path / "fake" / Path(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    found = problems(tmp_path / "fake", ["low", "high", "__init__"])
    assert found == ([] if problem is None else [problem])


# --- what tests replace ----------------------------------------------------------------------------------

REPLACES = ("setattr", "delattr", "object", "patch")
"""The calls by which pytest and unittest.mock put something else in the place of a name."""

WITHOUT_SEAM = ("pynvml",)
"""Modules of others that keep a state between tests and have no public name to clear it by."""


def replaced(text: str) -> Iterator[str]:
    """Yield the private names of the package that a test replaces."""
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr in REPLACES):
            continue
        if call.args and isinstance(call.args[0], ast.Name) and call.args[0].id in WITHOUT_SEAM:
            continue
        names = [arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        yield from (name for name in names if re.fullmatch(r"([\w.]+\.)?_[a-zA-Z]\w*", name))


def test_no_test_replaces_a_private_name() -> None:
    """What a test replaces is a public name: a private one is its module's own business, and may change any day."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    assert [f"{path.name}: {name}" for path in files for name in replaced(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('patch.setattr(store, "_append", fill)', ["_append"]),
        ('monkeypatch.setattr("greenbench.results.store._append", fill)', ["greenbench.results.store._append"]),
        ('mock.patch("a._b")', ["a._b"]),
        ('patch.setattr(store, "append", fill)', []),
        ('patch.setattr(Extractor, "__call__", watched)', []),
        ('patch.setattr(pynvml, "_count", 0)', []),
    ],
)
def test_a_planted_replacement_is_found(text: str, found: list[str]) -> None:
    """Both ways to name it are seen; public and special names may be replaced."""
    assert list(replaced(text)) == found
