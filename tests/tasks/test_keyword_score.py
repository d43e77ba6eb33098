"""The keyword score: the dynamic program against an enumeration of all paths, and what a score must not depend on."""

from collections.abc import Iterator, Sequence
from itertools import groupby, product

import numpy as np
import pytest

from greenbench.tasks.keyword_score import scores

BLANK = 0


def random_log_probs(seed: int, n_frames: int, n_tokens: int = 3) -> np.ndarray:
    logits = 3 * np.random.default_rng(seed).standard_normal((n_frames, n_tokens))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def paths(labels: Sequence[int], n_frames: int, n_tokens: int) -> Iterator[tuple[int, ...]]:
    """Yield every sequence of tokens that begins and ends with a label and is collapsed to these labels."""
    for path in product(range(n_tokens), repeat=n_frames):
        collapsed = [token for token, _ in groupby(path) if token != BLANK]
        if collapsed == list(labels) and BLANK not in (path[0], path[-1]):
            yield path


def enumerated(log_probs: np.ndarray, labels: Sequence[int]) -> float:
    """Score a keyword by trying every part of the utterance and every path over it."""
    ratios = log_probs - log_probs.max(axis=1, keepdims=True)
    n_frames, n_tokens = log_probs.shape
    sums = [
        sum(ratios[start + i, token] for i, token in enumerate(path))
        for start in range(n_frames)
        for end in range(start, n_frames)
        for path in paths(labels, end - start + 1, n_tokens)
    ]
    return max(sums, default=-np.inf) / len(labels)


@pytest.mark.parametrize("labels", [(1,), (1, 2), (2, 1, 2), (1, 1), (1, 1, 2), (2, 2, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_the_program_finds_the_best_of_all_paths(seed: int, labels: tuple[int, ...]) -> None:
    """Over six frames of three tokens no path of any part of the utterance scores more, and one scores as much."""
    log_probs = random_log_probs(seed, 6)
    assert scores([log_probs], [labels], BLANK)[0, 0] == pytest.approx(enumerated(log_probs, labels), abs=1e-12)


def test_four_tokens_are_enumerated_too() -> None:
    """A keyword of three different labels among four tokens."""
    log_probs = random_log_probs(9, 5, 4)
    assert scores([log_probs], [(3, 1, 2)], BLANK)[0, 0] == pytest.approx(enumerated(log_probs, (3, 1, 2)), abs=1e-12)


def sure(path: Sequence[int], n_tokens: int = 4) -> np.ndarray:
    """Return log-probabilities whose best path is the given one."""
    logits = np.zeros((len(path), n_tokens))
    logits[np.arange(len(path)), path] = 5.0
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("path", "labels", "is_there"),
    [
        ((0, 1, 1, 0, 2, 0), (1, 2), True),
        ((3, 1, 2, 3), (1, 2), True),
        ((2, 1, 0, 0), (1, 2), False),
        ((1, 1, 2, 0), (1, 1, 2), False),
        ((1, 0, 1, 2), (1, 1, 2), True),
        ((1, 3, 2, 0), (1, 2), False),
    ],
)
def test_the_score_is_0_where_the_best_path_has_the_keyword(
    path: tuple[int, ...], labels: tuple[int, ...], is_there: bool
) -> None:
    """Wherever it begins, and below 0 elsewhere: in another order, with a label between, or as one doubled letter."""
    score = scores([sure(path)], [labels], BLANK)[0, 0]
    assert (score == 0) == is_there
    assert score <= 0


def test_what_is_said_before_and_after_does_not_matter() -> None:
    """Frames that are surely blank, or surely another label, leave the score as it is."""
    said = random_log_probs(3, 6, 4)
    alone = scores([said], [(1, 2)], BLANK)[0, 0]
    for around in ((0, 0, 0), (3, 3, 0)):
        wrapped = np.vstack([sure(around), said, sure(around)])
        assert scores([wrapped], [(1, 2)], BLANK)[0, 0] == pytest.approx(alone, abs=1e-12)


def test_a_doubled_letter_needs_a_blank_and_so_three_frames() -> None:
    """Two frames cannot say it, whatever they hold."""
    assert scores([random_log_probs(0, 2)], [(1, 1)], BLANK)[0, 0] == -np.inf
    assert np.isfinite(scores([random_log_probs(0, 3)], [(1, 1)], BLANK)[0, 0])


def test_utterances_and_keywords_together_score_as_each_alone() -> None:
    """Shorter utterances and keywords are filled up in a batch, and no path goes through that."""
    batch = [random_log_probs(seed, n, 4) for seed, n in enumerate((9, 4, 6))]
    keywords = [(1,), (2, 3, 1, 2), (3, 3), (1, 2)]
    together = scores(batch, keywords, BLANK)
    assert together.shape == (3, 4)
    for row, log_probs in zip(together, batch, strict=True):
        for score, labels in zip(row, keywords, strict=True):
            assert score == scores([log_probs], [labels], BLANK)[0, 0]
