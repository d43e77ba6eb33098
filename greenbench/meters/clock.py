"""Clock: the monotonic seconds of a window, the only read inside of the energy counters' reads."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from greenbench.plugins import Quantity, Reading


@dataclass(frozen=True)
class Clock:
    """Monotonic seconds of the window, read innermost."""

    metrics: ClassVar[tuple[str, ...]] = ("wall_s",)
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Return None: there is always a clock."""
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Time the ``with`` block."""
        start_s = time.perf_counter()
        yield
        wall_s = time.perf_counter() - start_s
        reading.add("wall_s", Quantity(wall_s, "counter", "perf_counter"))
