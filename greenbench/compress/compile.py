"""The build that compiles a model for the machine it runs on."""

import os
import shutil
from dataclasses import dataclass, replace
from typing import Any

from greenbench.errors import InputError
from greenbench.plugins import BARE, Context, Outline


@dataclass(frozen=True)
class Compile:
    """``torch.compile`` with dynamic shapes: one compilation serves every length of audio."""

    def unsupported(self, device: str) -> str | None:
        """Say so where the CPU's code generator has no C++ compiler."""
        if device != "cpu" or any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++")))):
            return None
        return "torch.compile on the CPU needs a C++ compiler, and there is none (install g++)"

    def follow(self, before: Outline) -> Outline:
        """Refuse early exits, at each of which what is compiled would end."""
        if before.exits:
            raise InputError("compile cannot follow early-exit, whose layers it would compile apart: leave one out")
        return replace(before, compiled=True)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Return the model that compiles itself at its first call."""
        import torch

        return torch.compile(model, dynamic=True)
