"""The http family: a server gets the requests as POST, and the row says what of it cannot be measured from here."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry, validate
from greenbench.errors import InputError, ProgramError
from greenbench.harness import worker
from greenbench.harness.job import Job
from greenbench.harness.runner import Options, run
from greenbench.plugins import NamesProgram, Transcriber
from greenbench.results import store
from greenbench.suite import config
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.suite.plan import plan
from greenbench.variants import http

SECOND = np.zeros(16000, np.float32)


class Handler(BaseHTTPRequestHandler):
    """Answers by the path: with texts, or with what is none."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: Any = {"id": request["id"], "texts": ["hello"] * len(request["wav_base64"])}
        code = {"/broken": 500, "/moved": 302}.get(self.path, 200)
        if self.path == "/silent":
            self.server.stop.wait(60)  # type: ignore[attr-defined]
        if self.path == "/too-many":
            answer["texts"].append("more")
        if self.path == "/gone":
            return
        if self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{")
            return
        self.send_response(code)
        self.send_header("Location", "/plain")
        self.end_headers()
        self.wfile.write(
            b"out of order" if code == 500 else b"<html>" if self.path == "/page" else json.dumps(answer).encode()
        )

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Serve on a free port of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.stop = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.stop.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.fixture
def model(address: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Transcriber]:
    """Load the variant of one of the server's paths; a proxy that the environment names is not asked for it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    return lambda path, **settings: build_variant(
        VariantEntry.model_validate({"use": "http", "url": address + path, **settings})
    ).load("cpu")


def test_a_server_answers_batches(model: Callable[..., Transcriber]) -> None:
    """It gets the content of WAV files, as many as the batch has, and its texts are taken."""
    server = model("/plain")
    assert [server([SECOND] * n) for n in (1, 3)] == [["hello"], ["hello"] * 3]


def test_the_server_of_the_page_answers(model: Callable[..., Transcriber], monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler that the documentation has as an example tells a long utterance from a short one."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "any-program.md").read_text("utf-8")
    code, serves, _ = page.partition("```python\n# server.py\n")[2].partition("HTTPServer((")
    assert serves
    defined: dict[str, Any] = {}
    exec(code, defined)
    monkeypatch.setattr(Handler, "do_POST", defined["Handler"].do_POST)
    assert model("/plain")([SECOND, np.zeros(48000, np.float32)]) == ["short", "long"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/broken", r'/broken answered with 500 \(Internal Server Error\): "out of order"$'),
        ("/moved", r"/moved answered with 302 \(Found\)"),
        ("/page", '/page gave a wrong answer: the model returned "<html>": an answer is '),
        ("/too-many", "gave a wrong answer: the model returned 3 texts for a batch of 2"),
        ("/silent", r"/silent has not answered for 0.1 s \(timeout_s\)$"),
        ("/cut", '/cut gave a wrong answer: the model returned "{": an answer is '),
        ("/gone", "/gone gave no answer: RemoteDisconnected: "),
    ],
)
def test_what_is_no_answer_is_named(path: str, told: str, model: Callable[..., Transcriber]) -> None:
    """An error, another page, silence and half an answer are one line with the URL."""
    server = model(path, **({"timeout_s": 0.1} if path == "/silent" else {}))
    with pytest.raises(ProgramError, match=told) as caught:
        server([SECOND] * 2)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for while it may still be starting, and then the message says what to do."""
    monkeypatch.setattr(http, "WAIT_S", 0.0)
    variant = build_variant(VariantEntry.model_validate({"use": "http", "url": "http://127.0.0.1:9/x"}))
    with pytest.raises(ProgramError, match=r"http://127.0.0.1:9/x cannot be reached \(.*\)\. Start the server first\."):
        variant.load("cpu")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "localhost:8000"}, "url: a URL is expected, such as http://localhost:8000/transcribe"),
        ({"url": "file:///etc/passwd"}, "url: a URL is expected"),
        ({"url": "http://x:99999/"}, "url: a URL is expected"),
        ({"url": "http://me:pass@x/"}, "url: a URL without user and password"),
        ({"url": "http://x/", "timeout_s": 0}, "timeout_s is above 0"),
        ({"url": "http://x/", "audio": "path"}, "audio: another machine cannot read a path"),
    ],
)
def test_what_is_no_server_is_refused(settings: dict[str, Any], told: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InputError, match=told):
        registry.create("variants", "http", settings)


@pytest.mark.parametrize(
    ("url", "is_here"),
    [("http://localhost/", True), ("http://127.0.0.1:8000/a", True), ("http://[::1]:8000", True),
     ("http://192.168.0.7/", False), ("https://api.example.com/v1", False), ("http://localhost.example.com/", False)],
)  # fmt: skip
def test_only_joules_of_this_machine_are_taken(url: str, is_here: bool, suite_data: dict) -> None:
    """For a server elsewhere no meter of joules runs, and each part says why; one here is no foreign load."""
    loaded = config.load(
        {**suite_data, "variants": [{"use": "http", "url": url, "name": "a"}], "estimate_energy": True}
    )
    cell = plan(loaded)[0]
    variant = build_variant(cell.variant)
    meters, reasons = worker._meters(Job("r", 0, loaded, cell), variant.unmeasured)
    assert any("cpu_s" in meter.metrics for meter in meters)
    reads_joules = any(name.startswith("energy_") for meter in meters for name in meter.metrics)
    why = "the model runs on another machine, whose joules no meter here reads"
    assert (reasons.get("energy_cpu_j") == why) is not is_here
    assert not (reads_joules and not is_here)
    assert ("foreign_cpu_s" in variant.unmeasured) is is_here
    assert isinstance(registry.load("variants", "http"), NamesProgram)


def test_the_row_says_what_is_unknown(address: str, suite_data: dict, tmp_path: Path) -> None:
    """Texts and speed are measured; memory, CPU seconds and load time are null with the reason; the run is sound."""
    variants = [{"use": "http", "url": f"{address}/plain"}]
    protocol = {**suite_data["protocol"], "repeats": 1, "window_s": 0.05}
    run(config.load({**suite_data, "protocol": protocol, "variants": variants}), Options(out=tmp_path / "run"))
    (row,) = store.read_rows(tmp_path / "run" / store.RECORDS)
    assert (row["status"], row["variant"]) == ("ok", f"http:{address.removeprefix('http://')}/plain")
    assert {row[name] for name in ("peak_rss_bytes", "cpu_s", "foreign_cpu_s", "load_s")} == {None}
    assert row["process_note"] == "the model runs in a server's process on this machine, not in the cell's own"
    assert row["rtfx"] > 0
    assert row["first_utterance_s"] > 0
    assert {text["hypothesis"] for text in store.read_rows(tmp_path / "run" / store.HYPOTHESES)} == {"hello"}
    assert [problem for problem in validate.problems(tmp_path / "run") if problem.severity == "error"] == []
