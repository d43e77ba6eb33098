"""Recording: a power source that this machine can ask, written down at a pace as a log that can be attached."""

import math
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from greenbench import registry
from greenbench.errors import InputError, StoreError
from greenbench.files import readback
from greenbench.hardware.bounds import impossible_w
from greenbench.plugins import Meter, Polled
from greenbench.plugins.meters import POWER
from greenbench.power import ipmi, log
from greenbench.power.ask import Ask, SilentError

METERS = ("hwmon", "battery")
"""The meters whose samples are power of the whole machine."""

SOURCES = (*METERS, "ipmi")
"""What a machine can be asked for its power itself."""


def machine(name: str, options: Mapping[str, Any]) -> Ask:
    """Return a source of this machine's power: a registered meter, or its management controller.

    Args:
        name: one of ``SOURCES``.
        options: settings of the meter.

    Raises:
        InputError: unknown name or setting.
        SilentError: it cannot measure here; the message says why.
    """
    if name not in SOURCES:
        raise InputError(f"--source {name}: not a source of the machine's power. Valid: {', '.join(SOURCES)}.")
    if name == "ipmi":
        if options:
            raise InputError(f"--source ipmi: it takes no --{' or --'.join(options)}: leave that out")
        return ipmi.source()
    source: Meter = registry.create("meters", name, options)
    assert isinstance(source, Polled)
    reason = source.unavailable()
    if reason:
        raise SilentError(f"{name}: {reason}")

    def ask() -> float:
        watts = [value for name, value in source.sample().items() if name.endswith(f".{POWER}")]
        if not watts:
            raise ValueError(source.unavailable() or "it gives no power this moment")
        return float(watts[0])

    return ask


def plug(url: str, path: str, timeout_s: float = 2.0) -> Ask:
    """Return a smart plug as a source, which answers HTTP requests with JSON.

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
"""Limit of a plug's answer; a full status has a few thousand."""


def _at(answer: Any, path: str) -> float:
    """Return the number at a path of keys and indexes."""
    value = answer
    for key in path.split("."):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            keys = ", ".join(value) if isinstance(value, dict) else type(value).__name__
            raise ValueError(f"the answer has no '{path}': '{key}' is not among: {keys}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"'{path}' is not a number of watts: {value!r:.60}")
    return float(value)


def record(ask: Ask, out: Path, period_s: float, silent: Callable[[str], None], n_samples: int | None = None) -> int:
    """Append a sample every ``period_s`` to ``out``, until interrupted.

    Args:
        ask: the source; each sample gets the time halfway between request and response.
        out: JSON lines, as ``log.read`` accepts them.
        period_s: between samples; each is due at a fixed time, so that delays do not add up.
        silent: receives the reason whenever the source stops responding, once each time.
        n_samples: stop after so many periods; None goes on.

    Returns:
        The number of samples written: below ``n_samples`` where the source did not respond each time.

    Raises:
        SilentError: the source does not respond to the first request.
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
