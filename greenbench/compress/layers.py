"""Methods that take layers out of a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from greenbench.compress.calibration import NUtterances, SpeechSettings
from greenbench.compress.layerwise import layers_of, places
from greenbench.compress.probe import log_probabilities
from greenbench.compress.refit import norm_and_head
from greenbench.errors import InputError
from greenbench.models.frames import SPECTRA
from greenbench.plugins import BARE, Context, Outline

Select = Literal["every_k", "first_k", "last_k", "spaced"]


WITHOUT_LAYERS = {"sew-d": "have layers that share their positions, of which none can be taken out"}
"""Model types that cannot lose layers, and why."""


@dataclass(frozen=True)
class LayerDrop(SpeechSettings):
    """Keep some transformer layers and leave the others out; everything else stays as it is.

    The shape of the students in Peng et al., "Shrinking Bigfoot" (SustaiNLP 2021), before any training: without
    distillation afterwards, expect the accuracy to collapse, but for the first layers of a model with ``refit``: the
    intermediate cut of Vieting et al. (arXiv 2210.15445, 2022).

    Attributes:
        keep: number of layers to keep; or give ``list``.
        select: which ones: ``every_k`` (0, n, 2n ... with n = layers // keep, the paper's), ``first_k``, ``last_k``,
            or ``spaced`` (evenly, first and last included: Gandhi et al., "Distil-Whisper", 2023).
        list: the layers to keep, counted from 0, in rising order, instead of ``keep`` and ``select``.
        refit: train the last layer norm and the head alone (the head, where more stands between them) to give the
            distributions of the model before the cut: KL divergence on hidden states that are computed once, which
            takes seconds. No transcripts are needed.
        refit_steps: steps of that training, each on 4096 frames.
        calibration: the data set of that training, in the form of a suite's; by default the bundled unlabelled speech,
            synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
        paper_faithful: start the positional convolution and the encoder's layer norm anew, as the paper's released
            code does, which copies everything but these two.
        seed: seed of the positional convolution that starts anew, and of the batches of the refit.
    """

    keep: int | None = None
    select: Select = "every_k"
    list: Sequence[int] | None = None
    refit: bool = False
    refit_steps: Annotated[int, Field(ge=1)] = 300
    n_calibration: NUtterances = field(default=150, kw_only=True)
    paper_faithful: bool = False
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse to leave nothing, and layers that are named in two ways."""
        super().__post_init__()
        if (self.keep is None) == (self.list is None):
            raise ValueError("give `keep`, or the layers as `list`")
        if self.keep is not None and self.keep < 1:
            raise ValueError("keep at least 1 layer")
        if self.list is not None and (not self.list or sorted({*self.list}) != [*self.list] or self.list[0] < 0):
            raise ValueError("list: give layers counted from 0, in rising order, each once")
        if self.list is not None and self.select != "every_k":
            raise ValueError("`list` names the layers: leave out `select`")
        if self.refit and self.paper_faithful:
            raise ValueError("paper_faithful is for a training afterwards: leave out `refit`")

    @property
    def needs_speech(self) -> bool:
        """Whether the settings ask for speech."""
        return self.refit

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse to keep more layers than there are."""
        if before.model_type in WITHOUT_LAYERS:
            raise InputError(f"layer-drop: models of the type {before.model_type} {WITHOUT_LAYERS[before.model_type]}")
        if self.paper_faithful and before.model_type in SPECTRA:
            raise InputError(f"layer-drop: paper_faithful: {before.model_type} has no positional convolution")
        if self.refit and before.model_type == "parakeet_ctc":
            raise InputError("layer-drop: refit: models of the type parakeet_ctc have a convolution for a head")
        if self.refit and (before.integers or before.compiled):
            raise InputError(f"layer-drop: refit cannot follow {before.integers or 'compile'}: put it before")
        if before.n_layers is not None:
            self._chosen(before.n_layers)
        return replace(before, n_layers=self.keep if self.list is None else len(self.list))

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Shorten the encoder in place, and its configuration with it.

        Raises:
            InputError: the model has fewer layers than are to be kept, or is not built as this method needs; or the
                refit needs speech that cannot be read.
        """
        self.follow(Outline(model.config.model_type))
        layers = layers_of(model)
        before = [*layers]
        chosen, origins = self._chosen(len(before)), places(model)
        speech = self.speech(model, context)
        wanted = log_probabilities(model, speech)
        _pass_on_positions(before[0], before[chosen[0]])
        for index in sorted({*range(len(before))} - {*chosen}, reverse=True):
            del layers[index]
        model.base_model.encoder.config.num_hidden_layers = len(chosen)
        for layer, index in zip(layers_of(model), chosen, strict=True):
            layer.place = origins[index]
        if self.paper_faithful:
            _start_anew(model, self.seed)
        if self.refit:
            norm_and_head(model, wanted, speech, self.refit_steps, self.seed)
        return model

    def _chosen(self, n_layers: int) -> Sequence[int]:
        """Return the indices of the layers that stay, of as many as there are."""
        if self.list is None:
            assert self.keep is not None
            return layers_to_keep(n_layers, self.keep, self.select)
        if self.list[-1] >= n_layers:
            raise InputError(f"layer-drop: list: there is no layer {self.list[-1]}: {n_layers} count from 0")
        return self.list


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
