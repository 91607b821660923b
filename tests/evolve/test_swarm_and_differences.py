"""Do particles fly and differences displace as their equations say, one member at a time?"""

from __future__ import annotations

import numpy as np
import pytest

from hpcfit.evolve import DifferentialEvolution, Operator, ParticleSwarm, Survivors, Swarm, draws
from hpcfit.evolve.differential import _distinct_others

N, P = 7, 3


@pytest.fixture
def swarm():
    rng = np.random.default_rng(1)
    scores = np.array([3.0, 1.0, np.nan, 1.0, 5.0, 2.0, 4.0])
    velocities = rng.normal(size=(N, P))
    return Swarm(4, rng.random((N, P)), velocities, rng.random((N, P)), scores, np.arange(N)[::-1].copy())


@pytest.mark.parametrize("neighbours", ["all", "ring"])
def test_a_flight_is_the_published_equation(swarm, neighbours):
    strategy = ParticleSwarm(
        dimensions=P, population=N, inertia=0.6, cognitive=1.1, social=1.7, neighbours=neighbours, seed=2
    )
    made = strategy.ask(swarm)
    told = strategy.tell(swarm, made, np.arange(N, dtype=float))
    own, social = (draws(2, 5, purpose, (N, P)) for purpose in ("cognitive", "social"))
    walls = 0
    for i in range(N):
        around = range(N) if neighbours == "all" else [(i - 1) % N, i, (i + 1) % N]
        # NaN is no best; of the two with score 1 the older, id 3, leads.
        leader = min(around, key=lambda j: (np.nan_to_num(swarm.scores[j], nan=np.inf), swarm.ids[j]))
        for d in range(P):
            x, v = swarm.positions[i, d], swarm.velocities[i, d]
            v = 0.6 * v + 1.1 * own[i, d] * (swarm.vectors[i, d] - x)
            v += 1.7 * social[i, d] * (swarm.vectors[leader, d] - x)
            inside = 0.0 <= x + v <= 1.0
            walls += not inside
            assert made.vectors[i, d] == pytest.approx(min(max(x + v, 0.0), 1.0), abs=1e-14)
            assert told.velocities[i, d] == pytest.approx(v if inside else -0.5 * v, abs=1e-14)
        assert made.parents[i].tolist() == [swarm.ids[i], swarm.ids[leader]]
    assert walls > 3 and np.all(made.operator == Operator.FLIGHT)
    better = [0.0 < 3.0, False, True, False, 4.0 < 5.0, False, False]
    assert np.array_equal(told.vectors, np.where(np.array(better)[:, None], made.vectors, swarm.vectors))
    assert told.ids.tolist() == [new if b else old for new, old, b in zip(made.ids, swarm.ids, better, strict=True)]


def test_the_default_coefficients_are_the_constriction_of_clerc_and_kennedy():
    phi = 4.1
    chi = 2.0 / abs(2.0 - phi - np.sqrt(phi**2 - 4.0 * phi))
    swarm = ParticleSwarm(dimensions=1, population=2, seed=0)
    assert (swarm.inertia, swarm.cognitive, swarm.social) == pytest.approx((chi, 2.05 * chi, 2.05 * chi), rel=1e-12)


@pytest.mark.parametrize("variant", ["rand_1", "best_1", "current_to_pbest_1"])
def test_a_trial_is_the_published_equation(variant):
    rng, n = np.random.default_rng(3), 20
    x, scores = rng.random((n, P)), rng.random(n)
    before = Survivors(2, x, scores, np.arange(n))
    made = DifferentialEvolution(
        dimensions=P, population=n, variant=variant, scale=(0.4, 0.8), crossover_rate=0.5, best_fraction=0.2, seed=6
    ).ask(before)
    u, genes = draws(6, 3, "slots", (n, 6)), draws(6, 3, "genes", (n, P))
    others, ranked = _distinct_others(u[:, :3], n), np.argsort(scores)
    kept = 0
    for i in range(n):
        a, b, c = x[others[i]]
        f = 0.4 + 0.4 * u[i, 3]
        if variant == "rand_1":
            v = a + f * (b - c)
        elif variant == "best_1":
            v = x[ranked[0]] + f * (b - c)
        else:
            v = x[i] + f * (x[ranked[int(4 * u[i, 4])]] - x[i]) + f * (b - c)
        v = np.array([y if 0 <= y <= 1 else -y if y < 0 else 2 - y for y in v])
        crossed = (genes[i] < 0.5) | (np.arange(P) == int(P * u[i, 5]))
        kept += np.sum(~crossed)
        np.testing.assert_allclose(made.vectors[i], np.where(crossed, v, x[i]), rtol=0, atol=1e-14)
        assert crossed.any()
    assert kept > 10 and np.all(made.parents[:, 0] == before.ids)


