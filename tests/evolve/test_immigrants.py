"""What does each strategy make of members that come from other islands?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from deap import base, cma

from hpcfit.evolve import (
    Breeding,
    CmaEs,
    Crossover,
    DifferentialEvolution,
    Migrants,
    MultiObjectiveAlgorithm,
    Mutation,
    ParticleSwarm,
)

FOREIGN = np.array([1000, 1001, 1002])


def immigrants(scores, seed=0, dimensions=5):
    """Three of them, at random places."""
    return Migrants(np.random.default_rng(seed).random((3, dimensions)), np.asarray(scores, dtype=float), FOREIGN)


def second_generation(strategy, score):
    """What was remembered, what was asked with it and the scores of that."""
    first = strategy.ask(None)
    memory = strategy.tell(None, first, score(first.vectors))
    made = strategy.ask(memory)
    return memory, made, score(made.vectors)


@pytest.mark.parametrize("survival", ["mu_plus_lambda", "mu_comma_lambda"])
def test_a_genetic_algorithm_keeps_the_best_of_all(make_ga, sphere, survival):
    strategy = make_ga(survival=survival)
    memory, made, scores = second_generation(strategy, sphere)
    coming = immigrants([0.0, np.median(scores), 100.0])
    after = strategy.tell(memory, made, scores, coming)
    pool = [(s, i) for s, i in zip(scores, made.ids, strict=True)] + list(zip(coming.scores, FOREIGN, strict=True))
    if survival == "mu_plus_lambda":
        pool += list(zip(memory.scores, memory.ids, strict=True))
    assert after.ids.tolist() == [number for _, number in sorted(pool)[:10]]
    assert after.ids[0] == 1000 and np.array_equal(after.vectors[0], coming.vectors[0])
    assert 1002 not in after.ids


@pytest.mark.parametrize("selection", ["ibea", "nsga2"])
def test_with_several_objectives_they_stand_for_selection(selection):
    breeding = Breeding(
        dimensions=5,
        parents=8,
        offspring=12,
        crossover=Crossover("simulated_binary", 0.5),
        mutation=Mutation("polynomial", 0.5, 0.5),
        seed=2,
    )
    strategy = MultiObjectiveAlgorithm(breeding=breeding, selection=selection)
    memory, made, scores = second_generation(strategy, lambda x: np.stack([x[:, 0], 1 - x[:, 1]], axis=1))
    coming = immigrants([[-1.0, -1.0], [5.0, 5.0], [-2.0, 3.0]])
    after = strategy.tell(memory, made, scores, coming)
    assert 1000 in after.ids and 1001 not in after.ids  # one dominates everybody, one is dominated by all
    # The same as if they had been survivors already.
    united = replace(
        memory,
        vectors=np.concatenate([memory.vectors, coming.vectors]),
        objectives=np.concatenate([memory.objectives, coming.scores]),
        ids=np.concatenate([memory.ids, coming.ids]),
    )
    expected = strategy.tell(united, made, scores)
    for name in ("vectors", "scores", "ids", "objectives"):
        assert np.array_equal(getattr(after, name), getattr(expected, name)), name


def test_in_differential_evolution_they_take_the_slots_of_the_worst(sphere):
    strategy = DifferentialEvolution(dimensions=5, population=9, seed=1)
    memory, made, scores = second_generation(strategy, sphere)
    without = strategy.tell(memory, made, scores)
    order = np.argsort(without.scores)
    coming = immigrants([without.scores[order[-2]] + 1e-6, without.scores.min() - 1, 100.0])
    after = strategy.tell(memory, made, scores, coming)
    assert after.ids[order[-1]] == 1001 and np.array_equal(after.vectors[order[-1]], coming.vectors[1])
    assert np.array_equal(after.ids[order[:-1]], without.ids[order[:-1]])  # all others stay where they were
    coming = immigrants([0.0, 1e-9, 2e-9])
    after = strategy.tell(memory, made, scores, coming)
    assert after.ids[order].tolist() == [*without.ids[order[:-3]], 1002, 1001, 1000]


def test_in_a_swarm_they_are_remembered_and_the_flight_goes_on(sphere):
    strategy = ParticleSwarm(dimensions=5, population=8, seed=1)
    memory, made, scores = second_generation(strategy, sphere)
    without = strategy.tell(memory, made, scores)
    after = strategy.tell(memory, made, scores, immigrants([-1.0, 50.0, np.sort(without.scores)[-2] - 1e-9]))
    for name in ("positions", "velocities"):
        assert np.array_equal(getattr(after, name), getattr(without, name))
    worst = np.argsort(without.scores)[::-1][:2]
    assert after.ids[worst].tolist() == [1000, 1002]
    others = np.setdiff1d(np.arange(8), worst)
    assert np.array_equal(after.ids[others], without.ids[others])
    # They lead: everybody is drawn to the best one.
    assert np.all(strategy.ask(after).parents[:, 1] == 1000)


class Minimum(base.Fitness):
    weights = (-1.0,)


class Individual(list):
    def __init__(self, vector, score):
        super().__init__(vector)
        self.fitness = Minimum((score,))


def test_cma_es_learns_from_them_as_deap_does_from_their_clipped_selves(sphere):
    ours = CmaEs(dimensions=5, population=12, step=0.02, active=False, restarts=0, seed=5)
    memory, made, scores = second_generation(ours, sphere)
    coming = immigrants([0.0, np.sort(scores)[3] + 1e-9, 100.0])
    after = ours.tell(memory, made, scores, coming)
    theirs = cma.Strategy(list(memory.mean), memory.step[0], lambda_=12, cmatrix=memory.covariance)
    theirs.ps, theirs.pc = memory.paths.copy()
    theirs.update_count = 1
    # Hansen 2011: no further from the mean than sqrt(n) + 2 n / (n + 2) standard deviations.
    steps = (coming.vectors - memory.mean) / memory.step[0]
    lengths = np.sqrt(np.einsum("ij,jk,ik->i", steps, np.linalg.inv(memory.covariance), steps))
    limit = np.sqrt(5) + 10 / 7
    assert np.all(lengths > limit)
    clipped = memory.mean + memory.step[0] * steps * (limit / lengths)[:, None]
    pool = [Individual(x, s) for x, s in zip(made.vectors, scores, strict=True)]
    pool += [Individual(x, s) for x, s in zip(clipped, coming.scores, strict=True)]
    theirs.update(sorted(pool, key=lambda one: one.fitness.values)[:12])
    tolerance = {"rtol": 1e-6, "atol": 1e-9}
    np.testing.assert_allclose(after.mean, theirs.centroid, **tolerance)
    np.testing.assert_allclose(after.step[0], theirs.sigma, **tolerance)
    np.testing.assert_allclose(after.covariance, theirs.C, **tolerance)
    assert after.ids[0] == 1000 and 1001 in after.ids and 1002 not in after.ids
    assert np.array_equal(after.vectors[0], coming.vectors[0])


@pytest.mark.parametrize(
    ("place", "theirs"),
    [
        ([0.9, 0.9, 0.9], [0.6209476459907163, 0.651953463102859, 0.7139650973271442]),
        ([0.46, 0.5, 0.6], [0.46, 0.5, 0.6]),
        ([0.0, 0.1, 0.95], [0.2285193202167907, 0.30312828463714725, 0.7722627509424961]),
    ],
)
@pytest.mark.parametrize("image", [[0, 0, 0], [2, -4, 0], [1, 0, -1]])
def test_an_injected_solution_is_clipped_as_pycma_does(place, theirs, image):
    # Golden: pycma 4.5.0, `repair_genotype` of a CMAEvolutionStrategy with this mean, step and covariance.
    covariance = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.5]])
    strategy = CmaEs(dimensions=3, population=4, restarts=0, active=False, seed=1)
    # The mean may lie in a mirror image of the cube: an odd number of walls away the direction is the opposite.
    sign = np.where(np.array(image) % 2, -1.0, 1.0)
    there = np.where(np.array(image) % 2, np.array(image) + 1.0, np.array(image))
    memory = strategy.tell(None, made := strategy.ask(None), np.arange(4.0))
    flip = np.outer(sign, sign)
    memory = replace(
        memory,
        mean=there + sign * [0.45, 0.5, 0.6],
        step=np.array([0.1]),
        covariance=covariance * flip,
        paths=np.zeros((2, 3)),
    )
    made = strategy.ask(memory)
    ids = np.array([7000, 7001])
    # Two of them, at one place and the best of all: the mean of the two that are learnt from is theirs.
    coming = Migrants(np.array([place, place]), np.array([-2.0, -1.0]), ids)
    after = strategy.tell(memory, made, np.arange(4.0), coming)
    np.testing.assert_allclose(sign * (after.mean - there), theirs, rtol=1e-12)
