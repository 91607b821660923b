"""How does a genetic algorithm with several objectives choose its survivors?  IBEA and NSGA-II.

Zitzler & Kuenzli 2004 and Deb et al. 2002.  Both keep the best mu of parents and offspring; they differ in what best
means (`hpcfit.evolve.indicator`, `hpcfit.evolve.pareto`).  Parents are drawn by tournaments among survivors in that
order.  BluePyOpt's default is IBEA with tournaments of four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np

from hpcfit.evolve.breeding import Breeding
from hpcfit.evolve.indicator import KAPPA, ibea_order
from hpcfit.evolve.operators import require_choice
from hpcfit.evolve.pareto import nsga2_order
from hpcfit.evolve.strategy import Migrants, Offspring, checked_scores

Selection = Literal["ibea", "nsga2"]


@final
@dataclass(frozen=True, eq=False)
class RankedSurvivors:
    """The members that may have offspring, best first.

    Parameters
    ----------
    generation : int
    vectors : numpy.ndarray
        (mu, P) float64 in [0, 1].
    scores : numpy.ndarray
        (mu,) float64, the sum of the objectives.
    ids : numpy.ndarray
        (mu,) int64.
    objectives : numpy.ndarray
        (mu, M) float64.
    """

    generation: int
    vectors: np.ndarray
    scores: np.ndarray
    ids: np.ndarray
    objectives: np.ndarray


@final
@dataclass(frozen=True, kw_only=True)
class MultiObjectiveAlgorithm:
    """A (mu + lambda) genetic algorithm with several objectives; a `Strategy` whose state is `RankedSurvivors`.

    Parameters
    ----------
    breeding : Breeding
        Sizes, operators and seed.
    selection : "ibea" or "nsga2"
    kappa : float
        Scale of IBEA's indicator, > 0.

    Raises
    ------
    ValueError
        For an unknown selection, or a kappa that is not positive.
    """

    breeding: Breeding
    selection: Selection
    kappa: float = KAPPA

    def __post_init__(self) -> None:
        require_choice("selection", self.selection, get_args(Selection))
        if not self.kappa > 0.0:
            raise ValueError(f"kappa = {self.kappa} is out of range; give a number above 0")

    @property
    def state(self) -> type[RankedSurvivors]:
        """See Strategy.state."""
        return RankedSurvivors

    def ask(self, survivors: RankedSurvivors | None) -> Offspring:
        """The generation after `survivors`, or generation 0 if None.  Raises ValueError as Breeding.next."""
        if survivors is None:
            return self.breeding.first()
        return self.breeding.next(survivors.generation + 1, survivors.vectors, survivors.ids)

    def tell(
        self,
        survivors: RankedSurvivors | None,
        offspring: Offspring,
        scores: np.ndarray,
        immigrants: Migrants | None = None,
    ) -> RankedSurvivors:
        """The best mu of survivors and offspring, best first.

        A member with an objective that is not finite comes after all others, the older first.

        Parameters
        ----------
        survivors : RankedSurvivors or None
            What `offspring` was asked with.
        offspring : Offspring
            In any order.
        scores : numpy.ndarray
            (lambda, M) objectives in the order of `offspring`.
        immigrants : Migrants, optional
            Stand for survival among the others; their scores are objectives.

        Raises
        ------
        ValueError
            If there is not one row per offspring, or the generations do not follow each other.
        """
        objectives = checked_scores(survivors, offspring, scores, objectives=True)
        vectors, ids = offspring.vectors, offspring.ids
        if survivors is not None:
            vectors = np.concatenate([survivors.vectors, vectors])
            objectives = np.concatenate([survivors.objectives, objectives])
            ids = np.concatenate([survivors.ids, ids])
        if immigrants is not None:
            vectors = np.concatenate([vectors, immigrants.vectors])
            objectives = np.concatenate([objectives, immigrants.scores])
            ids = np.concatenate([ids, immigrants.ids])
        by_age = np.argsort(ids, kind="stable")  # whatever the caller's order: equals go to the older
        finite = np.all(np.isfinite(objectives[by_age]), axis=1)
        good, bad = by_age[finite], by_age[~finite]
        best = np.concatenate([good[self._order(objectives[good])], bad])[: self.breeding.parents]
        return RankedSurvivors(
            offspring.generation, vectors[best], objectives[best].sum(axis=1), ids[best], objectives[best]
        )

    def _order(self, objectives: np.ndarray) -> np.ndarray:
        """Indices of the best mu (or of all, if they are fewer), best first."""
        count = min(self.breeding.parents, len(objectives))
        if count == 0:
            return np.empty(0, dtype=np.int64)
        if self.selection == "ibea":
            return ibea_order(objectives, count, self.kappa)
        return nsga2_order(objectives, count)
