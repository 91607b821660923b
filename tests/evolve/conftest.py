"""Small algorithms and populations that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hpcfit.evolve import Crossover, GeneticAlgorithm, Mutation, Survivors


@pytest.fixture(scope="session")
def make_ga() -> Callable[..., GeneticAlgorithm]:
    """A small algorithm in which every operator has work to do, with any setting replaced."""

    def make(**settings) -> GeneticAlgorithm:
        defaults = {
            "dimensions": 5,
            "parents": 10,
            "offspring": 30,
            "crossover": Crossover("simulated_binary", 0.6),
            "mutation": Mutation("polynomial", 0.3, 0.5),
            "seed": 3,
        }
        return GeneticAlgorithm(**(defaults | settings))

    return make


@pytest.fixture(scope="session")
def make_survivors() -> Callable[..., Survivors]:
    """Random survivors, with distinct scores and ids that are not in the order of the scores."""

    def make(parents: int = 10, dimensions: int = 5, generation: int = 0, seed: int = 0) -> Survivors:
        rng = np.random.default_rng(seed)
        ids = rng.permutation(parents).astype(np.int64)
        return Survivors(generation, rng.random((parents, dimensions)), rng.random(parents), ids)

    return make


@pytest.fixture(scope="session")
def sphere() -> Callable[[np.ndarray], np.ndarray]:
    """Squared distance to a point inside the cube that is not its centre."""
    return lambda vectors: np.sum((vectors - 0.3) ** 2, axis=1)
