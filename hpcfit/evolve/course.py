"""A strategy as the generation loop drives it: what it remembers is read from, and written to, the ledger's arrays."""

from collections.abc import Mapping

import numpy as np

from hpcfit.evolve.ga import GeneticAlgorithm
from hpcfit.evolve.operators import Crossover, Mutation
from hpcfit.evolve.strategy import Offspring, Strategy, Survivors
from hpcfit.population.ledger import Generation
from hpcfit.settings import StrategySettings


class StrategyCourse:
    """Keeps survivors in the ledger's arrays survivor_ids, survivor_scores and survivor_vectors."""

    def __init__(self, strategy: Strategy[Survivors]) -> None:
        self._strategy = strategy

    def offspring(self, last: Generation | None) -> dict[str, np.ndarray]:
        """See Course.offspring."""
        made = self._strategy.ask(_survivors(last))
        return {"ids": made.ids, "vectors": made.vectors, "parents": made.parents, "operators": made.operator}

    def survivors(
        self, last: Generation | None, offspring: Mapping[str, np.ndarray], scores: np.ndarray
    ) -> dict[str, np.ndarray]:
        """See Course.survivors."""
        number = 0 if last is None else last.number + 1
        made = Offspring(number, *(offspring[name] for name in ("ids", "vectors", "parents", "operators")))
        left = self._strategy.tell(_survivors(last), made, scores)
        return {"survivor_ids": left.ids, "survivor_scores": left.scores, "survivor_vectors": left.vectors}


def _survivors(last: Generation | None) -> Survivors | None:
    if last is None:
        return None
    arrays = last.arrays
    return Survivors(last.number, arrays["survivor_vectors"], arrays["survivor_scores"], arrays["survivor_ids"])


def genetic_algorithm(settings: StrategySettings, dimensions: int, seed: int) -> StrategyCourse:
    """The genetic algorithm that the settings describe, for a space of `dimensions` parameters."""
    crossover, mutation = settings.crossover, settings.mutation
    return StrategyCourse(
        GeneticAlgorithm(
            dimensions=dimensions,
            parents=settings.parents,
            offspring=settings.offspring,
            survival=settings.kind,
            crossover=Crossover(crossover.kind, crossover.rate, crossover.eta, crossover.gene_rate),
            mutation=Mutation(mutation.kind, mutation.rate, mutation.gene_rate, mutation.eta, mutation.sigma),
            seed=seed,
            initial=settings.initial,
            tournament=settings.tournament,
            distinct=settings.distinct,
        )
    )
