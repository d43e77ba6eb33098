"""The page served while suites run: drawn anew whenever the results change, to this machine alone unless asked."""

import hashlib
import ipaddress
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from greenbench import store
from greenbench.errors import GreenbenchError, InputError
from greenbench.gate import DEFAULT, Gate
from greenbench.report import content as contents
from greenbench.report import pages
from greenbench.report.content import Part

WATCHED = (store.RUN, store.RECORDS, store.HYPOTHESES, store.SCORES)
"""The files whose change is news; what is sampled ten times a second is read when one of these has changed."""

Stamp = tuple[tuple[str, int, int, int, int], ...]
"""Path, inode, times of the last change (of inode and content) and size of each watched file."""


class Server(ThreadingHTTPServer):
    """Answers ``/`` with the page of a results folder as it is now, and ``/plotly.js``; the caller runs it."""

    daemon_threads = True

    def __init__(self, folder: Path, address: tuple[str, int], gate: Gate = DEFAULT) -> None:
        self.page = _pages(folder, gate)
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise InputError(
                f"cannot serve at {address[0]}:{address[1]}: {error.strerror}. Try another --port."
            ) from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}/"


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a host's address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _stamp(run: Path) -> Stamp:
    files = [(path, path.stat()) for path in (run / name for name in WATCHED) if path.exists()]
    return tuple((str(path), stat.st_ino, stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size) for path, stat in files)


def _pages(folder: Path, gate: Gate) -> Callable[[], tuple[str, bytes]]:
    """Return what gives the page as it is now and its tag; runs that did not change are not read again."""
    parts: dict[Path, tuple[Stamp, Part]] = {}
    last: dict[str, bytes] = {}
    lock = Lock()

    def part(run: Path) -> Part:
        stamp = _stamp(run)
        if run not in parts or parts[run][0] != stamp:
            parts[run] = (stamp, contents.read(run))
        return parts[run][1]

    def page() -> tuple[str, bytes]:
        with lock:
            stamps = repr([_stamp(run) for run in store.runs(folder)])
            tag = f'"{hashlib.sha256(stamps.encode()).hexdigest()[:16]}"'
            if tag not in last:
                last.clear()
                last[tag] = _rendered(folder, gate, part).encode()
            return tag, last[tag]

    return page


def _rendered(folder: Path, gate: Gate, part: Callable[[Path], Part]) -> str:
    """Return the page, or one that says what it waits for."""
    try:
        return pages.render(contents.load([folder], gate, part), live=True)
    except GreenbenchError as error:
        return pages.templates().get_template("waiting.html.jinja").render(folder=folder, reason=str(error))


@cache
def _plotly() -> bytes:
    return pages.plotly_js().encode()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the page, with nothing where the browser has it already, or with plotly.js."""
        asked, served = self.headers.get("Host", "").rpartition(":")[0], str(self.server.server_address[0])
        if is_loopback(served) and not is_loopback(asked or self.headers.get("Host", "")):
            self._answer(HTTPStatus.FORBIDDEN, b"")  # another site's name, made to point here to read what it may not
        elif self.path == "/plotly.js":
            self._answer(HTTPStatus.OK, _plotly(), "text/javascript", {"Cache-Control": "max-age=86400"})
        elif self.path == "/":
            tag, page = self.server.page()
            known = self.headers.get("If-None-Match") == tag
            status, body = (HTTPStatus.NOT_MODIFIED, b"") if known else (HTTPStatus.OK, page)
            self._answer(status, body, "text/html; charset=utf-8", {"ETag": tag, "Cache-Control": "no-cache"})
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"")

    def _answer(
        self, status: HTTPStatus, body: bytes, kind: str = "text/plain", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": kind, "X-Content-Type-Options": "nosniff"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the library's)
        """Say nothing: only the command line prints."""
