"""The page served: to whom, what it costs to ask again, and what it says before there is anything to show."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import InputError
from greenbench.report import live
from greenbench.report.dashboard import ClientLimits, Dashboard, is_loopback
from greenbench.results import store

Folder = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[Any]"]


Serve = Callable[..., Dashboard]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a folder at a free port until the test ends."""
    servers: list[Dashboard] = []

    def start(folder: Path, host: str = "127.0.0.1", limits: ClientLimits | None = None) -> Dashboard:
        servers.append(Dashboard(folder, (host, 0), limits=limits or ClientLimits()))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server: Dashboard, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str | None, str]:
    connection = HTTPConnection(str(server.server_address[0]), int(server.server_address[1]))
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("ETag"), body


def test_what_did_not_change_is_not_sent_again(serve: Serve, folder: Folder, row: Any) -> None:
    """A browser that has the page gets nothing; a new row gives it another tag and the page anew."""
    where = folder({"wer": 0.1})
    server = serve(where.parent)
    status, tag, page = ask(server)
    assert status == 200
    assert "data-live" in page
    assert ask(server, **{"If-None-Match": str(tag)}) == (304, tag, "")
    store.append(where, [row(variant="new", wer=0.2)])
    status, newer, page = ask(server, **{"If-None-Match": str(tag)})
    assert status == 200
    assert newer != tag
    assert "2 variants" in page


