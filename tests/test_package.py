"""The package as others get it: what wheel and sdist hold, their metadata, and the files about the project."""

import email
import email.message
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from greenbench import extras
from greenbench.version import __version__

ROOT = Path(__file__).parents[1]

NOT_SHIPPED = re.compile(r"^(tests|results|site)/|(^|/)(\.git|\.ci|__pycache__|\.[a-z]+_cache)/|\.py[co]$")


def tracked(*folders: str) -> set[str]:
    """The files that git knows below folders."""
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone: git does not say which files there are")
    return {name for name in listed.stdout.split("\0") if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built without an environment of its own."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, capture_output=True, check=True
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    """The wheel, open."""
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile) -> None:
    """Modules, templates, styles, speech, models and the quick start's suite are in it, as git has them."""
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == tracked("greenbench") | {"greenbench/assets/quickstart.yaml"}
    assert wheel.read("greenbench/assets/quickstart.yaml") == (ROOT / "suites/quickstart.yaml").read_bytes()


def test_the_wheel_has_the_assets(wheel: zipfile.ZipFile) -> None:
    """What the quick start and the pages do not work without is named here, whatever git knows."""
    names = "\n".join(wheel.namelist())
    for asset in (
        "assets/quickstart/teacher/model.safetensors", "assets/style.css", "assets/leaderboard.yml", "py.typed",
        "assets/plotly/plotly-basic.min.js", "assets/plotly/LICENSE",
        "report/page/page.html.jinja", "report/page/charts.js",
    ):  # fmt: skip
        assert f"greenbench/{asset}" in names, asset
    assert re.search(r"assets/quickstart/evaluation/.*\.(flac|ogg|opus|wav)$", names, flags=re.M)


def test_the_sdist_has_what_builds_and_documents_it(built: Path) -> None:
    """Package, suites and documents are in it; tests, results and caches are not."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert tracked("greenbench", "suites") <= names
    assert {
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "CITATION.cff",
        "PKG-INFO",
    } <= names
    assert {name for name in names if NOT_SHIPPED.search(name)} == set()


def test_the_metadata_is_what_an_index_asks_for(wheel: zipfile.ZipFile) -> None:
    """Name, version, licence, a readme in Markdown, links, and the extras with the pin of torch."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    told: email.message.Message = email.message_from_bytes(wheel.read(name))
    assert (told["Name"], told["Version"]) == ("greenbench", __version__)
    assert told["License-Expression"] == "Apache-2.0 AND MIT"  # MIT: plotly.js
    assert told["Description-Content-Type"] == "text/markdown"
    assert "# greenbench" in str(told.get_payload())
    assert len(told["Summary"]) <= 512
    urls = dict(line.split(", ", 1) for line in told.get_all("Project-URL", []))
    assert {"Repository", "Issues", "Changelog", "Paper"} <= set(urls)
    assert all(url.startswith("https://") for url in urls.values())
    assert set(extras.PACKAGES) <= set(told.get_all("Provides-Extra", []))
    needed = [line for line in told.get_all("Requires-Dist", []) if re.match("(torch|transformers)[^a-z]", line)]
    assert {line.partition(";")[0].strip() for line in needed} == {"torch<2.14,>=2.9", "transformers>=5.0"}
    assert all("extra == " in line for line in needed)
    assert any("extra == 'torch'" in line for line in needed)


def test_the_projects_home_is_one_placeholder() -> None:
    """All links to the repository name the same account, so that one search finds all that a release replaces."""
    files = [ROOT / name for name in tracked() if name.endswith((".md", ".toml", ".cff", ".yml", ".yaml"))]
    homes = {
        found for path in files for found in re.findall(r"github\.com/([\w.-]+)/greenbench", path.read_text("utf-8"))
    }
    assert homes == {"OWNER"}


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    """The file is YAML of the form that GitHub and Zenodo read, and has the paper with all its authors."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(cited)
    assert str(cited["version"]) == __version__
    (paper,) = cited["references"]
    assert paper["title"] == "Shrinking Bigfoot: Reducing wav2vec 2.0 footprint"
    assert paper["doi"].endswith("2021.sustainlp-1.14")
    assert [author["family-names"] for author in paper["authors"]] == [
        "Peng", "Budhkar", "Tuil", "Levy", "Sobhani", "Cohen", "Nassour"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["bug", "plug-in", "measurement"])
def test_issue_forms_are_whole(name: str) -> None:
    """Each is a form as GitHub takes it: a name, a description, and fields with a label."""
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text("utf-8"))
    assert {"name", "description", "body"} <= set(form)
    assert all(field["type"] in ("textarea", "dropdown", "input", "markdown") for field in form["body"])
    assert all(field["attributes"]["label"] for field in form["body"])


def test_ci_runs_what_the_project_runs() -> None:
    """The workflow calls the project's own scripts, and they are there."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    lines = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    for script in (".ci/run", "tools/light.py"):
        assert script in lines
        assert (ROOT / script).is_file()


def test_a_tool_of_ci_finds_the_package() -> None:
    """A step that runs one of our tools installs greenbench first, which the tools import."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    tools = [step["run"] for job in jobs.values() for step in job["steps"] if "python tools/" in step.get("run", "")]
    assert tools
    assert [line for line in tools if "pip install -e ." not in line.partition("python tools/")[0]] == []
