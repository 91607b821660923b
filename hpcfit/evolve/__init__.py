"""Strategies that move a population: pure functions of arrays and random numbers, no I/O."""

from hpcfit.evolve.breeding import Breeding
from hpcfit.evolve.cma_es import CmaEs, Distribution
from hpcfit.evolve.differential import DifferentialEvolution
from hpcfit.evolve.ga import GeneticAlgorithm, Survival
from hpcfit.evolve.islands import IslandCourse, Migration
from hpcfit.evolve.multi import MultiObjectiveAlgorithm, RankedSurvivors
from hpcfit.evolve.operators import Crossover, CrossoverKind, Mutation, MutationKind
from hpcfit.evolve.strategy import NO_PARENT, Migrants, Offspring, Operator, Strategy, Survivors, ranking
from hpcfit.evolve.streams import draws
from hpcfit.evolve.swarm import ParticleSwarm, Swarm

__all__ = [
    "NO_PARENT",
    "Breeding",
    "CmaEs",
    "Crossover",
    "CrossoverKind",
    "DifferentialEvolution",
    "Distribution",
    "GeneticAlgorithm",
    "IslandCourse",
    "Migrants",
    "Migration",
    "MultiObjectiveAlgorithm",
    "Mutation",
    "MutationKind",
    "Offspring",
    "Operator",
    "ParticleSwarm",
    "RankedSurvivors",
    "Strategy",
    "Survival",
    "Survivors",
    "Swarm",
    "draws",
    "ranking",
]