def test_runs_that_did_not_change_are_read_once(
    serve: Serve, folder: Folder, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new row in one run does not make the dashboard read the others again."""
    read: list[str] = []
    real = live.read
    monkeypatch.setattr(live, "read", lambda run: read.append(run.name) or real(run))
    first = folder({"wer": 0.1})
    second = first.parent / "r2"
    store.write_run(second, {"run_id": "r2"})
    server = serve(first.parent)
    ask(server)
    store.append(second, [row(wer=0.2) | {"run_id": "r2"}])
    ask(server)
    assert sorted(read) == ["r1", "r2", "r2"]


def test_it_waits_for_the_first_row(serve: Serve, tmp_path: Path) -> None:
    """A folder without runs, or that is not there yet, gives a page that says so and goes on asking."""
    status, _, page = ask(serve(tmp_path / "later"))
    assert status == 200
    assert "Nothing to show yet" in page
    assert "data-live" in page


def test_only_this_machine_reads_it(serve: Serve, tmp_path: Path) -> None:
    """It listens on the loopback, and another site's name that was made to point there is refused."""
    server = serve(tmp_path)
    assert server.url.startswith("http://127.0.0.1:")
    assert ask(server, Host="evil.example:8050")[0] == 403
    assert ask(server, Host="localhost:8050")[0] == 200
    assert ask(server, "/../../etc/passwd")[0] == 404
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.0.7", "example.org")))


def test_plotly_is_served_beside_the_page(serve: Serve, folder: Folder) -> None:
    """The page names the script instead of holding its 5 MB, and the script is there."""
    server = serve(folder({"wer": 0.1}).parent)
    _, _, page = ask(server)
    assert len(page) < 200_000
    with urllib.request.urlopen(server.url + "plotly.js") as answer:
        assert len(answer.read()) > 1_000_000


def test_the_command_serves_until_interrupted(folder: Folder, start: Start) -> None:
    """`greenbench dashboard` says where it is, answers there, and ends well at Ctrl-C."""
    command = [sys.executable, "-m", "greenbench", "dashboard", str(folder({"wer": 0.1}).parent), "--port", "0"]
    process = start(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    (url,) = re.findall(r"http://127.0.0.1:\d+/", process.stdout.readline())
    with urllib.request.urlopen(url) as answer:
        assert b"data-live" in answer.read()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0


def test_a_port_in_use_is_one_clear_line(serve: Serve, tmp_path: Path) -> None:
    """The message names the address and the way out."""
    taken = int(serve(tmp_path).server_address[1])
    with pytest.raises(InputError, match=f"cannot serve at 127.0.0.1:{taken}: .*--port"):
        Dashboard(tmp_path, ("127.0.0.1", taken))


BAD: dict[str, Callable[[Path], object]] = {
    "no-json": lambda run: (run / store.RUN).write_text("{"),
    "a-list": lambda run: (run / store.RUN).write_text("[1]"),
    "not-text": lambda run: (run / store.RUN).write_bytes(b"\xff\xfe\x00"),
    "a-folder": lambda run: ((run / store.RUN).unlink(), (run / store.RUN).mkdir()),
    "a-pipe": lambda run: ((run / store.RECORDS).unlink(), os.mkfifo(run / store.RECORDS)),
    "alien-line": lambda run: (run / store.RECORDS).write_text('{"a": 1}\n'),
    "a-number": lambda run: (run / store.RECORDS).write_text("7\n"),
    "alien-types": lambda run: (run / store.RECORDS).write_text(
        (run / store.RECORDS).read_text().replace('"flags": []', '"flags": [[{}]]').replace('"cpu"', '{"a": [1]}')
    ),
    "alien-machine": lambda run: (run / store.RUN).write_text('{"run_id": "x", "meters": 7, "suite": [], "peaks": 1}'),
}


@pytest.mark.parametrize("damage", BAD)
def test_a_bad_run_is_named_beside_a_good_one(damage: str, serve: Serve, folder: Folder, row: Any) -> None:
    """Whatever one run's files hold, the other's figures are there, and the page names the bad one."""
    good = folder({"wer": 0.1, "variant": "sound"})
    bad = good.parent / "broken"
    store.write_run(bad, {"run_id": "broken"})
    store.append(bad, [row(wer=0.2) | {"run_id": "broken"}])
    BAD[damage](bad)
    status, _, page = ask(serve(good.parent))
    assert status == 200
    assert "<dt>1 variant</dt><dd>sound</dd>" in page
    assert re.search(r"Left out, since it cannot be read:.*<code>broken</code>: \S+", page, re.DOTALL)


def test_a_run_that_is_mended_comes_back(serve: Serve, folder: Folder) -> None:
    """Alone, a bad run is named on the page that waits; mended, its figures are there."""
    run = folder({"wer": 0.1})
    whole = (run / store.RUN).read_text()
    (run / store.RUN).write_text("{")
    server = serve(run.parent)
    page = ask(server)[2]
    assert "Nothing to show yet" in page
    assert "<code>r1</code>: not a run: run.json cannot be read" in page
    (run / store.RUN).write_text(whole)
    assert "Left out" not in ask(server)[2]


def test_a_folder_that_is_not_there_is_named(serve: Serve, tmp_path: Path) -> None:
    """A mistyped folder is told from one in which nothing was measured yet."""
    server = serve(tmp_path / "later")
    assert f"There is no folder {tmp_path / 'later'} yet" in ask(server)[2]
    (tmp_path / "later").mkdir()
    assert "There is no run here" in ask(server)[2]


def connect(server: Dashboard, send: bytes = b"") -> socket.socket:
    client = socket.create_connection(server.server_address[:2], timeout=30)
    client.sendall(send)
    return client


def status_of(client: socket.socket) -> int:
    return int(client.recv(64).split()[1])


WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_slow_clients_lock_nobody_out(sent: bytes, serve: Serve, folder: Folder) -> None:
    """Dozens that never finish a request hold only their places, and those go to whoever comes next."""
    server = serve(folder({"wer": 0.1}).parent, limits=ClientLimits(n_connections=8, grace_s=0.0))
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connect(server, sent))
        assert [ask(server)[0] for _ in range(3)] == [200] * 3
        assert len(server.owing) <= 8


def test_clients_that_do_not_read_lock_nobody_out(serve: Serve, folder: Folder) -> None:
    """An answer that nobody takes is given up where its place is needed."""
    server = serve(folder({"wer": 0.1}).parent, limits=ClientLimits(n_connections=4, grace_s=0.0))
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(connect(server, WHOLE.replace(b"GET /", b"GET /plotly.js")))
        assert ask(server)[0] == 200


def test_beyond_the_bound_the_answer_is_503(serve: Serve, folder: Folder) -> None:
    """Whoever has not been waited for yet keeps its place; the next is told to come again, and does."""
    server = serve(folder({"wer": 0.1}).parent, limits=ClientLimits(n_connections=3, grace_s=3600.0))
    with ExitStack() as stack:
        first = [stack.enter_context(connect(server, WHOLE)) for _ in range(3)]
        assert [status_of(client) for client in first] == [200] * 3
        refused = [stack.enter_context(connect(server, WHOLE)) for _ in range(40)]
        assert {status_of(client) for client in refused} == {503}
        first[0].shutdown(socket.SHUT_RDWR)
        assert any(retried(server) for _ in range(200))


def retried(server: Dashboard) -> bool:
    time.sleep(0.02)
    with connect(server, WHOLE) as client:
        return status_of(client) == 200


def test_a_request_that_does_not_arrive_is_let_go(serve: Serve, tmp_path: Path) -> None:
    """A client that trickles its request is closed when the time for it is over, however often it sends a byte."""
    server = serve(tmp_path, limits=ClientLimits(request_s=0.2))
    with connect(server, b"GET / HTTP/1.1\r\nX: ") as client:
        client.settimeout(0.05)
        assert any(is_let_go(client) for _ in range(1_000))


def is_let_go(client: socket.socket) -> bool:
    """Send one more byte, and say whether the server has closed the connection."""
    try:
        client.sendall(b"a")
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_clients_that_leave_print_nothing(serve: Serve, folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    """Resets before, within and after a request leave no traceback, and the page is still there."""
    server = serve(folder({"wer": 0.1}).parent)
    for sent in (
        b"",
        b"GET",
        WHOLE,
        WHOLE.replace(b"GET /", b"GET /plotly.js"),
        b"\x16\x03\x01\x00",
        b"A" * 70_000,
    ) * 3:
        client = connect(server, sent)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        client.close()
    assert ask(server)[0] == 200
    assert capfd.readouterr().err == ""


def test_head_has_the_headers_and_no_body(serve: Serve, folder: Folder) -> None:
    """HEAD gives what GET would, without the page."""
    server = serve(folder({"wer": 0.1}).parent)
    assert ask(server, method="HEAD") == (200, ask(server)[1], "")
    assert ask(server, "/nothing", method="HEAD")[0] == 404
    assert ask(server, method="POST")[0] == 501


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("LOCALHOST:8050", 200), ("Localhost", 200), ("localhost.:80", 200), ("127.0.0.1", 200), ("[::1]", 200),
        ("[::1]:8050", 200), ("127.8.9.1:1", 200), ("page.localhost:8050", 200), ("[::ffff:127.0.0.1]:80", 200),
        ("", 403), ("evil.example", 403), ("localhost.evil.example:8050", 403), ("127.0.0.1.evil.example", 403),
        ("evillocalhost", 403), ("192.168.0.7:8050", 403), ("[::2]:80", 403), ("[::1", 403),
        ("localhost@evil.example", 403),
    ],
)  # fmt: skip
def test_names_of_this_machine_are_answered_however_they_are_written(
    host: str, status: int, serve: Serve, tmp_path: Path
) -> None:
    """Names of hosts have no case and may end in a dot; addresses may be IPv6."""
    assert ask(serve(tmp_path), Host=host)[0] == status


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6_is_served(host: str, serve: Serve, tmp_path: Path) -> None:
    """The loopback of IPv6 can be served, and the address is written as browsers want it."""
    try:
        server = serve(tmp_path, host)
    except InputError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    assert re.fullmatch(r"http://\[::1\]:\d+/", server.url)
    assert ask(server)[0] == 200


def test_a_host_that_is_not_known_is_one_clear_line(tmp_path: Path) -> None:
    """The message names the address and both ways out."""
    with pytest.raises(InputError, match=r"cannot serve at no such host:0: .*--port or --host"):
        Dashboard(tmp_path, ("no such host", 0))
