"""The page's charts as SVG and PNG files, drawn by the page's own scripts in the Chromium that is installed."""

import base64
import os
import re
import shutil
import subprocess
import tempfile
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from greenbench.errors import InputError, StoreError
from greenbench.results import store

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)  # fmt: skip

_FIGURE = re.compile(r'<script type="text/plain" data-figure="([\w.-]+)">data:image/([^<]*)</script>')
_QUIET = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_TIMEOUT_S = 300


def browser() -> str:
    """Return the Chromium that is installed.

    Raises:
        InputError: there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise InputError(
            "--figures: needs Chromium or Chrome to draw, and found none. Install it, or save from the page."
        )
    return found


def write(page: Path, folder: Path) -> list[Path]:
    """Write the charts of a page, each as SVG and as PNG at three times the size.

    Args:
        page: written by ``pages.write_page``.
        folder: made where needed.

    Returns:
        The files.

    Raises:
        InputError: there is no Chromium.
        StoreError: it drew nothing, or the files cannot be written.
    """
    command = [browser(), *_QUIET, *(["--no-sandbox"] if _is_root() else [])]
    with tempfile.TemporaryDirectory() as profile:
        arguments = [f"--user-data-dir={profile}", "--virtual-time-budget=600000", "--dump-dom"]
        url = page.resolve().as_uri() + "#export=figures"
        try:
            done = subprocess.run(
                [*command, *arguments, url],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StoreError(f"{page}: {command[0]} drew no figures within {_TIMEOUT_S} s") from error
    figures = _FIGURE.findall(done.stdout)
    if not figures:
        raise StoreError(f"{page}: {command[0]} drew no figures (exit code {done.returncode})")
    return [_saved(folder / name, url) for name, url in figures]


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _saved(path: Path, url: str) -> Path:
    """Write what stands behind ``data:image/``: base64, or text with percent signs."""
    kind, _, data = unescape(url).partition(",")
    content = base64.b64decode(data) if kind.endswith("base64") else unquote(data)
    store.write_file(path, content, "cannot write the figure", "Choose another folder.")
    return path
