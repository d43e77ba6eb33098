"""greenbench: measure, and shrink, the footprint of speech recognisers.

``run`` measures a suite, ``load`` reads what earlier runs measured; both return a tidy pandas frame with one
row per cell and repeat. Importing the package costs nothing: the libraries behind the two names are
imported when one is used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load", "run"]

if TYPE_CHECKING:
    from greenbench.runner import run
    from greenbench.store import load


def __getattr__(name: str) -> Any:
    """Import ``run`` or ``load`` on first use (PEP 562)."""
    if name == "run":
        from greenbench.runner import run

        return run
    if name == "load":
        from greenbench.store import load

        return load
    raise AttributeError(f"module 'greenbench' has no attribute {name!r}")
