"""How do particles fly?  Kennedy & Eberhart 1995, with the constriction of Clerc & Kennedy 2002.

v <- inertia v + cognitive u1 (own best - x) + social u2 (best of the neighbours - x), and x <- x + v.  A particle that
would leave the unit cube stops at the wall and turns back with half its speed (Clerc 2012, standard PSO 2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np

from hpcfit.evolve.breeding import uniform_generation
from hpcfit.evolve.operators import require_choice
from hpcfit.evolve.strategy import (
    Migrants,
    Offspring,
    Operator,
    checked_scores,
    finite_or_inf,
    ranking,
    worst_displaced,
)
from hpcfit.evolve.streams import SEED_BITS, draws, require_unsigned

Neighbours = Literal["all", "ring"]

INERTIA = 0.7298437881283576  # 2 / |2 - phi - sqrt(phi**2 - 4 phi)| at phi = 4.1, Clerc & Kennedy 2002
PULL = 2.05 * INERTIA


@final
@dataclass(frozen=True, eq=False)
class Swarm:
    """Where the particles are after the scores of `generation`, and the best that each has seen.

    Parameters
    ----------
    generation : int
    positions, velocities : numpy.ndarray
        (n, P) float64.
    vectors, scores, ids : numpy.ndarray
        (n, P), (n,), (n,): the best position of each particle, its score, and the id of the member that was there.
    """

    generation: int
    positions: np.ndarray
    velocities: np.ndarray
    vectors: np.ndarray
    scores: np.ndarray
    ids: np.ndarray


@final
@dataclass(frozen=True, kw_only=True)
class ParticleSwarm:
    """Particle swarm optimisation; a `Strategy` whose state is `Swarm`, row i being particle i.

    Parameters
    ----------
    dimensions : int
        P.
    population : int
        Particles; at least 2.
    inertia, cognitive, social : float
        How much of the velocity is kept, >= 0, and the greatest pull of a particle's own best and its neighbours'.
    neighbours : "all" or "ring"
        Whose best attracts a particle: everybody's, or that of the particle before it, after it and its own.
    seed : int
        0 <= seed < 2**128.

    Raises
    ------
    ValueError
        For sizes, rates or choices that are out of range.
    """

    dimensions: int
    population: int
    inertia: float = INERTIA
    cognitive: float = PULL
    social: float = PULL
    neighbours: Neighbours = "all"
    seed: int

    def __post_init__(self) -> None:
        require_choice("neighbours", self.neighbours, get_args(Neighbours))
        require_unsigned("seed", self.seed, SEED_BITS)
        if self.dimensions < 1:
            raise ValueError(f"dimensions = {self.dimensions} is too small; give at least 1")
        if self.population < 2:
            raise ValueError(f"population = {self.population} is no swarm; give at least 2")
        for name in ("inertia", "cognitive", "social"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} = {getattr(self, name)} is out of range; give a number that is not negative")

    @property
    def state(self) -> type[Swarm]:
        """See Strategy.state."""
        return Swarm

    def ask(self, swarm: Swarm | None) -> Offspring:
        """Where the particles fly next, or generation 0 if None: uniform in the unit cube."""
        if swarm is None:
            return uniform_generation(self.seed, self._ids(0), self.dimensions)
        shape = (self.population, self.dimensions)
        if swarm.positions.shape != shape:
            raise ValueError(
                f"the swarm has positions of shape {swarm.positions.shape}, population and dimensions are {shape}; "
                "resume with the settings the run was started with"
            )
        positions, _, leader = self._flight(swarm)
        parents = np.stack([swarm.ids, swarm.ids[leader]], axis=1)
        operator = np.full(self.population, Operator.FLIGHT, dtype=np.int8)
        generation = swarm.generation + 1
        return Offspring(generation, self._ids(generation), positions, parents, operator)

    def tell(
        self, swarm: Swarm | None, offspring: Offspring, scores: np.ndarray, immigrants: Migrants | None = None
    ) -> Swarm:
        """The swarm at its new positions.  Raises ValueError as `checked_scores`.

        Immigrants are places that others have seen: the particles that remember the worst remember them instead, where
        they are better.  Their flight goes on: a swarm shares what it knows, not where it is.
        """
        scores = checked_scores(swarm, offspring, scores)
        order = np.argsort(offspring.ids)  # row i is particle i, whatever the caller's order
        vectors, scores, ids = offspring.vectors[order], scores[order], offspring.ids[order]
        if swarm is None:
            return Swarm(offspring.generation, vectors, self._first_velocities(vectors), vectors, scores, ids)
        _, velocities, _ = self._flight(swarm)  # again: a function of the swarm alone, so the ledger need not hold it
        better = finite_or_inf(scores) < finite_or_inf(swarm.scores)
        seen = np.where(better[:, None], vectors, swarm.vectors)
        scores, ids = np.where(better, scores, swarm.scores), np.where(better, ids, swarm.ids)
        if immigrants is not None:
            particles, rows = worst_displaced(scores, ids, immigrants)
            seen[particles], scores[particles] = immigrants.vectors[rows], immigrants.scores[rows]
            ids[particles] = immigrants.ids[rows]
        return Swarm(offspring.generation, vectors, velocities, seen, scores, ids)

    def _flight(self, swarm: Swarm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next positions and velocities, (n, P), and the particle whose best attracts each, (n,)."""
        generation, leader = swarm.generation + 1, self._leaders(swarm)
        x, shape = swarm.positions, swarm.positions.shape
        own = self.cognitive * draws(self.seed, generation, "cognitive", shape) * (swarm.vectors - x)
        social = self.social * draws(self.seed, generation, "social", shape) * (swarm.vectors[leader] - x)
        velocities = self.inertia * swarm.velocities + own + social
        positions = x + velocities
        outside = (positions < 0.0) | (positions > 1.0)
        return np.clip(positions, 0.0, 1.0), np.where(outside, -0.5 * velocities, velocities), leader

    def _leaders(self, swarm: Swarm) -> np.ndarray:
        best = np.empty(self.population, dtype=np.int64)
        best[ranking(swarm.scores, swarm.ids)] = np.arange(self.population)  # place in the ranking
        if self.neighbours == "all":
            return np.full(self.population, np.argmin(best))
        particles = np.arange(self.population)
        ring = np.stack([particles - 1, particles, particles + 1]) % self.population
        return ring[np.argmin(best[ring], axis=0), particles]

    def _first_velocities(self, positions: np.ndarray) -> np.ndarray:
        """Half the way to another random point (Helwig & Wanka 2008: larger ones leave the cube at once)."""
        return 0.5 * (draws(self.seed, 0, "velocity", positions.shape) - positions)

    def _ids(self, generation: int) -> np.ndarray:
        return generation * self.population + np.arange(self.population, dtype=np.int64)
