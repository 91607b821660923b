"""Do the operators keep their promises, for every vector and every draw?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from hpcfit.evolve import Crossover, Mutation, draws, variation

SHAPE = (4, 3)
GENES = arrays(np.float64, SHAPE, elements=st.floats(0.0, 1.0))
UNIFORM = st.floats(0.0, 1.0, exclude_max=True).map(lambda u: np.floor(u * 2**53) / 2**53)  # what draws() can return
DRAWS = arrays(np.float64, (3, *SHAPE), elements=UNIFORM)
RATES = st.floats(0.0, 1.0)
ETAS = st.floats(0.0, 200.0)


@st.composite
def crossovers(draw, gene_rate=RATES):
    kind = draw(st.sampled_from(["simulated_binary", "uniform"]))
    eta = draw(ETAS) if kind == "simulated_binary" else None
    return Crossover(kind, 1.0, eta, draw(gene_rate))


@st.composite
def mutations(draw, gene_rate=RATES):
    kind = draw(st.sampled_from(["polynomial", "gaussian", "uniform"]))
    eta = draw(ETAS) if kind == "polynomial" else None
    sigma = draw(st.floats(1e-6, 100.0)) if kind == "gaussian" else None
    return Mutation(kind, 1.0, draw(gene_rate), eta, sigma)


@given(crossovers(), GENES, GENES, DRAWS)
def test_children_stay_in_the_cube(crossover, a, b, u):
    child = crossover.child(a, b, u)
    assert np.all((child >= 0.0) & (child <= 1.0))


@given(mutations(), GENES, DRAWS)
def test_mutants_stay_in_the_cube(mutation, x, u):
    mutant = mutation.mutant(x, u)
    assert np.all((mutant >= 0.0) & (mutant <= 1.0))


@given(crossovers(st.just(0.0)), mutations(st.just(0.0)), GENES, GENES, DRAWS)
def test_gene_rate_of_zero_changes_nothing(crossover, mutation, a, b, u):
    assert np.array_equal(crossover.child(a, b, u), a)
    assert np.array_equal(mutation.mutant(a, u), a)


@given(crossovers(), mutations(), GENES, GENES, DRAWS, st.permutations(range(SHAPE[0])))
def test_rows_are_independent(crossover, mutation, a, b, u, order):
    # To the last bit: numpy's vectorised power must not round by the place of a number in its array.
    assert np.array_equal(crossover.child(a[order], b[order], u[:, order]), crossover.child(a, b, u)[order])
    assert np.array_equal(mutation.mutant(a[order], u[:, order]), mutation.mutant(a, u)[order])


@given(crossovers(), mutations(), GENES, GENES, DRAWS)
def test_parents_are_left_alone(crossover, mutation, a, b, u):
    before = a.copy(), b.copy(), u.copy()
    crossover.child(a, b, u)
    mutation.mutant(a, u)
    assert all(np.array_equal(now, then) for now, then in zip((a, b, u), before, strict=True))


@given(st.sampled_from(["simulated_binary", "uniform"]), GENES, DRAWS)
def test_child_of_equal_parents_is_their_copy(kind, a, u):
    assert np.array_equal(Crossover(kind, 1.0, gene_rate=1.0).child(a, a.copy(), u), a)


@given(arrays(np.float64, SHAPE, elements=st.floats(-5.0, 5.0)), GENES)
def test_gaussian_reflects_like_a_mirror(steps, x):
    def mirrored(y: float) -> float:
        while not 0.0 <= y <= 1.0:
            y = -y if y < 0.0 else 2.0 - y
        return y

    mutant = variation.gaussian(x, 1.0, 1.0, np.zeros(SHAPE), steps)
    np.testing.assert_allclose(mutant, np.vectorize(mirrored)(x + steps), rtol=0, atol=1e-14)


@given(GENES)
def test_gaussian_without_a_step_is_exact(x):
    assert np.array_equal(variation.gaussian(x, 0.1, 1.0, np.zeros(SHAPE), np.zeros(SHAPE)), x)


def test_normals_are_normal():
    u = draws(0, 0, "test", (2, 100_000))
    assert stats.kstest(variation.standard_normals(u[0], u[1]), "norm").pvalue > 1e-6


def test_normals_are_finite_at_the_ends_of_the_draws():
    ends = np.array([0.0, 1.0 - 2.0**-53])
    normals = variation.standard_normals(ends, ends)
    assert np.all(np.isfinite(normals))
    assert np.abs(normals).max() < 8.6


def test_uniform_mutation_reaches_everywhere():
    u = draws(0, 0, "test", (3, 20_000, 1))
    mutant = Mutation("uniform", 1.0, 1.0).mutant(np.full((20_000, 1), 0.2), u)
    assert stats.kstest(mutant[:, 0], "uniform").pvalue > 1e-6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "blend"}, "crossover.kind = 'blend' is unknown; choose one of simulated_binary, uniform"),
        ({"rate": 1.5}, "crossover.rate = 1.5 is no probability; give a number from 0 to 1"),
        ({"rate": float("nan")}, "crossover.rate = nan is no probability"),
        ({"gene_rate": -0.1}, "crossover.gene_rate = -0.1 is no probability"),
        ({"kind": "uniform", "eta": 20.0}, "crossover.eta = 20.0 has no effect with crossover.kind = 'uniform'"),
        ({"eta": -1.0}, "crossover.eta = -1.0 is out of range; give a finite number that is not negative"),
    ],
)
def test_bad_crossover_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Crossover(**({"kind": "simulated_binary", "rate": 0.5} | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "swap"}, "mutation.kind = 'swap' is unknown; choose one of polynomial, gaussian, uniform"),
        ({"rate": -1}, "mutation.rate = -1 is no probability"),
        ({"gene_rate": 2.0}, "mutation.gene_rate = 2.0 is no probability"),
        ({"eta": 20.0}, "mutation.eta = 20.0 has no effect.* choose polynomial"),
        ({"kind": "polynomial", "sigma": 0.1}, "mutation.sigma = 0.1 has no effect.* choose gaussian"),
        ({"sigma": 0.0}, "mutation.sigma = 0 mutates nothing; give a number above 0"),
        ({"sigma": float("inf")}, "mutation.sigma = inf is out of range"),
    ],
)
def test_bad_mutation_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Mutation(**({"kind": "gaussian", "rate": 0.5, "gene_rate": 0.5} | settings))


def test_defaults_are_filled_in_where_they_are_used():
    assert Crossover("simulated_binary", 0.5) == Crossover("simulated_binary", 0.5, 20.0, 0.5)
    assert Crossover("uniform", 0.5).eta is None
    assert Mutation("polynomial", 0.5, 0.5) == Mutation("polynomial", 0.5, 0.5, eta=20.0)
    assert Mutation("gaussian", 0.5, 0.5).sigma == 0.1
