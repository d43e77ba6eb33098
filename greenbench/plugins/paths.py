"""Paths in suites and recipes: made absolute when the file is read."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def beside(path: Path, base: Path) -> Path:
    """Return an absolute path: relative to the suite file's folder if it exists there, else to the working directory.

    Args:
        path: as a suite gives it.
        base: the suite file's folder.
    """
    if path.is_absolute():
        return path
    in_suite_folder = base / path
    return (in_suite_folder if in_suite_folder.exists() else Path.cwd() / path).resolve()


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return path if base is None else beside(path, Path(base))


def _resolve_folder(value: str, info: ValidationInfo) -> str:
    """Make a model's folder absolute and leave a hub id as it is."""
    resolved = _resolve(Path(value), info)
    return str(resolved) if resolved.exists() else value


SuitePath = Annotated[Path, AfterValidator(_resolve)]
"""A path in a suite file, made absolute as ``beside`` does."""

ModelRef = Annotated[str, AfterValidator(_resolve_folder)]
"""A folder (resolved like ``SuitePath``) or a hub id such as ``facebook/wav2vec2-base-960h``."""
