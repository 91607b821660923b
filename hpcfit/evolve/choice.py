"""Which strategy do the settings ask for?"""

from hpcfit.evolve.breeding import Breeding
from hpcfit.evolve.cma_es import CmaEs
from hpcfit.evolve.course import Objectives, StrategyCourse
from hpcfit.evolve.differential import DifferentialEvolution
from hpcfit.evolve.ga import GeneticAlgorithm
from hpcfit.evolve.islands import IslandCourse, Migration
from hpcfit.evolve.multi import MultiObjectiveAlgorithm
from hpcfit.evolve.operators import Crossover, Mutation
from hpcfit.evolve.strategy import Strategy
from hpcfit.evolve.streams import island_seed
from hpcfit.evolve.swarm import ParticleSwarm
from hpcfit.settings import (
    AnyStrategySettings,
    CmaEsSettings,
    DifferentialEvolutionSettings,
    MultiObjectiveSettings,
    ParticleSwarmSettings,
    StrategySettings,
)

TOURNAMENTS = {"ibea": 4, "nsga2": 2}
"""BluePyOpt's, and that of Deb et al. 2002."""


def strategy_course(
    settings: AnyStrategySettings, dimensions: int, seed: int, objectives: Objectives | None = None
) -> StrategyCourse | IslandCourse:
    """The strategy that the settings describe, for a space of `dimensions` parameters.

    objectives: what one with several objectives sees; the others see the score alone.
    """
    seen = objectives if isinstance(settings, MultiObjectiveSettings) else None
    if isinstance(settings, MultiObjectiveSettings):
        assert objectives is not None, f"strategy.kind = {settings.kind!r} needs objectives"
    if (islands := settings.islands) is None:
        return StrategyCourse(_strategy(settings, dimensions, seed), seen)
    one = settings.of_one_island()
    strategies = [_strategy(one, dimensions, island_seed(seed, island)) for island in range(islands.count)]
    migration = Migration(every=islands.every, migrants=islands.migrants, topology=islands.topology, seed=seed)
    return IslandCourse(strategies, migration, seen)


def _strategy(settings: AnyStrategySettings, dimensions: int, seed: int) -> Strategy:
    if isinstance(settings, StrategySettings):
        return _genetic(settings, dimensions, seed)
    if isinstance(settings, MultiObjectiveSettings):
        kappa = {} if settings.kappa is None else {"kappa": settings.kappa}
        breeding = Breeding(
            dimensions=dimensions,
            parents=settings.parents,
            offspring=settings.offspring,
            crossover=_crossover(settings),
            mutation=_mutation(settings),
            seed=seed,
            initial=settings.initial,
            tournament=settings.tournament or TOURNAMENTS[settings.kind],
        )
        return MultiObjectiveAlgorithm(breeding=breeding, selection=settings.kind, **kappa)
    options = settings.model_dump(exclude={"kind", "islands"}, exclude_none=True)
    classes = {
        CmaEsSettings: CmaEs,
        ParticleSwarmSettings: ParticleSwarm,
        DifferentialEvolutionSettings: DifferentialEvolution,
    }
    return classes[type(settings)](dimensions=dimensions, seed=seed, **options)


def _genetic(settings: StrategySettings, dimensions: int, seed: int) -> GeneticAlgorithm:
    return GeneticAlgorithm(
        dimensions=dimensions,
        parents=settings.parents,
        offspring=settings.offspring,
        survival=settings.kind,
        crossover=_crossover(settings),
        mutation=_mutation(settings),
        seed=seed,
        initial=settings.initial,
        tournament=settings.tournament,
        distinct=settings.distinct,
    )


def _crossover(settings: StrategySettings | MultiObjectiveSettings) -> Crossover:
    crossover = settings.crossover
    return Crossover(crossover.kind, crossover.rate, crossover.eta, crossover.gene_rate)


def _mutation(settings: StrategySettings | MultiObjectiveSettings) -> Mutation:
    mutation = settings.mutation
    return Mutation(mutation.kind, mutation.rate, mutation.gene_rate, mutation.eta, mutation.sigma)
