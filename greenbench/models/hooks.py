"""Hooks on the layers of a model, for as long as speech is run through it."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle


@contextmanager
def attached(handles: "Iterable[RemovableHandle]") -> Iterator[None]:
    """Take hooks off again at the end of the block, however it ends.

    Args:
        handles: as torch returns them when a hook is registered.
    """
    with ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield
