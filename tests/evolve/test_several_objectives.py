"""Are the survivors of IBEA and NSGA-II those of BluePyOpt's and DEAP's definitions, ties included?"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from deap import base, tools
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.evolve import Breeding, Crossover, MultiObjectiveAlgorithm, Mutation, Offspring, Operator
from hpcfit.evolve.indicator import ibea_fitness, ibea_order
from hpcfit.evolve.pareto import crowding, fronts, nsga2_order, nsga2_selection
from hpcfit.evolve.strategy import NO_PARENT


@st.composite
def populations(draw, values):
    """(n, M) objectives of `values`, some members twice."""
    n, m = draw(st.integers(2, 60)), draw(st.integers(1, 5))
    rows = st.lists(values, min_size=m, max_size=m)
    objectives = np.array(draw(st.lists(rows, min_size=n, max_size=n)), dtype=float)
    copies = draw(st.lists(st.integers(0, n - 1), max_size=5))
    return np.concatenate([objectives, objectives[copies]])


FEW_VALUES = populations(st.integers(0, 4))
REAL_VALUES = populations(st.floats(0.0, 25.0))


def deaps(objectives: np.ndarray) -> list:
    weights = (-1.0,) * objectives.shape[1]
    fitness = type("Minimum", (base.Fitness,), {"weights": weights})
    individuals = [SimpleNamespace(index=i, fitness=fitness(row.tolist())) for i, row in enumerate(objectives)]
    return individuals


def indices(individuals: list) -> list[int]:
    return [one.index for one in individuals]


# NSGA-II


@settings(max_examples=150, deadline=None)
@given(st.one_of(FEW_VALUES, REAL_VALUES), st.floats(0.01, 1.0))
def test_nsga2_selects_what_deap_selects_in_its_order(objectives, part):
    mu = max(1, int(part * len(objectives)))
    assert nsga2_selection(objectives, mu).tolist() == indices(tools.selNSGA2(deaps(objectives), mu))


@pytest.mark.parametrize(
    ("n", "m", "values"), [(300, 2, None), (300, 3, 6), (200, 20, 3), (257, 1, 40), (300, 8, None)]
)
def test_nsga2_of_larger_populations_equals_deap(n, m, values):
    rng = np.random.default_rng(n + m)
    objectives = rng.random((n, m)) if values is None else rng.integers(0, values, (n, m)).astype(float)
    individuals = deaps(objectives)
    theirs = tools.sortNondominated(individuals, n)
    ours = list(fronts(objectives))
    assert [front.tolist() for front in ours] == [indices(front) for front in theirs]
    for mu in (1, n // 3, n // 2, n):
        assert nsga2_selection(objectives, mu).tolist() == indices(tools.selNSGA2(individuals, mu))
        assert sorted(nsga2_order(objectives, mu)) == sorted(nsga2_selection(objectives, mu))
    for front, members in zip(ours, theirs, strict=True):
        tools.emo.assignCrowdingDist(members)
        assert crowding(objectives[front]).tolist() == [one.fitness.crowding_dist for one in members]


def test_parents_are_ranked_by_front_then_by_crowding():
    line = np.array([[0.0, 4.0], [1.0, 3.0], [1.5, 2.0], [3.0, 1.0], [4.0, 0.0]])
    behind = line + 10.0
    # Crowding of the inner three: 0.3125 + 0.5 (ends at 0 and 1.5, 4 and 2), ...
    order = nsga2_order(np.concatenate([behind, line]), 7)
    assert order[:2].tolist() == [5, 9] and set(order[2:5]) == {6, 7, 8}
    assert order[2] == 8 and order[5:].tolist() == [0, 4]


# IBEA


def bluepyopt_fitness(objectives: np.ndarray, kappa: float) -> np.ndarray:
    """The definition, pair by pair, as BluePyOpt's selIBEA documents and computes it."""
    n = len(objectives)
    extent = np.ptp(objectives, axis=0)
    extent[extent == 0] = 1.0
    indicator = np.array([[np.max((b - a) / extent) for b in objectives] for a in objectives])  # of a against b
    largest = np.abs(indicator).max()
    if largest == 0:
        return np.zeros(n)
    loss = np.exp(-indicator / (kappa * largest))
    return np.array([sum(loss[j, i] for i in range(n) if i != j) for j in range(n)])


@settings(max_examples=100, deadline=None)
@given(st.one_of(FEW_VALUES, REAL_VALUES), st.sampled_from([0.02, 0.05, 1.0]))
def test_ibea_fitness_is_bluepyopts(objectives, kappa):
    np.testing.assert_allclose(
        ibea_fitness(objectives, kappa), bluepyopt_fitness(objectives, kappa), rtol=1e-10, atol=1e-12
    )


