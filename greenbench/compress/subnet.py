"""Subnets: parts of a model that are models themselves, each some first layers with their first heads and neurons."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from greenbench.compress import heads as of_heads
from greenbench.compress.layers import WITHOUT_LAYERS
from greenbench.compress.layerwise import layers_of
from greenbench.errors import InputError
from greenbench.models import attention, feed_forward, linears
from greenbench.models.attention import attentions, n_heads
from greenbench.models.feed_forward import feed_forwards
from greenbench.models.macs import fewer_frames
from greenbench.plugins import BARE, Context, Outline

if TYPE_CHECKING:
    from torch import Tensor

Size = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Shape:
    """The sizes of a subnet.

    Attributes:
        layers: number of its layers, which are the model's first.
        heads: for each of them, how many of its first heads; empty where all stay.
        ffn: for each of them, how many of the first neurons of its feed-forward layers; empty where all stay.
    """

    layers: int
    heads: Sequence[int] = ()
    ffn: Sequence[int] = ()


@dataclass(frozen=True)
class Space:
    """All sizes that subnets may have, each in rising order, the model's own last.

    Attributes:
        layers: of layers.
        heads: of heads in a layer; empty where all stay.
        ffn: of neurons in a feed-forward layer; empty where all stay.
    """

    layers: Sequence[int]
    heads: Sequence[int] = ()
    ffn: Sequence[int] = ()

    def shape(self, choose: Callable[[Sequence[int]], int]) -> Shape:
        """Return a shape whose sizes are chosen one by one: of layers, then of each layer's heads, then neurons."""
        n = choose(self.layers)
        heads, ffn = (tuple(choose(sizes) for _ in range(n if sizes else 0)) for sizes in (self.heads, self.ffn))
        return Shape(n, heads, ffn)


