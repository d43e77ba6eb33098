"""A compressed model becomes a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from greenbench import extras
from greenbench.errors import InputError
from greenbench.files import whole
from greenbench.models import opening


def save(model: Any, extractor: Any, tokenizer: Any, folder: str | Path) -> Path:
    """Save a compressed model as a folder that transformers loads, and a suite measures as ``file:FOLDER``.

    A structure that transformers' configuration cannot say is stated beside it, and transformers refuses the folder.
    Builds that change the precision are chained on when it is measured (``file:FOLDER+int8-dynamic``), since their
    weights have no form that transformers reads.

    Args:
        model: a transformers CTC model in float32, as ``compress`` returns it.
        extractor: its feature extractor.
        tokenizer: its tokeniser.
        folder: new or empty; it appears once it is whole.

    Returns:
        The folder.

    Raises:
        InputError: something is in the folder, or the model is not a transformers model in float32.
        MissingError: torch is not installed.
    """
    extras.need("torch")
    folder = Path(folder)
    _check_savable(model)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: there is something here already. Choose another folder.")
    with whole.folder(folder) as aside:
        write(model, (extractor, tokenizer), aside)
    return folder


def write(model: Any, processors: Sequence[Any], aside: Path) -> None:
    """Write a model, and its feature extractor and tokeniser, into a folder that is not yet in its place."""
    opening.save(model, aside)
    for part in processors:
        part.save_pretrained(aside)


def _check_savable(model: Any) -> None:
    """Refuse what transformers would not load as it is: integers, halves, and compiled modules."""
    import torch
    from transformers import PreTrainedModel

    weights = list(model.parameters())
    floats = [*weights, *(buffer for buffer in model.buffers() if buffer.is_floating_point())]
    plain = all(type(tensor.data) is torch.Tensor and tensor.dtype is torch.float32 for tensor in floats)
    quantized = any(type(module).__module__.startswith("torch.ao.nn.quantized") for module in model.modules())
    if not isinstance(model, PreTrainedModel) or not plain or quantized:
        raise InputError(
            "only a transformers model in float32 can be saved: save it before the step that changes the precision or "
            "compiles it, and chain that step on as a build where it is measured (file:FOLDER+int8-dynamic)"
        )
