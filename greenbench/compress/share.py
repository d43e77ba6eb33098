"""The method that lets layers share their weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from greenbench.compress.layerwise import layers_of
from greenbench.errors import InputError
from greenbench.models import linears, shared
from greenbench.plugins import BARE, Context, Outline


@dataclass(frozen=True)
class ShareLayers:
    """Let transformer layers share their weights, which are stored and trained once and run as often as before.

    The first of the two sharing methods of "W2V2-Light" (Interspeech 2022), of which only the abstract was read: one
    layer for all 24 of wav2vec 2.0 large has the 91 % fewer parameters that it speaks of. Which layers share, and what
    they begin with, is a reconstruction: ``blocks`` and ``cycle`` are the orders "sequence" and "cycle" of Takase and
    Kiyono (arXiv 2104.06022, 2021), and one group is ALBERT's (Lan et al., arXiv 1909.11942, 2019). The file becomes
    small; work, time and joules hardly change, since every layer still runs. Without training the text collapses: name
    ``distill`` after it in a recipe. The files of ``onnx`` and ``openvino`` have shared weights once, too.

    Attributes:
        groups: how many different layers are left; or the layers of each group, counted from 0, such as ``[[0, 1],
            [2, 3, 4]]``, where a layer in no group keeps its own weights.
        how: for a number of groups: ``blocks``, neighbours share (0 0 0 3 3 3), or ``cycle``, every n-th (0 1 2 0 1 2).
        begin: ``first``, the weights of a group's first layer, or ``mean``, those of all of its layers.
        share_norms: share layer norms, too, or let each layer keep its own.
    """

    groups: int | Sequence[Sequence[int]] = 3
    how: Literal["cycle", "blocks"] = "blocks"
    begin: Literal["mean", "first"] = "first"
    share_norms: bool = True

    def __post_init__(self) -> None:
        """Refuse groups that are none, and a layer in two of them."""
        if isinstance(self.groups, int):
            if self.groups < 1:
                raise ValueError("groups: give at least 1")
            return
        named = [layer for group in self.groups for layer in group]
        if not named or not all(self.groups) or min(named) < 0 or len({*named}) < len(named):
            raise ValueError("groups: give lists of layers counted from 0, each layer once")
        if self.how != "blocks":
            raise ValueError("`groups` names the layers: leave out `how`")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse more groups or layers than there are, and weights that are no floats."""
        if before.model_type == "sew-d":
            raise InputError("share-layers: models of the type sew-d have no list of encoder layers to share")
        if before.integers or before.compiled:
            raise InputError(f"share-layers cannot follow {before.integers or 'compile'}: put it before")
        if before.n_layers is None:
            return replace(before, shared=True)
        shares = any(len(group) > 1 for group in self._layers(before.n_layers))
        return replace(before, shared=before.shared or shares)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Let the layers of each group share in place.

        Raises:
            InputError: there are fewer layers than groups, or a mean is asked for of layers that are built differently.
        """
        self.follow(Outline(model.config.model_type))
        layers = layers_of(model)
        for group in self._layers(len(layers)):
            self._share([layers[index] for index in group])
        return model

    def _layers(self, n_layers: int) -> Sequence[Sequence[int]]:
        """Return the layers of each group, in order, of as many as there are."""
        if isinstance(self.groups, int):
            if self.groups > n_layers:
                raise InputError(f"share-layers: groups: {self.groups} are more than the {n_layers} layers")
            n = self.groups
            of_layer = [layer % n if self.how == "cycle" else layer * n // n_layers for layer in range(n_layers)]
            return [[layer for layer, one in enumerate(of_layer) if one == group] for group in range(n)]
        last = max(layer for group in self.groups for layer in group)
        if last >= n_layers:
            raise InputError(f"share-layers: groups: there is no layer {last}: {n_layers} count from 0")
        return [sorted(group) for group in self.groups]

    def _share(self, group: Sequence[Any]) -> None:
        """Put the parts of the first layer of a group in the place of those of the others."""
        from torch.nn import LayerNorm

        for name, part in shared.parts(group[0]).items():
            if isinstance(part, LayerNorm) and not self.share_norms:
                continue
            if self.begin == "mean":
                _average(part, [getattr(layer, name) for layer in group[1:]])
            for layer in group[1:]:
                setattr(layer, name, part)


def _average(part: Any, others: Sequence[Any]) -> None:
    """Give a part of a layer the mean of its weights and those of others.

    Raises:
        InputError: they are built differently, or are factors or codes, whose mean is not that of what they stand for.
    """
    import torch

    from greenbench.models.factored import Factored
    from greenbench.models.packed import PackedLinear

    if any(isinstance(module, Factored | PackedLinear) for module in part.modules()):
        raise InputError(linears.needs_floats("share-layers with `begin: mean`"))
    own, theirs = part.state_dict(), [other.state_dict() for other in others]
    if any(name not in own or own[name].shape != tensor.shape for one in theirs for name, tensor in one.items()):
        raise InputError("share-layers: begin: mean needs layers of one shape, and these differ: give `begin: first`")
    with torch.no_grad():
        for name, tensor in own.items():
            if tensor.is_floating_point():
                tensor.copy_(torch.stack([tensor, *(one[name] for one in theirs if name in one)]).mean(0))
