"""What a student is asked to match: named losses on the outputs of student and teacher."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    """

    logits: "Tensor"
    features: "Tensor | None" = None
    hidden: "Sequence[Tensor]" = ()


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
    """

    teacher: Outputs
    mask: "Tensor"
    labels: "Sequence[Tensor]"
    blank: int
    temperature: float
    layers: Mapping[int, int] = field(default_factory=dict)


Loss = Callable[[Outputs, Target], "Tensor"]


def kl(student: Outputs, target: Target) -> "Tensor":
    """Return T^2 KL(teacher || student) of the softmax over tokens, summed over frames, mean over utterances.

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015), per CTC frame as in Peng et
    al., "Shrinking Bigfoot" (2021), eq. 1; frames of padding do not count.
    """
    return (_kl_per_frame(student, target) * target.mask).sum() / len(target.mask)


def kl_near_labels(student: Outputs, target: Target) -> "Tensor":
    """Return ``kl`` over the frames within two of one where the teacher's best token is not the blank.

    Blank frames are nearly all of a CTC model's output and teach little: Hilmes et al., "Knowledge distillation for
    CTC ... blank frames" (arXiv 2506.01503), who keep as many blank frames on either side of a label.
    """
    from torch.nn.functional import max_pool1d

    labelled = target.teacher.logits.argmax(-1) != target.blank
    near = max_pool1d(labelled.float()[:, None], 5, stride=1, padding=2)[:, 0] > 0
    return (_kl_per_frame(student, target) * (near & target.mask)).sum() / len(target.mask)


def feature_penalty(student: Outputs, target: Target) -> "Tensor":
    """Return the mean square of the student's convolutional features (fairseq's ``features_pen``; no teacher)."""
    assert student.features is not None
    weights = target.mask[..., None].expand_as(student.features)
    return (student.features.square() * weights).sum() / weights.sum()


def ctc(student: Outputs, target: Target) -> "Tensor":
    """Return the CTC loss against the transcripts, summed over frames, mean over utterances (Graves et al., 2006)."""
    import torch
    from torch.nn.functional import ctc_loss

    log_probs = student.logits.log_softmax(-1).transpose(0, 1)
    lengths = torch.tensor([len(label) for label in target.labels])
    n_frames = target.mask.sum(-1).cpu()
    labels = torch.cat(list(target.labels))
    summed = ctc_loss(log_probs, labels, n_frames, lengths, target.blank, reduction="sum", zero_infinity=True)
    return summed / len(target.labels)


def hidden(student: Outputs, target: Target) -> "Tensor":
    """Return L1 minus log-sigmoid of cosine similarity between hidden states, mean over layers and frames.

    DistilHuBERT's hint (Chang, Yang and Lee, 2022, eq. 1 with lambda 1), on the layers that ``Target`` pairs. Both
    must be of one width: a narrower student's are projected to its teacher's before (``teacher.project``).
    """
    from torch.nn.functional import cosine_similarity, logsigmoid

    return _hints(student, target, lambda a, b: (a - b).abs().mean(-1) - logsigmoid(cosine_similarity(a, b, dim=-1)))


def hidden_mse(student: Outputs, target: Target) -> "Tensor":
    """Return the mean squared difference between hidden states, on the layers that ``Target`` pairs (FitHuBERT)."""
    return _hints(student, target, lambda a, b: (a - b).square().mean(-1))


def _hints(student: Outputs, target: Target, distance: "Callable[[Tensor, Tensor], Tensor]") -> "Tensor":
    """Return a distance between paired hidden states, mean over layers and valid frames."""
    pairs = paired(target.layers, len(student.hidden) - 1, len(target.teacher.hidden) - 1)
    weights = target.mask.float()
    hints = [distance(student.hidden[ours], target.teacher.hidden[theirs]) for ours, theirs in pairs.items()]
    mean: Tensor = sum((hint * weights).sum() for hint in hints) / (weights.sum() * len(hints))
    return mean


def paired(layers: Mapping[int, int], n: int, m: int) -> Mapping[int, int]:
    """Return which of the teacher's m layers each layer of the student's n is to be like: as named, else evenly."""
    return layers or {index: index * m // n for index in range(1, n + 1)}


def _kl_per_frame(student: Outputs, target: Target) -> "Tensor":
    """Return the divergence of each frame, ``(n_utterances, n_frames)``, in nats, times T^2."""
    theirs = (target.teacher.logits / target.temperature).log_softmax(-1)
    ours = (student.logits / target.temperature).log_softmax(-1)
    return (theirs.exp() * (theirs - ours)).sum(-1) * target.temperature**2


LOSSES: dict[str, Loss] = {
    "kl": kl,
    "kl_near_labels": kl_near_labels,
    "feature_penalty": feature_penalty,
    "ctc": ctc,
    "hidden": hidden,
    "hidden_mse": hidden_mse,
}
"""Name in a recipe -> loss. The recipe of "Shrinking Bigfoot" is ``{kl: 1, feature_penalty: 1}``."""


def combine(coefficients: dict[str, float], student: Outputs, target: Target) -> "tuple[Tensor, dict[str, float]]":
    """Return the weighted sum of the named losses, and each by itself, unweighted."""
    parts = {name: LOSSES[name](student, target) for name in coefficients}
    total: Any = sum(coefficients[name] * part for name, part in parts.items())
    return total, {name: part.item() for name, part in parts.items()}
