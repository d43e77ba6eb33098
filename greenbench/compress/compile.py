"""The build that compiles a model for the machine it runs on."""

import os
import shutil
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from time import time
from typing import Any

from greenbench.errors import InputError
from greenbench.plugins import BARE, Context, Outline

_COPYING_S = 60.0
"""A library that is younger than this may still be written by another process."""


@dataclass(frozen=True)
class Compile:
    """``torch.compile`` with dynamic shapes: one compilation serves every length of audio."""

    def unsupported(self, device: str) -> str | None:
        """Say so where the CPU's code generator has no C++ compiler."""
        if device != "cpu" or any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++")))):
            return None
        return "torch.compile on the CPU needs a C++ compiler, and there is none (install g++)"

    def follow(self, before: Outline) -> Outline:
        """Refuse early exits, at each of which what is compiled would end, and chunks, whose stream is not compiled."""
        if before.exits:
            raise InputError("compile cannot follow early-exit, whose layers it would compile apart: leave one out")
        if before.chunked:
            raise InputError("compile cannot follow chunk-attention, which streams layer by layer: leave compile out")
        return replace(before, compiled=True)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Return the model that compiles itself at its first call."""
        import torch
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        remove_cut_libraries(Path(cache_dir()))
        return torch.compile(model, dynamic=True)


def remove_cut_libraries(folder: Path) -> None:
    """Remove libraries from the cache of torch's compiler that were cut off by the end of the process that wrote them.

    They are not written whole or not at all, and each later compilation of the same code would fail at loading one.
    """
    for path in folder.glob("*/*.so"):
        stat = path.stat()
        if time() - stat.st_mtime > _COPYING_S and stat.st_size < _whole_bytes(path):
            path.unlink(missing_ok=True)


def _whole_bytes(path: Path) -> int:
    """Return how many bytes a library has at least: in ELF of 64 bits up to the end of the table of its sections.

    Offsets are those of ``Elf64_Ehdr``: elf(5).
    """
    with path.open("rb") as file:
        header = file.read(64)
    if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":  # what is not ELF is only known not to be empty
        return 64
    (table,), (entry_bytes, n_entries) = struct.unpack_from("<Q", header, 0x28), struct.unpack_from("<HH", header, 0x3A)
    return int(table + entry_bytes * n_entries)
