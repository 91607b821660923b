"""How exact are the lanes' functions?  Against the C library's, in units in the last place."""

import ctypes

import numpy as np
import pytest

from hpcfit.biophys.codegen.build import library

FUNCTIONS = ("exp_", "expm1_", "log_", "sqrt_", "tanh_")


@pytest.fixture(scope="module", params=["double", "float"])
def functions(request, tmp_path_factory):
    """functions(name, x): the function over an array; and the dtype it works in."""
    real, lanes = request.param, 8 if request.param == "double" else 16
    body = "\n".join(
        f'extern "C" void {name}all(const R* x, R* y, long n)'
        f"{{ for (long i = 0; i < n; i += W) store(y + i, {name}(load(x + i))); }}"
        for name in FUNCTIONS
    )
    power = (
        'extern "C" void pow_all(const R* x, const R* z, R* y, long n)'
        "{ for (long i = 0; i < n; i += W) store(y + i, pow_(load(x + i), load(z + i))); }"
    )
    source = f'#define HPCFIT_REAL {real}\n#define HPCFIT_LANES {lanes}\n#include "lanes.hpp"\n{body}\n{power}\n'
    compiled = library(source, tmp_path_factory.mktemp("lanes"))
    dtype = np.dtype("f8" if real == "double" else "f4")

    def call(name, *arrays):
        size = -(-len(arrays[0]) // lanes) * lanes
        padded = [np.concatenate([array, np.ones(size - len(array))]).astype(dtype) for array in arrays]
        out = np.empty(size, dtype)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*padded, out)]
        getattr(compiled, f"{name}all")(*pointers, ctypes.c_long(size))
        return out[: len(arrays[0])]

    return call, dtype


def errors(ours, exact, dtype):
    """In units in the last place of the exact value."""
    spacing = np.spacing(np.abs(exact).astype(dtype)).astype("f8")
    return np.abs(ours.astype("f8") - exact) / spacing


@pytest.mark.parametrize(("name", "exact", "most"), [("exp_", np.exp, 4.0), ("expm1_", np.expm1, 4.0)])
def test_exponentials(functions, name, exact, most):
    call, dtype = functions
    span = 700 if dtype.itemsize == 8 else 85
    random = np.random.default_rng(1)
    x = np.concatenate(
        [random.uniform(-span, span, 100_000), random.uniform(-1, 1, 100_000), random.normal(0, 1e-4, 10_000)]
    )
    x = x.astype(dtype)
    assert np.max(errors(call(name, x), exact(x.astype("f8")), dtype)) < most


def test_logarithm(functions):
    call, dtype = functions
    random = np.random.default_rng(2)
    far = 10.0 ** random.uniform(-35, 35, 100_000)
    near = 1.0 + random.uniform(-0.3, 0.3, 100_000)
    x = np.concatenate([far, near]).astype(dtype)
    x = x[x != 1]
    ours, exact = call("log_", x), np.log(x.astype("f8"))
    assert np.max(np.abs(ours - exact) / np.maximum(np.abs(exact), 1e-3)) < 4 * np.finfo(dtype).eps
    assert call("log_", np.array([1.0]))[0] == 0.0
    with np.errstate(all="ignore"):
        assert np.isneginf(call("log_", np.array([0.0]))[0])
        assert np.isnan(call("log_", np.array([-1.0]))[0])


def test_powers(functions):
    call, dtype = functions
    random = np.random.default_rng(3)
    x, y = random.uniform(0.01, 50, 50_000).astype(dtype), random.uniform(-5, 5, 50_000).astype(dtype)
    exact = x.astype("f8") ** y.astype("f8")
    assert np.max(np.abs(call("pow_", x, y) - exact) / exact) < 64 * np.finfo(dtype).eps
    assert call("pow_", np.array([0.0, 0.0]), np.array([2.0, 0.0])).tolist() == [0.0, 1.0]


def test_no_lane_changes_another_one(functions):
    call, _ = functions
    x = np.linspace(-3, 3, 64)
    with np.errstate(all="ignore"):
        x[::7] = np.nan
        x[::5] = np.inf
    alone = np.array([call("exp_", np.array([value]))[0] for value in x])
    np.testing.assert_array_equal(call("exp_", x), alone)


@pytest.mark.parametrize(("name", "exact"), [("sqrt_", np.sqrt), ("tanh_", np.tanh)])
def test_functions_of_the_library(functions, name, exact):
    call, dtype = functions
    x = np.linspace(0.0, 4.0, 100).astype(dtype)
    np.testing.assert_allclose(call(name, x), exact(x), rtol=4 * np.finfo(dtype).eps)
