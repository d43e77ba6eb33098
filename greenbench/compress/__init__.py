"""Compression methods and builds: each is a frozen dataclass of settings that turns one model into another.

``compress`` applies several in order, and ``save`` makes the result a folder to be measured. The usual methods are
importable from here; their libraries are imported when one is used.
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenbench.compress.stored import save
    from greenbench.plugins import Context, Step

_METHODS = {
    "Bf16": "precision",
    "ChunkAttention": "chunk_attention",
    "Distill": "distill",
    "EarlyExit": "early_exit",
    "Elastic": "elastic",
    "Fp16": "precision",
    "FreezeNorm": "freeze",
    "HealLayers": "heal",
    "Int4WeightOnly": "torchao",
    "Int8Dynamic": "quantize",
    "Int8TorchAo": "torchao",
    "Int8WeightOnly": "torchao",
    "LayerDrop": "layers",
    "LowRank": "low_rank",
    "MixedPrecision": "mixed",
    "PredictFeatures": "predict_features",
    "ProductTwins": "twins",
    "PruneFfn": "prune",
    "PruneHeads": "heads",
    "PruneLearned": "learned",
    "PruneMagnitude": "prune",
    "QuantizeAware": "quantize_aware",
    "ReduceFrames": "reduce",
    "ShareLayers": "share",
    "Subnet": "subnet",
    "ThinConv": "thin",
}
"""Name -> the module it is in."""

__all__ = ["Context", "compress", "save", *_METHODS]  # noqa: PLE0604 (names)


def __getattr__(name: str) -> Any:
    """Import a method on first use (PEP 562)."""
    if name == "Context":
        from greenbench.plugins import Context

        return Context
    if name == "save":
        from greenbench.compress.stored import save

        return save
    if name in _METHODS:
        return getattr(import_module(f"greenbench.compress.{_METHODS[name]}"), name)
    raise AttributeError(f"module 'greenbench.compress' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is public."""
    return sorted(__all__)


def compress(model: Any, steps: "Sequence[Step]", context: "Context | None" = None) -> Any:
    """Apply compression methods in order: what changes the shape, what trains after it, the precision last.

    Args:
        model: a transformers CTC model in float32; it is changed in place.
        steps: the methods.
        context: what methods that train need: feature extractor, tokeniser, speech, and a folder, in which each
            step has its own for checkpoints and log. The teacher is the model as it comes, where none is given.

    Returns:
        The compressed torch module.

    Raises:
        InputError: a step cannot be applied to what the steps before it left; as far as that can be known before,
            no step has been taken then.
        MissingError: a step needs what is not installed; no step has been taken.
    """
    from copy import deepcopy

    from greenbench import extras, registry
    from greenbench.compress.steps import check, outline
    from greenbench.plugins import BARE, NeedsExtra, NeedsTeacher

    extras.need("torch", *(step.extra for step in steps if isinstance(step, NeedsExtra)))
    context = context or BARE
    labelled = [(registry.name_of("methods", step), step) for step in steps]
    needed = {"train": context.train, "folder": context.folder, "extractor": context.extractor}
    known, teacher = outline(model), model if context.teacher is None else context.teacher
    lacking = [name for name, given in needed.items() if not given]
    known = replace(known, teacher=outline(teacher), teachers=tuple(outline(one) for one, _, _ in context.teachers))
    check(labelled, known, lacking, str(model.device))
    if context.teacher is None and (context.train or any(isinstance(step, NeedsTeacher) for step in steps)):
        context = replace(context, teacher=deepcopy(model))
    return take(model, labelled, context)[0]


def take(model: Any, steps: "Sequence[tuple[str, Step]]", context: "Context") -> tuple[Any, list[list[Any]]]:
    """Take a model through methods with their labels, each with a folder of its own where the context has one.

    Whether the steps can be taken has been checked before (``compress.steps``).

    Returns:
        The model, and what each method reported.

    Raises:
        InputError: as each method says.
    """
    from greenbench.models import exits
    from greenbench.plugins import Export
    from greenbench.plugins.events import StepStarted

    reports: list[list[Any]] = []
    for number, (label, method) in enumerate(steps, start=1):
        context.observe(StepStarted(number, len(steps), label))
        folder = context.folder and context.folder / f"{number}-{label.partition('(')[0]}"  # without the settings
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        reported: list[Any] = []
        assert not isinstance(method, Export)
        with exits.leaving_never():  # methods look at all layers, and so do their teachers
            model = method(model, replace(context, folder=folder, report=reported.append))
        for report in reported:
            context.report(report)
        reports.append(reported)
    return model, reports
