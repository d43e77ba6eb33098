"""Methods that set weights to zero or take them out."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from greenbench.compress import genetic, neurons
from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.genetic import Blocks, Breeding
from greenbench.compress.layers import set_weight
from greenbench.compress.neurons import NEEDS_FLOATS, NeuronScore
from greenbench.compress.probe import divergence, log_probabilities
from greenbench.compress.refit import feed_forward_outputs, kept_if_nearer
from greenbench.errors import InputError
from greenbench.models import shared
from greenbench.models.feed_forward import check_type, feed_forwards, keep
from greenbench.plugins import BARE, Context, Outline

PAPER = {
    "*conv*": 0.1,
    "*.layers.[3-9].*": 0.3,
    "*.layers.1[0-6].*": 0.3,
    "*.layers.1[7-9].*": 0.4,
    "*.layers.2[0-3].*": 0.4,
}
"""Sensitivities of the preliminary study in "Shrinking Bigfoot", for the 24 layers of the large model, from 0."""


_REFIT_OF_SHARED = (
    "prune-ffn: refit fits one layer at a time, and share-layers left some with the same weights: leave refit out, or "
    "put prune-ffn before share-layers"
)


@dataclass(frozen=True)
class PruneMagnitude:
    """Set small weights to zero: in each layer those below its sensitivity times their standard deviation.

    The preliminary study of Peng et al., "Shrinking Bigfoot" (SustaiNLP 2021), by the rule of Han et al., "Learning
    both weights and connections" (2015). Zeros scattered over a dense matrix are multiplied like any other number
    and stored like any other: the row's ``n_nonzero_params`` falls, and neither size nor time do. The paper saw the
    same: 23 % zeros, the same WER, no speed-up.

    Attributes:
        sensitivity: by pattern of a layer's path (``*``, ``?``, ``[0-9]``); the first that fits counts, and a
            convolution or Linear layer that none fits stays as it is. The default is the paper's.
    """

    sensitivity: Mapping[str, float] = field(default_factory=lambda: dict(PAPER))

    def __post_init__(self) -> None:
        """Refuse what prunes nothing."""
        if not self.sensitivity or min(self.sensitivity.values()) <= 0:
            raise ValueError("sensitivity: give patterns with numbers above 0")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Follow anything."""
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Set weights of convolutions and Linear layers to zero in place.

        Raises:
            InputError: no pattern fits any layer.
        """
        import torch

        fits = {
            module: next((s for pattern, s in self.sensitivity.items() if fnmatchcase(name, pattern)), None)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear | torch.nn.Conv1d)
        }
        if not any(fits.values()):
            raise InputError(f"prune-magnitude: sensitivity: no layer matches {', '.join(self.sensitivity)}")
        for module, sensitivity in fits.items():
            if sensitivity is not None:
                weight = module.weight.detach()
                set_weight(module, weight * (weight.abs() >= sensitivity * weight.std(correction=0)))
        return model


@dataclass(frozen=True)
class PruneFfn(SpeechSettings):
    """Take whole neurons out of the feed-forward layers, those with the lowest scores first.

    By default a neuron's score is the L1 norm of all weights at it: those that lead into it, its bias, and those that
    lead out of it (row pruning in Lin et al., "Is Smaller Always Faster?", arXiv 2211.09949, 2022, who take the same
    number out of every layer, in several steps with training in between: name this method and ``distill`` several
    times). Scores by gradients, the refit and the search need speech, and no transcripts.

    Attributes:
        keep: share of the neurons that stay.
        scope: rank the neurons of each ``layer`` by themselves, so that layers stay equally wide, or those of the whole
            ``model`` together, so that each layer keeps its neurons among the highest.
        multiple_of: widths are rounded to multiples of this, on which kernels are fastest; a layer keeps at least one.
        score: ``l1``; or by a gate on the neuron's output h, where L is the cross-entropy to the model's own best
            tokens: ``gradient``, the sum over utterances of |sum over frames of h dL/dh|, the derivative by a gate for
            the utterance (Michel et al., "Are Sixteen Heads Really Better than One?", 2019, equation 2, for neurons);
            ``taylor``, the sum over frames of |h dL/dh| (Molchanov et al., arXiv 1611.06440, 2017, equation 7, each
            frame by itself).
        refit: fit each layer's output matrix to what the layer gave before, by ridge regression, layer after layer:
            W = W0 + (Z'Z + 0.01 mean(diag Z'Z) I)^-1 Z'(Y - Z W0) with Z the neurons that stay and a one; kept only if
            the mean KL divergence over frames to the model before is then smaller, on the same speech.
        search: ``genetic`` chooses which of ``blocks`` of neurons go, as many in each layer, by how little the output
            changes: the mean KL divergence over frames (Ludwig and Claes, "Compressing Wav2vec2 for Embedded
            Applications", MLSP 2023, who take the error rate, 100 individuals and 70 generations); one individual of
            the first population has the blocks of the lowest scores. It takes long: each of the ``population`` x
            (``generations`` + 1) individuals runs over the calibration speech.
        blocks: number of blocks in each layer for the search; the width must be a multiple of it.
        population: individuals per generation of the search.
        generations: generations of the search after the first population.
        pressure: selection pressure of the search: the higher, the more often the best are parents.
        seed: seed of the search.
        calibration: the data set for gradients, refit and search, in the form of a suite's; by default the bundled
            unlabelled speech, synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    keep: float
    scope: Literal["layer", "model"] = "layer"
    multiple_of: int = 8
    score: NeuronScore = "l1"
    refit: bool = False
    search: Literal["genetic"] | None = None
    blocks: Annotated[int, Field(ge=2)] = 32
    population: Annotated[int, Field(ge=3)] = 20
    generations: Annotated[int, Field(ge=0)] = 12
    pressure: Annotated[float, Field(gt=0, le=50)] = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what takes nothing, or everything, and a search over layers of several widths."""
        super().__post_init__()
        if not 0 < self.keep < 1:
            raise ValueError("keep: give a share between 0 and 1")
        if self.multiple_of < 1:
            raise ValueError("multiple_of: give at least 1")
        if self.search and self.scope == "model":
            raise ValueError("search takes as many blocks out of each layer: leave out `scope: model`")
        if self.search and not 0 < self._n_blocks_out < self.blocks:
            raise ValueError(f"keep: {self.keep:g} leaves all or none of {self.blocks} `blocks`: give another share")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse layers that are integers already, and gradients of what has none."""
        check_type("prune-ffn", before.model_type)
        if before.all_integers:
            raise InputError(NEEDS_FLOATS)
        if self.needs_speech and (before.integers or before.compiled):
            raise InputError(f"prune-ffn by speech cannot follow {before.integers or 'compile'}: put it before")
        if self.refit and before.shared:
            raise InputError(_REFIT_OF_SHARED)
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Narrow the feed-forward layers in place, and the configuration with them where they stay equally wide.

        Raises:
            InputError: the model has no such layers, or not in floats any more; or speech is needed and not given.
        """
        layers = list(feed_forwards(model).values())
        if not layers:
            raise InputError("prune-ffn: the model has no feed-forward layers as wav2vec 2.0 has them")
        if self.refit and shared.owners(model):
            raise InputError(_REFIT_OF_SHARED)
        speech = self.speech(model, context)
        whole = deepcopy(model) if self.refit else None
        scores = neurons.scores(model, self.score, speech)
        kept = self._searched(model, scores, speech) if self.search else self._highest(scores)
        for layer, rows in zip(layers, kept, strict=True):
            keep(layer, rows)
        widths = {len(rows) for rows in kept}
        if len(widths) == 1:
            model.config.intermediate_size = widths.pop()
        if whole is not None:
            kept_if_nearer(partial(feed_forward_outputs, model, whole, speech), model, whole, speech)
        return model

    @property
    def needs_speech(self) -> bool:
        """Whether the settings ask for speech."""
        return self.score != "l1" or self.refit or self.search is not None

    @property
    def _n_blocks_out(self) -> int:
        return round((1 - self.keep) * self.blocks)

    def _highest(self, scores: Sequence[Any]) -> list[Any]:
        """Return for each layer the indices of the neurons that stay, in order."""
        ranked = (score.argsort(descending=True, stable=True) for score in scores)
        return [one[:width].sort().values for one, width in zip(ranked, self._widths(scores), strict=True)]

    def _widths(self, scores: Sequence[Any]) -> list[int]:
        """Return how many neurons of each layer stay, from their scores, ``(width,)`` a layer."""
        import torch

        together = torch.cat(list(scores))
        last = together.sort(descending=True).values[max(1, round(self.keep * len(together))) - 1]
        shares = [self.keep if self.scope == "layer" else float((s >= last).float().mean()) for s in scores]
        rounded = [round(share * len(s) / self.multiple_of) for share, s in zip(shares, scores, strict=True)]
        return [min(len(s), max(1, n) * self.multiple_of) for n, s in zip(rounded, scores, strict=True)]

    def _searched(self, model: Any, scores: Sequence[Any], speech: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return for each layer the indices of the neurons in the blocks that the search leaves."""
        if uneven := [len(score) for score in scores if len(score) % self.blocks]:
            raise InputError(f"prune-ffn: blocks: {uneven[0]} neurons of a layer are not a multiple of {self.blocks}")
        of_blocks = [score.reshape(self.blocks, -1).sum(1) for score in scores]
        lowest = tuple(tuple(score.argsort(stable=True)[: self._n_blocks_out].tolist()) for score in of_blocks)
        theirs = log_probabilities(model, speech)
        with neurons.masks(model) as masks:

            def damage(out: Blocks) -> float:
                for mask, blocks in zip(masks, out, strict=True):
                    mask.fill_(1).view(self.blocks, -1)[list(blocks)] = 0
                return divergence(model, theirs, speech)

            how = Breeding(self.population, self.generations, self.pressure, self.seed)
            damage(genetic.search(lowest, self.blocks, damage, how))  # leaves the masks of the best
            return [mask.nonzero().flatten() for mask in masks]
