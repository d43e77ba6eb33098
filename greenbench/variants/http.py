"""The http family: a server that is running already, which gets the requests of the command family as POST."""

import http.client
import ipaddress
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from greenbench.errors import AnswerError, ProgramError
from greenbench.meters import energy
from greenbench.plugins import Footprint, Step, SuitePath, Variant, Waveform
from greenbench.variants import programs
from greenbench.variants.exchange import MAX_ANSWER_BYTES, Audio, Requests, excerpt

WAIT_S, LOOK_S = 10.0, 0.1
"""A server may still be starting: it is looked for so long, so often."""

PORTS = {"http": 80, "https": 443}

HERE = "the model runs in a server's process on this machine, not in the cell's own"
AWAY = "the model runs on another machine"

PROCESS = ("cpu_s", "peak_rss_bytes", "peak_gpu_bytes", "peak_gpu_allocated_bytes", "load_s")
"""What a cell's own processes say of the model, if it is in one of them."""

BESIDE = ("foreign_cpu_s", "n_gpu_foreign_processes")
"""What counts as work of others on this machine; a server here is no stranger, and cannot be told from one."""

JOULES = tuple(map(energy.part_column, energy.PARTS))


def _web_address(url: str) -> str:
    """Refuse what is no URL to send requests to."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in PORTS and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError("a URL is expected, such as http://localhost:8000/transcribe")
    if parts.username or parts.password:
        raise ValueError("a URL without user and password is expected: they would be in the results")
    return url


@dataclass(frozen=True)
class Http(programs.ProgramFamily):
    """Settings of a server that transcribes.

    Attributes:
        url: that requests are sent to, such as ``http://localhost:8000/transcribe``. On this machine (``localhost``,
            ``127.0.0.1``) the joules count; memory and CPU seconds of the server are unknown.
        audio: how it gets an utterance: as the content of a WAV file in ``base64``, or as the ``path`` of one.
        timeout_s: seconds within which it must answer each request.
        files: files on this machine that decide what it answers: their content is a part of the variant's identity.
        batching: how it runs a batch: ``sequential`` (one after the other) or ``padded`` (together).
    """

    url: Annotated[str, AfterValidator(_web_address)]
    audio: Audio = "base64"
    timeout_s: float = 300.0
    files: list[SuitePath] = field(default_factory=list)
    batching: Literal["sequential", "padded"] = "sequential"

    def __post_init__(self) -> None:
        """Refuse a time in which nothing can be answered, and paths that another machine cannot read."""
        programs.check_timeout(self.timeout_s)
        if self.audio == "path" and not _is_here(urlsplit(self.url)):
            raise ValueError("audio: another machine cannot read a path of this one. Use base64")

    @property
    def label(self) -> str:
        """The URL without its scheme, as part of a default name."""
        return self.url.partition("://")[2].rstrip("/")

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        return Variant(
            name=name,
            load=partial(_ReachedServer, self),
            check=lambda: programs.check_files(self.files),
            identity=lambda: programs.identity("http", [self.url], self.files),
            unmeasured=_unmeasured(urlsplit(self.url)),
        )


def _is_here(url: SplitResult) -> bool:
    """Say whether a URL is of this machine by what it says; another name or address of it is not known as such."""
    host = url.hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _unmeasured(url: SplitResult) -> dict[str, str]:
    """Return what no meter of this machine can read of a server, with the reason."""
    if _is_here(url):
        return dict.fromkeys((*PROCESS, *BESIDE), HERE)
    return {**dict.fromkeys(PROCESS, AWAY), **dict.fromkeys(JOULES, f"{AWAY}, whose joules no meter here reads")}


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: the server that the suite names is the one that is measured."""

    def redirect_request(self, *_: Any) -> None:
        """Return nothing, so that the answer is an error."""


class _ReachedServer:
    """A server that can be reached."""

    footprint = Footprint()

    def __init__(self, settings: Http, _device: str) -> None:
        self.batching: str = settings.batching
        self.url, self.timeout_s, self.requests = settings.url, settings.timeout_s, Requests(settings.audio)
        url = urlsplit(settings.url)
        proxies = [urllib.request.ProxyHandler({})] if _is_here(url) else []
        self._opener = urllib.request.build_opener(_Stay, *proxies)
        _await(url)

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        answer = self._post(self.requests.request(batch))
        try:
            return self.requests.texts(answer, len(batch))
        except AnswerError as error:
            raise ProgramError(f"{self.url} gave a wrong answer: {error}") from error

    def _post(self, request: bytes) -> bytes:
        """Return the body of the answer to a request.

        Raises:
            ProgramError: there is none, or it is an error.
        """
        sent = urllib.request.Request(self.url, request, {"Content-Type": "application/json"})  # noqa: S310 (checked)
        try:
            with self._opener.open(sent, timeout=self.timeout_s) as answer:
                body: bytes = answer.read(MAX_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                said = excerpt(error.read(1000))
            raise ProgramError(f"{self.url} answered with {error.code} ({error.reason}): {said}") from error
        except (OSError, http.client.HTTPException) as error:
            raise ProgramError(f"{self.url} {self._why_none(error)}") from error
        return body

    def _why_none(self, error: Exception) -> str:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            return f"has not answered for {self.timeout_s:g} s (timeout_s)"
        return f"gave no answer: {type(cause).__name__}: {' '.join(str(cause).split())}".removesuffix(": ")


def _await(url: SplitResult) -> None:
    """Wait until a server can be reached.

    Raises:
        ProgramError: it cannot within ``WAIT_S``.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            socket.create_connection((url.hostname or "", url.port or PORTS[url.scheme]), WAIT_S).close()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ProgramError(f"{url.geturl()} cannot be reached ({error}). Start the server first.") from error
            time.sleep(LOOK_S)
        else:
            return
