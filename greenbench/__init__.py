"""greenbench: measure, and shrink, the footprint of speech recognisers.

    import greenbench

    frame = greenbench.run("suite.yaml", out="results/mine", limit=20, progress=True)   # measure
    frame = greenbench.fleet("suite.yaml", engine="ray://10.0.0.1:6379", on=["tier=edge"])   # on many machines
    frame = greenbench.load("results/mine")                 # read what earlier runs measured
    lines = greenbench.gains("results/mine")               # compressed variants against their teachers
    greenbench.accept("results/before", "results/after", ["wer<=+1pp", "rtfx>=2x"])   # true where that is shown
    with greenbench.measure(device="cpu") as m:             # any code: m.wall_s, m.cpu_s, m.peak_rss_bytes, m.energy_j
        ...
    greenbench.show("results/mine")                         # the page, in a notebook

    from greenbench.compress import LayerDrop, compress, save     # shrink; save(...) makes a folder to measure

``run`` measures a suite, ``load`` reads what earlier runs measured; both return a tidy pandas frame with one row per
cell and repeat. ``gains`` compares compressed variants with their teachers, ``accept`` says whether a new version is
shown to keep to conditions, ``measure`` measures any code by the same meters, ``show`` puts the page of a run into a
notebook. Whatever a user can get wrong raises an ``InputError``, whatever is not here a ``MissingError``; both are a
``GreenbenchError``. Importing the package costs nothing: the libraries behind these names are imported when one is
used. All other modules are internal.
"""

from typing import TYPE_CHECKING, Any

from greenbench.version import __version__

__all__ = [
    "GreenbenchError",
    "InputError",
    "MissingError",
    "StoreError",
    "__version__",
    "accept",
    "fleet",
    "gains",
    "load",
    "measure",
    "run",
    "show",
]

if TYPE_CHECKING:
    from greenbench.analysis.gains import table as gains
    from greenbench.api import accept, fleet, run
    from greenbench.errors import GreenbenchError, InputError, MissingError, StoreError
    from greenbench.harness.instrument import measure
    from greenbench.report.notebook import show
    from greenbench.results.frames import load

_PUBLIC = {
    "run": ("greenbench.api", "run"),
    "load": ("greenbench.results.frames", "load"),
    "accept": ("greenbench.api", "accept"),
    "fleet": ("greenbench.api", "fleet"),
    "gains": ("greenbench.analysis.gains", "table"),
    "measure": ("greenbench.harness.instrument", "measure"),
    "show": ("greenbench.report.notebook", "show"),
    "GreenbenchError": ("greenbench.errors", "GreenbenchError"),
    "InputError": ("greenbench.errors", "InputError"),
    "MissingError": ("greenbench.errors", "MissingError"),
    "StoreError": ("greenbench.errors", "StoreError"),
}
"""Name -> the module that it is in, and its name there."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'greenbench' has no attribute {name!r}")
    from importlib import import_module

    module, there = _PUBLIC[name]
    return getattr(import_module(module), there)


def __dir__() -> list[str]:
    """Name what is public, for completion and ``help``."""
    return sorted([*__all__, "__doc__", "__file__", "__name__", "__path__"])
