"""What the families have in common whose suites name code to run: the files that they are told apart by."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from greenbench import cache
from greenbench.errors import MissingError

DEVICE = "GREENBENCH_DEVICE"
"""Variable of the environment that says on which device a cell is to compute: ``cpu``, ``cuda:0``, ``mps``."""


class ProgramFamily:
    """What a family says of itself whose suites name code, or a server, to run."""

    presets: ClassVar[Mapping[str, Any]] = {}
    takes_builds: ClassVar[bool] = False
    names_program: ClassVar[bool] = True


def check_files(files: Sequence[Path]) -> None:
    """Refuse files that a suite names and that are not here.

    Raises:
        MissingError: names the first.
    """
    for file in files:
        if not file.is_file():
            raise MissingError(f"files: {file}: no such file. Correct `files`.")


def check_timeout(timeout_s: float) -> None:
    """Refuse a limit in seconds that is none.

    Raises:
        ValueError: it is not a number above 0.
    """
    if not 0 < timeout_s < math.inf:
        raise ValueError("timeout_s is above 0")


def identity(family: str, parts: Sequence[str | Path], files: Sequence[Path]) -> tuple[str, ...]:
    """Return what tells a program from others wherever it lies: a digest of its settings, with files by their content.

    Args:
        family: of the variant.
        parts: settings that decide what it answers; a path stands for the file's content.
        files: further files that do.
    """
    told = [cache.digest(part) if isinstance(part, Path) else part for part in (*parts, *files)]
    return (f"{family}:{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]}",)
