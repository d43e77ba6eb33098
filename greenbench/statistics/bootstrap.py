"""The bootstrap interval of an error rate, which rows of earlier versions have; ``intervals`` has replaced it.

Over few speakers, or over utterances that share a speaker, its coverage is far below the nominal 95 %.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

_Totals = npt.NDArray[np.int64]

DRAWS_AT_ONCE = 100_000
"""0.8 MB: within the processor's cache, and little memory for a corpus of any size."""

MIN_SPEAKERS = 10


def bootstrap_rate(
    errors: Sequence[int], words: Sequence[int], blocks: Sequence[str] | None, n: int = 1_000, seed: int = 0
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
    totals = _block_totals((errors, words), blocks)
    if totals is None:
        return None
    return _interval([sampled[0] / sampled[1] for sampled in _resampled(totals, n, seed)])


def _resampled(totals: _Totals, n: int, seed: int) -> Iterator[_Totals]:
    """Draw n samples of whole blocks; yield their totals in slices ``(n_counts, n_drawn)``, words last and above 0."""
    rng, n_blocks = np.random.default_rng(seed), totals.shape[1]
    n_at_once = max(1, DRAWS_AT_ONCE // n_blocks)
    for done in range(0, n, n_at_once):
        draws = rng.integers(n_blocks, size=(min(n_at_once, n - done), n_blocks))
        sampled = np.stack([count.take(draws).sum(axis=1) for count in totals])
        yield sampled[:, sampled[-1] > 0]


def _interval(rates: Sequence[npt.NDArray[np.float64]]) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile."""
    low, high = np.percentile(np.concatenate(rates), [2.5, 97.5])
    return float(low), float(high)


def _block_totals(counts: Sequence[Sequence[int]], blocks: Sequence[str] | None) -> _Totals | None:
    """Sum counts by block, shape ``(n_counts, n_blocks)``; None where there is nothing to resample."""
    totals = np.array(counts, np.int64)
    if blocks is not None:
        _, index = np.unique(np.asarray(blocks), return_inverse=True)
        totals = np.stack([np.bincount(index, weights=count).astype(np.int64) for count in totals])
    return None if totals.shape[1] < 2 or totals[-1].sum() == 0 else totals


def blocks(speakers: Sequence[str | None]) -> list[str] | None:
    """Return the blocks that were resampled: the speakers where all are known and at least ``MIN_SPEAKERS`` differ."""
    named = [s for s in speakers if s is not None]
    return named if len(named) == len(speakers) and len(set(named)) >= MIN_SPEAKERS else None
