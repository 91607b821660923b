"""How does a genetic algorithm choose who has offspring and who survives?  Ladd et al. 2021.

Variation is that of DEAP's `varOr`: an offspring arises by crossover, by mutation or as a copy, never by two of them.
Ladd et al. (preprint, "Scaling and benchmarking the genetic algorithm in constructing biophysical neuronal models")
write (mu, lambda) but describe keeping the best mu of parents and offspring, which is (mu + lambda): hence the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np

from hpcfit.evolve.operators import Crossover, Mutation, require_choice
from hpcfit.evolve.strategy import NO_PARENT, Offspring, Operator, Survivors, ranking
from hpcfit.evolve.streams import SEED_BITS, draws, require_unsigned

Survival = Literal["mu_plus_lambda", "mu_comma_lambda"]


@final
@dataclass(frozen=True, kw_only=True)
class GeneticAlgorithm:
    """A (mu + lambda) or (mu , lambda) genetic algorithm; a `Strategy` whose state is `Survivors`.

    Parameters
    ----------
    dimensions : int
        P, the length of a vector.
    parents, offspring : int
        mu and lambda.
    survival : "mu_plus_lambda" or "mu_comma_lambda"
        Whether the best of parents and offspring survive, or the best of the offspring alone.
    crossover, mutation : Crossover, Mutation
        Their rates add up to at most 1; the rest of the offspring are copies.
    seed : int
        0 <= seed < 2**128.
    initial : int, optional
        Size of generation 0; lambda if not given, or mu where that is larger.
    tournament : int
        Each parent is the best of this many survivors drawn at random; 1 is `varOr`, where all survivors are equal.
    distinct : float
        Side of the cells of a grid over the unit cube; of the members of one cell only the best survives, as long as
        there are others.  0 (DEAP's algorithms): no such rule, and copies of one member can fill the population.

    Raises
    ------
    ValueError
        For sizes, rates or choices that do not go together.
    """

    dimensions: int
    parents: int
    offspring: int
    survival: Survival = "mu_plus_lambda"
    crossover: Crossover
    mutation: Mutation
    seed: int
    initial: int | None = None
    tournament: int = 1
    distinct: float = 0.0

    def __post_init__(self) -> None:
        require_choice("survival", self.survival, get_args(Survival))
        require_unsigned("seed", self.seed, SEED_BITS)
        for name in ("dimensions", "parents", "offspring", "tournament"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is too small; give at least 1")
        if not 0.0 <= self.distinct < 1.0:
            raise ValueError(
                f"distinct = {self.distinct} is no side of a cell of the unit cube; give 0 <= distinct < 1"
            )
        if self.initial is not None and self.initial < self.parents:
            raise ValueError(
                f"initial = {self.initial} is smaller than parents = {self.parents}; "
                f"raise initial to at least {self.parents}"
            )
        if self.survival == "mu_comma_lambda" and self.offspring < self.parents:
            raise ValueError(
                f"offspring = {self.offspring} is smaller than parents = {self.parents}, too few survivors for "
                f"mu_comma_lambda; raise offspring to at least {self.parents} or choose mu_plus_lambda"
            )
        if self.crossover.rate > 0.0 and self.parents < 2:
            raise ValueError("parents = 1 cannot be crossed; give at least 2 parents or crossover.rate = 0")
        if self.crossover.rate + self.mutation.rate > 1.0:
            raise ValueError(
                f"crossover.rate = {self.crossover.rate} and mutation.rate = {self.mutation.rate} add up to more than "
                "1, but an offspring arises by one of them; lower one of the two"
            )

    def ask(self, survivors: Survivors | None, start: np.ndarray | None = None) -> Offspring:
        """The generation after `survivors`, or generation 0 if None: uniform in the unit cube.

        Parameters
        ----------
        survivors : Survivors or None
            In any order.
        start : numpy.ndarray, optional
            (k, P) in [0, 1], only for generation 0: the vectors of its first k members.

        Raises
        ------
        ValueError
            If `survivors` are not (mu, P), or `start` does not fit.
        """
        if survivors is None:
            return self._first(start)
        if start is not None:
            raise ValueError(
                f"start vectors were given for generation {survivors.generation + 1}; give them for 0 only"
            )
        if survivors.vectors.shape != (self.parents, self.dimensions):
            raise ValueError(
                f"survivors have vectors of shape {survivors.vectors.shape}, parents and dimensions are "
                f"{(self.parents, self.dimensions)}; resume with the settings the run was started with"
            )
        return self._next(survivors)

    def tell(self, survivors: Survivors | None, offspring: Offspring, scores: np.ndarray) -> Survivors:
        """The best mu, best first: ties go to the older member, NaN comes last but survives for want of better.

        Parameters
        ----------
        survivors : Survivors or None
            What `offspring` was asked with.
        offspring : Offspring
            In any order.
        scores : numpy.ndarray
            (lambda,) in the order of `offspring`.

        Raises
        ------
        ValueError
            If the scores are not one per offspring, or the generations do not follow each other.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape != offspring.ids.shape:
            raise ValueError(f"scores have shape {scores.shape}; give one score per offspring, {offspring.ids.shape}")
        expected = 0 if survivors is None else survivors.generation + 1
        if offspring.generation != expected:
            raise ValueError(
                f"offspring are of generation {offspring.generation}, the survivors ask for {expected}; "
                "tell with the survivors that the offspring were asked with"
            )
        vectors, ids = offspring.vectors, offspring.ids
        if survivors is not None and self.survival == "mu_plus_lambda":
            vectors = np.concatenate([survivors.vectors, vectors])
            scores = np.concatenate([survivors.scores, scores])
            ids = np.concatenate([survivors.ids, ids])
        best = ranking(scores, ids)
        if self.distinct > 0.0:
            best = best[_one_of_each_cell_first(vectors[best], self.distinct)]
        best = best[: self.parents]
        return Survivors(offspring.generation, vectors[best], scores[best], ids[best])

    def ids(self, generation: int) -> np.ndarray:
        """(lambda,) int64 ids of the members of a generation, counted through the run; (initial,) for generation 0."""
        first = self.initial or max(self.offspring, self.parents)
        if generation == 0:
            return np.arange(first, dtype=np.int64)
        return first + (generation - 1) * self.offspring + np.arange(self.offspring, dtype=np.int64)

    def _first(self, start: np.ndarray | None) -> Offspring:
        ids = self.ids(0)
        n = len(ids)
        vectors = draws(self.seed, 0, "initial", (n, self.dimensions))
        if start is not None:
            vectors[: len(start)] = _checked_start(np.asarray(start, dtype=np.float64), vectors.shape)
        parents = np.full((n, 2), NO_PARENT, dtype=np.int64)
        return Offspring(0, ids, vectors, parents, np.full(n, Operator.INITIAL, dtype=np.int8))

    def _next(self, survivors: Survivors) -> Offspring:
        generation = survivors.generation + 1
        # Best first whatever the caller's order, so that survivors read back from a ledger give the same offspring.
        best = ranking(survivors.scores, survivors.ids)
        pool, pool_ids = survivors.vectors[best], survivors.ids[best]
        operator, one, other = self._choices(generation)
        shape = (self.offspring, self.dimensions)
        # Every member has all three numbers per gene, used or not: what one consumes must not shift another's.
        u = np.stack([draws(self.seed, generation, f"gene {k}", shape) for k in range(3)])
        crossed = np.flatnonzero(operator == Operator.CROSSOVER)
        mutated = np.flatnonzero(operator == Operator.MUTATION)
        vectors = pool[one]
        vectors[crossed] = self.crossover.child(pool[one[crossed]], pool[other[crossed]], u[:, crossed])
        vectors[mutated] = self.mutation.mutant(pool[one[mutated]], u[:, mutated])
        parents = np.stack([pool_ids[one], np.full(self.offspring, NO_PARENT)], axis=1)
        parents[crossed, 1] = pool_ids[other[crossed]]
        return Offspring(generation, self.ids(generation), vectors, parents, operator)

    def _choices(self, generation: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(lambda,) each: the operator, and the ranks of two distinct parents (the second for crossover)."""
        u = draws(self.seed, generation, "operator", (self.offspring, 3))
        operator = np.full(self.offspring, Operator.REPRODUCTION, dtype=np.int8)
        operator[u[:, 0] < self.crossover.rate + self.mutation.rate] = Operator.MUTATION
        operator[u[:, 0] < self.crossover.rate] = Operator.CROSSOVER
        one = _tournament(u[:, 1], self.parents, self.tournament)
        other = _tournament(u[:, 2], max(self.parents - 1, 1), self.tournament)
        return operator, one, other + (other >= one)


def _tournament(u: np.ndarray, n: int, size: int) -> np.ndarray:
    """Ranks in [0, n) of the best of `size` members drawn with replacement, from one uniform number each.

    By inversion: the best rank is at least r with probability (1 - r / n)**size.  u and the result: (members,).
    """
    return np.floor(n * (1.0 - (1.0 - u) ** (1.0 / size))).astype(np.int64)


def _one_of_each_cell_first(vectors: np.ndarray, side: float) -> np.ndarray:
    """(n,) order that puts the first of each cell of the grid before all others.  vectors: (n, P)."""
    _, first = np.unique(np.floor(vectors / side), axis=0, return_index=True)
    repeated = np.ones(len(vectors), dtype=bool)
    repeated[first] = False
    return np.argsort(repeated, kind="stable")


def _checked_start(start: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    n, dimensions = shape
    if start.ndim != 2 or start.shape[1] != dimensions or len(start) > n:
        raise ValueError(f"start vectors have shape {start.shape}; give at most {n} rows of {dimensions} columns")
    if not np.all((start >= 0.0) & (start <= 1.0)):
        raise ValueError("start vectors leave the unit cube (or are NaN); map physical values to [0, 1] first")
    return start
