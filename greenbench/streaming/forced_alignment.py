"""When the labels of a known text are spoken, by the probabilities that a CTC model gives them frame by frame."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from greenbench.errors import InputError

LabelFrames = tuple[int, int]
"""The first frame of a label, and the one after its last."""


def align(log_probs: npt.NDArray[np.floating], labels: Sequence[int], blank: int) -> list[LabelFrames] | None:
    """Return the frames of each label on the best path that spells them: Viterbi over the labels with blanks between.

    The path goes through ``blank, label, blank, label .. blank``, one state a frame. From one frame to the next it
    stays, goes on to the next state, or leaves out a blank between two labels that differ (Graves et al.,
    "Connectionist temporal classification", ICML 2006, whose sum over paths is a maximum here, as in Kürzinger et
    al., "CTC-segmentation", SPECOM 2020). Its score is the sum of its log-probabilities; of equal ones the path that
    stays is taken, then the one that leaves out no blank. Time and memory grow with frames times labels.

    Args:
        log_probs: natural logarithms, shape ``(n_frames, n_tokens)``.
        labels: tokens of the text, without blanks.
        blank: token that stands for no label.

    Returns:
        A span for each label, in order; None where there are fewer frames than labels and the blanks that equal
        neighbours need between them.

    Raises:
        InputError: a log-probability is not finite.
    """
    if not np.isfinite(log_probs).all():
        raise InputError("log-probabilities that are not finite cannot be aligned: the model is damaged or overflows")
    n_repeats = sum(a == b for a, b in pairwise(labels))
    if not labels or len(labels) + n_repeats > len(log_probs):
        return None if labels else []
    states = np.full(2 * len(labels) + 1, blank)
    states[1::2] = labels
    path = _best_path(log_probs[:, states].astype(np.float64), _may_skip(states))
    frames = [np.flatnonzero(path == state) for state in range(1, len(states), 2)]
    return [(int(of_label[0]), int(of_label[-1]) + 1) for of_label in frames]


def _may_skip(states: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
    """Say for each state whether a path may come to it from the one before the last: over a blank, to another label."""
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    return skips


def _best_path(scores: npt.NDArray[np.float64], may_skip: npt.NDArray[np.bool_]) -> npt.NDArray[np.int_]:
    """Return the state of each frame on the path with the highest sum of ``scores``, ``(n_frames, n_states)``."""
    n_frames, n_states = scores.shape
    best = np.full(n_states, -np.inf)
    best[:2] = scores[0, :2]
    steps = np.zeros((n_frames, n_states), np.int8)  # how many states further than at the frame before
    for frame in range(1, n_frames):
        before = np.full((3, n_states), -np.inf)
        before[0], before[1, 1:] = best, best[:-1]
        before[2, 2:] = np.where(may_skip[2:], best[:-2], -np.inf)
        steps[frame] = before.argmax(axis=0)
        best = before.max(axis=0) + scores[frame]
    path = np.zeros(n_frames, int)
    path[-1] = n_states - 1 if best[-1] >= best[-2] else n_states - 2
    for frame in range(n_frames - 1, 0, -1):
        path[frame - 1] = path[frame] - steps[frame, path[frame]]
    return path
