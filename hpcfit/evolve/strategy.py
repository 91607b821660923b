"""What does every strategy hand out and take back?

`ask` hands out the vectors of one generation, `tell` takes their scores.  A strategy keeps no state: what it must
remember goes through the caller's hands, who can rebuild it from the ledger, so that a resumed run equals one that
was never cut.  Vectors live in the unit cube (the problem maps them to physical values); low scores are good.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypeVar, final

import numpy as np

NO_PARENT = -1


class Operator(IntEnum):
    """How an offspring arose."""

    INITIAL = 0
    CROSSOVER = 1
    MUTATION = 2
    REPRODUCTION = 3
    SAMPLE = 4
    """Drawn from a distribution (CMA-ES)."""
    FLIGHT = 5
    """A particle moved by its velocity."""
    DIFFERENCE = 6
    """A member displaced by differences of others (differential evolution)."""


@final
@dataclass(frozen=True, eq=False)
class Offspring:
    """The members of one generation that await their scores.

    Parameters
    ----------
    generation : int
    ids : numpy.ndarray
        (lambda,) int64, unique in the run.
    vectors : numpy.ndarray
        (lambda, P) float64 in [0, 1].
    parents : numpy.ndarray
        (lambda, 2) int64 ids, NO_PARENT where there is none.
    operator : numpy.ndarray
        (lambda,) int8, an `Operator` each.  A REPRODUCTION equals its first parent and need not be evaluated again.
    """

    generation: int
    ids: np.ndarray
    vectors: np.ndarray
    parents: np.ndarray
    operator: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Survivors:
    """The members that may have offspring, after the scores of `generation` were told.

    Parameters
    ----------
    generation : int
    vectors : numpy.ndarray
        (mu, P) float64 in [0, 1].
    scores : numpy.ndarray
        (mu,) float64; NaN for a member without a score.
    ids : numpy.ndarray
        (mu,) int64.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """

    generation: int
    vectors: np.ndarray
    scores: np.ndarray
    ids: np.ndarray

    def __post_init__(self) -> None:
        members = self.ids.shape
        if self.vectors.ndim != 2 or self.vectors.shape[:1] != members or self.scores.shape != members:
            raise ValueError(
                f"survivors have ids {members}, vectors {self.vectors.shape} and scores {self.scores.shape}; "
                "give (mu,), (mu, P) and (mu,)"
            )


@final
@dataclass(frozen=True, eq=False)
class Migrants:
    """Members that come from other islands, with the scores they had there.

    Parameters
    ----------
    vectors : numpy.ndarray
        (m, P) float64 in [0, 1].
    scores : numpy.ndarray
        (m,) float64, or (m, M) for strategies with several objectives; finite.
    ids : numpy.ndarray
        (m,) int64, none of them twice, none that the island has already.
    """

    vectors: np.ndarray
    scores: np.ndarray
    ids: np.ndarray


State = TypeVar("State")
"""A dataclass: `generation` (int), and else arrays, which the ledger keeps as survivor_NAME."""


class Strategy(Protocol[State]):
    """Moves a population.  State is what the strategy remembers between generations: `Survivors` for a GA."""

    @property
    def state(self) -> type[State]:
        """What the strategy's memory is rebuilt as, from the ledger's arrays."""
        ...

    def ask(self, survivors: State | None) -> Offspring:
        """The next generation; generation 0 if `survivors` is None."""
        ...

    def tell(
        self, survivors: State | None, offspring: Offspring, scores: np.ndarray, immigrants: Migrants | None = None
    ) -> State:
        """What to remember, given what was asked with (None for generation 0), its answer and that one's scores.

        scores: (lambda,), or (lambda, objectives) for strategies with several objectives.
        """
        ...


def ranking(scores: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(n,) indices, best first: low score, then low id (the older member), NaN last.  scores, ids: (n,)."""
    return np.lexsort((ids, scores))


def finite_or_inf(scores: np.ndarray) -> np.ndarray:
    """(n,) scores with +inf for what is none, so that it loses every comparison."""
    return np.where(np.isfinite(scores), scores, np.inf)


def checked_scores(
    memory: Any | None, offspring: Offspring, scores: np.ndarray, objectives: bool = False
) -> np.ndarray:
    """The scores as float64: (lambda,), or (lambda, objectives).

    Raises
    ------
    ValueError
        If they are not one (or one row) per offspring, or the offspring do not follow `memory`'s generation.
    """
    scores = np.asarray(scores, dtype=np.float64)
    one = "row of objectives" if objectives else "score"
    if scores.shape[:1] != offspring.ids.shape or scores.ndim != 1 + objectives:
        raise ValueError(f"scores have shape {scores.shape}; give one {one} per offspring, {offspring.ids.shape}")
    expected = 0 if memory is None else memory.generation + 1
    if offspring.generation != expected:
        raise ValueError(
            f"offspring are of generation {offspring.generation}, the survivors ask for {expected}; "
            "tell with the survivors that the offspring were asked with"
        )
    return scores


def worst_displaced(scores: np.ndarray, ids: np.ndarray, immigrants: Migrants) -> tuple[np.ndarray, np.ndarray]:
    """Which of n places go to which immigrants, so that the best n of all have one and the others stay where they are.

    scores, ids: (n,).  Gives indices of places and of immigrants, as many of both.
    """
    worst = ranking(scores, ids)[::-1][: len(immigrants.ids)]
    best = ranking(immigrants.scores, immigrants.ids)[: len(worst)]
    better = immigrants.scores[best] < finite_or_inf(scores[worst])
    return worst[better], best[better]
