"""The plotly.js that ships is the registry's file, and its README says which and under what licence."""

import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from greenbench.assets import plotly_js

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "greenbench" / "assets" / "plotly"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The script that fetches it."""
    spec = importlib.util.spec_from_file_location("fetch_plotly_js", ROOT / "tools" / "plotly_js.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_have_the_hashes_of_their_readme(tool: ModuleType) -> None:
    """Whoever changes a byte of the library, or forgets to say where a new one is from, is noticed."""
    text = (ASSETS / "README.md").read_text("utf-8")
    stated = dict(re.findall(r"^\| `([\w.-]+)` \| [\d,]+ \| `(\w{64})` \|$", text, flags=re.M))
    assert stated == {name: hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() for name in tool.FILES}
    assert {path.name for path in ASSETS.iterdir()} == {*tool.FILES, "README.md"}
    assert f"| {tool.PACKAGE} {tool.VERSION}:" in text
    assert tool.URL in text
    assert tool.INTEGRITY in text


def test_it_is_of_that_version_and_licence_and_stays_in_its_element(tool: ModuleType) -> None:
    """The library says its version and licence itself, and nothing in it ends the script element that holds it."""
    assert f"v{tool.VERSION}" in plotly_js()[:200]
    assert "Licensed under the MIT license" in plotly_js()[:200]
    assert "MIT License" in (ASSETS / "LICENSE").read_text("utf-8")
    assert "</script" not in plotly_js().lower()


def test_another_archive_is_not_taken(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An archive of another hash is refused, and what ships stays as it was."""
    other = tmp_path / "other.tgz"
    other.write_bytes(b"another archive")
    monkeypatch.setattr(tool, "URL", other.as_uri())
    monkeypatch.setattr(tool, "ASSETS", tmp_path / "assets")
    with pytest.raises(SystemExit, match="nothing was written"):
        tool.main()
    assert not (tmp_path / "assets").exists()


def test_no_page_needs_the_python_package() -> None:
    """The page and its timelines are made where ``plotly`` cannot be imported."""
    code = (
        "import sys\nsys.modules['plotly'] = None\n"
        "import pandas as pd\nfrom greenbench.report import dashboard, notebook, pages, snapshots, timeline\n"
        "power = {'run_id': 'r', 'session': 1, 'utc_s': [1.0, 2.0], 'x.power_w': 7.0, 'poller.cpu_s': 0.0}\n"
        "windows = pd.DataFrame(columns=['run_id', 'kind', 'variant', 'start_utc_s', 'end_utc_s'])\n"
        "print(timeline.draw(pd.DataFrame(power), windows, {})[0].figure['data'][0]['y'])\n"
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[7.0, 7.0]\n"), done.stderr
