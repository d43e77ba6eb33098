"""The page served: to whom, what it costs to ask again, and what it says before there is anything to show."""

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from greenbench import store
from greenbench.errors import InputError
from greenbench.report import content
from greenbench.report.dashboard import Server, is_loopback

Folder = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[Any]"]


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    """Serve a folder at a free port until the test ends."""
    servers: list[Server] = []

    def start(folder: Path) -> Server:
        servers.append(Server(folder, ("127.0.0.1", 0)))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server: Server, path: str = "/", **headers: str) -> tuple[int, str | None, str]:
    connection = HTTPConnection("127.0.0.1", int(server.server_address[1]))
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("ETag"), body


def test_what_did_not_change_is_not_sent_again(serve: Callable[[Path], Server], folder: Folder, row: Any) -> None:
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
    serve: Callable[[Path], Server], folder: Folder, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new row in one run does not make the dashboard read the others again."""
    read: list[str] = []
    real = content.read
    monkeypatch.setattr(content, "read", lambda run: read.append(run.name) or real(run))
    first = folder({"wer": 0.1})
    second = first.parent / "r2"
    store.write_run(second, {"run_id": "r2"})
    server = serve(first.parent)
    ask(server)
    store.append(second, [row(wer=0.2) | {"run_id": "r2"}])
    ask(server)
    assert sorted(read) == ["r1", "r2", "r2"]


def test_it_waits_for_the_first_row(serve: Callable[[Path], Server], tmp_path: Path) -> None:
    """A folder without runs, or that is not there yet, gives a page that says so and goes on asking."""
    status, _, page = ask(serve(tmp_path / "later"))
    assert status == 200
    assert "Nothing to show yet" in page
    assert "data-live" in page


def test_only_this_machine_reads_it(serve: Callable[[Path], Server], tmp_path: Path) -> None:
    """It listens on the loopback, and another site's name that was made to point there is refused."""
    server = serve(tmp_path)
    assert server.url.startswith("http://127.0.0.1:")
    assert ask(server, Host="evil.example:8050")[0] == 403
    assert ask(server, Host="localhost:8050")[0] == 200
    assert ask(server, "/../../etc/passwd")[0] == 404
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.0.7", "example.org")))


def test_plotly_is_served_beside_the_page(serve: Callable[[Path], Server], folder: Folder) -> None:
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


def test_a_port_in_use_is_one_clear_line(serve: Callable[[Path], Server], tmp_path: Path) -> None:
    """The message names the address and the way out."""
    taken = int(serve(tmp_path).server_address[1])
    with pytest.raises(InputError, match=f"cannot serve at 127.0.0.1:{taken}: .*--port"):
        Server(tmp_path, ("127.0.0.1", taken))
