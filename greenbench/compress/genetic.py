"""A genetic search for which blocks of each layer go; it knows nothing of models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, floor
from random import Random

Blocks = tuple[tuple[int, ...], ...]
"""For each layer the blocks that go, each once."""


@dataclass(frozen=True)
class Breeding:
    """How long a search goes on.

    Attributes:
        population: individuals, at least 3.
        generations: after the first population.
        pressure: see ``rank``.
        seed: of all draws.
    """

    population: int
    generations: int
    pressure: float
    seed: int


def search(first: Blocks, n_blocks: int, damage: Callable[[Blocks], float], how: Breeding) -> Blocks:
    """Return the blocks whose loss does the least damage, of all that the search looked at.

    Ludwig and Claes, "Compressing Wav2vec2 for Embedded Applications" (MLSP 2023), with their released code: the first
    population is one given individual and random ones; children have two parents each, drawn by ``rank``; where the
    best of a generation is worse than the best so far, that one takes the place of the last.

    Args:
        first: the individual given.
        n_blocks: blocks of each layer.
        damage: of taking blocks out, the smaller the better; asked once for each set of blocks.
        how: population, generations, pressure and seed.
    """
    draw, known = Random(how.seed), dict[Blocks, float]()  # noqa: S311 (no secret)

    def cost(blocks: Blocks) -> float:
        key = tuple(tuple(sorted(layer)) for layer in blocks)
        if key not in known:
            known[key] = damage(key)
        return known[key]

    def anyone() -> Blocks:
        return tuple(tuple(draw.sample(range(n_blocks), len(layer))) for layer in first)

    people = sorted([first, *(anyone() for _ in range(how.population - 1))], key=cost)
    best = people[0]
    for _ in range(how.generations):
        children = [_child(*_parents(people, how.pressure, draw), n_blocks, draw) for _ in range(how.population)]
        people = sorted(children, key=cost)
        if cost(people[0]) > cost(best):
            people = [best, *people[:-1]]
        best = people[0]
    return tuple(tuple(sorted(layer)) for layer in best)


def rank(uniform: float, population: int, pressure: float) -> int:
    """Return the rank of a parent, 0 the best: floor((P - 1) (e^(a v) - 1) / (e^a - 1)).

    Args:
        uniform: v, drawn between 0 and 1.
        population: P.
        pressure: a, above 0: the higher, the more often the best are drawn.
    """
    return floor((population - 1) * (exp(pressure * uniform) - 1) / (exp(pressure) - 1))


def _parents(people: Sequence[Blocks], pressure: float, draw: Random) -> tuple[Blocks, Blocks]:
    """Draw two parents of different ranks from individuals in order, the best first."""
    one = other = rank(draw.random(), len(people), pressure)
    while other == one:
        other = rank(draw.random(), len(people), pressure)
    return people[one], people[other]


def _child(one: Blocks, other: Blocks, n_blocks: int, draw: Random) -> Blocks:
    """Return a child: gene by gene one parent's, or the other's, or a block that the layer has not lost yet."""
    return tuple(_layer(ours, theirs, n_blocks, draw) for ours, theirs in zip(one, other, strict=True))


def _layer(ours: Sequence[int], theirs: Sequence[int], n_blocks: int, draw: Random) -> tuple[int, ...]:
    taken: list[int] = []
    for own, other in zip(ours, theirs, strict=True):
        if draw.random() < 0.5 and own not in taken:
            taken.append(own)
        elif other not in taken:
            taken.append(other)
        else:
            taken.append(draw.choice([block for block in range(n_blocks) if block not in taken]))
    return tuple(taken)
