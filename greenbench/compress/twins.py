"""The method that gives attention smaller heads, by factorising the matrices that act only as a product."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.moments import second_moments
from greenbench.compress.spectrum import balanced, check_rank, rank_of, values_of_product
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.models.attention import attentions, check_type, n_heads, projections, reshape
from greenbench.plugins import BARE, Context, Outline

if TYPE_CHECKING:
    from torch import Tensor

_NEEDS_FLOATS = linears.needs_floats("product-twins", whole=False)


@dataclass(frozen=True)
class ProductTwins(SpeechSettings):
    """Make attention heads smaller: query and key of a head act only as a product, and so do value and output.

    The idea of AdaPTwin (arXiv 2406.08904, 2024), by the exact optimum: both products of each head are replaced by the
    nearest ones of a lower rank (Eckart and Young, 1936), whose factors are the new, smaller weights.
    The biases are a part of it: with x' = [x; 1] the score of two frames is x'ᵀ M y', M = [W_q, b_q]ᵀ [W_k, b_k], and
    the value's bias goes into the output's, exactly, since the weights of attention add up to one. What results is
    attention with smaller heads: fewer parameters and less work, in projections and between frames. A layer has one
    rank for both products, since transformers views queries, keys and values by one size of a head. Neither speech nor
    training is needed; ``distill`` in a recipe may follow.

    Attributes:
        rank: size of each head afterwards; ``energy`` decides where it is not given.
        energy: the least share of the squared singular values of every product of a layer that its rank keeps; not
            used where ``rank`` is given.
        multiple_of: ranks chosen by ``energy`` are rounded up to multiples of this, on which kernels are fastest.
        aware: take the products that are nearest on calibration speech instead: with C the mean of x' x'ᵀ over its
            frames, those of C^½ M C^½, of which the squared error of scores is the least of all of a rank.
        calibration: the data set of ``aware``, in the form of a suite's; by default the bundled unlabelled speech,
            synthetic English.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    rank: int | None = None
    energy: float = 0.99
    multiple_of: int = 8
    aware: bool = False

    def __post_init__(self) -> None:
        """Refuse to leave nothing."""
        super().__post_init__()
        check_rank(self.rank, self.energy, self.multiple_of)

    @property
    def needs_speech(self) -> bool:
        """Whether the settings ask for speech."""
        return self.aware

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse attention of another kind, and layers that are integers already."""
        check_type("product-twins", before.model_type)
        if before.all_integers:
            raise InputError(_NEEDS_FLOATS)
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Make the heads smaller in place.

        Raises:
            InputError: the model's attention is of another kind, or not in floats any more, or has heads that are
                smaller than ``rank``; there is no calibration speech.
            MissingError: the calibration speech is not here.
        """
        self.follow(Outline(model.config.model_type))
        layers = list(attentions(model).values())
        if not linears.in_floats(part for attention in layers for part in projections(attention)):
            raise InputError(_NEEDS_FLOATS)
        sizes = [attention.head_dim for attention in layers]
        if self.rank is not None and self.rank > min(sizes):
            raise InputError(f"product-twins: rank: {self.rank} is more than the {min(sizes)} of a head")
        for attention, moment in zip(layers, self._moments(model, layers, context), strict=True):
            weighing = _weighing(moment)
            heads = _products(attention, weighing)
            rank = self.rank or self._rank([product for products in heads for product in products])
            reshape(attention, rank, _factorised(attention, heads, weighing, rank))
        return model

    def _moments(self, model: Any, layers: Sequence[Any], context: Context) -> "Sequence[Tensor | None]":
        """Return C of each layer, ``(hidden_size + 1, hidden_size + 1)``; None, the identity, without speech."""
        if not self.aware:
            return [None] * len(layers)
        inputs = [attention.q_proj for attention in layers]
        return second_moments(model, inputs, self.speech(model, context), "inputs")

    def _rank(self, products: "Sequence[Product]") -> int:
        """Return the rank of a layer, from the products of its heads."""
        return max(rank_of(values_of_product(*product), self.energy, self.multiple_of) for product in products)


Product = tuple[Any, Any]
"""Two matrices, ``(m, size)`` and ``(n, size)``: the first times the second transposed is what acts."""


class Root(NamedTuple):
    """What multiplies by C^½, and what by its inverse."""

    times: "Callable[[Tensor], Tensor]"
    divide: "Callable[[Tensor], Tensor]"


def _products(attention: Any, weighing: tuple[Root, Root]) -> list[tuple[Product, Product]]:
    """Return both products of each head in float64, weighed: query and key with their biases, output and value."""
    import torch

    number, size = n_heads(attention), int(attention.head_dim)
    q, k, v, out = projections(attention)

    def by_head(*columns: "Tensor") -> "Sequence[Tensor]":
        whole = torch.cat([column.detach().double() for column in columns], dim=1)
        return whole.view(number, size, -1).transpose(1, 2).unbind()

    scores, inputs = weighing
    queries, keys = ([scores.times(one) for one in by_head(part.weight, part.bias[:, None])] for part in (q, k))
    values, outputs = [inputs.times(one) for one in by_head(v.weight)], by_head(out.weight.T)
    return list(zip(zip(queries, keys, strict=True), zip(outputs, values, strict=True), strict=True))


def _factorised(
    attention: Any, heads: "Sequence[tuple[Product, Product]]", weighing: tuple[Root, Root], rank: int
) -> "Mapping[str, tuple[Tensor, Tensor]]":
    """Return weights and biases of an attention layer of smaller heads, as ``reshape`` takes them."""
    import torch

    qk, vo = ([balanced(*products[which], rank) for products in heads] for which in (0, 1))
    scores, inputs = weighing
    queries, keys = (scores.divide(torch.cat([pair[side] for pair in qk], dim=1)).T for side in (0, 1))
    outputs, values = (torch.cat([pair[side] for pair in vo], dim=1) for side in (0, 1))
    values = inputs.divide(values)
    old, v = attention.out_proj, attention.v_proj
    bias = old.bias.detach().double() + old.weight.detach().double() @ v.bias.detach().double()
    return {
        "q_proj": (queries[:, :-1], queries[:, -1]),
        "k_proj": (keys[:, :-1], keys[:, -1]),
        "v_proj": (values.T, values.new_zeros(values.shape[1])),
        "out_proj": (outputs, bias),
    }


def _weighing(moment: "Tensor | None") -> tuple[Root, Root]:
    """Return the roots of C: for queries and keys on [x; 1], for values on x alone; where C is None they do nothing."""
    if moment is None:
        return (Root(_same, _same),) * 2
    return _root(moment), _root(moment[:-1, :-1])


def _same(x: "Tensor") -> "Tensor":
    return x


def _root(moment: "Tensor") -> Root:
    """Return the square root of a symmetric matrix, and the root's inverse on the directions that have any weight."""
    import torch

    values, vectors = torch.linalg.eigh(moment)
    scales = values.clamp_min(1e-10 * values[-1]).sqrt()
    return Root((vectors * scales @ vectors.T).matmul, (vectors / scales @ vectors.T).matmul)
