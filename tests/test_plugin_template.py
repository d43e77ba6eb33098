"""The template of plug-ins: what it renders is installed beside greenbench, passes its own tests, and is listed."""

import itertools
import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("copier") is None:
    pytest.skip("copier is not installed", allow_module_level=True)

TEMPLATE = Path(__file__).parents[1] / "tools" / "plugin-template"
PARTS = ("variant", "meter", "dataset", "method")


def copy(folder: Path, answers: Mapping[str, object]) -> "subprocess.CompletedProcess[str]":
    """Render the template in a process of its own: who imports copier warns when anybody looks through all modules."""
    answered = folder.parent / "answers.json"
    answered.write_text(json.dumps(answers), "utf-8")
    line = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", "--data-file", answered, TEMPLATE, folder]
    return subprocess.run(line, capture_output=True, text=True, check=False)


CHOICES = [some for n in range(1, len(PARTS) + 1) for some in itertools.combinations(PARTS, n)]

RENDER = """
import copier, json, sys
for parts in json.loads(sys.argv[1]):
    data = {"parts": parts, "package": "my-plugins", "name": "mine"}
    copier.run_copy(sys.argv[2], sys.argv[3] + "/" + "+".join(parts), data=data, defaults=True, quiet=True)
"""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package for every choice of parts, all written by one process."""
    folder = tmp_path_factory.mktemp("rendered")
    line = [sys.executable, "-c", RENDER, json.dumps(CHOICES), TEMPLATE, folder]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("parts", CHOICES, ids="+".join)
def test_each_choice_of_parts_is_whole(rendered: Path, parts: tuple[str, ...]) -> None:
    """A part has its module, its entry point and its tests, and of the others there is nothing."""
    package = rendered / "+".join(parts)
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    own = {name for part in parts for name in (f"my_plugins/{part}.py", f"tests/test_{part}.py")}
    assert files == own | {"README.md", "pyproject.toml", "my_plugins/__init__.py", "tests/test_plugins.py"}
    project = (package / "pyproject.toml").read_text("utf-8")
    assert [part for part in PARTS if f"greenbench.{part}s" in project] == [part for part in PARTS if part in parts]
    for name in files:
        text = (package / name).read_text("utf-8")
        assert "{%" not in text
        assert "{{" not in text
        if name.endswith(".py"):
            compile(text, name, "exec")


@pytest.mark.parametrize(
    "answers", [{"package": "My Plugins"}, {"package": "a--b"}, {"name": "x/y"}, {"parts": []}], ids=str
)
def test_what_cannot_be_a_name_is_refused(tmp_path: Path, answers: dict[str, object]) -> None:
    """Nothing is written for an answer that pip or a suite would not take."""
    done = copy(tmp_path / "p", answers)
    assert done.returncode != 0
    assert "expected" in done.stderr
    assert not (tmp_path / "p").exists()


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of a new environment, which sees what is installed here."""
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env").glob("[Ll]ib/**/site-packages")
    (site / "here.pth").write_text("\n".join(f"import site; site.addsitedir({place!r})" for place in sys.path if place))
    return next((tmp_path / "env").glob("[bS]*/python*"))


@pytest.mark.slow
def test_what_it_renders_works(tmp_path: Path, python: Path) -> None:
    """The whole package is installed, passes its tests, one of which runs a suite, and its parts are listed."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    done = copy(tmp_path / "p", {"parts": PARTS, "package": "my-plugins", "name": "mine"})
    assert done.returncode == 0, done.stderr
    package = tmp_path / "p"

    def call(*line: str | Path) -> str:
        done = subprocess.run([python, "-m", *line], cwd=package, env={**os.environ, "PYTHONPATH": ""},
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call("pip", "install", "-q", "--no-deps", "--no-build-isolation", ".")
    assert " passed" in call("pytest", "-q", "-p", "no:cacheprovider", "tests")
    for part in PARTS:
        listed = call("greenbench", "list", f"{part}s")
        assert ("{use: mine, ...}" if part == "variant" else "\nmine ") in listed
