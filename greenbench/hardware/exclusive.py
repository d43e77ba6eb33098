"""One measures at a time: a lock for the machine, so that two runs do not measure each other."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from greenbench import cache
from greenbench.errors import BusyError, StoreError
from greenbench.files import kernel, lock
from greenbench.plugins.events import Observer, Preparing, unobserved

BOOT = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def measuring(wait: bool = False, observe: Observer = unobserved) -> Iterator[None]:
    """Keep others on this machine from measuring during the ``with`` block.

    The lock is in the cache's folder, for each machine that shares the folder one; users who share it share the lock.

    Args:
        wait: until nobody else measures; ``observe`` is told for whom.
        observe: receives what happens, as events.

    Raises:
        BusyError: another process measures, and ``wait`` is false; says which, and since when.
        StoreError: the cache cannot be written.
    """
    from filelock import Timeout

    place = lock_file()
    signature = place.with_suffix(".json")
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.holding(place, signature))
        except Timeout as error:
            if not wait:
                raise BusyError(
                    f"{_holder(signature)}: two at a time measure each other. Give --wait to begin once it has ended, "
                    "or --no-lock to measure all the same, in rows that do not rank."
                ) from error
            observe(Preparing(f"waiting: {_holder(signature)}"))
            stack.enter_context(lock.holding(place, signature, wait=True))
        except OSError as error:
            raise StoreError(
                f"{place}: the lock of who measures here cannot be written ({error.strerror or error}). Set "
                "GREENBENCH_CACHE to a folder that can, or give --no-lock."
            ) from error
        yield


def lock_file() -> Path:
    """Return the lock of this machine; all containers of one machine are one, as they have one kernel."""
    running = kernel.text(BOOT) or platform.node()
    return cache.folder().parent / "locks" / f"measuring-{hashlib.sha256(running.encode()).hexdigest()[:12]}.lock"


def _holder(signature: Path) -> str:
    known = lock.holder(signature)
    who, since = known or ("another process", None)
    return f"{who} has been measuring on this machine since {since}" if since else f"{who} measures on this machine"
