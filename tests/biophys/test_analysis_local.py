"""Derivatives, curvature, profiles and sweeps: on functions whose derivatives are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.biophys.analysis.differences import Differences
from hpcfit.biophys.analysis.sensitivity import Sweep, elasticities, extent, undefined_places
from hpcfit.biophys.analysis.sloppiness import (
    CAPPED,
    JUMPS,
    UNDEFINED,
    USED,
    curvature,
    direction_text,
    predicted_scores,
    profile_points,
)
from hpcfit.errors import InputError

STEPS = np.array([0.0025, 0.005, 0.01, 0.02])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.3, 0.5, 0.995, 1.0]), min_size=1, max_size=5), st.integers(0, 10**6))
def test_quadratics_are_differentiated_exactly_also_at_the_bounds(centre, seed):
    centre, rng = np.array(centre), np.random.default_rng(seed)
    p = len(centre)
    quadratic, linear = rng.standard_normal((3, p, p)), rng.standard_normal((3, p))
    around = Differences.around(centre, STEPS)
    points = around.points
    assert points.shape == (1 + 2 * len(STEPS) * p, p) and points.min() >= 0 and points.max() <= 1
    assert np.array_equal(points[0], centre)
    values = np.einsum("np,tpq,nq->nt", points, quadratic, points) + points @ linear.T
    truth = np.einsum("tpq,q->tp", quadratic + np.swapaxes(quadratic, 1, 2), centre) + linear
    assert np.allclose(around.jacobians(values), truth, atol=1e-9)


def test_the_error_of_a_derivative_falls_with_the_square_of_the_step():
    around = Differences.around(np.array([0.4, 0.0]), np.array([0.01, 0.02]))  # central, and to one side
    slopes = around.jacobians(np.exp(3 * around.points.sum(axis=1))[:, None])[:, 0]
    errors = np.abs(slopes - 3 * np.exp(1.2))
    assert errors[1] / errors[0] == pytest.approx([4, 4], rel=0.1)


def test_an_undefined_value_makes_its_derivatives_undefined_and_no_other():
    around = Differences.around(np.array([0.5, 0.5]), STEPS)
    values = around.points @ np.array([[1.0, 2.0], [3.0, 4.0]])
    values[around.points[:, 0] > 0.515, 1] = np.nan  # only the largest step of the first parameter gets there
    slopes = around.jacobians(values)
    assert np.argwhere(np.isnan(slopes)).tolist() == [[3, 1, 0]]
    assert np.allclose(slopes[0], [[1, 3], [2, 4]])


@pytest.mark.parametrize("steps", [[], [0.0], [-0.01], [0.3], [float("nan")]])
def test_senseless_steps_are_refused(steps):
    with pytest.raises(InputError, match=r"between 0 and 0\.25"):
        Differences.around(np.array([0.5]), np.array(steps))


def test_curvature_of_linear_residuals_is_that_of_their_matrix():
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((12, 5)) @ np.diag([100, 10, 1, 0.1, 0.01])
    around = Differences.around(rng.random(5), STEPS)
    found = curvature(around.jacobians(around.points @ matrix.T), np.zeros(12, bool))
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    assert set(found.fates) == {USED}
    assert np.allclose(found.eigenvalues, values[::-1], rtol=1e-6)
    assert np.allclose(np.abs(np.sum(found.eigenvectors * vectors[:, ::-1], axis=0)), 1, atol=1e-6)
    assert np.allclose(found.overlap, 1) and np.allclose(found.spectra, found.eigenvalues, rtol=1e-6)
    assert (found.eigenvectors[np.argmax(np.abs(found.eigenvectors), axis=0), range(5)] > 0).all()


def test_terms_that_jump_are_undefined_or_capped_are_left_out():
    around = Differences.around(np.array([0.5, 0.5]), STEPS)
    x = around.points
    steep = np.where(x[:, 0] > 0.504, 1.0, 0.0)  # a spike more, from the step 0.005 on
    gone = np.where(x[:, 1] > 0.515, np.nan, x[:, 1])
    values = np.column_stack([2 * x[:, 0] + x[:, 1], steep, gone, 50 * x[:, 0], 0 * x[:, 0]])
    found = curvature(around.jacobians(values), np.array([False, False, False, True, False]))
    assert found.fates == (USED, JUMPS, UNDEFINED, CAPPED, USED) and np.isnan(found.disagreement[2])
    assert np.allclose(found.eigenvalues, [5.0, 0.0])
    assert np.allclose(found.eigenvectors[:, 0], np.array([2, 1]) / np.sqrt(5))


def test_each_term_takes_the_step_that_suits_it():
    around = Differences.around(np.array([0.5, 0.5]), STEPS)
    x, rng = around.points, np.random.default_rng(3)
    curved = np.sin(60 * x @ rng.random((2, 20)))
    gridded = np.round(x @ np.array([[40.0, 25.0], [10.0, 33.0]]) / 0.1) * 0.1  # as times on samples of 0.1 ms
    unseen = np.round(x[:, :1] * 30 / 0.5) * 0.5  # half a unit is 0.0167 of the range: small steps see nothing
    found = curvature(around.jacobians(np.column_stack([curved, gridded, unseen])), np.zeros(23, bool))
    assert (found.chosen[:20] == 0).mean() > 0.5 and (found.chosen[20:22] == 2).all()
    assert found.fates[20] == found.fates[21] == USED and found.fates[22] == JUMPS
    assert np.allclose(found.jacobian[20:22], [[40, 10], [25, 33]], rtol=0.25)


def test_fewer_terms_than_parameters_leave_directions_without_effect():
    around = Differences.around(np.full(4, 0.5), STEPS)
    found = curvature(around.jacobians(around.points[:, :1] * 3.0), np.zeros(1, bool))
    assert np.allclose(found.eigenvalues, [9, 0, 0, 0])
    assert np.allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(4))


def test_no_usable_term_is_an_error_that_counts_why():
    jacobians = np.full((2, 3, 2), np.nan)
    jacobians[:, 0] = 1.0
    with pytest.raises(InputError, match=r"none of the 3 score terms .*\(2 undefined, 1 beyond the cap, 0 jumps\)"):
        curvature(jacobians, np.array([True, False, False]))


def test_directions_are_named_by_their_largest_components():
    assert direction_text(np.array([0.1, -0.8, 0.59]), ["a", "b", "c"]) == "-0.80 b +0.59 c"
    assert direction_text(np.full(25, 0.2), [f"p{i}" for i in range(25)]) == "+0.20 p0"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6), st.sampled_from([0.05, 0.3, 1.0]))
def test_profiles_are_straight_and_end_at_the_reach_or_the_wall(p, seed, reach):
    rng = np.random.default_rng(seed)
    centre, direction = np.round(rng.random(p), 1), rng.standard_normal(p) * (rng.random(p) < 0.7)
    direction = np.eye(p)[0] if not direction.any() else direction / np.linalg.norm(direction)
    distances, vectors = profile_points(centre, direction, reach, 9)
    assert np.allclose(vectors, centre + distances[:, None] * direction, atol=1e-12)
    for end, sign in ((0, -1), (-1, 1)):
        at_wall = np.min(np.minimum(vectors[end], 1 - vectors[end])[direction != 0]) < 1e-9
        assert at_wall or distances[end] == pytest.approx(sign * reach)


def test_predicted_scores_are_exact_for_straight_lines_with_a_cap():
    rng = np.random.default_rng(4)
    slopes, residuals, distances = rng.standard_normal(6) * 30, rng.standard_normal(6), np.linspace(-0.5, 0.5, 11)
    truth = [3.5 + sum(min(abs(r + s * d), 4.0) for r, s in zip(residuals, slopes, strict=True)) for d in distances]
    assert np.allclose(predicted_scores(distances, slopes, residuals, np.full(6, 4.0), 3.5), truth)


def test_a_sweep_changes_one_parameter_at_a_time():
    sweep = Sweep.around(np.array([0.2, 0.7, 0.4]), 5)
    points = sweep.points
    assert points.shape == (15, 3)
    grid = sweep.grid(points)  # the points as their own features
    for index in range(3):
        assert np.array_equal(grid[index, :, index], [0, 0.25, 0.5, 0.75, 1])
        others = [other for other in range(3) if other != index]
        assert np.array_equal(grid[index][:, others], np.tile(sweep.centre[others], (5, 1)))
    with pytest.raises(InputError, match="2 points"):
        Sweep.around(np.array([0.5]), 2)


def test_extent_and_undefined_stretches():
    values = np.array([[1.0, np.nan, 4.0, -2.0, np.nan], [np.nan] * 5, [np.nan, np.nan, 3.0, np.nan, np.nan]])
    values = values[:, :, None]  # three parameters, one term
    found = extent(values)
    assert found[0, 0] == 6.0 and np.isnan(found[1:]).all()
    places = np.linspace(0, 1, 5)
    assert [one[0] for one in undefined_places(values, places)] == [
        [(0.25, 0.25), (1.0, 1.0)],
        [(0.0, 1.0)],
        [(0.0, 0.25), (0.75, 1.0)],
    ]


def test_elasticity_of_a_power_law_is_its_exponent_on_either_scale():
    low, high = np.array([2.0, 1e-4]), np.array([6.0, 1e-2])

    def physical(u):
        return np.column_stack([low[0] + u[:, 0] * (high[0] - low[0]), low[1] * (high[1] / low[1]) ** u[:, 1]])

    around = Differences.around(np.array([0.4, 0.6]), np.array([0.001]))
    values = physical(around.points)
    features = np.column_stack([7 * values[:, 0] ** 2 * values[:, 1] ** -0.5, np.zeros(len(values))])
    rates = np.diagonal(around.jacobians(values)[0])
    found = elasticities(around.jacobians(features)[0], rates, values[0], features[0])
    assert found[0] == pytest.approx([2, -0.5], rel=1e-4)
    assert np.isnan(found[1]).all()  # no per cent of nothing
