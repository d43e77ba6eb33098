"""How likely a keyword is said somewhere in an utterance, by the probabilities that a CTC model gives its frames."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]


def scores(log_probs: Sequence[npt.NDArray[np.floating]], keywords: Sequence[Sequence[int]], blank: int) -> _Array:
    """Score keywords in utterances: the log-likelihood ratio of the best path that spells one, a label.

    With ``p_t(k)`` the probability of token k at frame t, and A(w) all paths of tokens, one a frame, that become the
    labels w where equal neighbours are collapsed and then blanks left out, and that begin and end with a label:

        score(w) = max over a <= b and paths of A(w) over the frames a to b of
                   sum over t = a..b of [log p_t(path_t) - max_k log p_t(k)], divided by the number of labels of w

    It is 0 where the model's best path has the keyword, else negative. The start and the end are free: what is said
    before and after does not matter. One dynamic program over frames and the states ``label, blank, label .. label``
    finds the maximum (Graves et al., "Connectionist temporal classification", ICML 2006, with a maximum in place of the
    sum). The ratio to the best unconstrained path with free ends is the score of open-vocabulary keyword spotting with
    a small acoustic model (Pudo et al., "MOCKS 1.0", Interspeech 2023, and their system of 2024, whose equations could
    not be read: this is a reconstruction). It is divided by labels and not by the frames a to b, as a mean over frames
    grows where a keyword is spread over a pause, and is not what a dynamic program maximises.

    Args:
        log_probs: of each utterance natural logarithms, shape ``(n_frames, n_tokens)``.
        keywords: labels of each, without blanks, at least one.
        blank: token that stands for no label.

    Returns:
        Shape ``(n_utterances, n_keywords)``; minus infinity where an utterance has too few frames. Time and memory
        grow with frames times the labels of all keywords.
    """
    ratios = _ratios(log_probs)
    states, may_skip, last = _states(keywords, blank)
    n_utterances, n_frames, _ = ratios.shape
    best = np.full((n_utterances, *states.shape), -np.inf)
    found = np.full((n_utterances, len(keywords)), -np.inf)
    for frame in range(n_frames):
        before = best.copy()
        before[:, :, 0] = 0.0  # a path may begin at any frame; no path that began before is better than none
        np.maximum(before[:, :, 1:], best[:, :, :-1], out=before[:, :, 1:])
        skipped = np.where(may_skip[:, 2:], best[:, :, :-2], -np.inf)
        np.maximum(before[:, :, 2:], skipped, out=before[:, :, 2:])
        best = before + ratios[:, frame][:, states]
        np.maximum(found, best[:, np.arange(len(keywords)), last], out=found)
    return found / np.array([len(labels) for labels in keywords], np.float64)


def _ratios(log_probs: Sequence[npt.NDArray[np.floating]]) -> _Array:
    """Return log-probabilities less the best of each frame, ``(n_utterances, n_frames, n_tokens)``.

    No path goes through what fills up the shorter ones.
    """
    n_frames, n_tokens = max(map(len, log_probs)), log_probs[0].shape[1]
    ratios = np.full((len(log_probs), n_frames, n_tokens), -np.inf)
    for filled, frames in zip(ratios, log_probs, strict=True):
        filled[: len(frames)] = frames - frames.max(axis=1, keepdims=True)
    return ratios


def _states(
    keywords: Sequence[Sequence[int]], blank: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return the tokens of each keyword's states, to which a path may come over the blank before, and the last state.

    Shapes ``(n_keywords, n_states)``, the same, and ``(n_keywords,)``.
    """
    n_states = 2 * max(map(len, keywords)) - 1
    states = np.full((len(keywords), n_states), blank, np.int64)
    may_skip = np.zeros(states.shape, bool)
    for number, labels in enumerate(keywords):
        states[number, : 2 * len(labels) : 2] = labels
        may_skip[number, 2 : 2 * len(labels) : 2] = np.not_equal(labels[1:], labels[:-1])
    return states, may_skip, np.array([2 * len(labels) - 2 for labels in keywords], np.int64)
