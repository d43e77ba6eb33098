"""What takes long says that it goes on: every few seconds for how long, how much is done, and the time left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread

from greenbench.plugins import amounts
from greenbench.plugins.events import Observer, Preparing

EVERY_S = 10.0
"""Seconds between two events of the same work."""


@contextmanager
def beating(observe: Observer, begun: Preparing) -> Iterator[None]:
    """Observe that something begins, and until it ends every ``EVERY_S`` how far it is.

    Args:
        observe: is also called from a thread of its own. Nothing may be measured in this process meanwhile.
        begun: what begins.
    """
    observe(begun)
    start, has_ended = time.perf_counter(), Event()
    with amounts.watched() as amount:

        def beat() -> None:
            while not has_ended.wait(EVERY_S):
                observe(so_far(begun, time.perf_counter() - start, amount))

        thread = Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            has_ended.set()
            thread.join()


def so_far(begun: Preparing, elapsed_s: float, amount: amounts.Amount) -> Preparing:
    """Return the event of what began some time ago.

    The time left is that of a download at its speed so far, or else what was left when it began less the time since.

    Args:
        begun: its first event.
        elapsed_s: seconds since then.
        amount: what is done of it, where it reports that.
    """
    left_s = None if begun.left_s is None or begun.left_s <= elapsed_s else begun.left_s - elapsed_s
    if 0 < amount.n_bytes <= amount.of_bytes:
        left_s = elapsed_s * (amount.of_bytes - amount.n_bytes) / amount.n_bytes
    here, whole = amount.n_bytes or None, amount.of_bytes or None
    return replace(begun, elapsed_s=elapsed_s, left_s=left_s, n_bytes=here, of_bytes=whole)
