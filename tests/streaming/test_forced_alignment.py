"""Forced alignment: the best path is the best of all paths, each of which is tried, and is found by its spans."""

from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.errors import InputError
from greenbench.streaming.forced_alignment import align

BLANK = 0


def spelt(path: tuple[int, ...]) -> list[int]:
    """Return the labels of a path: repeated tokens are one, blanks none."""
    return [token for token, _ in groupby(path) if token != BLANK]


def score_of(path: tuple[int, ...], log_probs: np.ndarray) -> float:
    return sum(log_probs[frame, token] for frame, token in enumerate(path))


def path_of(spans: list[tuple[int, int]], labels: list[int], n_frames: int) -> tuple[int, ...]:
    """Return the path of some spans, which has blanks elsewhere."""
    path = [BLANK] * n_frames
    for (first, end), label in zip(spans, labels, strict=True):
        assert path[first:end] == [BLANK] * (end - first)
        path[first:end] = [label] * (end - first)
    return tuple(path)


@given(st.integers(1, 6), st.lists(st.integers(1, 2), max_size=4), st.integers(0, 2**32 - 1), st.booleans())
def test_no_path_that_spells_the_labels_is_better(n_frames: int, labels: list[int], seed: int, ties: bool) -> None:
    """Against all paths of three tokens: the spans spell the labels at the highest score, or no path spells them."""
    rng = np.random.default_rng(seed)
    log_probs = rng.integers(-3, 0, (n_frames, 3)) if ties else np.log(rng.dirichlet(np.ones(3), n_frames))
    spelling = [path for path in product(range(3), repeat=n_frames) if spelt(path) == labels]
    spans = align(log_probs.astype(float), labels, BLANK)
    if spans is None:
        assert spelling == []
        return
    path = path_of(spans, labels, n_frames)
    assert spelt(path) == labels
    assert score_of(path, log_probs) == pytest.approx(max(score_of(one, log_probs) for one in spelling))


def test_labels_lie_where_the_model_gives_them() -> None:
    """Two equal labels with a blank between, of two frames and of one, and another right behind."""
    sure = [0, 1, 1, 0, 1, 2, 0]
    log_probs = np.log(np.where(np.eye(3)[sure] == 1, 0.8, 0.1))
    assert align(log_probs, [1, 1, 2], BLANK) == [(1, 3), (4, 5), (5, 6)]
    assert align(log_probs, [], BLANK) == []


@pytest.mark.parametrize(("labels", "n_frames"), [([1, 2], 1), ([1, 1], 2), ([1], 0)])
def test_more_labels_than_frames_are_not_aligned(labels: list[int], n_frames: int) -> None:
    """Equal neighbours need a frame of blank between them."""
    assert align(np.zeros((n_frames, 3)), labels, BLANK) is None


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_an_error(wrong: float) -> None:
    """A broken model gives no times."""
    log_probs = np.zeros((4, 3))
    log_probs[2, 2] = wrong
    with pytest.raises(InputError, match="not finite"):
        align(log_probs, [1], BLANK)
