"""The documentation builds as a site, and strictly: a broken link or reference is an error."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder in which its pages are, with the package and the settings of this one."""
    pytest.importorskip("zensical", reason="the site needs `pip install '.[docs]'`")
    pytest.importorskip("mkdocstrings", reason="the site needs `pip install '.[docs]'`")
    copy("greenbench", folder)
    if not (folder / "mkdocs.yml").exists():
        shutil.copy(ROOT / "mkdocs.yml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def copy(part: str, folder: Path) -> None:
    shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("quickstart", "__pycache__"))


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    """Each page of the navigation is there, the API has its signatures, and nothing is fetched from elsewhere."""
    copy("docs", tmp_path)
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    pages = [page for page in re.findall(r"[\w/-]+(?=\.md)", str(nav)) if page != "index"]
    assert len(pages) > 20
    for page in pages:
        html = (tmp_path / "site" / page / "index.html").read_text(encoding="utf-8")
        assert "<h1" in html, page
        assert re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?://[^"]+\.(?:js|css)"', html) == [], page
    api = (tmp_path / "site" / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for name in ("greenbench.run", "greenbench.load", "greenbench.gains", "greenbench.plugins.Variant"):
        assert f'id="{name}"' in api
    assert "<table>" in (tmp_path / "site" / "reference" / "metrics" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("See [this](index.md).\n\n::: greenbench.errors.InputError\n", True),
        ("See [this](nowhere.md).\n", False),
        ("::: greenbench.nothing\n", False),
    ],
)
def test_what_leads_nowhere_is_no_site(text: str, is_whole: bool, tmp_path: Path) -> None:
    """A link to a page that is not there, and a name that the API has not, end the build of two pages with an error."""
    (tmp_path / "docs").mkdir()
    for name, content in (("index", "Home.\n"), ("more", text)):
        (tmp_path / "docs" / f"{name}.md").write_text(f"# Page\n\n{content}")
    settings, _, _ = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    (tmp_path / "mkdocs.yml").write_text(f"{settings}\nnav:\n  - index.md\n  - more.md\n")
    done = build(tmp_path)
    assert (done.returncode == 0) == is_whole, done.stdout + done.stderr
