"""Does variation and survival agree with DEAP, gene by gene and generation by generation?"""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from deap import algorithms, base, tools
from deap.tools import crossover as deap_crossover
from deap.tools import mutation as deap_mutation
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpcfit.evolve import Crossover, Mutation, Offspring, Operator, Survivors, variation

ALPHA = 1e-6  # seeds are fixed, so a pass stays a pass; small, so that the seeds needed no choosing
ETAS = [0.0, 1.0, 5.0, 20.0, 100.0]
MEMBERS, P = 200, 15


class Minimum(base.Fitness):
    weights = (-1.0,)


class Individual(list):
    """A DEAP individual that remembers where it came from."""

    def __init__(self, vector, parents=(-1, -1), operator=Operator.REPRODUCTION):
        super().__init__(vector)
        self.fitness, self.parents, self.operator = Minimum(), parents, operator


@pytest.fixture
def deals(monkeypatch):
    """Make DEAP's operators draw from a given list."""

    def deal(module, numbers, gauss=()):
        uniform, normal = iter(numbers), iter(gauss)
        fake = SimpleNamespace(random=lambda: next(uniform), gauss=lambda mean, sigma: mean + sigma * next(normal))
        monkeypatch.setattr(module, "random", fake)

    return deal


def genes_and_draws(seed):
    """Two (MEMBERS, P) sets of genes, some equal, some at the bounds, and (3, MEMBERS, P) draws."""
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, MEMBERS, P))
    b[rng.random(b.shape) < 0.1] = 0.0
    a[rng.random(a.shape) < 0.1] = 1.0
    close = rng.random(a.shape) < 0.2
    b[close] = np.clip(a[close] + rng.choice([0.0, 1e-15, 1e-9, 1e-3], close.sum()), 0.0, 1.0)
    return a, b, rng.random((3, MEMBERS, P))


@pytest.mark.parametrize("eta", ETAS)
def test_simulated_binary_equals_deap(deals, eta):
    a, b, u = genes_and_draws(1)
    # DEAP draws on only for the genes it crosses, so its list holds one or three numbers per gene.
    crossed = (u[0] <= 0.5) & (np.abs(a - b) > 1e-14)
    deals(
        deap_crossover,
        [n for gene, c in zip(u.reshape(3, -1).T, crossed.flat, strict=True) for n in gene[: 3 if c else 1]],
    )
    expected = [tools.cxSimulatedBinaryBounded(list(x), list(y), eta, 0.0, 1.0)[0] for x, y in zip(a, b, strict=True)]
    child = variation.simulated_binary(a, b, eta, 0.5, *u)
    np.testing.assert_allclose(child, expected, rtol=0, atol=1e-14)
    assert np.sum(child != a) > 1000


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("gene_rate", [0.2, 1.0])
def test_polynomial_equals_deap(deals, eta, gene_rate):
    a, _, u = genes_and_draws(2)
    mutated = u[0] <= gene_rate
    deals(
        deap_mutation,
        [n for g, m in zip(u[:2].reshape(2, -1).T, mutated.flat, strict=True) for n in g[: 2 if m else 1]],
    )
    expected = [tools.mutPolynomialBounded(list(x), eta, 0.0, 1.0, gene_rate)[0] for x in a]
    mutant = variation.polynomial(a, eta, gene_rate, u[0], u[1])
    np.testing.assert_allclose(mutant, expected, rtol=0, atol=1e-14)
    assert np.sum(mutant != a) > 400


def test_uniform_crossover_equals_deap(deals):
    a, b, u = genes_and_draws(3)
    deals(deap_crossover, u[0].flat)
    expected = [tools.cxUniform(list(x), list(y), 0.3)[0] for x, y in zip(a, b, strict=True)]
    assert np.array_equal(variation.uniform_crossover(a, b, 0.3, u[0]), expected)


