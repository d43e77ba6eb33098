"""Meters: what they read over a window, and where each value comes from."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable

from greenbench.plugins.traces import Trace

Origin = Literal["counter", "sampled", "estimated"]
METHODS: tuple[Origin, ...] = get_args(Origin)
"""How a value was obtained, the most reliable first: a combination of two is as weak as the weaker one."""


POWER, FULL_SCALE = "power_w", "full_scale_w"
"""How the names of powers in samples end, and those of readings at the end of a sensor's range: such a reading, in W,
stands in place of the power, of which it says that it was no less."""


@dataclass(frozen=True)
class Quantity:
    """One measured value with its origin.

    Attributes:
        value: in the unit of its metric; ``None`` where the meter could not read it.
        method: one of ``METHODS``.
        source: ``rapl``, ``nvml-total-energy``, ``vmhwm`` ...
        note: what else a reader must know, e.g. the TDP behind an estimate or why the value is None.
        shared: it includes what others use of the same device, e.g. of the board of which the model has a slice.
    """

    value: float | None
    method: Origin
    source: str
    note: str | None = None
    shared: bool = False


@dataclass(frozen=True)
class SampledPower:
    """A power without an energy counter: its joules are integrated from the poller's samples.

    Attributes:
        names: of the values in W in the meter's ``sample``, which end in ``POWER``; their sum is the power.
        source: of the quantity.
        note: what else a reader must know.
        shared: as of the quantity.
    """

    names: tuple[str, ...]
    source: str
    note: str | None = None
    shared: bool = False


@dataclass
class Reading:
    """The meters' readings by metric name; one reading may span several windows.

    Attributes:
        quantities: the values read so far.
        trace: the poller's samples, for meters that need more than the window's edges; None where no poller runs.
        device: what the model runs on (``cpu``, ``cuda:1``), for meters that must know which GPU is meant.
        absent: by metric, why no meter on this machine reads it.
        segments: start and end of each window so far, on ``time.perf_counter``.
        sampled: powers by metric (``energy_system_j``) that are integrated once all meters have closed.
        pending: computations on the meters' reads that are left until all meters have closed.
    """

    quantities: dict[str, Quantity] = field(default_factory=dict)
    trace: Trace | None = None
    device: str | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    segments: list[tuple[float, float]] = field(default_factory=list)
    sampled: dict[str, SampledPower] = field(default_factory=dict)
    pending: list[Callable[[], None]] = field(default_factory=list)

    def add(self, metric: str, quantity: Quantity) -> None:
        """Add a quantity to the sum over earlier windows of this reading; an unknown part makes the sum unknown."""
        self._merge(metric, quantity, lambda a, b: a + b)

    def peak(self, metric: str, quantity: Quantity) -> None:
        """Keep the largest quantity over the windows of this reading."""
        self._merge(metric, quantity, max)

    def first(self, metric: str, quantity: Quantity) -> None:
        """Keep the quantity of the first window of this reading."""
        self.quantities.setdefault(metric, quantity)

    def last(self, metric: str, quantity: Quantity) -> None:
        """Keep the quantity of the latest window of this reading."""
        self.quantities[metric] = quantity

    def settle(self) -> None:
        """Run the pending computations, outside of every meter's window."""
        pending, self.pending = self.pending, []
        for finish in pending:
            finish()

    def value(self, metric: str) -> float | None:
        """Return a metric's value, or None where no meter read it."""
        return self.quantities[metric].value if metric in self.quantities else None

    def _merge(self, metric: str, new: Quantity, combine: Callable[[float, float], float]) -> None:
        old = self.quantities.get(metric)
        if old is None or old.value is None or new.value is None:
            unknown = old if old is not None and old.value is None else new
            self.quantities[metric] = unknown
            return
        weaker = max(old, new, key=lambda quantity: METHODS.index(quantity.method))
        self.quantities[metric] = replace(weaker, value=combine(old.value, new.value))


class Meter(Protocol):
    """Reads one kind of quantity over a window (group ``greenbench.meters``).

    Attributes:
        metrics: the names from METRICS that it reads.
        estimates: it models rather than measures, so it runs only on request.
    """

    metrics: ClassVar[tuple[str, ...]]
    estimates: ClassVar[bool]

    def unavailable(self) -> str | None:
        """Say why it cannot measure here and what to do about it, or return None."""
        ...

    def window(self, reading: Reading) -> AbstractContextManager[None]:
        """Measure what happens inside the ``with`` block; write it into ``reading`` on leaving.

        What takes time, such as reading the trace, is left for later in ``reading.pending``: other meters' windows
        may still be open.
        """
        ...


@runtime_checkable
class Polled(Protocol):
    """A meter that also answers between a window's edges (optional): the poller's process asks it at a steady pace."""

    def sample(self) -> Mapping[str, float]:
        """Return the present values, named ``<source>.<part>.<quantity>_<unit>``; {} where none can be read."""
        ...


@runtime_checkable
class Paced(Polled, Protocol):
    """A polled meter that may need a faster pace than the run's (optional)."""

    @property
    def period_s(self) -> float | None:
        """The longest period between samples that its figures allow here, in seconds; None where any is sufficient."""
        ...
