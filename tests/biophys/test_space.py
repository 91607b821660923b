"""Does the unit cube map onto the bounds, both ways, on linear and logarithmic scales?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.biophys.settings import ParameterSettings
from hpcfit.biophys.space import Space

WIDTHS = st.floats(1e-3, 1e3)


@st.composite
def spaces(draw) -> Space:
    """Up to five parameters with bounds of any place and size."""
    free = []
    for index in range(draw(st.integers(1, 5))):
        scale = draw(st.sampled_from(["linear", "log"]))
        low = draw(st.floats(1e-9, 1e3)) if scale == "log" else draw(st.floats(-1e3, 1e3))
        high = low * (1 + draw(WIDTHS)) if scale == "log" else low + draw(WIDTHS)
        settings = {"variable": f"g{index}", "regions": ["all"], "bounds": [low, high], "scale": scale}
        free.append(ParameterSettings.model_validate(settings))
    return Space.of(free)


def vectors(space: Space, seed: int, count: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).random((count, len(space.names)))


@given(spaces(), st.integers(0, 1000))
def test_there_and_back(space, seed):
    unit = vectors(space, seed)
    np.testing.assert_allclose(space.unit(space.physical(unit)), unit, atol=1e-9)


@given(spaces(), st.integers(0, 1000))
def test_back_and_there(space, seed):
    parameters = space.random(20, seed)
    np.testing.assert_allclose(space.physical(space.unit(parameters)), parameters, rtol=1e-9, atol=1e-9)


@given(spaces(), st.integers(0, 1000))
def test_never_outside(space, seed):
    for unit in (vectors(space, seed), np.zeros((1, len(space.names))), np.ones((1, len(space.names)))):
        parameters = space.physical(unit)
        assert np.all(parameters >= space.low) and np.all(parameters <= space.high)


@pytest.mark.parametrize(("bounds", "scale"), [((0.03, 0.29), "linear"), ((0.01, 0.35), "log")])
def test_rounding_does_not_lead_outside(bounds, scale):
    low, high = bounds
    assert low + (high - low) > high or low * (high / low) > high  # plain arithmetic does
    space = Space.of([ParameterSettings(variable="g", regions=("all",), bounds=bounds, scale=scale)])
    assert space.physical(np.ones((1, 1)))[0, 0] == high


@given(spaces())
def test_corners_are_the_bounds(space):
    ones = np.ones((1, len(space.names)))
    np.testing.assert_array_equal(space.physical(0 * ones)[0], space.low)
    np.testing.assert_allclose(space.physical(ones)[0], space.high, rtol=1e-12)
    assert np.all(np.abs(space.unit(space.low)) < 1e-12) and np.all(np.abs(space.unit(space.high) - 1) < 1e-12)


@given(spaces(), st.integers(0, 1000))
def test_more_is_more(space, seed):
    unit = np.sort(vectors(space, seed), axis=0)
    assert np.all(np.diff(space.physical(unit), axis=0) >= 0)


def _two() -> Space:
    return Space.of(
        [
            ParameterSettings(variable="g_pas", regions=("all",), bounds=(1e-5, 1e-3), scale="log", unit="S/cm2"),
            ParameterSettings(variable="e_pas", regions=("all", "apical"), bounds=(-90.0, -60.0)),
        ]
    )


def test_the_middle_of_a_logarithmic_range_is_its_geometric_mean():
    np.testing.assert_allclose(_two().physical(np.array([[0.5, 0.5]])), [[1e-4, -75.0]], rtol=1e-12)
    np.testing.assert_allclose(_two().unit(np.array([[1e-4, -67.5]])), [[0.5, 0.75]], rtol=1e-12)


def test_an_individual_does_not_depend_on_its_neighbours():
    space = _two()
    unit = vectors(space, 1)
    alone = np.concatenate([space.physical(row[None]) for row in unit])
    np.testing.assert_array_equal(space.physical(unit), alone)
    order = np.random.default_rng(2).permutation(len(unit))
    np.testing.assert_array_equal(space.physical(unit[order]), space.physical(unit)[order])


def test_random_is_uniform_in_its_scale_and_repeatable():
    space = _two()
    drawn = space.random(4000, seed=5)
    assert drawn.shape == (4000, 2)
    np.testing.assert_array_equal(drawn, space.random(4000, seed=5))
    assert not np.array_equal(drawn, space.random(4000, seed=6))
    np.testing.assert_allclose(np.median(drawn, axis=0), [1e-4, -75.0], rtol=0.1)


def test_table():
    table = _two().table()
    assert {name: column.tolist() for name, column in table.items()} == {
        "name": ["g_pas.all", "e_pas.all+apical"],
        "unit": ["S/cm2", ""],
        "low": [1e-5, -90.0],
        "high": [1e-3, -60.0],
        "scale": ["log", "linear"],
    }


@pytest.mark.parametrize("shape", [(0, 2), (1, 2), (7, 2)])
def test_shapes(shape):
    assert _two().physical(np.zeros(shape)).shape == shape
