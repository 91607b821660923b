"""How does a population move by the differences of its members?  Storn & Price 1997 (differential evolution).

Each member stands in a slot and is challenged by one trial: a base vector plus scaled differences, crossed with the
member gene by gene (binomial).  current_to_pbest_1 is the mutation of Zhang & Sanderson 2009 (JADE), without an
archive.  What leaves the unit cube is reflected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np

from hpcfit.evolve.breeding import uniform_generation
from hpcfit.evolve.operators import require_choice
from hpcfit.evolve.strategy import (
    NO_PARENT,
    Migrants,
    Offspring,
    Operator,
    Survivors,
    checked_scores,
    finite_or_inf,
    ranking,
    worst_displaced,
)
from hpcfit.evolve.streams import SEED_BITS, draws, require_unsigned
from hpcfit.evolve.variation import reflected

Variant = Literal["rand_1", "best_1", "current_to_pbest_1"]


@final
@dataclass(frozen=True, kw_only=True)
class DifferentialEvolution:
    """Differential evolution; a `Strategy` whose state is `Survivors`, row i being slot i.

    Parameters
    ----------
    dimensions : int
        P.
    population : int
        Slots, and trials in a generation; at least 4.
    variant : "rand_1", "best_1" or "current_to_pbest_1"
        The base of a trial: a random member, the best one, or the slot's own, moved towards one of the best.
    scale : (float, float)
        F, uniform between these for each trial, 0 < low <= high.
    crossover_rate : float
        CR, the chance of each gene to come from the displaced vector; one gene always does.
    best_fraction : float
        current_to_pbest_1: which part of the population counts as the best, in (0, 1].
    seed : int
        0 <= seed < 2**128.

    Raises
    ------
    ValueError
        For sizes, rates or choices that are out of range.
    """

    dimensions: int
    population: int
    variant: Variant = "current_to_pbest_1"
    scale: tuple[float, float] = (0.5, 0.9)
    crossover_rate: float = 0.9
    best_fraction: float = 0.1
    seed: int

    def __post_init__(self) -> None:
        require_choice("variant", self.variant, get_args(Variant))
        require_unsigned("seed", self.seed, SEED_BITS)
        if self.dimensions < 1:
            raise ValueError(f"dimensions = {self.dimensions} is too small; give at least 1")
        if self.population < 4:
            raise ValueError(f"population = {self.population} is too small for three distinct others; give at least 4")
        if not 0.0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale = {self.scale} is no range; give 0 < low <= high")
        if not 0.0 <= self.crossover_rate <= 1.0:
            raise ValueError(f"crossover_rate = {self.crossover_rate} is no probability; give a number from 0 to 1")
        if not 0.0 < self.best_fraction <= 1.0:
            raise ValueError(f"best_fraction = {self.best_fraction} is no fraction; give a number above 0, at most 1")

    @property
    def state(self) -> type[Survivors]:
        """See Strategy.state."""
        return Survivors

    def ask(self, survivors: Survivors | None) -> Offspring:
        """One trial for each slot, or generation 0 if None: uniform in the unit cube."""
        if survivors is None:
            return uniform_generation(self.seed, self._ids(0), self.dimensions)
        generation, n = survivors.generation + 1, self.population
        x = survivors.vectors
        if x.shape != (n, self.dimensions):
            raise ValueError(
                f"survivors have vectors of shape {x.shape}, population and dimensions are {(n, self.dimensions)}; "
                "resume with the settings the run was started with"
            )
        u = draws(self.seed, generation, "slots", (n, 6))
        others = _distinct_others(u[:, :3], n)
        factor = (self.scale[0] + (self.scale[1] - self.scale[0]) * u[:, 3])[:, None]
        step = factor * (x[others[:, 1]] - x[others[:, 2]])
        best = ranking(survivors.scores, survivors.ids)
        first = others[:, 0]
        if self.variant == "best_1":
            first = np.full(n, best[0])
        if self.variant == "current_to_pbest_1":
            top = max(1, round(self.best_fraction * n))
            first = best[(u[:, 4] * top).astype(np.int64)]
            displaced = x + factor * (x[first] - x) + step
        else:
            displaced = x[first] + step
        taken = draws(self.seed, generation, "genes", (n, self.dimensions)) < self.crossover_rate
        taken[np.arange(n), (u[:, 5] * self.dimensions).astype(np.int64)] = True
        parents = np.stack([survivors.ids, np.full(n, NO_PARENT)], axis=1)
        parents[:, 1] = survivors.ids[first]
        operator = np.full(n, Operator.DIFFERENCE, dtype=np.int8)
        vectors = reflected(np.where(taken, displaced, x))
        return Offspring(generation, self._ids(generation), vectors, parents, operator)

    def tell(
        self,
        survivors: Survivors | None,
        offspring: Offspring,
        scores: np.ndarray,
        immigrants: Migrants | None = None,
    ) -> Survivors:
        """In each slot the better of member and trial; the trial if they are equal, so that plateaus can be crossed.

        Immigrants then take the slots of the worst, where they are better: the differences of the next generation span
        what they add to the population.  Raises ValueError as `checked_scores`.
        """
        scores = checked_scores(survivors, offspring, scores)
        order = np.argsort(offspring.ids)  # row i is slot i, whatever the caller's order
        vectors, scores, ids = offspring.vectors[order], scores[order], offspring.ids[order]
        if survivors is None:
            return Survivors(offspring.generation, vectors, scores, ids)
        kept = finite_or_inf(survivors.scores) < finite_or_inf(scores)
        vectors = np.where(kept[:, None], survivors.vectors, vectors)
        scores = np.where(kept, survivors.scores, scores)
        ids = np.where(kept, survivors.ids, ids)
        if immigrants is not None:
            slots, rows = worst_displaced(scores, ids, immigrants)
            vectors[slots], scores[slots] = immigrants.vectors[rows], immigrants.scores[rows]
            ids[slots] = immigrants.ids[rows]
        return Survivors(offspring.generation, vectors, scores, ids)

    def _ids(self, generation: int) -> np.ndarray:
        return generation * self.population + np.arange(self.population, dtype=np.int64)


def _distinct_others(u: np.ndarray, n: int) -> np.ndarray:
    """(n, k) int64: for each slot k distinct slots that are not itself, all equally likely.  u: (n, k) in [0, 1)."""
    taken = np.arange(n)[:, None]
    for column in u.T:
        pick = (column * (n - taken.shape[1])).astype(np.int64)
        for other in np.sort(taken, axis=1).T:  # count on past those that are taken
            pick = pick + (pick >= other)
        taken = np.concatenate([taken, pick[:, None]], axis=1)
    return taken[:, 1:]