def test_gaussian_equals_deap_inside_the_bounds(deals):
    a, _, u = genes_and_draws(4)
    normals = variation.standard_normals(u[1], u[2])
    deals(deap_mutation, u[0].flat, gauss=normals[u[0] < 0.4])
    expected = np.array([tools.mutGaussian(list(x), 0.0, 0.1, 0.4)[0] for x in a])
    inside = (expected >= 0.0) & (expected <= 1.0)
    mutant = variation.gaussian(a, 0.1, 0.4, u[0], normals)
    np.testing.assert_allclose(mutant[inside], expected[inside], rtol=0, atol=1e-14)
    assert 0.5 < inside.mean() < 1.0


def deap_generation(survivors: Survivors, size: int, crossover: Crossover, mutation: Mutation) -> Offspring:
    """A generation by deap.algorithms.varOr, with a record of operators and parents."""

    def mate(one, other):
        one.parents, one.operator = (one.parents[0], other.parents[0]), Operator.CROSSOVER
        return tools.cxSimulatedBinaryBounded(one, other, crossover.eta, 0.0, 1.0)

    def mutate(one):
        one.operator = Operator.MUTATION
        return tools.mutPolynomialBounded(one, mutation.eta, 0.0, 1.0, mutation.gene_rate)

    toolbox = base.Toolbox()
    toolbox.register("clone", lambda one: Individual(one, one.parents))
    toolbox.register("mate", mate)
    toolbox.register("mutate", mutate)
    population = [Individual(v.tolist(), (int(i), -1)) for v, i in zip(survivors.vectors, survivors.ids, strict=True)]
    random.seed(11)
    born = algorithms.varOr(population, toolbox, size, crossover.rate, mutation.rate)
    operator = np.array([one.operator for one in born])
    return Offspring(1, np.arange(size), np.array(born), np.array([one.parents for one in born]), operator)


