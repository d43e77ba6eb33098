"""Cray PM: energy of the whole node from the counters of HPE Cray EX and Cray XC machines."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from greenbench.files import kernel
from greenbench.hardware.bounds import BOUNDS, implausible
from greenbench.plugins import Quantity, Reading
from greenbench.plugins.traces import inside

ENERGY, STARTUP, FRESHNESS = "cray-pm.node.energy_j", "cray-pm.node.startup_n", "cray-pm.node.freshness_n"
"""In samples: joules so far, in which start of the node's controller, and how often it has updated them."""

_JOULES = re.compile(r"(\d+) J(?: \d+ us)?")
_PLAIN = re.compile(r"(\d+)(?: \d+ us)?")


@dataclass(frozen=True)
class CrayPm:
    """Gross joules of the whole node, as its controller counts them in ``energy`` about ten times a second.

    ``energy`` contains ``cpu_energy``, ``memory_energy`` and ``accel_energy`` (``accel0_energy`` ...), and what no
    other counter has, so it alone is read. A file holds ``12345 J 1678901234567890 us``: value, unit, and time stamp
    (HPE, docs-csm, "User Access to Compute Node Power Data"; ARCHER2's ReFrame tests). The total begins anew where
    ``startup`` changes. Jobs that share the node share the joules.

    Attributes:
        root: where the counters are, e.g. ``/host/sys/cray/pm_counters`` inside a container.
    """

    root: Path = Path("/sys/cray/pm_counters")

    metrics: ClassVar[tuple[str, ...]] = ("energy_system_j",)
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why the node's counter cannot be read and what to do about it, or return None."""
        try:
            _joules(self.root)
        except PermissionError as error:
            return f"{error.filename} may not be read: ask the site for access to {self.root}"
        except FileNotFoundError:
            return (
                f"no counter {self.root / 'energy'} (only HPE Cray machines have it): give a container the host's "
                "folder, or measure at the wall (--power-log)"
            )
        except (OSError, ValueError) as error:
            return f"{self.root / 'energy'} cannot be read: {error}"
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the counters before and after the ``with`` block; the poller's samples of them serve as a check."""
        begun_s, before, opened_s = time.perf_counter(), self.sample(), time.perf_counter()
        yield
        closing_s, after, closed_s = time.perf_counter(), self.sample(), time.perf_counter()

        def add() -> None:
            samples = [] if reading.trace is None else reading.trace.samples(opened_s, closing_s)
            between = [sample for _, _, sample in inside(samples, opened_s, closing_s) if ENERGY in sample]
            joules, why = _used_j([before, *between, after], closed_s - begun_s)
            reading.add("energy_system_j", Quantity(joules, "counter", "cray-pm", why))

        reading.pending.append(add)

    def sample(self) -> dict[str, float]:
        """Return the raw counters, without those that cannot be read."""
        values = dict[str, float]()
        with suppress(OSError, ValueError):
            values[ENERGY] = _joules(self.root)
        for name, file in {STARTUP: "startup", FRESHNESS: "freshness"}.items():
            with suppress(OSError, ValueError):
                values[name] = _number(self.root / file, _PLAIN, "a count")
        return values


def _joules(root: Path) -> int:
    return _number(root / "energy", _JOULES, "joules, such as '12345 J 1678901234567890 us'")


def _number(path: Path, form: "re.Pattern[str]", what: str) -> int:
    """Return the number that a file begins with.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not of that form.
    """
    text = kernel.read(path)
    found = form.fullmatch(text)
    if found is None:
        raise ValueError(f"{what} expected, not {text!r:.60}")
    return int(found[1])


def _used_j(seen: Sequence[Mapping[str, float]], seconds: float) -> tuple[float | None, str | None]:
    """Return the joules between the first and the last of several reads, or None and why they are unknown."""
    if ENERGY not in seen[0] or ENERGY not in seen[-1]:
        return None, "the counter could not be read at an edge of the window"
    for earlier, later in pairwise(seen):
        if later[ENERGY] < earlier[ENERGY]:
            return None, f"the counter stepped back from {earlier[ENERGY]:g} to {later[ENERGY]:g} J: it was reset"
    if len({values[STARTUP] for values in seen if STARTUP in values}) > 1:
        return None, "the node's controller was started again within the window, and its counters with it"
    used_j = seen[-1][ENERGY] - seen[0][ENERGY]
    n_updates = seen[-1].get(FRESHNESS, 1.0) - seen[0].get(FRESHNESS, 0.0)
    if used_j == 0 or n_updates == 0:
        update_s = BOUNDS["system"].update_s
        return None, f"the counter did not move: it is stuck, or the window is shorter than its {update_s:g} s update"
    why = implausible("system", used_j, seconds)
    return (None, why) if why else (float(used_j), None)
