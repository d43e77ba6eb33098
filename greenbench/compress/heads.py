"""The method that takes whole heads out of attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.saliency import effects
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.models.attention import attentions, check_type, n_heads, projections, reshape
from greenbench.plugins import BARE, Context, Outline

if TYPE_CHECKING:
    from torch import Tensor

HeadScore = Literal["l1", "gradient", "taylor"]

_NEEDS_FLOATS = linears.needs_floats("prune-heads", whole=False)


@dataclass(frozen=True)
class PruneHeads(SpeechSettings):
    """Remove the attention heads that matter least.

    Head pruning in Lin et al., "Is Smaller Always Faster?" (arXiv 2211.09949, 2022), who take heads out in stages with
    training in between: name this method and ``distill`` several times. Taking a head out is the same as setting what
    it adds to zero.

    Attributes:
        remove: heads to remove per layer; with the scope ``model`` that is the mean over layers.
        score: ``l1``, the absolute weights and biases of a head's queries, keys and values; or by calibration speech,
            with c_t the context that a head gives for a frame and L the cross-entropy to the model's own best tokens:
            ``gradient``, the mean over utterances of the sum over frames of the absolute scalar product of c_t and its
            gradient of L (theirs), or ``taylor``, the same with the absolute product of each element.
        scope: rank the heads of each ``layer`` by themselves, or those of the whole ``model`` together, where the best
            of each layer stays.
        normalize: divide the scores of a layer by their norm before they are ranked together.
        calibration: the data set of the last two scores, in the form of a suite's; by default the bundled unlabelled
            speech, synthetic English.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    remove: int = 1
    score: HeadScore = "gradient"
    scope: Literal["layer", "model"] = "model"
    normalize: bool = True

    def __post_init__(self) -> None:
        """Refuse to take nothing, or to look at nothing."""
        super().__post_init__()
        if self.remove < 1:
            raise ValueError("remove: give at least 1")

    @property
    def needs_speech(self) -> bool:
        """Whether the settings ask for speech."""
        return self.score != "l1"

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse attention of another kind, and layers that are integers already."""
        check_type("prune-heads", before.model_type)
        if before.all_integers:
            raise InputError(_NEEDS_FLOATS)
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Take the heads out in place.

        Raises:
            InputError: the model's attention is of another kind, or not in floats any more; a layer would be left
                without heads; there is no calibration speech.
            MissingError: the calibration speech is not here.
        """
        self.follow(Outline(model.config.model_type))
        layers = list(attentions(model).values())
        if not linears.in_floats(part for attention in layers for part in projections(attention)):
            raise InputError(_NEEDS_FLOATS)
        for attention, kept in zip(layers, self._kept(self._scores(model, layers, context)), strict=True):
            keep(attention, kept)
        return model

    def _scores(self, model: Any, layers: Sequence[Any], context: Context) -> "list[Tensor]":
        """Return the score of each head, ``(n_heads,)`` a layer."""
        if self.score == "l1":
            return [_magnitudes(attention) for attention in layers]
        return by_speech(model, layers, self.speech(model, context), self.score)

    def _kept(self, scores: "Sequence[Tensor]") -> list[list[int]]:
        """Return the heads of each layer that stay, in order."""
        least = min(len(of_layer) for of_layer in scores)
        n_free = sum(len(of_layer) - 1 for of_layer in scores)
        if self.remove >= least if self.scope == "layer" else self.remove * len(scores) > n_free:
            raise InputError(f"prune-heads: remove: {self.remove} a layer of {least} would leave a layer without heads")
        if self.scope == "layer":
            return [sorted(s.argsort(descending=True, stable=True)[: len(s) - self.remove].tolist()) for s in scores]
        norms = [float(s.norm()) if self.normalize else 1.0 for s in scores]
        ranked = sorted(
            (float(score) / norm, layer, head)
            for layer, (of_layer, norm) in enumerate(zip(scores, norms, strict=True))
            for head, score in enumerate(of_layer)
            if head != int(of_layer.argmax())
        )
        gone = {(layer, head) for _, layer, head in ranked[: self.remove * len(scores)]}
        return [[head for head in range(len(s)) if (layer, head) not in gone] for layer, s in enumerate(scores)]


def keep(attention: Any, heads: Sequence[int]) -> None:
    """Leave some heads in an attention layer, whose other heads then add nothing.

    Args:
        attention: one of ``models.attention.attentions``.
        heads: numbers of those that stay, in order.
    """
    size = int(attention.head_dim)
    rows = [head * size + row for head in heads for row in range(size)]
    *into, out = projections(attention)
    queries, keys, values = ((part.weight[rows], part.bias[rows]) for part in into)
    left = {"q_proj": queries, "k_proj": keys, "v_proj": values, "out_proj": (out.weight[:, rows], out.bias)}
    reshape(attention, size, left)


def _magnitudes(attention: Any) -> "Tensor":
    """Return the L1 norm of the rows and biases of each head's queries, keys and values, in float32."""
    import torch

    *into, _ = projections(attention)
    with torch.no_grad():
        rows: Tensor = sum(part.weight.float().abs().sum(1) + part.bias.float().abs() for part in into)
        return rows.view(n_heads(attention), -1).sum(1)


def by_speech(
    model: Any, layers: Sequence[Any], speech: "Sequence[Mapping[str, Tensor]]", score: HeadScore
) -> "list[Tensor]":
    """Return how much each head matters for what a model reads, as ``PruneHeads`` says, ``(n_heads,)`` a layer.

    Args:
        model: a transformers CTC model; it is left as it is.
        layers: its attention layers.
        speech: named inputs for each utterance alone.
        score: ``gradient`` or ``taylor``.
    """
    import torch

    outputs = [attention.out_proj for attention in layers]
    total = [torch.zeros(n_heads(attention)) for attention in layers]
    for inputs in speech:
        for n, effect in enumerate(effects(model, outputs, inputs)):
            by_head = effect.float().view(-1, len(total[n]), layers[n].head_dim)
            by_frame = by_head.sum(-1).abs() if score == "gradient" else by_head.abs().sum(-1)
            total[n] += by_frame.sum(0).cpu() / len(speech)
    return total
