"""Do CMA-ES's descents cost what pycma's do, and does it start again as Hansen 2009 says?"""

from __future__ import annotations

import numpy as np
import pytest

from hpcfit.evolve import CmaEs
from hpcfit.evolve.cma_es import Rates


def ellipsoid(x):
    """Rotated, of condition 1e4, with its least well inside the cube."""
    n = x.shape[1]
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
    return np.sum(10.0 ** np.linspace(0, 4, n) * ((x - 0.45) @ axes) ** 2, axis=1)


def evaluations(strategy, score, target, most):
    """How many it takes to reach the target."""
    memory, done = None, 0
    while done < most:
        made = strategy.ask(memory)
        scores = score(made.vectors)
        memory, done = strategy.tell(memory, made, scores), done + len(scores)
        if scores.min() < target:
            break
    return done


@pytest.mark.parametrize(("dimensions", "theirs"), [(8, 2040), (15, 5128)])
def test_a_descent_takes_as_many_evaluations_as_pycmas(dimensions, theirs):
    # Golden: median over seeds 1 to 11 of `result.evals_best` of pycma 4.5.0 on the same function to 1e-8, from the
    # middle with step 0.3 and bounds [0, 1], else with its defaults.  Its runs: 1769 to 2575, and 4513 to 6376.
    ours = [evaluations(CmaEs(dimensions=dimensions, seed=seed), ellipsoid, 1e-8, 20_000) for seed in range(1, 12)]
    assert 0.85 < np.median(ours) / theirs < 1.15


def test_the_weights_of_the_worse_half_are_pycmas():
    # Golden: pycma 4.5.0, RecombinationWeights(12).finalize_negative_weights(15, c_1, c_mu) with these rates.
    theirs = [-0.05255325441, -0.14724629546, -0.23077147714, -0.30548729817, -0.37307597968, -0.43477961154]
    rates = Rates.of(12, 15)
    assert rates.mu_effective == pytest.approx(3.729458934303067)
    np.testing.assert_allclose(rates.against, theirs, rtol=1e-9)


def descents(scheme, restarts, score):
    """(what was remembered when it began, how many updates it lasted, its population) of all descents but the last."""
    strategy = CmaEs(dimensions=2, population=10, restart_scheme=scheme, restarts=restarts, seed=3)
    memory, found, began = None, [], None
    while len(found) < restarts:
        made = strategy.ask(memory)
        before, memory = memory, strategy.tell(memory, made, score(made.vectors))
        if memory.counts[1] == 0:
            found.append((began, int(before.counts[1]) + 1, int(before.counts[2])))
            began = memory
    return found


def sphere(x):
    return np.sum((x - 0.3) ** 2, axis=1)


def test_ipop_doubles_the_population_every_time():
    found = descents("ipop", 5, sphere)
    assert [size for _, _, size in found] == [10, 20, 40, 80, 160]
    assert all(began.step[0] == 0.3 for began, _, _ in found[1:])


def test_bipop_takes_turns_as_hansen_2009_says():
    found = descents("bipop", 14, sphere)
    large, small, doublings, budget, turns = 0, 0, 0, 0, []
    for began, updates, size in found[1:]:  # the first descent belongs to neither regime
        if small >= large:  # the one that has had fewer evaluations is next, large ones first
            doublings += 1
            assert size == 10 * 2**doublings and began.step[0] == 0.3
            large += updates * size
            budget = updates * size
            turns.append("large")
        else:
            assert 4 <= size <= max(10, 10 * 2**doublings / 2) and 0.003 <= began.step[0] <= 0.3
            assert updates * size < budget / 2 + size  # half of what the last large one had
            small += updates * size
            turns.append("small")
    assert len(turns) == 13 and turns.count("large") >= 3 and turns.count("small") >= 4
    sizes = {size for (_, _, size), turn in zip(found[1:], turns, strict=True) if turn == "small"}
    steps = [began.step[0] for (began, _, _), turn in zip(found[1:], turns, strict=True) if turn == "small"]
    assert len(sizes) > 1 and len(set(steps)) == len(steps)


@pytest.mark.parametrize("scheme", ["ipop", "bipop"])
def test_ids_count_on_across_restarts_and_nothing_leaves_the_cube(scheme):
    strategy, memory, made = CmaEs(dimensions=2, population=4, restart_scheme=scheme, seed=1), None, []
    for _ in range(400):
        made.append(strategy.ask(memory))
        memory = strategy.tell(memory, made[-1], sphere(made[-1].vectors))
    ids = np.concatenate([one.ids for one in made])
    vectors = np.concatenate([one.vectors for one in made])
    assert memory.counts[3] >= 2 and np.array_equal(ids, np.arange(len(ids)))
    assert vectors.min() >= 0.0 and vectors.max() <= 1.0


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="restart_scheme = 'tripop' is unknown; choose one of ipop, bipop"):
        CmaEs(dimensions=2, seed=1, restart_scheme="tripop")
