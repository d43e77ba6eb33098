"""The server of the live page: whom it answers, how long it waits for a client, and how many it serves at once."""

import ipaddress
import socket
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from greenbench.analysis.gate import DEFAULT, Gate
from greenbench.assets import plotly_js
from greenbench.errors import InputError
from greenbench.report.live import page_of

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_N_PARTING = 16


@dataclass(frozen=True)
class ClientLimits:
    """What clients may cost.

    Attributes:
        n_connections: open at once, each with a thread; more are answered 503.
        request_s: in which a request must arrive, however slowly it is sent.
        answer_s: in which an answer must be read.
        grace_s: a client that owes a request, or the reading of an answer, for longer gives its place to a new one.
    """

    n_connections: int = 64
    request_s: float = 10.0
    answer_s: float = 60.0
    grace_s: float = 1.0


class Dashboard(ThreadingHTTPServer):
    """Answers ``/`` with the page of a results folder as it is now, and ``/plotly.js``; the caller runs it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, folder: Path, address: tuple[str, int], gate: Gate = DEFAULT, limits: ClientLimits = ClientLimits()
    ) -> None:
        self.page, self.limits = page_of(folder, gate), limits
        self.owing: dict[socket.socket, float | None] = {}  # since when the client owes something; None: we do
        self._parting: deque[socket.socket] = deque()
        host, port = address[0].strip("[]"), address[1]
        try:
            self.address_family, place = _resolved(host, port)
            super().__init__(place, _Handler)
        except OSError as error:
            raise InputError(
                f"cannot serve at {_authority(host, port)}: {error.strerror}. Try another --port or --host."
            ) from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{_authority(str(self.server_address[0]), int(self.server_address[1]))}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; at the bound in the place of the client that has owed something longest, or 503."""
        if len(self.owing) >= self.limits.n_connections and not self._let_go_oldest():
            self._refuse(request)
            return
        self.owing[request] = monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, whose place is free then."""
        self.owing.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Let go whoever has not sent a whole request in time; called several times a second."""
        now = monotonic()
        for request, since in self.owing.copy().items():
            if since is not None and now - since > self.limits.request_s:
                _let_go(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that leave; anything else is a fault of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Close everything."""
        super().server_close()
        for request in (*self.owing.copy(), *self._parting):
            _let_go(request)
        while self._parting:
            self._parting.popleft().close()

    def _let_go_oldest(self) -> bool:
        owed = {request: since for request, since in self.owing.copy().items() if since is not None}
        oldest = min(owed, key=owed.__getitem__, default=None)
        if oldest is None or monotonic() - owed[oldest] < self.limits.grace_s:
            return False
        self.owing.pop(oldest, None)
        _let_go(oldest)
        return True

    def _refuse(self, request: socket.socket) -> None:
        """Answer 503 without a thread; what is closed at once, with a request unread, would lose the answer."""
        with suppress(OSError):
            request.setblocking(False)
            request.sendall(_BUSY)
            request.shutdown(socket.SHUT_WR)
        self._parting.append(request)
        if len(self._parting) > _N_PARTING:
            self._parting.popleft().close()


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a host's address."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Return the family and the address to listen at, IPv4 where a name has both.

    Raises:
        OSError: nobody knows the name.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _let_go(request: socket.socket) -> None:
    """End both directions of a connection; its thread, which waits for one of them, then closes it."""
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


@cache
def _plotly() -> bytes:
    return plotly_js().encode()


class _Handler(BaseHTTPRequestHandler):
    server: Dashboard
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Bound how long an answer is sent: a socket's limit counts for the whole of it."""
        super().setup()
        self.connection.settimeout(self.server.limits.answer_s)

    def parse_request(self) -> bool:
        """Take note that the request is whole."""
        is_sound = super().parse_request()
        self.server.owing[self.connection] = None
        return is_sound

    def handle_one_request(self) -> None:
        """Answer one request; then the client owes the next."""
        super().handle_one_request()
        self.server.owing[self.connection] = monotonic()

    def do_GET(self) -> None:
        """Answer with the page, with nothing where the browser has it already, or with plotly.js."""
        path = self.path.partition("?")[0]
        if is_loopback(str(self.server.server_address[0])) and not is_loopback(self._asked_host()):
            self._answer(HTTPStatus.FORBIDDEN, b"")  # another site's name, made to point here to read what it may not
        elif path == "/plotly.js":
            self._answer(HTTPStatus.OK, _plotly(), "text/javascript", {"Cache-Control": "max-age=86400"})
        elif path == "/":
            tag, page = self.server.page()
            known = self.headers.get("If-None-Match") == tag
            status, body = (HTTPStatus.NOT_MODIFIED, b"") if known else (HTTPStatus.OK, page)
            self._answer(status, body, "text/html; charset=utf-8", {"ETag": tag, "Cache-Control": "no-cache"})
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"")

    def do_HEAD(self) -> None:
        """Answer with the headers that GET would have."""
        self.do_GET()

    def _asked_host(self) -> str:
        try:
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        except ValueError:
            return ""

    def _answer(
        self, status: HTTPStatus, body: bytes, kind: str = "text/plain", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": kind, "X-Content-Type-Options": "nosniff"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.server.owing[self.connection] = monotonic()
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the library's)
        """Say nothing: only the command line prints."""
