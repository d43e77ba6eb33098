"""Extras: the packages that each of them installs, and the command that installs what is missing."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec

from greenbench.errors import MissingError

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch", "transformers"),
    "codecarbon": ("codecarbon",),
    "datasets": ("datasets",),
    "distill": ("accelerate",),
    "fleet": ("ray", "submitit"),
    "hub": ("huggingface_hub",),
    "librispeech": ("pooch",),
    "mlflow": ("mlflow", "sqlalchemy"),
    "moonshine": ("onnxruntime", "moonshine_voice"),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino", "nncf"),
    "parquet": ("pyarrow",),
    "pocketsphinx": ("pocketsphinx",),
    "pytest": ("pytest", "pytest_benchmark"),
    "sherpa-onnx": ("sherpa_onnx",),
    "tensorboard": ("tensorboard",),
    "torchao": ("torchao",),
    "trackio": ("trackio",),
    "vosk": ("vosk",),
    "whisper": ("faster_whisper",),
}
"""Extra, as in ``pyproject.toml`` -> the modules that it installs."""

INCLUDED: Mapping[str, tuple[str, ...]] = {
    "torch": ("codecarbon", "librispeech"),
    "whisper": ("librispeech",),
    **dict.fromkeys(("distill", "onnx", "openvino", "torchao"), ("torch", "codecarbon", "librispeech")),
}
"""Extra -> the other extras that it installs, too."""


def missing(extras: Iterable[str]) -> str | None:
    """Say which packages of some extras are not installed, with the command that installs them.

    Nothing is imported.

    Args:
        extras: names from ``PACKAGES``, in any order.

    Returns:
        One line, or None where all are installed.
    """
    absent = {extra: [name for name in PACKAGES[extra] if not is_installed(name)] for extra in sorted(set(extras))}
    lacking = [extra for extra, names in absent.items() if names]
    if not lacking:
        return None
    packages = ", ".join(name.replace("_", "-") for extra in lacking for name in absent[extra])
    included = {other for extra in lacking for other in INCLUDED.get(extra, ())}
    wanted = ",".join(extra for extra in lacking if extra not in included)
    return f"{packages} not installed: pip install 'greenbench[{wanted}]'"


def need(*extras: str) -> None:
    """Raise an error unless some extras are installed.

    Args:
        extras: names from ``PACKAGES``.

    Raises:
        MissingError: a package is not installed; the message has the command.
    """
    reason = missing(extras)
    if reason:
        raise MissingError(reason)


def is_installed(module: str) -> bool:
    """Say whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # what an import hook refuses, or a module without a specification
        return False
