"""The probe: how far an edited model is from what it was, on speech without transcripts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def probe(model: Any, teacher: Any, speech: "Sequence[Mapping[str, Tensor]]") -> float:
    """Return the mean over frames of KL(teacher || model) of the distributions over tokens, in nats.

    It ranks edits without transcripts: 0 where nothing changed. KL divergence as in Kullback and Leibler, "On
    information and sufficiency" (1951), per CTC frame as ``distill`` minimises it, at temperature 1.

    Args:
        model: a transformers CTC model after an edit; it is run as it is, so put it into ``eval``.
        teacher: the model before it, with the same tokens and frames.
        speech: named inputs for each utterance alone, as ``calibration.speech_for`` returns them.
    """
    return divergence(model, log_probabilities(teacher, speech), speech)


def log_probabilities(model: Any, speech: "Sequence[Mapping[str, Tensor]]") -> "list[Tensor]":
    """Return the logarithms of a model's distributions, ``(n_frames, n_tokens)`` in float32 for each utterance."""
    import torch

    with torch.inference_mode():
        return [model(**inputs).logits[0].float().log_softmax(-1) for inputs in speech]


def divergence(model: Any, theirs: "Sequence[Tensor]", speech: "Sequence[Mapping[str, Tensor]]") -> float:
    """Return what ``probe`` does, where a search keeps the teacher's ``log_probabilities`` for many models."""
    from torch.nn.functional import kl_div

    ours = (one for inputs in speech for one in log_probabilities(model, [inputs]))
    total = sum(
        float(kl_div(own, their, reduction="sum", log_target=True)) for own, their in zip(ours, theirs, strict=True)
    )
    return total / sum(len(their) for their in theirs)
