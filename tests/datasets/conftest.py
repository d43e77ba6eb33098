"""What the data set tests share: the human speech, small corpora and an archive server on this machine."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

SPEECH = Path(__file__).parents[2].parent / "shared" / "speech"


@pytest.fixture
def speech() -> Path:
    """Return the folder of human speech, or skip."""
    if not SPEECH.is_dir():
        pytest.skip("the shared human speech (../shared/speech) is not here")
    return SPEECH


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a corpus of OpenSLR's layout and returns its root."""

    def make(subset: str = "test-clean", n: int = 2, root: Path = tmp_path / "corpus") -> Path:
        for speaker, number in (("84", "121550"), ("1089", "134686"), ("1089", "9")):
            chapter = root / subset / speaker / number
            chapter.mkdir(parents=True)
            ids = [f"{speaker}-{number}-{i:04d}" for i in range(n)]
            for name in ids:
                soundfile.write(chapter / f"{name}.flac", np.full(160, 0.1), 16_000)
            lines = [f"{name} THE TEXT OF {name}\n" for name in reversed(ids)]
            (chapter / f"{speaker}-{number}.trans.txt").write_text("".join(lines))
        return root

    return make


class ArchiveServer:
    """Serves ``body`` at every address; ``n_sent`` bytes of it, then the connection breaks."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.n_sent: int | None = None
        self.says_length = True
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                self.send_response(outer.status)
                if outer.says_length:
                    self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body[: outer.n_sent])

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    @property
    def md5(self) -> str:
        """The checksum of the whole body."""
        return hashlib.md5(self.body).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    """Return a running server on this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    it = ArchiveServer()
    thread = threading.Thread(target=it.http.serve_forever, args=(0.01,))
    thread.start()
    yield it
    it.http.shutdown()
    it.http.server_close()
    thread.join()
