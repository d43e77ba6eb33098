"""What a student is asked to match: named losses on the outputs of student and teacher."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """What a CTC model made of a batch.

    Attributes:
        logits: ``(n_utterances, n_frames, n_tokens)``.
        features: of the last convolution, ``(n_utterances, n_frames, n_channels)``; None where not asked for.
        hidden: what goes into the first layer and what comes out of each, ``(n_utterances, n_frames, width)``
            each; empty where not asked for.
        exits: logits of the branches of a model with early exits, each of the shape of ``logits``.
    """

    logits: "Tensor"
    features: "Tensor | None" = None
    hidden: "Sequence[Tensor]" = ()
    exits: "Sequence[Tensor]" = ()


@dataclass(frozen=True)
class Target:
    """What the losses compare the student with.

    Attributes:
        teacher: outputs of the teacher for the same batch.
        mask: ``(n_utterances, n_frames)``, True where a frame holds audio and not padding.
        labels: token ids of each transcript; empty where there are none.
        blank: token id of the CTC blank.
        temperature: softens both distributions of ``kl``.
        layers: which layer of the teacher each layer of the student is to be like, counted from 1; layer i of n like
            layer i x m / n of the teacher's m where empty.
        layer_weights: what a layer of the student counts, 1 where not named.
    """

    teacher: Outputs
    mask: "Tensor"
    labels: "Sequence[Tensor]"
    blank: int
    temperature: float
    layers: Mapping[int, int] = field(default_factory=dict)
    layer_weights: Mapping[int, float] = field(default_factory=dict)


def ensembled(targets: Sequence[Target]) -> Target:
    """Return the first of several targets with the mean of all teachers' distributions in the place of its own.

    The arithmetic mean at the temperature, as for the ensembles of Hinton, Vinyals and Dean (2015); it is given as the
    logits whose softmax at that temperature it is.
    """
    import torch

    first = targets[0]
    log_probs = torch.stack([(one.teacher.logits / first.temperature).log_softmax(-1) for one in targets])
    mean = log_probs.logsumexp(0) - math.log(len(targets))
    return replace(first, teacher=replace(first.teacher, logits=first.temperature * mean))


Loss = Callable[[Outputs, Target], "Tensor"]
"""What each utterance adds to the loss of its batch, ``(n_utterances,)``: the loss is the sum of these shares."""


def kl(student: Outputs, target: Target) -> "Tensor":
    """Return shares of T^2 KL(teacher || student) of the softmax over tokens, summed over frames, mean over utterances.

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015), per CTC frame as in Peng et
    al., "Shrinking Bigfoot" (2021), eq. 1; frames of padding do not count.
    """
    return (_kl_per_frame(student, target) * target.mask).sum(-1) / len(target.mask)


def kl_near_labels(student: Outputs, target: Target) -> "Tensor":
    """Return shares of ``kl`` over the frames within two of one where the teacher's best token is not the blank.

    Blank frames are nearly all of a CTC model's output and teach little: Hilmes et al., "Knowledge distillation for
    CTC ... blank frames" (arXiv 2506.01503), who keep as many blank frames on either side of a label.
    """
    from torch.nn.functional import max_pool1d

    labelled = target.teacher.logits.argmax(-1) != target.blank
    near = max_pool1d(labelled.float()[:, None], 5, stride=1, padding=2)[:, 0] > 0
    return (_kl_per_frame(student, target) * (near & target.mask)).sum(-1) / len(target.mask)


def one_best(student: Outputs, target: Target) -> "Tensor":
    """Return shares of ``kl`` over the frames of the teacher's best path, each label once, all frames weighted alike.

    Of the frames in a row that have one label as their best token, the most probable one counts, and with it the blank
    frames next to the row. For CTC after the loss over the one-best path of a transducer, which has one node for each
    label: Yang, Li and Woodland, "Knowledge distillation for neural transducers from large self-supervised pre-trained
    models" (arXiv 2110.03334, 2021); which blank frames count is a reconstruction.
    """
    return (_kl_per_frame(student, target) * _on_best_path(target)).sum(-1) / len(target.mask)


def _on_best_path(target: Target) -> "Tensor":
    """Return which frames ``one_best`` compares, ``(n_utterances, n_frames)``."""
    import torch
    from torch.nn.functional import max_pool1d, pad

    best = target.teacher.logits.log_softmax(-1).max(-1)
    tokens = best.indices.where(target.mask, -1)
    labelled = target.mask & (tokens != target.blank)
    rows = pad(tokens[:, 1:] != tokens[:, :-1], (1, 0)).cumsum(-1)
    rank = best.values.argsort(dim=-1, descending=True, stable=True).argsort(-1)  # no two frames have the same
    first = torch.full_like(rank, rank.shape[1]).scatter_reduce(1, rows, rank, "amin")
    peaks = labelled & (rank == first.gather(1, rows))
    near = max_pool1d(labelled.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0
    return peaks | (near & target.mask & ~labelled)


def feature_penalty(student: Outputs, target: Target) -> "Tensor":
    """Return shares of the mean square of the student's features (fairseq's ``features_pen``; no teacher)."""
    assert student.features is not None
    weights = target.mask[..., None].expand_as(student.features)
    return (student.features.square() * weights).sum((1, 2)) / weights.sum()


def ctc(student: Outputs, target: Target) -> "Tensor":
    """Return shares of the CTC loss against the transcripts, mean over utterances (Graves et al., 2006)."""
    return ctc_nll(student, target) / len(target.labels)


def ctc_nll(outputs: Outputs, target: Target, zero_infinity: bool = True) -> "Tensor":
    """Return minus the log-probability of each transcript in nats, ``(n_utterances,)``.

    Where a transcript has no path through the frames, it is 0 with ``zero_infinity``, else infinity.
    """
    import torch
    from torch.nn.functional import ctc_loss

    log_probs = outputs.logits.log_softmax(-1).transpose(0, 1)
    lengths = torch.tensor([len(label) for label in target.labels])
    n_frames = target.mask.sum(-1).cpu()
    labels = torch.cat(list(target.labels))
    found: Tensor = ctc_loss(log_probs, labels, n_frames, lengths, target.blank, "none", zero_infinity)
    return found


def hidden(student: Outputs, target: Target) -> "Tensor":
    """Return shares of L1 minus log-sigmoid of cosine similarity between hidden states, mean over layers and frames.

    DistilHuBERT's hint (Chang, Yang and Lee, 2022, eq. 1 with lambda 1), on the layers that ``Target`` pairs. Both
    must be of one width: a narrower student's are projected to its teacher's before (``teacher.project``).
    """
    from torch.nn.functional import cosine_similarity, logsigmoid

    return _hints(student, target, lambda a, b: (a - b).abs().mean(-1) - logsigmoid(cosine_similarity(a, b, dim=-1)))


def hidden_mse(student: Outputs, target: Target) -> "Tensor":
    """Return shares of the mean squared difference between hidden states, on the layers that ``Target`` pairs.

    The loss of FitHuBERT (Lee et al., arXiv 2207.00555, 2022).
    """
    return _hints(student, target, lambda a, b: (a - b).square().mean(-1))


def hidden_cos(student: Outputs, target: Target) -> "Tensor":
    """Return shares of one minus the cosine similarity of hidden states, on the layers that ``Target`` pairs.

    The hint of a re-implementation of DistillW2V2 (arXiv 2303.09278, 2023): the direction counts, the length does not.
    """
    from torch.nn.functional import cosine_similarity

    return _hints(student, target, lambda a, b: 1 - cosine_similarity(a, b, dim=-1))


def gram(student: Outputs, target: Target) -> "Tensor":
    """Return shares of the squared difference of the Gram matrices of hidden states, on the layers that are paired.

    With H of the valid frames of an utterance, ``(n_frames, width)``, and G = H'H, it is |G_student - G_teacher|^2 /
    (4 width^2 n_frames^2): Gatys, Ecker and Bethge, "Image style transfer using convolutional neural networks" (CVPR
    2016), eq. 4, with frames in the place of positions; mean over layers and utterances. Which features go together
    counts, and not at which frame.
    """
    n_frames = target.mask.sum(-1).clamp(min=1)[:, None, None]

    def matrix(hidden: "Tensor") -> "Tensor":
        """Return G / n_frames, ``(n_utterances, width, width)``."""
        valid = hidden.float() * target.mask[..., None]
        return valid.transpose(1, 2) @ valid / n_frames

    def apart(ours: "Tensor", theirs: "Tensor") -> "Tensor":
        return (matrix(ours) - matrix(theirs)).square().mean((1, 2))

    return _over_layers(student, target, apart) / (4 * len(target.mask))


def _hints(student: Outputs, target: Target, distance: "Callable[[Tensor, Tensor], Tensor]") -> "Tensor":
    """Return shares of a distance between paired hidden states, mean over layers and valid frames of the batch."""
    weights = target.mask.float()
    return _over_layers(student, target, lambda a, b: (distance(a, b) * weights).sum(-1)) / weights.sum()


def _over_layers(student: Outputs, target: Target, shares: "Callable[[Tensor, Tensor], Tensor]") -> "Tensor":
    """Return the mean over paired layers of what two hidden states give, ``(n_utterances,)``, as each layer counts."""
    pairs = paired(target.layers, len(student.hidden) - 1, len(target.teacher.hidden) - 1)
    found: Any = 0
    for ours, theirs in pairs.items():
        share = shares(student.hidden[ours], target.teacher.hidden[theirs])
        found = found + target.layer_weights.get(ours, 1.0) * share
    mean: Tensor = found / len(pairs)
    return mean


def exits(student: Outputs, target: Target) -> "Tensor":
    """Return shares of T^2 KL(final || branch) of the student's own output and its early exits, mean over these.

    Summed over frames, mean over utterances as ``kl``; the final output is no part of what is learned. DAISY (arXiv
    2406.05464, 2024) has the cross-entropy with the final output's best token; that a branch of a CTC model learns the
    whole distribution is a reconstruction.
    """
    final = replace(target, teacher=Outputs(student.logits.detach()))
    shares = [kl(Outputs(logits), final) for logits in student.exits]
    return sum(shares[1:], shares[0]) / len(shares)


def paired(layers: Mapping[int, int], n: int, m: int) -> Mapping[int, int]:
    """Return which of the teacher's m layers each layer of the student's n is to be like: as named, else evenly."""
    return layers or {index: index * m // n for index in range(1, n + 1)}


def drawn(pairs: Mapping[int, int], n: int, seed: Sequence[int]) -> Mapping[int, int]:
    """Return n of some pairs of layers, all where there are no more, the same for the same seed."""
    chosen = np.random.default_rng(seed).permutation(sorted(pairs))[:n]
    return {layer: pairs[layer] for layer in sorted(chosen.tolist())}


def _kl_per_frame(student: Outputs, target: Target) -> "Tensor":
    """Return the divergence of each frame, ``(n_utterances, n_frames)``, in nats, times T^2."""
    theirs = (target.teacher.logits / target.temperature).log_softmax(-1)
    ours = (student.logits / target.temperature).log_softmax(-1)
    return (theirs.exp() * (theirs - ours)).sum(-1) * target.temperature**2


LOSSES: dict[str, Loss] = {
    "kl": kl,
    "kl_near_labels": kl_near_labels,
    "one_best": one_best,
    "feature_penalty": feature_penalty,
    "ctc": ctc,
    "hidden": hidden,
    "hidden_mse": hidden_mse,
    "exits": exits,
    "hidden_cos": hidden_cos,
    "gram": gram,
}
"""Name in a recipe -> loss. The recipe of "Shrinking Bigfoot" is ``{kl: 1, feature_penalty: 1}``."""


def combine(
    coefficients: Mapping[str, float], student: Outputs, target: Target, weights: "Tensor | None" = None
) -> "tuple[Tensor, dict[str, float]]":
    """Return the weighted sum of the named losses, and each by itself, unweighted.

    Args:
        coefficients: by name of a loss.
        student: its outputs.
        target: what they are compared with.
        weights: how much each utterance counts for what is learned from the teacher, 0 to 1, ``(n_utterances,)``; its
            transcript counts one minus that (``ctc``), and ``feature_penalty``, which is neither, is left as it is.
    """
    shares = {name: LOSSES[name](student, target) for name in coefficients}
    weighted = shares if weights is None else {n: _weighted(n, share, weights) for n, share in shares.items()}
    total: Any = sum(coefficients[name] * share.sum() for name, share in weighted.items())
    return total, {name: share.sum().item() for name, share in shares.items()}


def _weighted(name: str, share: "Tensor", weights: "Tensor") -> "Tensor":
    """Return the shares of a loss as they count."""
    if name == "feature_penalty":
        return share
    return share * (1 - weights if name == "ctc" else weights)
