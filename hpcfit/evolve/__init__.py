"""Strategies that move a population: pure functions of arrays and random numbers, no I/O."""

from hpcfit.evolve.ga import GeneticAlgorithm, Survival
from hpcfit.evolve.operators import Crossover, CrossoverKind, Mutation, MutationKind
from hpcfit.evolve.strategy import NO_PARENT, Offspring, Operator, Strategy, Survivors, ranking
from hpcfit.evolve.streams import draws

__all__ = [
    "NO_PARENT",
    "Crossover",
    "CrossoverKind",
    "GeneticAlgorithm",
    "Mutation",
    "MutationKind",
    "Offspring",
    "Operator",
    "Strategy",
    "Survival",
    "Survivors",
    "draws",
    "ranking",
]
