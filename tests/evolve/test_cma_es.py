"""Is the update of CMA-ES DEAP's, and does it converge, restart and stay within the bounds?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from deap import base, cma

from hpcfit.evolve import CmaEs, Offspring, Operator
from hpcfit.evolve.cma_es import Rates


class Minimum(base.Fitness):
    weights = (-1.0,)


class Individual(list):
    def __init__(self, vector, score):
        super().__init__(vector)
        self.fitness = Minimum((score,))


def ellipsoid(x):
    """Rotated, of condition 1e4, with its least well inside the cube."""
    n = x.shape[1]
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
    return np.sum(10.0 ** np.linspace(0, 4, n) * ((x - 0.45) @ axes) ** 2, axis=1)


def evolved(strategy, score, generations):
    """What was asked, and what was remembered after it."""
    memory, history = None, []
    for _ in range(generations):
        made = strategy.ask(memory)
        memory = strategy.tell(memory, made, score(made.vectors))
        history.append((made, memory))
    return history


@pytest.mark.parametrize(("dimensions", "population"), [(2, 6), (8, 13), (15, 40)])
def test_the_update_is_deaps(dimensions, population):
    # A small first step keeps the samples inside the cube, which DEAP does not know.
    ours = CmaEs(dimensions=dimensions, population=population, step=0.02, active=False, restarts=0, seed=5)
    theirs = cma.Strategy([0.5] * dimensions, 0.02, lambda_=population)
    for number, (made, memory) in enumerate(evolved(ours, ellipsoid, 60)):
        assert made.vectors.min() > 0.0 and made.vectors.max() < 1.0
        theirs.update([Individual(x, s) for x, s in zip(made.vectors, ellipsoid(made.vectors), strict=True)])
        tolerance = {"rtol": 1e-6, "atol": 1e-9}
        np.testing.assert_allclose(memory.mean, theirs.centroid, **tolerance, err_msg=str(number))
        np.testing.assert_allclose(memory.step[0], theirs.sigma, **tolerance)
        np.testing.assert_allclose(memory.covariance, theirs.C, **tolerance)
        np.testing.assert_allclose(memory.paths, [theirs.ps, theirs.pc], rtol=1e-6, atol=1e-7)


def test_samples_have_the_distribution_they_are_said_to_have():
    strategy = CmaEs(dimensions=3, population=40_000, step=0.01, restarts=0, seed=1)
    memory = strategy.tell(None, made := strategy.ask(None), ellipsoid(made.vectors))
    covariance = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.5]])
    memory = replace(memory, mean=np.array([0.4, 0.5, 0.6]), step=np.array([0.02]), covariance=covariance)
    samples = strategy.ask(memory).vectors
    np.testing.assert_allclose(samples.mean(axis=0), memory.mean, atol=5e-4)
    np.testing.assert_allclose(np.cov(samples.T), 0.02**2 * covariance, atol=2e-5)


def test_the_worse_half_counts_as_much_against_as_hansen_2016_says():
    # Eq. 49 to 53 worked out by hand for lambda = 4 and n = 2: mu = 2, the last two against.
    rates = Rates.of(4, 2)
    raw = np.log(2.5) - np.log([1, 2, 3, 4])
    positive = raw[:2] / raw[:2].sum()
    effective = 1 / np.sum(positive**2)
    one = 2 / (3.3**2 + effective)
    many = 2 * (effective - 2 + 1 / effective) / (16 + effective)
    bounds = (
        1 + one / many,
        1 + 2 * (raw[2:].sum() ** 2 / np.sum(raw[2:] ** 2)) / (effective + 2),
        (1 - one - many) / (2 * many),
    )
    np.testing.assert_allclose(rates.weights, positive)
    np.testing.assert_allclose(rates.against, raw[2:] / -raw[2:].sum() * min(bounds))
    assert (rates.rank_one, rates.rank_mu) == pytest.approx((one, many))


@pytest.mark.parametrize("active", [True, False])
def test_a_rotated_ellipsoid_is_solved(active):
    history = evolved(CmaEs(dimensions=8, active=active, seed=2), ellipsoid, 400)
    assert min(memory.scores[0] for _, memory in history) < 1e-8
    condition = np.linalg.cond(history[200][1].covariance)
    assert condition > 100  # it has learnt the axes


def test_the_covariance_stays_positive_definite_where_scores_say_nothing():
    # Random scores, small population: where the negative weights would do harm.
    random = np.random.default_rng(3)
    strategy = CmaEs(dimensions=10, population=4, restarts=0, seed=1)
    for _, memory in evolved(strategy, lambda x: random.random(len(x)), 300):
        assert np.linalg.eigvalsh(memory.covariance)[0] > 0.0


@pytest.mark.parametrize("corner", [0.0, 1.0, 1e-3])
def test_the_least_at_a_bound_is_found_and_nothing_leaves_the_cube(corner):
    history = evolved(CmaEs(dimensions=5, seed=1, restarts=0), lambda x: np.sum((x - corner) ** 2, axis=1), 150)
    vectors = np.concatenate([made.vectors for made, _ in history])
    assert vectors.min() >= 0.0 and vectors.max() <= 1.0
    assert min(memory.scores[0] for _, memory in history) < 1e-7


@pytest.mark.parametrize("score", [lambda x: np.sum((x - 0.3) ** 2, axis=1), lambda x: np.zeros(len(x))])
def test_it_restarts_with_twice_the_population_elsewhere(score):
    history = evolved(CmaEs(dimensions=2, population=6, restarts=2, seed=1), score, 400)
    sizes = [len(made.ids) for made, _ in history]
    assert sorted(set(sizes)) == [6, 12, 24] and sizes == sorted(sizes)
    ids = np.concatenate([made.ids for made, _ in history])
    assert np.array_equal(ids, np.arange(len(ids)))
    fresh = [memory for (made, memory) in history if memory.counts[1] == 0]
    assert len(fresh) == 2 and all(memory.step[0] == 0.3 for memory in fresh)
    assert not np.allclose(fresh[0].mean, fresh[1].mean)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("score", [lambda x: np.sum((x - 0.3) ** 2, axis=1), lambda x: -x.sum(axis=1) // 1e-9])
def test_it_goes_on_after_it_has_converged(score):
    history = evolved(CmaEs(dimensions=2, population=6, restarts=0, seed=1), score, 3000)
    assert all(np.all(np.isfinite(memory.covariance)) and memory.step[0] > 0 for _, memory in history)


def test_where_scores_say_nothing_the_samples_grow_no_wider_than_the_cube():
    random = np.random.default_rng(4)
    for _, memory in evolved(CmaEs(dimensions=3, population=50, restarts=0, seed=2), lambda x: random.random(50), 400):
        assert memory.step[0] * np.sqrt(np.linalg.eigvalsh(memory.covariance)[-1]) < 1 + 1e-9


def test_no_restart_where_none_is_allowed():
    history = evolved(CmaEs(dimensions=2, population=6, restarts=0, seed=1), lambda x: np.zeros(len(x)), 120)
    assert {len(made.ids) for made, _ in history} == {6}


def test_order_of_offspring_does_not_matter_and_what_has_no_score_is_worst():
    strategy = CmaEs(dimensions=4, population=10, seed=1)
    made = strategy.ask(None)
    scores = np.where(np.arange(10) % 3 == 0, np.nan, ellipsoid(made.vectors))
    order = np.random.default_rng(2).permutation(10)
    other = Offspring(0, *(getattr(made, n)[order] for n in ("ids", "vectors", "parents", "operator")))
    one, two = strategy.tell(None, made, scores), strategy.tell(None, other, scores[order])
    for name in ("mean", "step", "covariance", "paths", "history", "ids"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert np.all(np.isfinite(one.scores)) and np.all(np.isfinite(one.covariance))


def test_generation_zero_says_so_and_the_default_population_grows_with_dimensions():
    assert np.all(CmaEs(dimensions=15, seed=1).ask(None).operator == Operator.INITIAL)
    assert [len(CmaEs(dimensions=n, seed=1).ask(None).ids) for n in (1, 5, 15, 100)] == [4, 8, 12, 17]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 3}, "population = 3 is too small to learn a covariance; give at least 4"),
        ({"step": 0.0}, "step = 0.0 is out of range"),
        ({"restarts": -1}, "restarts = -1 is out of range"),
        ({"dimensions": 0}, "dimensions = 0 is too small"),
        ({"seed": -1}, "seed = -1 is out of range"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CmaEs(**({"dimensions": 3, "seed": 1} | settings))
