"""What families whose engines are measured on the CPU alone say of a device."""

from greenbench import extras
from greenbench.plugins import Inapplicable


def unsupported(extra: str, engine: str, device: str) -> str | None:
    """Say why a family cannot run on a device; None where it can.

    Args:
        extra: that installs its engine.
        engine: as its makers write it.
        device: as a suite names it.
    """
    if reason := extras.missing([extra]):
        return reason
    return None if device == "cpu" else Inapplicable(f"{engine} is measured on the CPU only, not on {device}")
