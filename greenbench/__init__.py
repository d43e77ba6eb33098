"""greenbench: measure, and shrink, the footprint of speech recognisers.

``run`` measures a suite, ``load`` reads what earlier runs measured; both return a tidy pandas frame with one
row per cell and repeat. ``gains`` holds compressed variants against their teachers. Importing the package costs
nothing: the libraries behind these names are imported when one is used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "gains", "load", "run"]

if TYPE_CHECKING:
    from greenbench.lineage import table as gains
    from greenbench.runner import run
    from greenbench.store import load


def __getattr__(name: str) -> Any:
    """Import ``run``, ``load`` or ``gains`` on first use (PEP 562)."""
    if name == "run":
        from greenbench.runner import run

        return run
    if name == "load":
        from greenbench.store import load

        return load
    if name == "gains":
        from greenbench.lineage import table

        return table
    raise AttributeError(f"module 'greenbench' has no attribute {name!r}")
