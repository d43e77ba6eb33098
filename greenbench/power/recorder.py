"""Recording: a power source that this machine can ask, written down at a pace as a log that can be attached."""

import math
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from greenbench import registry
from greenbench.errors import GreenbenchError, InputError, StoreError
from greenbench.files import readback
from greenbench.hardware.bounds import impossible_w
from greenbench.plugins import Meter, Polled
from greenbench.power import log

Ask = Callable[[], float]
"""Returns watts; raises ``OSError`` or ``ValueError`` where the source cannot tell them this moment."""

METERS = ("hwmon", "battery")
"""The meters whose samples are power of the whole machine."""


class SilentError(GreenbenchError):
    """A power source that was to be recorded does not answer."""


def meter(name: str, options: Mapping[str, Any]) -> Ask:
    """Return a registered meter as a source.

    Args:
        name: one of ``METERS``.
        options: its settings.

    Raises:
        InputError: unknown name or setting.
        SilentError: it cannot measure here; the message says why.
    """
    if name not in METERS:
        raise InputError(f"--source {name}: not a source of the machine's power. Valid: {', '.join(METERS)}.")
    source: Meter = registry.create("meters", name, options)
    assert isinstance(source, Polled)
    reason = source.unavailable()
    if reason:
        raise SilentError(f"{name}: {reason}")

    def ask() -> float:
        watts = list(source.sample().values())
        if not watts:
            raise ValueError(source.unavailable() or "it gives no power this moment")
        return float(watts[0])

    return ask


def plug(url: str, path: str, timeout_s: float = 2.0) -> Ask:
    """Return a smart plug as a source, asked over HTTP for JSON.

    Args:
        url: e.g. ``http://plug/rpc/Switch.GetStatus?id=0``.
        path: of the watts in the answer, keys and indexes joined by dots, e.g. ``apower``, ``StatusSNS.ENERGY.Power``.
        timeout_s: for one answer.

    Raises:
        InputError: the address is not one of HTTP.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"--url {url}: write the whole address, http://…")

    def ask() -> float:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 (checked above)
            content = answer.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        return _at(readback.parse(content), path)

    return ask


MAX_ANSWER_BYTES = 100_000
"""A plug says all that it knows in a few thousand."""


def _at(answer: Any, path: str) -> float:
    """Return the number at a path of keys and indexes."""
    found = answer
    for key in path.split("."):
        if isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            keys = ", ".join(found) if isinstance(found, dict) else type(found).__name__
            raise ValueError(f"the answer has no '{path}': '{key}' is not among: {keys}")
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        raise ValueError(f"'{path}' is not a number of watts: {found!r:.60}")
    return float(found)


def record(ask: Ask, out: Path, period_s: float, silent: Callable[[str], None], n_samples: int | None = None) -> int:
    """Append a sample every ``period_s`` to ``out``, until interrupted.

    Args:
        ask: the source; each answer gets the time halfway between question and answer.
        out: JSON lines, as ``log.read`` understands them.
        period_s: between samples; each has its place on the clock, so that delays do not add up.
        silent: told why a source stops answering, once each time it does.
        n_samples: stop after so many periods; None goes on.

    Returns:
        How many samples were written: fewer than ``n_samples`` where the source did not answer each time.

    Raises:
        SilentError: the source does not answer the first time.
        StoreError: the log cannot be written.
    """
    start, number, was_silent, n_written = time.monotonic(), 0, False, 0
    while n_samples is None or number < n_samples:
        asked_s = time.time()
        try:
            watts = _possible(ask())
        except (OSError, ValueError) as error:
            if number == 0:
                raise SilentError(f"the power source does not answer: {error}") from error
            if not was_silent:
                silent(str(error))
            was_silent = True
        else:
            _append(out, log.line((asked_s + time.time()) / 2, watts))
            was_silent, n_written = False, n_written + 1
        elapsed_s = time.monotonic() - start
        number = max(number + 1, math.ceil(elapsed_s / period_s))
        time.sleep(max(0.0, number * period_s - elapsed_s))
    return n_written


def _possible(watts: float) -> float:
    if why := impossible_w("system", watts):
        raise ValueError(why)
    return watts


def _append(out: Path, line: str) -> None:
    try:
        with out.open("a", encoding="utf-8") as stream:
            stream.write(line)
    except OSError as error:
        raise StoreError(f"{out}: cannot write the power log: {error.strerror}. Choose another --out.") from error
