"""Meters: what they read over a window, and where each value comes from."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable

from greenbench.plugins.traces import Trace

Origin = Literal["counter", "sampled", "estimated"]
METHODS: tuple[Origin, ...] = get_args(Origin)
"""How a value came about, the strongest first: what is combined of two is as weak as the weaker."""


@dataclass(frozen=True)
class Quantity:
    """One measured value with its origin.

    Attributes:
        value: in the unit of its metric; ``None`` where the meter could not tell.
        method: one of ``METHODS``.
        source: ``rapl``, ``nvml-total-energy``, ``vmhwm`` ...
        note: what else a reader must know, e.g. the TDP behind an estimate or why the value is None.
        shared: it takes in what others use of the same thing, e.g. of the board of which the model has a slice.
    """

    value: float | None
    method: Origin
    source: str
    note: str | None = None
    shared: bool = False


@dataclass(frozen=True)
class SampledPower:
    """A power without a counter, which the poller's samples are integrated for.

    Attributes:
        names: of the values in W that the meter's ``sample`` gives; their sum is the power.
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
    """What the meters read, by metric name; one reading may span several windows.

    Attributes:
        quantities: what was read so far.
        trace: what the poller sees meanwhile, for meters that need more than the window's edges; None where no
            poller runs.
        device: what the model runs on (``cpu``, ``cuda:1``), for meters that must know which GPU is meant.
        absent: by metric, why no meter here answers it.
        segments: start and end of each window so far, on ``time.perf_counter``.
        sampled: powers by metric (``energy_system_j``) that are integrated once all meters have closed.
        pending: what meters still have to make of their reads once all have closed.
    """

    quantities: dict[str, Quantity] = field(default_factory=dict)
    trace: Trace | None = None
    device: str | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    segments: list[tuple[float, float]] = field(default_factory=list)
    sampled: dict[str, SampledPower] = field(default_factory=dict)
    pending: list[Callable[[], None]] = field(default_factory=list)

    def add(self, metric: str, quantity: Quantity) -> None:
        """Add to what earlier windows of this reading gave; an unknown part makes the whole unknown."""
        self._merge(metric, quantity, lambda a, b: a + b)

    def peak(self, metric: str, quantity: Quantity) -> None:
        """Keep the larger of this and what earlier windows of this reading gave."""
        self._merge(metric, quantity, max)

    def first(self, metric: str, quantity: Quantity) -> None:
        """Keep what the first window of this reading gave."""
        self.quantities.setdefault(metric, quantity)

    def last(self, metric: str, quantity: Quantity) -> None:
        """Keep what the latest window of this reading gave."""
        self.quantities[metric] = quantity

    def settle(self) -> None:
        """Let the meters make what they have left of their reads; those of another window do not see it."""
        pending, self.pending = self.pending, []
        for finish in pending:
            finish()

    def value(self, metric: str) -> float | None:
        """Return the value read, or None where no meter answered."""
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
        metrics: names from METRICS that it answers.
        estimates: it models rather than measures, so it runs only when asked for.
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
        """Return what can be seen this moment, named ``<source>.<part>.<quantity>_<unit>``; {} where nothing can."""
        ...


@runtime_checkable
class Paced(Polled, Protocol):
    """A polled meter that may need a faster pace than the run's (optional)."""

    @property
    def period_s(self) -> float | None:
        """The longest time between two samples that its figures allow here, in seconds; None where any will do."""
        ...
