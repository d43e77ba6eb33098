"""Hints: what makes a student's hidden states comparable with its teacher's; it trains along and is dropped after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

if TYPE_CHECKING:
    from greenbench.compress.distill.losses import Outputs

HINTS = "hint_projections"
"""What a student is given while it trains: its projections to the teacher's width, or its prediction heads."""


@dataclass(frozen=True)
class PredictionHeads:
    """Prediction heads, by which the last hidden state of a student gives several layers of its teacher.

    Attributes:
        layers: of the teacher, counted from 1.
    """

    layers: Annotated[Sequence[Annotated[int, Field(ge=1)]], Field(min_length=1)]

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


def add_hints(student: Any, teachers: Sequence[Any], layers: Mapping[int, int], heads: PredictionHeads | None) -> None:
    """Give a student what its hidden states are compared with its teachers' through, for each of these its own.

    With heads it is a linear map to as many states of the teacher's width as there are heads, GELU, and a linear map
    for each of them: DistilHuBERT's (Chang, Yang and Lee, arXiv 2110.01900, 2022). Without, and where the two are of
    different widths, it is a linear map for each layer that is paired with one of the teacher's, and an ``Upsampler``
    where the student has fewer frames. It is a part of the student until ``drop_hints``, so that it trains, and is
    kept and resumed, with it.

    Args:
        student: a transformers CTC model.
        teachers: others, the first one first.
        layers: layer of the student -> layer of the teacher; evenly where empty.
        heads: the heads, or None.
    """
    for number, teacher in enumerate(teachers):
        modules = _modules(student, teacher, layers, heads)
        if modules is not None:
            student.add_module(_place(number), modules)


def _place(number: int) -> str:
    """Return the name of the hints of a teacher, counted from 0."""
    return f"{HINTS}_{number + 1}" if number else HINTS


def _modules(student: Any, teacher: Any, layers: Mapping[int, int], heads: PredictionHeads | None) -> Any:
    """Return the hints of one teacher; None where there is nothing to map."""
    from torch.nn import Linear, ModuleDict, ModuleList

    from greenbench.compress.distill.losses import paired
    from greenbench.compress.distill.upsampler import Upsampler
    from greenbench.models.reducer import fewer_after

    width, wanted, n_layers = student.config.hidden_size, teacher.config.hidden_size, student.config.num_hidden_layers
    fewer = fewer_after(student)

    def to(n_features: int, layer: int) -> Any:
        return Upsampler(width, n_features, fewer[layer]) if layer in fewer else Linear(width, n_features)

    if heads:
        n = len(heads.layers)
        return ModuleDict(
            {"shared": to(n * wanted, n_layers), "apart": ModuleList(Linear(wanted, wanted) for _ in range(n))}
        )
    pairs = paired(layers, n_layers, teacher.config.num_hidden_layers)
    found = {str(layer): to(wanted, layer) for layer in pairs if width != wanted or layer in fewer}
    return ModuleDict(found) if found else None


def drop_hints(student: Any) -> None:
    """Take all of them out again."""
    for name in [name for name, _ in student.named_children() if name.startswith(HINTS)]:
        delattr(student, name)


def compared(student: Any, outputs: "Outputs", heads: PredictionHeads | None, number: int = 0) -> "Outputs":
    """Return the outputs with the hidden states that are compared with a teacher's, each of its width and frames.

    Args:
        student: with its hints.
        outputs: what it made of a batch.
        heads: the heads, whose predictions then take the place of its layers; or None.
        number: of the teacher, from 0.
    """
    from torch.nn.functional import gelu

    if not outputs.hidden:
        return outputs
    maps, n_frames = getattr(student, _place(number), {}), outputs.logits.shape[1]
    if heads:
        predicted = gelu(maps["shared"](outputs.hidden[-1])[:, :n_frames]).chunk(len(heads.layers), -1)
        states = [head(part) for head, part in zip(maps["apart"], predicted, strict=True)]
        return replace(outputs, hidden=[outputs.hidden[0], *states])
    hidden = [maps[str(i)](s)[:, :n_frames] if str(i) in maps else s for i, s in enumerate(outputs.hidden)]
    return replace(outputs, hidden=hidden)
