"""Methods that take layers out of a model."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from greenbench.errors import InputError
from greenbench.models.frames import SPECTRA
from greenbench.plugins import BARE, Context, Outline

Select = Literal["every_k", "first_k", "last_k", "spaced"]


WITHOUT_LAYERS = {"sew-d": "have layers that share their positions, of which none can be taken out"}
"""Model types that cannot lose layers, and why."""


@dataclass(frozen=True)
class LayerDrop:
    """Keep some transformer layers and leave the others out; everything else stays as it is.

    The shape of the students in Peng et al., "Shrinking Bigfoot" (SustaiNLP 2021), before any training: without
    distillation afterwards, expect the accuracy to collapse.

    Attributes:
        keep: layers to keep.
        select: which ones: ``every_k`` (0, n, 2n ... with n = layers // keep, the paper's), ``first_k``, ``last_k``,
            or ``spaced`` (evenly, first and last included: Gandhi et al., "Distil-Whisper", 2023).
        paper_faithful: start the positional convolution and the encoder's layer norm anew, as the paper's released
            code does: it copies whatever is outside the encoder, and the layers, and forgets these two.
        seed: of the positional convolution that starts anew.
    """

    keep: int
    select: Select = "every_k"
    paper_faithful: bool = False
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse to leave nothing."""
        if self.keep < 1:
            raise ValueError("keep at least 1 layer")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse to keep more layers than there are."""
        if before.model_type in WITHOUT_LAYERS:
            raise InputError(f"layer-drop: models of the type {before.model_type} {WITHOUT_LAYERS[before.model_type]}")
        if self.paper_faithful and before.model_type in SPECTRA:
            raise InputError(f"layer-drop: paper_faithful: {before.model_type} has no positional convolution")
        if before.n_layers is not None:
            layers_to_keep(before.n_layers, self.keep, self.select)
        return replace(before, n_layers=self.keep)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Shorten the encoder in place, and its configuration with it.

        Raises:
            InputError: the model has fewer layers than are to be kept, or is not built as this method needs.
        """
        from torch.nn import ModuleList

        encoder = model.base_model.encoder
        self.follow(Outline(model.config.model_type))
        chosen = layers_to_keep(len(encoder.layers), self.keep, self.select)
        layers = [encoder.layers[index] for index in chosen]
        _pass_on_positions(encoder.layers[0], layers[0])
        encoder.layers = ModuleList(layers)
        encoder.config.num_hidden_layers = len(chosen)
        if self.paper_faithful:
            _start_anew(model, self.seed)
        return model


def _pass_on_positions(first: Any, kept: Any) -> None:
    """Give the first layer that stays the embedding of relative positions that WavLM's first layer has for all."""
    embedding = getattr(first.attention, "rel_attn_embed", None) if hasattr(first, "attention") else None
    if embedding is not None:
        kept.attention.rel_attn_embed = embedding


def _start_anew(model: Any, seed: int) -> None:
    """Initialise positional convolution and layer norm of the encoder as fairseq does.

    Weights of the convolution from a normal distribution with variance 4 / (kernel x width), biases zero.
    """
    import torch

    encoder, generator = model.base_model.encoder, torch.Generator().manual_seed(seed)
    convolutions: list[Any] = [m for m in encoder.pos_conv_embed.modules() if isinstance(m, torch.nn.Conv1d)]
    for conv in convolutions:
        drawn = torch.randn(conv.weight.shape, generator=generator).to(conv.weight)
        set_weight(conv, drawn * 2 / (conv.kernel_size[0] * conv.in_channels) ** 0.5)
        torch.nn.init.zeros_(conv.bias)
    encoder.layer_norm.reset_parameters()


def set_weight(module: Any, weight: Any) -> None:
    """Give a module another weight of the same shape, also one that is computed from parameters (weight norm)."""
    import torch

    with torch.no_grad():
        if torch.nn.utils.parametrize.is_parametrized(module, "weight"):
            module.weight = weight
        else:
            module.weight.copy_(weight)


def layers_to_keep(n_layers: int, keep: int, select: Select) -> list[int]:
    """Return the indices of the layers that stay, in order.

    Args:
        n_layers: layers of the model.
        keep: layers to keep.
        select: see ``LayerDrop``.

    Raises:
        InputError: ``keep`` is more than there are.
    """
    if keep > n_layers:
        raise InputError(f"layer-drop: keep: {keep} layers cannot be kept of {n_layers}")
    if select == "first_k":
        return list(range(keep))
    if select == "last_k":
        return list(range(n_layers - keep, n_layers))
    if select == "spaced":
        return [int(index) for index in np.linspace(0, n_layers - 1, keep).round()]
    return [index * (n_layers // keep) for index in range(keep)]
