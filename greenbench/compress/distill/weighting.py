"""Weights of utterances: how much of each is learned from its teacher, and how much from its transcript."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from greenbench.compress.distill.companion import Companion
from greenbench.plugins import Context

if TYPE_CHECKING:
    from torch import Tensor

    from greenbench.compress.distill.losses import Target

MEAN = "adakd_mean"
"""What a student is given while it trains: the running mean of the teacher's loss."""


@dataclass(frozen=True)
class AdaKd:
    """Weights by the teacher's own loss: its easy utterances count first (AdaKD, arXiv 2405.08019, 2024).

    Attributes:
        use: ``adakd``.
        k: how sharply the weight falls with the teacher's loss.
        t: loss of an utterance that weighs 1/e; ``mean`` is the running mean over the speech seen so far.
    """

    use: Literal["adakd"]
    k: Annotated[float, Field(ge=0, le=100)] = 1.0
    t: Annotated[float, Field(ge=0)] | Literal["mean"] = "mean"

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class Weighting(Companion):
    """Weighs utterances as ``AdaKd`` says; the running mean is kept with the student's checkpoints."""

    name = "adakd"

    def __init__(self, settings: AdaKd) -> None:
        """Take the settings."""
        self.settings = settings
        self._by_transcript = False

    def attach(self, student: Any, context: Context) -> None:
        """Give the student a buffer of sum and number; see whether all speech has transcripts."""
        import torch

        self._by_transcript = all(utterance.reference for utterance in context.train)
        student.register_buffer(MEAN, torch.zeros(2, dtype=torch.float64))

    def weights(self, student: Any, target: "Target") -> "Tensor":
        """Return the weights of a batch, ``(n_utterances,)``."""
        losses = teacher_loss(target, self._by_transcript)
        if self.settings.t != "mean":
            return adakd(losses, self.settings.k, self.settings.t)
        finite = losses[losses.isfinite()].double()
        so_far = getattr(student, MEAN)
        so_far += so_far.new_tensor([float(finite.sum()), len(finite)])
        total, number = so_far.tolist()
        return adakd(losses, self.settings.k, total / max(1.0, number))

    def detach(self, student: Any) -> Any:
        """Take the buffer away."""
        delattr(student, MEAN)
        return student


def adakd(losses: "Tensor", k: float, t: float) -> "Tensor":
    """Return exp(-1 / sqrt(d)) with d = exp(-k (loss - t)), 0 to 1 (AdaKD, arXiv 2405.08019, 2024).

    It is 1/e at ``t``, falls with the loss, and is 0 where the loss is not finite. The mean over a batch is below 1,
    and so acts as a lower learning rate. That distillation is multiplied by it, and the loss of the transcript by one
    minus it, is a reconstruction: the paper's equation for this was not at hand.

    Args:
        losses: of the teacher, ``(n_utterances,)``.
        k: how sharply the weight falls.
        t: loss of weight 1/e.
    """
    weights = (-(k * (losses - t) / 2).exp()).exp()
    return weights.where(losses.isfinite(), 0)


def teacher_loss(target: "Target", by_transcript: bool) -> "Tensor":
    """Return how unsure the teacher is of each utterance, in nats, ``(n_utterances,)``.

    Args:
        target: the teacher's outputs and the transcripts.
        by_transcript: its CTC loss for each label of the transcript; otherwise, which is a reconstruction, the mean
            entropy of its tokens over the frames whose best is not the blank.
    """
    from greenbench.compress.distill.losses import ctc_nll

    if by_transcript:
        n_labels = target.teacher.logits.new_tensor([max(1, len(label)) for label in target.labels])
        return ctc_nll(target.teacher, target, zero_infinity=False) / n_labels
    log_probs = target.teacher.logits.log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    spoken = (log_probs.argmax(-1) != target.blank) & target.mask
    return (entropy * spoken).sum(-1) / spoken.sum(-1).clamp(min=1)
