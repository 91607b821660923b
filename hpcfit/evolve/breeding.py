"""How does a generation arise from ranked parents?  DEAP's `varOr`: by crossover, by mutation or as a copy, never two.

Shared by every strategy whose offspring have parents: they differ in who survives, not in how survivors breed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import numpy as np

from hpcfit.evolve.operators import Crossover, Mutation
from hpcfit.evolve.strategy import NO_PARENT, Offspring, Operator
from hpcfit.evolve.streams import SEED_BITS, draws, require_unsigned

_PART = 1 << 14
"""Members whose offspring are made in one piece: enough to fill vectors, few enough to stay in the cache."""


@final
@dataclass(frozen=True, kw_only=True)
class Breeding:
    """How mu survivors make lambda offspring.

    Parameters
    ----------
    dimensions : int
        P, the length of a vector.
    parents, offspring : int
        mu and lambda.
    crossover, mutation : Crossover, Mutation
        Their rates add up to at most 1; the rest of the offspring are copies.
    seed : int
        0 <= seed < 2**128.
    initial : int, optional
        Size of generation 0; lambda if not given, or mu where that is larger.
    tournament : int
        Each parent is the best of this many survivors drawn at random; 1 is `varOr`, where all survivors are equal.

    Raises
    ------
    ValueError
        For sizes or rates that do not go together.
    """

    dimensions: int
    parents: int
    offspring: int
    crossover: Crossover
    mutation: Mutation
    seed: int
    initial: int | None = None
    tournament: int = 1

    def __post_init__(self) -> None:
        require_unsigned("seed", self.seed, SEED_BITS)
        for name in ("dimensions", "parents", "offspring", "tournament"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is too small; give at least 1")
        if self.initial is not None and self.initial < self.parents:
            raise ValueError(
                f"initial = {self.initial} is smaller than parents = {self.parents}; "
                f"raise initial to at least {self.parents}"
            )
        if self.crossover.rate > 0.0 and self.parents < 2:
            raise ValueError("parents = 1 cannot be crossed; give at least 2 parents or crossover.rate = 0")
        if self.crossover.rate + self.mutation.rate > 1.0:
            raise ValueError(
                f"crossover.rate = {self.crossover.rate} and mutation.rate = {self.mutation.rate} add up to more than "
                "1, but an offspring arises by one of them; lower one of the two"
            )

    def ids(self, generation: int) -> np.ndarray:
        """(lambda,) int64 ids of the members of a generation, counted through the run; (initial,) for generation 0."""
        first = self.initial or max(self.offspring, self.parents)
        if generation == 0:
            return np.arange(first, dtype=np.int64)
        return first + (generation - 1) * self.offspring + np.arange(self.offspring, dtype=np.int64)

    def first(self, start: np.ndarray | None = None) -> Offspring:
        """Generation 0, uniform in the unit cube; start: (k, P), the vectors of its first k members.

        Raises ValueError if `start` does not fit.
        """
        return uniform_generation(self.seed, self.ids(0), self.dimensions, start)

    def next(self, generation: int, pool: np.ndarray, pool_ids: np.ndarray) -> Offspring:
        """The offspring of survivors.  pool: (mu, P), best first; pool_ids: (mu,).

        Raises ValueError if the survivors are not (mu, P).
        """
        if pool.shape != (self.parents, self.dimensions):
            raise ValueError(
                f"survivors have vectors of shape {pool.shape}, parents and dimensions are "
                f"{(self.parents, self.dimensions)}; resume with the settings the run was started with"
            )
        operator, one, other = self._choices(generation)
        vectors = np.empty((self.offspring, self.dimensions))

        def make(first: int) -> None:
            part = slice(first, min(first + _PART, self.offspring))
            vectors[part] = self._varied(generation, first, pool, operator[part], one[part], other[part])

        _each(make, range(0, self.offspring, _PART))
        crossed = np.flatnonzero(operator == Operator.CROSSOVER)
        parents = np.stack([pool_ids[one], np.full(self.offspring, NO_PARENT)], axis=1)
        parents[crossed, 1] = pool_ids[other[crossed]]
        return Offspring(generation, self.ids(generation), vectors, parents, operator)

    def _varied(
        self,
        generation: int,
        first: int,
        pool: np.ndarray,
        operator: np.ndarray,
        one: np.ndarray,
        other: np.ndarray,
    ) -> np.ndarray:
        """(members, P) offspring.  pool: (mu, P); operator, one, other: (members,), the parents by their place in it.

        first: which member the first row is.  Only crossover looks at `other`.
        """
        # Every member has all three numbers per gene, used or not: what one consumes must not shift another's.
        u = [draws(self.seed, generation, f"gene {k}", (len(one), self.dimensions), first) for k in range(3)]
        crossed = np.flatnonzero(operator == Operator.CROSSOVER)
        mutated = np.flatnonzero(operator == Operator.MUTATION)
        vectors = pool[one]
        mates = pool[other[crossed]]
        vectors[crossed] = self.crossover.child(vectors[crossed], mates, [numbers[crossed] for numbers in u])
        vectors[mutated] = self.mutation.mutant(vectors[mutated], [numbers[mutated] for numbers in u])
        return vectors

    def _choices(self, generation: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(lambda,) each: the operator, and the ranks of two distinct parents (the second for crossover)."""
        u = draws(self.seed, generation, "operator", (self.offspring, 3))
        operator = np.full(self.offspring, Operator.REPRODUCTION, dtype=np.int8)
        operator[u[:, 0] < self.crossover.rate + self.mutation.rate] = Operator.MUTATION
        operator[u[:, 0] < self.crossover.rate] = Operator.CROSSOVER
        one = _tournament(u[:, 1], self.parents, self.tournament)
        other = _tournament(u[:, 2], max(self.parents - 1, 1), self.tournament)
        return operator, one, other + (other >= one)


