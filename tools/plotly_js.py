"""Fetch the plotly.js that ships with the package: one file of the npm registry, checked against the hash it had.

Run as ``python tools/plotly_js.py``; it needs https://registry.npmjs.org. A newer version: set ``VERSION`` and
``INTEGRITY`` (``dist.integrity`` at https://registry.npmjs.org/plotly.js-basic-dist-min/VERSION), then look at the
page and run tests/report/test_browser.py, for the charts may look different.
"""

import base64
import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path

from greenbench.files import whole

PACKAGE = "plotly.js-basic-dist-min"
VERSION = "4.1.1"
INTEGRITY = "sha512-1oNF8PeQx2hv/y7tqEVWKD3JGwn/MGEMQ8mL9HUwsaqG9FGy/OU5FHUHvzqbqxN4mnwZGI9abTiE775C4kkjMQ=="
URL = f"https://registry.npmjs.org/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
FILES = ("plotly-basic.min.js", "LICENSE")
ASSETS = Path(__file__).parents[1] / "greenbench" / "assets" / "plotly"

README = """# plotly.js

Made by `tools/plotly_js.py`; do not edit. The pages draw their charts with it, and hold it whole.

| | |
|---|---|
| package | {package} {version}: the traces `scatter`, `bar` and `pie` |
| from | {url} |
| integrity of the archive | `{integrity}` |
| licence | MIT, see [LICENSE](LICENSE) |

| file | bytes | SHA-256 |
|---|---|---|
{files}
"""


def main() -> None:
    """Fetch the archive, and write its two files and where they are from."""
    with urllib.request.urlopen(URL, timeout=60) as answer:
        archive = answer.read()
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != INTEGRITY:
        raise SystemExit(f"{URL}: its integrity is {found}, not {INTEGRITY}: nothing was written")
    ASSETS.mkdir(exist_ok=True)
    lines = []
    for name, content in unpacked(archive).items():
        whole.write(ASSETS / name, content)
        lines.append(f"| `{name}` | {len(content):,} | `{hashlib.sha256(content).hexdigest()}` |")
    text = README.format(package=PACKAGE, version=VERSION, url=URL, integrity=INTEGRITY, files="\n".join(lines))
    whole.write(ASSETS / "README.md", text)


def unpacked(archive: bytes) -> dict[str, bytes]:
    """Return the content of the files that ship, by name."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        members = {name: package.extractfile(f"package/{name}") for name in FILES}
        return {name: member.read() for name, member in members.items() if member is not None}


if __name__ == "__main__":
    main()