def test_the_three_others_are_distinct_and_equally_likely():
    n = 5
    others = np.concatenate([_distinct_others(draws(1, g, "test", (n, 3)), n) for g in range(4000)])
    slots = np.tile(np.arange(n), 4000)
    for column in range(3):
        assert np.all(others[:, column] != slots)
    assert np.all([len(set(row)) == 3 for row in others])
    counts = np.array([[np.sum((slots == i) & (others[:, 2] == j)) for j in range(n) if j != i] for i in range(n)])
    assert np.all(np.abs(counts - 1000) < 6 * np.sqrt(1000 * 0.75))


def test_the_better_of_member_and_trial_keeps_the_slot_and_a_trial_wins_ties():
    strategy = DifferentialEvolution(dimensions=2, population=5, seed=1)
    before = Survivors(0, np.full((5, 2), 0.5), np.array([1.0, 1.0, 1.0, np.nan, np.nan]), np.arange(5))
    made = strategy.ask(before)
    after = strategy.tell(before, made, np.array([0.5, 1.0, 2.0, 3.0, np.nan]))
    assert after.ids.tolist() == [5, 6, 2, 8, 9]
    assert after.scores[:4].tolist() == [0.5, 1.0, 1.0, 3.0]


@pytest.mark.parametrize(
    "strategy",
    [
        ParticleSwarm(dimensions=5, population=30, seed=1),
        ParticleSwarm(dimensions=5, population=30, neighbours="ring", seed=1),
        DifferentialEvolution(dimensions=5, population=30, variant="rand_1", seed=1),
        DifferentialEvolution(dimensions=5, population=30, variant="best_1", seed=1),
        DifferentialEvolution(dimensions=5, population=30, seed=1),
    ],
    ids=str,
)
def test_a_sphere_is_solved_and_the_order_of_offspring_does_not_matter(strategy, sphere):
    rng, memory, straight = np.random.default_rng(1), None, None
    for _ in range(150):
        made = strategy.ask(memory)
        order = rng.permutation(len(made.ids))
        shuffled = type(made)(
            made.generation, made.ids[order], made.vectors[order], made.parents[order], made.operator[order]
        )
        straight = strategy.tell(straight, made, sphere(made.vectors))
        memory = strategy.tell(memory, shuffled, sphere(made.vectors)[order])
        assert made.vectors.min() >= 0.0 and made.vectors.max() <= 1.0
        assert np.array_equal(memory.vectors, straight.vectors) and np.array_equal(memory.ids, straight.ids)
    assert np.min(memory.scores) < 2e-4


@pytest.mark.parametrize(
    ("strategy", "settings", "message"),
    [
        (ParticleSwarm, {"population": 1}, "population = 1 is no swarm; give at least 2"),
        (ParticleSwarm, {"inertia": -0.1}, "inertia = -0.1 is out of range"),
        (ParticleSwarm, {"neighbours": "square"}, "neighbours = 'square' is unknown; choose one of all, ring"),
        (DifferentialEvolution, {"population": 3}, "population = 3 is too small for three distinct others"),
        (DifferentialEvolution, {"scale": (0.9, 0.5)}, "is no range; give 0 < low <= high"),
        (DifferentialEvolution, {"crossover_rate": 1.1}, "crossover_rate = 1.1 is no probability"),
        (DifferentialEvolution, {"best_fraction": 0.0}, "best_fraction = 0.0 is no fraction"),
        (DifferentialEvolution, {"variant": "best_2"}, "variant = 'best_2' is unknown"),
    ],
)
def test_bad_settings_are_refused(strategy, settings, message):
    with pytest.raises(ValueError, match=message):
        strategy(**({"dimensions": 3, "population": 10, "seed": 1} | settings))


def test_another_population_than_the_run_was_started_with_is_refused(swarm):
    with pytest.raises(ValueError, match="resume with the settings the run was started with"):
        ParticleSwarm(dimensions=P, population=N + 1, seed=1).ask(swarm)
