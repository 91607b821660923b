"""How does a genetic algorithm choose who has offspring and who survives?  Ladd et al. 2021.

Variation is that of DEAP's `varOr`: an offspring arises by crossover, by mutation or as a copy, never by two of them.
Ladd et al. (preprint, "Scaling and benchmarking the genetic algorithm in constructing biophysical neuronal models")
write (mu, lambda) but describe keeping the best mu of parents and offspring, which is (mu + lambda): hence the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np

from hpcfit.evolve.breeding import Breeding
from hpcfit.evolve.operators import Crossover, Mutation, require_choice
from hpcfit.evolve.strategy import Migrants, Offspring, Survivors, checked_scores, ranking

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
        _ = self._breeding  # its checks
        if not 0.0 <= self.distinct < 1.0:
            raise ValueError(
                f"distinct = {self.distinct} is no side of a cell of the unit cube; give 0 <= distinct < 1"
            )
        if self.survival == "mu_comma_lambda" and self.offspring < self.parents:
            raise ValueError(
                f"offspring = {self.offspring} is smaller than parents = {self.parents}, too few survivors for "
                f"mu_comma_lambda; raise offspring to at least {self.parents} or choose mu_plus_lambda"
            )

    @property
    def state(self) -> type[Survivors]:
        """See Strategy.state."""
        return Survivors

    @property
    def _breeding(self) -> Breeding:
        return Breeding(
            dimensions=self.dimensions,
            parents=self.parents,
            offspring=self.offspring,
            crossover=self.crossover,
            mutation=self.mutation,
            seed=self.seed,
            initial=self.initial,
            tournament=self.tournament,
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
            return self._breeding.first(start)
        if start is not None:
            raise ValueError(
                f"start vectors were given for generation {survivors.generation + 1}; give them for 0 only"
            )
        # Best first whatever the caller's order, so that survivors read back from a ledger give the same offspring.
        best = ranking(survivors.scores, survivors.ids)
        return self._breeding.next(survivors.generation + 1, survivors.vectors[best], survivors.ids[best])

    def tell(
        self,
        survivors: Survivors | None,
        offspring: Offspring,
        scores: np.ndarray,
        immigrants: Migrants | None = None,
    ) -> Survivors:
        """The best mu, best first: ties go to the older member, NaN comes last but survives for want of better.

        Parameters
        ----------
        survivors : Survivors or None
            What `offspring` was asked with.
        offspring : Offspring
            In any order.
        scores : numpy.ndarray
            (lambda,) in the order of `offspring`.
        immigrants : Migrants, optional
            Stand for survival among the others, also where the parents do not.

        Raises
        ------
        ValueError
            If the scores are not one per offspring, or the generations do not follow each other.
        """
        scores = checked_scores(survivors, offspring, scores)
        vectors, ids = offspring.vectors, offspring.ids
        if survivors is not None and self.survival == "mu_plus_lambda":
            vectors = np.concatenate([survivors.vectors, vectors])
            scores = np.concatenate([survivors.scores, scores])
            ids = np.concatenate([survivors.ids, ids])
        if immigrants is not None:
            vectors = np.concatenate([vectors, immigrants.vectors])
            scores = np.concatenate([scores, immigrants.scores])
            ids = np.concatenate([ids, immigrants.ids])
        best = ranking(scores, ids)
        if self.distinct > 0.0:
            best = best[_one_of_each_cell_first(vectors[best], self.distinct)]
        best = best[: self.parents]
        return Survivors(offspring.generation, vectors[best], scores[best], ids[best])

    def ids(self, generation: int) -> np.ndarray:
        """See Breeding.ids."""
        return self._breeding.ids(generation)


def _one_of_each_cell_first(vectors: np.ndarray, side: float) -> np.ndarray:
    """(n,) order that puts the first of each cell of the grid before all others.  vectors: (n, P)."""
    repeated = np.ones(len(vectors), dtype=bool)
    cells = np.floor(vectors / side) + 0.0  # no negative zeros: equal numbers have equal bits
    # As whole numbers where they fit: their low bits differ, which a hash needs; those of small floats are all zero.
    fit = cells.max(initial=0.0) < 2.0**62
    repeated[_first_of_each(cells.astype(np.int64) if fit else cells.view(np.int64))] = False
    return np.argsort(repeated, kind="stable")


def _first_of_each(rows: np.ndarray) -> np.ndarray:
    """Indices of the first of all equal rows, in any order.  rows: (n, P) int64.

    By a hash of each row, which takes a fifth of the time of sorting rows; where two that differ share one, by sorting.
    """
    with np.errstate(over="ignore"):
        hashes = rows @ _odd_numbers(rows.shape[1])
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    if not np.array_equal(rows[first][group], rows):
        _, first = np.unique(rows, axis=0, return_index=True)
    return first


def _odd_numbers(count: int) -> np.ndarray:
    """(count,) int64, the same always, spread over 64 bits."""
    return (np.random.Philox(count).random_raw(count) | np.uint64(1)).view(np.int64)