def agree(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two samples of numbers can come from one distribution."""
    result: Any = stats.ks_2samp(ours, theirs)
    return result.pvalue > ALPHA


def agree_counts(table: list) -> bool:
    """Whether the rows of a table of counts can come from one distribution."""
    result: Any = stats.chi2_contingency(table)
    return result.pvalue > ALPHA


def agree_values(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two samples of whole numbers can come from one distribution."""
    values = np.union1d(ours, theirs)
    table = [[np.sum(sample == value) for value in values] for sample in (ours, theirs)]
    return agree_counts(table)


def spreads(born: Offspring, survivors: Survivors, gene: int) -> np.ndarray:
    """How far a crossed gene lies from that of the nearer parent, in units of the distance of the parents."""
    vectors = survivors.vectors[np.argsort(survivors.ids)]
    a, b = vectors[born.parents[born.operator == Operator.CROSSOVER], gene].T
    child = born.vectors[born.operator == Operator.CROSSOVER, gene]
    spread = np.minimum(np.abs(child - a), np.abs(child - b)) / np.abs(a - b)
    return spread[child != a]


def steps(born: Offspring, survivors: Survivors, operator: Operator, gene: int) -> np.ndarray:
    """How far a gene moved from that of the first parent, in the offspring of one operator where it moved."""
    of = born.operator == operator
    origin = survivors.vectors[np.argsort(survivors.ids)][born.parents[of, 0], gene]
    moved = born.vectors[of, gene] - origin
    return moved[moved != 0.0]


SIZE, MU, GENES = 20_000, 12, 3
CROSSOVER = Crossover("simulated_binary", 0.6, eta=15.0)
MUTATION = Mutation("polynomial", 0.25, 0.4, eta=10.0)


@pytest.fixture(scope="module")
def survivors(make_survivors):
    return make_survivors(parents=MU, dimensions=GENES)


@pytest.fixture(scope="module")
def theirs(survivors):
    return deap_generation(survivors, SIZE, CROSSOVER, MUTATION)


def our_generation(make_ga, survivors, crossover=CROSSOVER, mutation=MUTATION):
    sizes = {"dimensions": GENES, "parents": MU, "offspring": SIZE}
    return make_ga(**sizes, crossover=crossover, mutation=mutation).ask(survivors)


@pytest.fixture(scope="module")
def ours(make_ga, survivors):
    return our_generation(make_ga, survivors)


def test_generation_has_deaps_operators(ours, theirs):
    assert agree_values(ours.operator, theirs.operator)


@pytest.mark.parametrize("operator", [Operator.CROSSOVER, Operator.MUTATION, Operator.REPRODUCTION])
def test_generation_has_deaps_parents(ours, theirs, operator):
    # Pairs as one number: the two parents of a crossover are distinct, and that must show too.
    pairs = [born.parents[born.operator == operator] @ [100, 1] for born in (ours, theirs)]
    assert agree_values(*pairs)
    assert set(pairs[0]) == set(pairs[1])


@pytest.mark.parametrize("gene", range(GENES))
def test_generation_has_deaps_marginals(ours, theirs, gene):
    assert agree(ours.vectors[:, gene], theirs.vectors[:, gene])


@pytest.mark.parametrize("gene", range(GENES))
@pytest.mark.parametrize("operator", [Operator.CROSSOVER, Operator.MUTATION])
def test_generation_has_deaps_steps(ours, theirs, survivors, operator, gene):
    mine, others = (steps(born, survivors, operator, gene) for born in (ours, theirs))
    assert len(mine) > 1000
    assert agree(mine, others)


@pytest.mark.parametrize("operator", [Operator.CROSSOVER, Operator.MUTATION])
def test_generation_has_deaps_number_of_moved_genes(ours, theirs, survivors, operator):
    moved = [sum(len(steps(born, survivors, operator, g)) for g in range(GENES)) for born in (ours, theirs)]
    trials = [GENES * np.sum(born.operator == operator) for born in (ours, theirs)]
    table = [[m, n - m] for m, n in zip(moved, trials, strict=True)]
    assert agree_counts(table)


@pytest.mark.parametrize("gene", range(GENES))
def test_generation_has_deaps_spreads(ours, theirs, survivors, gene):
    # Steps are mostly the distance of the parents; eta shows here.
    mine, others = (spreads(born, survivors, gene) for born in (ours, theirs))
    assert len(mine) > 1000
    assert agree(mine, others)


def test_these_tests_would_notice_another_eta(make_ga, theirs, survivors):
    changed = Crossover("simulated_binary", 0.6, eta=12.0), Mutation("polynomial", 0.25, 0.4, eta=5.0)
    others = our_generation(make_ga, survivors, *changed)
    crossed = (spreads(born, survivors, 0) for born in (others, theirs))
    mutated = (steps(born, survivors, Operator.MUTATION, 0) for born in (others, theirs))
    assert not agree(*crossed)
    assert not agree(*mutated)


@settings(max_examples=50)
@given(
    st.sampled_from(["mu_plus_lambda", "mu_comma_lambda"]),
    st.lists(st.integers(0, 5) | st.floats(allow_nan=False), min_size=40, max_size=40),
)
def test_survivors_are_deaps_best(make_ga, make_survivors, survival, scores):
    # Few distinct whole numbers: ties, which DEAP gives to the earlier in the list, parents first.
    ga, survivors = make_ga(survival=survival), make_survivors()
    parents = np.argsort(survivors.ids)
    survivors = Survivors(
        0, survivors.vectors[parents], np.array(scores[:10], dtype=float), survivors.ids[parents] + 20
    )
    offspring = ga.ask(survivors)
    kept = ga.tell(survivors, offspring, np.array(scores[10:], dtype=float))

    members = list(zip(survivors.ids, scores[:10], strict=True)) if survival == "mu_plus_lambda" else []
    members += zip(offspring.ids, scores[10:], strict=True)
    individuals = []
    for ident, score in members:
        one = Individual([ident])
        one.fitness.values = (score,)
        individuals.append(one)
    assert kept.ids.tolist() == [one[0] for one in tools.selBest(individuals, 10)]