@dataclass(frozen=True)
class Subnet:
    """Keep the first layers of a model, and in each of them its first heads and its first neurons.

    ``elastic`` trains a model so that each of its subnets reads as well as it can, and puts the heads and neurons that
    matter most first. Take any of the sizes that it was trained with: no further training is needed, and many subnets
    of one folder can be measured in one suite. Of any other model the first heads and neurons are no better than the
    rest: use ``prune-heads``, ``prune-ffn`` and ``layer-drop``.

    Attributes:
        layers: number of layers; all where not given.
        heads: number of heads in each layer, or a list with a number for each layer that stays; all where not given.
        ffn: the same of the neurons of feed-forward layers.
    """

    layers: Size | None = None
    heads: Size | Sequence[Size] | None = None
    ffn: Size | Sequence[Size] | None = None

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Refuse to leave everything as it is."""
        if self.layers is None and self.heads is None and self.ffn is None:
            raise ValueError("give `layers`, `heads` or `ffn`")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse models of which such a part is none, and more layers than there are."""
        given = (self.layers is not None, self.heads is not None, self.ffn is not None)
        check_outline("subnet", before, *given)
        if before.n_layers is None:
            return before
        return replace(before, n_layers=self._n_layers(before.n_layers))

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Cut the subnet out in place, and the configuration with it.

        Raises:
            InputError: the model has fewer layers, heads or neurons, or not such ones.
        """
        self.follow(Outline(model.config.model_type))
        check_model("subnet", model)
        cut(model, self.shape(model))
        return model

    def shape(self, model: Any) -> Shape:
        """Return the sizes that the settings mean for a model.

        Raises:
            InputError: it has fewer, or numbers are given for other layers than those that stay.
        """
        present, n = sizes(model), self._n_layers(len(layers_of(model)))
        found = (self._of_layers(key, getattr(self, key), n, present[key]) for key in ("heads", "ffn"))
        return Shape(n, *found)

    def _n_layers(self, present: int) -> int:
        if self.layers is not None and self.layers > present:
            raise InputError(f"subnet: layers: {self.layers} cannot be kept of {present}")
        return present if self.layers is None else self.layers

    @staticmethod
    def _of_layers(key: str, given: int | Sequence[int] | None, n: int, present: Sequence[int]) -> tuple[int, ...]:
        """Return a number for each of the layers that stay; () where all heads or neurons stay."""
        if given is None:
            return ()
        wanted = (given,) * n if isinstance(given, int) else tuple(given)
        if len(wanted) != n:
            raise InputError(f"subnet: {key}: {len(wanted)} numbers for {n} layers: give one for each")
        for number, (size, of_layer) in enumerate(zip(wanted, present, strict=False)):
            if size > of_layer:
                raise InputError(f"subnet: {key}: layer {number}, counted from 0, cannot keep {size} of {of_layer}")
        return wanted


def check_outline(method: str, before: Outline, layers: bool, heads: bool, ffn: bool) -> None:
    """Refuse models that cannot lose layers, heads or neurons, as far as that is known before one is loaded.

    Raises:
        InputError: naming the method, and what to do.
    """
    if layers and before.model_type in WITHOUT_LAYERS:
        raise InputError(f"{method}: models of the type {before.model_type} {WITHOUT_LAYERS[before.model_type]}")
    if heads:
        attention.check_type(method, before.model_type)
    if ffn:
        feed_forward.check_type(method, before.model_type)
    if before.integers or before.compiled:
        raise InputError(f"{method} cannot follow {before.integers or 'compile'}: put it before")
    if before.shared:
        raise InputError(f"{method} cannot follow share-layers, whose layers are one: put it before")
    if before.exits:
        raise InputError(f"{method} cannot follow early-exit, whose branches belong to layers: put it before")


def check_model(method: str, model: Any) -> None:
    """Refuse a loaded model whose layers cannot be cut.

    Raises:
        InputError: naming the method, and what to do.
    """
    if fewer_frames(model):
        raise InputError(f"{method} cannot follow reduce-frames, which belongs to layers: put it before")
    parts = [part for layer in feed_forwards(model).values() for part in (layer.intermediate_dense, layer.output_dense)]
    parts += [part for one in attentions(model).values() for part in attention.projections(one)]
    if not linears.in_floats(parts):
        raise InputError(linears.needs_floats(method))


def sizes(model: Any) -> dict[str, list[int]]:
    """Return the heads and the neurons, ``ffn``, of each layer of a model, as far as it has such."""
    layers = layers_of(model)
    feeding = [[int(one.intermediate_dense.out_features) for one in feed_forwards(layer).values()] for layer in layers]
    return {
        "heads": [n_heads(one) for one in attentions(model).values()],
        "ffn": [min(widths) for widths in feeding if widths],
    }


@contextmanager
def computing(model: Any, shape: Shape) -> Iterator[None]:
    """Let a model compute as one of its subnets does; all parameters stay where they are.

    A layer whose weight is W, ``(n_out, n_in)``, computes with its first rows and columns, so that gradients reach
    these alone. They have to be computed within the block.

    Args:
        model: a transformers CTC model.
        shape: of the subnet.
    """
    encoder = model.base_model.encoder
    whole, linears_of = encoder.layers, [*_narrowed(model, shape)]
    encoder.layers = whole[: shape.layers]
    for linear, n_out, n_in in linears_of:
        linear.forward = partial(_first, linear, n_out, n_in)
    try:
        yield
    finally:
        encoder.layers = whole
        for linear, _, _ in linears_of:
            del linear.forward


def _first(linear: Any, n_out: int | None, n_in: int | None, given: "Tensor") -> "Tensor":
    """Return what the first outputs of a Linear layer are by its first inputs; None stands for all."""
    from torch.nn.functional import linear as multiplied

    return multiplied(given, linear.weight[:n_out, :n_in], linear.bias[:n_out])


def _narrowed(model: Any, shape: Shape) -> Iterator[tuple[Any, int | None, int | None]]:
    """Yield the Linear layers of a subnet that are narrower than the model's, with their outputs and inputs."""
    for layer, n in zip(layers_of(model), shape.heads, strict=False):
        for one in attentions(layer).values():
            *into, out = attention.projections(one)
            width = n * int(one.head_dim)
            yield from ((part, width, None) for part in into)
            yield out, None, width
    for layer, width in zip(layers_of(model), shape.ffn, strict=False):
        for one in feed_forwards(layer).values():
            yield one.intermediate_dense, width, None
            yield one.output_dense, None, width


def cut(model: Any, shape: Shape) -> None:
    """Leave a subnet of a model, whose other layers, heads and neurons are gone, and its configuration with it.

    Args:
        model: a transformers CTC model; it is changed in place, and shares no memory with what it was.
        shape: of the subnet.
    """
    layers = layers_of(model)
    del layers[shape.layers :]
    model.base_model.encoder.config.num_hidden_layers = shape.layers
    for layer, n in zip(layers, shape.heads, strict=False):
        for one in attentions(layer).values():
            of_heads.keep(one, range(n))
    for layer, width in zip(layers, shape.ffn, strict=False):
        for one in feed_forwards(layer).values():
            feed_forward.keep(one, [*range(width)])
    if len(set(shape.ffn)) == 1:
        model.config.intermediate_size = shape.ffn[0]