def _each(make: Callable[[int], None], firsts: Sequence[int]) -> None:
    """Calls make with each, in as many threads as there are cores: rank 0 makes the offspring of a thousand others."""
    if len(firsts) < 2:
        for first in firsts:
            make(first)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(min(cores, len(firsts))) as threads:
        list(threads.map(make, firsts))


def uniform_generation(seed: int, ids: np.ndarray, dimensions: int, start: np.ndarray | None = None) -> Offspring:
    """Generation 0 of any strategy that starts uniform in the unit cube.

    Parameters
    ----------
    seed : int
    ids : numpy.ndarray
        (n,) int64.
    dimensions : int
        P.
    start : numpy.ndarray, optional
        (k, P) in [0, 1]: the vectors of the first k members.

    Raises
    ------
    ValueError
        If `start` does not fit.
    """
    n = len(ids)
    vectors = draws(seed, 0, "initial", (n, dimensions))
    if start is not None:
        vectors[: len(start)] = _checked_start(np.asarray(start, dtype=np.float64), vectors.shape)
    return Offspring(0, ids, vectors, no_parents(n), np.full(n, Operator.INITIAL, dtype=np.int8))


def no_parents(n: int) -> np.ndarray:
    """(n, 2) int64, NO_PARENT everywhere."""
    return np.full((n, 2), NO_PARENT, dtype=np.int64)


def _tournament(u: np.ndarray, n: int, size: int) -> np.ndarray:
    """Ranks in [0, n) of the best of `size` members drawn with replacement, from one uniform number each.

    By inversion: the best rank is at least r with probability (1 - r / n)**size.  u and the result: (members,).
    """
    return np.floor(n * (1.0 - (1.0 - u) ** (1.0 / size))).astype(np.int64)


def _checked_start(start: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    n, dimensions = shape
    if start.ndim != 2 or start.shape[1] != dimensions or len(start) > n:
        raise ValueError(f"start vectors have shape {start.shape}; give at most {n} rows of {dimensions} columns")
    if not np.all((start >= 0.0) & (start <= 1.0)):
        raise ValueError("start vectors leave the unit cube (or are NaN); map physical values to [0, 1] first")
    return start
