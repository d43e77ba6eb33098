"""What a power source is: something that can be asked for watts."""

from collections.abc import Callable

from greenbench.errors import GreenbenchError

Ask = Callable[[], float]
"""Returns watts; raises ``OSError`` or ``ValueError`` where the source has no value at the moment."""


class SilentError(GreenbenchError):
    """The power source does not respond."""
