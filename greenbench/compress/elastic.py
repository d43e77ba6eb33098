"""Once-for-all training: all subnets of a model train in one training, so that any of them can be taken afterwards."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from greenbench.compress import heads, neurons
from greenbench.compress import subnet as subnets
from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.distill import Distill, no_build
from greenbench.compress.distill.companion import Companion
from greenbench.compress.layerwise import layers_of
from greenbench.compress.subnet import Shape, Size, Space, Subnet
from greenbench.errors import InputError
from greenbench.models.attention import attentions
from greenbench.models.feed_forward import feed_forwards, keep
from greenbench.plugins import Context, Outline

if TYPE_CHECKING:
    from torch import Tensor

_KEYS = ("layers", "heads", "ffn")


@dataclass(frozen=True)
class Elastic(SpeechSettings):
    """Train all subnets of a model in one training, of which any can be taken afterwards, without another.

    Once-for-all training after LightHuBERT (Wang et al., arXiv 2203.15610, 2022). A subnet has the first layers of the
    model, and of each of them the first heads and the first neurons: of each matrix W of the model it has some first
    rows and columns, so that all subnets share their weights. Each batch is learned by the whole model, by the smallest
    subnet, and by some that are drawn anew, uniformly, with heads and neurons of each layer by itself. That is the
    sandwich rule of Yu and Huang, "Universally Slimmable Networks" (arXiv 1903.05134, ICCV 2019), whose smaller
    networks learn from the largest. Here all learn from the teacher: with the losses of ``distill`` L(s) of a subnet s,
    the loss is L = sum_s L(s), and the gradient of a weight is the sum over the subnets that have it. Before, the heads
    and neurons of each layer are put in the order of their Taylor scores, as ``prune-heads`` and ``prune-ffn`` have
    them, so that the first are those that matter most; Once-for-All (Cai et al., arXiv 1908.09791, ICLR 2020) does so
    by L1 norms.

    Reconstructed: the text on LightHuBERT's training was not at hand. Its code draws one subnet for each step; that
    more learn it, the order and the losses are ours. The width of frames, which is elastic there, too, stays as it is
    here.

    Attributes:
        distill: the training, with all settings of ``distill``; each step takes the time of all its subnets together.
        layers: numbers of layers that a subnet may have, in rising order, such as ``[8, 10]``; the model's own is
            always another one. Subnets have all layers where empty.
        heads: the same of the heads in a layer.
        ffn: the same of the neurons in a feed-forward layer.
        n_random: how many subnets are drawn for each step.
        extract: the subnet that is the result, such as ``{layers: 8, heads: 2}``, and whose WER on the validation
            speech decides which weights are kept; the whole model where not given, from which ``subnet`` takes any.
        calibration: the data set of the scores, in the form of a suite's; by default the bundled unlabelled speech,
            synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    distill: Distill
    layers: Sequence[Size] = ()
    heads: Sequence[Size] = ()
    ffn: Sequence[Size] = ()
    n_random: Annotated[int, Field(ge=0)] = 2
    extract: Subnet | None = None

    extra: ClassVar[str] = "distill"

    def __post_init__(self) -> None:
        """Refuse sizes in another order, or none, and settings of a training that not every subnet can have."""
        super().__post_init__()
        for key in _KEYS:
            if sorted({*getattr(self, key)}) != [*getattr(self, key)]:
                raise ValueError(f"{key}: give numbers in rising order, each once")
        if not any(getattr(self, key) for key in _KEYS):
            raise ValueError("give `layers`, `heads` or `ffn`, the sizes that subnets may have")
        if self.distill.train_only:
            raise ValueError("distill.train_only: all weights of a subnet train: leave it out")
        for layer in () if self.distill.heads else self.distill.hidden_layers:
            if self.layers and layer > self.layers[0]:
                raise ValueError(f"distill.hidden_layers: {layer}: the smallest subnet has {self.layers[0]} layers")

    @property
    def needs_speech(self) -> bool:
        """Whether heads or neurons are to be put in order."""
        return bool(self.heads or self.ffn)

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Train anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse to be a build, models that have no such subnets, and a subnet that is not trained."""
        if before.teacher is None:
            raise InputError(no_build("elastic"))
        subnets.check_outline("elastic", before, *(bool(getattr(self, key)) for key in _KEYS))
        after = self.distill.follow(before)
        if before.n_layers is not None:
            self._sizes("layers", [before.n_layers])
        return self.extract.follow(after) if self.extract else after

    def __call__(self, model: Any, context: Context) -> Any:
        """Return the trained subnet, or model; a training that was broken off goes on from its last checkpoint.

        Raises:
            InputError: as ``Distill`` says; or the model has no such subnets, or not in floats.
            MissingError: the calibration speech is not here.
        """
        subnets.check_model("elastic", model)
        space = self.space(model)
        supernet = Supernet(space, self.n_random, self.distill.seed, self._extracted(model, space))
        if self.needs_speech:
            put_in_order(model, self.speech(model, context), bool(self.heads), bool(self.ffn))
        return self.distill.train_with(model, context, [supernet])

    def space(self, model: Any) -> Space:
        """Return the sizes of the subnets of a model.

        Raises:
            InputError: the model has fewer, or not equally many in all layers.
        """
        present = {"layers": [len(layers_of(model))], **subnets.sizes(model)}
        layers, of_heads, ffn = (self._sizes(key, present[key]) for key in _KEYS)
        return Space(layers or present["layers"], of_heads, ffn)

    def _sizes(self, key: str, present: Sequence[int]) -> Sequence[int]:
        """Return what subnets may have of something, where the model has this in its layers; () where they have all."""
        wanted, own = getattr(self, key), sorted({*present})
        if not wanted:
            return ()
        if len(own) != 1:
            has = f"has from {own[0]} to {own[-1]} in a layer" if own else "has none as wav2vec 2.0 has them"
            raise InputError(f"elastic: {key}: the model {has}: leave `{key}` out, or name another model")
        if wanted[-1] >= own[0]:
            raise InputError(
                f"elastic: {key}: the model has {own[0]}, which is always among the sizes: give smaller ones than "
                f"{wanted[-1]}"
            )
        return (*wanted, own[0])

    def _extracted(self, model: Any, space: Space) -> Shape | None:
        """Return the shape of the subnet that is the result; None for the whole model."""
        if self.extract is None:
            return None
        shape = self.extract.shape(model)
        for key, has in (("layers", [shape.layers]), ("heads", shape.heads), ("ffn", shape.ffn)):
            sizes = getattr(space, key) or subnets.sizes(model)[key]
            if others := sorted({*has} - {*sizes}):
                trained = ", ".join(map(str, sorted({*sizes})))
                raise InputError(f"elastic: extract: {key}: {others[0]} is not trained: give one of {trained}")
        return shape


def put_in_order(model: Any, speech: "Sequence[dict[str, Tensor]]", with_heads: bool, with_ffn: bool) -> None:
    """Put the heads or neurons of each layer in order, those that matter most first; what a model computes stays.

    Args:
        model: a transformers CTC model in ``eval``.
        speech: named inputs for each utterance alone.
        with_heads: put heads in order.
        with_ffn: put neurons in order.
    """
    layers, feeding = [*attentions(model).values()], [*feed_forwards(model).values()]
    head_scores = heads.by_speech(model, layers, speech, "taylor") if with_heads else ()
    neuron_scores = neurons.scores(model, "taylor", speech) if with_ffn else ()
    for layer, score in zip(layers, head_scores, strict=False):
        heads.keep(layer, score.argsort(descending=True, stable=True).tolist())
    for layer, score in zip(feeding, neuron_scores, strict=False):
        keep(layer, score.argsort(descending=True, stable=True).tolist())


class Supernet(Companion):
    """A student that learns each batch as a whole, as its smallest subnet, and as some that are drawn."""

    name = "elastic"
    partial = True

    def __init__(self, space: Space, n_random: int, seed: int, extracted: Shape | None) -> None:
        """Take the sizes of subnets, how many are drawn by which seed, and the one that is cut out in the end."""
        self.space, self.n_random, self.seed, self.extracted = space, n_random, seed, extracted

    def shapes(self, step: int) -> dict[str, Shape]:
        """Return the subnets of a step by the ending of their losses in the log, the same for the same step."""
        rng = np.random.default_rng((self.seed, step))
        drawn = [self.space.shape(lambda sizes: int(rng.choice(sizes))) for _ in range(self.n_random)]
        of_drawn = {f"random_{number}": shape for number, shape in enumerate(drawn, 1)}
        return {"": self.space.shape(max), "smallest": self.space.shape(min), **of_drawn}

    def forms(self, student: Any, step: int) -> "Iterable[tuple[str, AbstractContextManager[None]]]":
        """Return the student as each of these."""
        return [(ending, subnets.computing(student, shape)) for ending, shape in self.shapes(step).items()]

    def in_use(self, student: Any) -> "AbstractContextManager[None]":
        """Return the student as the subnet that is the result."""
        return subnets.computing(student, self.extracted) if self.extracted else nullcontext()

    def detach(self, student: Any) -> Any:
        """Cut this subnet out."""
        if self.extracted:
            subnets.cut(student, self.extracted)
        return student
