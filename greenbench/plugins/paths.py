"""Paths in suites and recipes: made absolute when the file is read."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def _resolve(path: Path, info: ValidationInfo) -> Path:
    """Make a suite's path absolute: relative to the suite file's folder where it exists there, else to the cwd."""
    base = (info.context or {}).get("base")
    if path.is_absolute() or base is None:
        return path
    in_suite_folder = Path(base) / path
    return (in_suite_folder if in_suite_folder.exists() else Path.cwd() / path).resolve()


def _resolve_folder(value: str, info: ValidationInfo) -> str:
    """Make a model's folder absolute and leave a hub id as it is."""
    resolved = _resolve(Path(value), info)
    return str(resolved) if resolved.exists() else value


SuitePath = Annotated[Path, AfterValidator(_resolve)]
"""A path in a suite file: relative to the suite file's folder if it exists there, else to the working directory."""

ModelRef = Annotated[str, AfterValidator(_resolve_folder)]
"""A folder (resolved like ``SuitePath``) or a hub id such as ``facebook/wav2vec2-base-960h``."""
