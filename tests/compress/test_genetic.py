"""The genetic search: its selection is its source's, and a small problem is solved as trying everything solves it."""

from itertools import combinations

import pytest

from greenbench.compress.genetic import Blocks, Breeding, rank, search

HOW = Breeding(population=12, generations=12, pressure=3.0, seed=0)


def sums(*weights: float):
    """Return a damage that adds the weights of the blocks of all layers, and keeps what it was asked."""
    asked: list[Blocks] = []

    def damage(blocks: Blocks) -> float:
        asked.append(blocks)
        return sum(weights[block] for layer in blocks for block in layer)

    return damage, asked


def test_the_rank_of_a_parent() -> None:
    """It is 0 for v = 0, the last for v = 1, never falls with v, and is more often low the higher the pressure."""
    drawn = [rank(v / 1000, 100, 3.0) for v in range(1001)]
    assert (drawn[0], drawn[-1]) == (0, 99)
    assert drawn == sorted(drawn)
    assert drawn[500] == 18  # (e^1.5 - 1) / (e^3 - 1) = 0.1824 of 99
    assert rank(0.5, 100, 6.0) < drawn[500] < rank(0.5, 100, 0.1)


def test_a_layer_of_eight_blocks_is_solved_as_by_trying_all_seventy() -> None:
    """Blocks that hurt each other in pairs, so that the best four are not the four that hurt least alone."""
    pairs = {(a, b): (7 * a + 13 * b * b) % 11 for a, b in combinations(range(8), 2)}

    def damage(blocks: Blocks) -> float:
        return sum(pairs[pair] for pair in combinations(sorted(blocks[0]), 2))

    best = min(damage((four,)) for four in combinations(range(8), 4))
    assert damage(search(((0, 1, 2, 3),), 8, damage, HOW)) == best


def test_individuals_keep_their_numbers_and_are_asked_for_once() -> None:
    """Each layer of each individual loses as many distinct blocks as in the first, which is among them."""
    damage, asked = sums(*range(8))
    search(((5, 6), (0, 1, 2)), 8, damage, HOW)
    assert asked[0] == ((5, 6), (0, 1, 2))
    assert all([len({*layer}) for layer in blocks] == [2, 3] for blocks in asked)
    assert all(0 <= block < 8 for blocks in asked for layer in blocks for block in layer)
    assert len({*asked}) == len(asked)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_never_gets_worse(seed: int) -> None:
    """More generations of the same seed never end with more damage, nor with more than the first individual does."""
    damage, _ = sums(5, 3, 8, 1, 9, 2, 7, 4)
    first = ((1, 3), (0, 3))
    found = [damage(search(first, 8, damage, Breeding(6, n, 3.0, seed))) for n in range(8)]
    assert found == sorted(found, reverse=True)
    assert found[0] <= damage(first)


def test_a_seed_is_a_result() -> None:
    """The same seed finds the same, by the same questions in the same order; another seed asks others."""
    runs = []
    for seed in (1, 1, 2):
        damage, asked = sums(5, 3, 8, 1, 9, 2, 7, 4)
        runs.append((search(((0, 1),), 8, damage, Breeding(6, 3, 3.0, seed)), asked))
    assert runs[0] == runs[1]
    assert runs[0][1] != runs[2][1]
