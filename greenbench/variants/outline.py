"""What a wav2vec 2.0 model's settings and files tell of it before it is loaded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.errors import InputError, MissingError
from greenbench.plugins import LINEAGE, Chained, Method, Outline
from greenbench.variants import hub
from greenbench.variants.checkpoints import ARCHITECTURES

if TYPE_CHECKING:
    from greenbench.variants.wav2vec2 import Wav2Vec2

HALVES = {"fp16": "float16", "bf16": "bfloat16"}
"""Method that leaves a student's weights in 16 bits -> the type that it then runs in."""


def lineage(model: str | None) -> dict[str, Any]:
    """Return what a student's folder says about where it comes from; empty for any other model."""
    path = Path(model or "") / LINEAGE
    if model is None or not path.is_file():
        return {}
    try:
        lineage: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); make the student again") from error
    return lineage


def to_fetch(settings: "Wav2Vec2") -> str | None:
    """Say what of a model would be downloaded; None where it is here."""
    if settings.model is not None:
        return hub.to_fetch(settings.model, settings.revision)
    config = str(settings.config)
    return None if config in ARCHITECTURES else hub.to_fetch(config, settings.revision, kinds=("config.json",))


def check(settings: "Wav2Vec2", methods: Sequence[Method]) -> None:
    """Look at the files that are here, and whether each build can follow what is before it.

    Raises:
        MissingError: a file is missing or damaged.
        InputError: a build cannot follow.
    """
    outline = _outline(settings)
    for method in methods:
        outline = method.follow(outline) if isinstance(method, Chained) else Outline()


def _outline(settings: "Wav2Vec2") -> Outline:
    """Say of the model without its builds what its configuration and its lineage do."""
    config = dict(ARCHITECTURES.get(settings.config or "", {}))
    if settings.config not in ARCHITECTURES:
        kinds = hub.WEIGHTS if settings.model is not None else ("config.json",)
        folder = hub.check(str(settings.model or settings.config), settings.revision, kinds)
        if folder is None:
            return Outline(floats="fp32" if settings.model is None else None)
        config = _read_config(folder)
    chosen = [step["use"] for step in lineage(settings.model).get("steps", ()) if step["use"] in HALVES]
    n_layers = config.get("num_hidden_layers", 12 if settings.config in ARCHITECTURES else None)
    return Outline(n_layers if isinstance(n_layers, int) else None, chosen[-1] if chosen else "fp32")


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingError(
            f"model {folder}: config.json is not valid JSON ({error}). Fetch the model again."
        ) from error
    return config if isinstance(config, dict) else {}
