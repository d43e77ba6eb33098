"""Intervals of corpus error rates by the bootstrap."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def bootstrap_rate(
    errors: Sequence[int], words: Sequence[int], blocks: Sequence[str] | None, n: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """Estimate the 95 % interval of a corpus error rate by the bootstrap.

    Bisani & Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation" (ICASSP 2004);
    with blocks, Liu & Peng, "Statistical testing on ASR performance via blockwise bootstrap" (2019).

    Args:
        errors: edits per utterance, shape ``(n_utterances,)``.
        words: reference words per utterance, shape ``(n_utterances,)``.
        blocks: the block (speaker) of each utterance, resampled whole; None resamples utterances.
        n: resamples.
        seed: of the resampling, so that a row can be recomputed.

    Returns:
        The 2.5th and 97.5th percentile, or None where there are fewer than two blocks or no words.
    """
    totals = _block_totals(np.asarray(errors), np.asarray(words), blocks)
    if totals.shape[1] < 2 or totals[1].sum() == 0:
        return None
    rng, n_blocks, rates = np.random.default_rng(seed), totals.shape[1], []
    n_at_once = max(1, 1_000_000 // n_blocks)  # so that a corpus of any size takes little memory
    for done in range(0, n, n_at_once):
        draws = rng.integers(n_blocks, size=(min(n_at_once, n - done), n_blocks))
        sampled_errors, sampled_words = totals[:, draws].sum(axis=2)
        rates.append(sampled_errors[sampled_words > 0] / sampled_words[sampled_words > 0])
    low, high = np.percentile(np.concatenate(rates), [2.5, 97.5])
    return float(low), float(high)


def _block_totals(
    errors: npt.NDArray[np.int64], words: npt.NDArray[np.int64], blocks: Sequence[str] | None
) -> npt.NDArray[np.int64]:
    """Sum errors and words by block; shape ``(2, n_blocks)``."""
    if blocks is None:
        return np.stack([errors, words])
    _, index = np.unique(np.asarray(blocks), return_inverse=True)
    return np.stack([np.bincount(index, weights=w).astype(np.int64) for w in (errors, words)])