@settings(max_examples=100, deadline=None)
@given(st.one_of(FEW_VALUES, REAL_VALUES))
def test_ibea_selects_what_bluepyopt_selects(objectives):
    theirs, mu = bluepyopt_fitness(objectives, 0.05), len(objectives) // 2
    expected = sorted(range(len(objectives)), key=lambda i: theirs[i])[:mu]
    chosen = ibea_order(objectives, mu).tolist()
    # In the same order, but for members whose fitness is the same up to rounding of a sum in another order.
    np.testing.assert_allclose(theirs[chosen], theirs[expected], rtol=1e-10, atol=1e-12)
    distinct = np.abs(np.diff(np.sort(theirs))).min() > 1e-9 * max(theirs.max(), 1.0)
    assert not distinct or chosen == expected


@given(FEW_VALUES)
def test_equal_members_have_equal_fitness_and_the_first_goes_first(objectives):
    twice = np.concatenate([objectives, objectives])
    fitness, order = ibea_fitness(twice), ibea_order(twice, len(twice)).tolist()
    assert np.array_equal(fitness[: len(objectives)], fitness[len(objectives) :])
    assert all(order.index(i) < order.index(i + len(objectives)) for i in range(len(objectives)))


def test_fitness_does_not_depend_on_blocks(monkeypatch):
    objectives = np.random.default_rng(1).random((333, 7))
    whole = ibea_fitness(objectives)
    monkeypatch.setattr("hpcfit.evolve.indicator._BLOCK_BYTES", 8 * 333 * 5)
    assert np.array_equal(ibea_fitness(objectives), whole)


# The algorithms


def algorithm(selection, parents=6, offspring=10, seed=1):
    breeding = Breeding(
        dimensions=3,
        parents=parents,
        offspring=offspring,
        crossover=Crossover("simulated_binary", 0.5),
        mutation=Mutation("polynomial", 0.5, 0.5),
        seed=seed,
        tournament=2,
    )
    return MultiObjectiveAlgorithm(breeding=breeding, selection=selection)


def told(strategy, generations, objectives):
    memory = None
    for _ in range(generations):
        made = strategy.ask(memory)
        memory = strategy.tell(memory, made, objectives(made.vectors))
    return memory


def two_spheres(x):
    return np.stack([np.sum((x - 0.3) ** 2, axis=1), np.sum((x - 0.7) ** 2, axis=1)], axis=1)


@pytest.mark.parametrize("selection", ["ibea", "nsga2"])
def test_the_front_between_two_spheres_is_found(selection):
    # Pareto-optimal are the points of the segment between the centres: there, sqrt(f1) + sqrt(f2) is their distance.
    memory = told(algorithm(selection, 40, 40), 60, two_spheres)
    away = np.sqrt(memory.objectives).sum(axis=1) / np.sqrt(3 * 0.4**2) - 1.0
    assert np.median(away) < 0.02
    assert np.ptp(memory.vectors[:, 0]) > 0.25  # along all of it: no convergence to one compromise


@pytest.mark.parametrize("selection", ["ibea", "nsga2"])
def test_what_has_no_objectives_survives_for_want_of_better_only(selection):
    strategy = algorithm(selection, 3, 5)
    made = Offspring(
        0,
        np.arange(5),
        np.random.default_rng(0).random((5, 3)),
        np.full((5, 2), NO_PARENT),
        np.full(5, Operator.INITIAL, dtype=np.int8),
    )
    objectives = np.array([[np.nan, 0.0], [1.0, 1.0], [np.inf, 0.0], [2.0, 2.0], [0.0, np.nan]])
    assert strategy.tell(None, made, objectives).ids.tolist() == [1, 3, 0]
    assert strategy.tell(None, made, np.full((5, 2), np.nan)).ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("selection", ["ibea", "nsga2"])
def test_order_of_offspring_does_not_matter(selection):
    strategy = algorithm(selection)
    made = strategy.ask(None)
    objectives = np.round(4 * two_spheres(made.vectors)) / 4  # with ties
    order = np.random.default_rng(2).permutation(len(made.ids))
    other = Offspring(0, made.ids[order], made.vectors[order], made.parents[order], made.operator[order])
    one, two = strategy.tell(None, made, objectives), strategy.tell(None, other, objectives[order])
    assert np.array_equal(one.ids, two.ids) and np.array_equal(one.vectors, two.vectors)


def test_bad_arguments_are_refused():
    strategy = algorithm("ibea")
    made = strategy.ask(None)
    with pytest.raises(ValueError, match="give one row of objectives per offspring"):
        strategy.tell(None, made, np.zeros(10))
    with pytest.raises(ValueError, match="selection = 'spea' is unknown; choose one of ibea, nsga2"):
        algorithm("spea")
    with pytest.raises(ValueError, match="kappa = 0 is out of range"):
        MultiObjectiveAlgorithm(breeding=strategy.breeding, selection="ibea", kappa=0)
