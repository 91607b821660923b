"""Do two vectors side by side compute what each computes alone, and are a gate's coefficients picked right, on every
instruction set?
"""

import ctypes
import platform

import numpy as np
import pytest

from hpcfit.biophys.codegen.build import library, vector_bytes
from hpcfit.biophys.codegen.gates import grid_for

UNARY = (
    *("fabs_", "exp_", "expm1_", "log_", "sqrt_", "log10_", "sin_", "cos_", "tan_", "tanh_", "sinh_", "cosh_"),
    *("floor_", "ceil_"),
)
BINARY = {
    "plus": "x + y",
    "minus": "x - y",
    "times": "x * y",
    "over": "x / y",
    "negative": "-x + 0 * y",
    "power": "pow_(x, y)",
    "added": "({ auto z = x; z += y; z; })",
    "taken": "({ auto z = x; z -= y; z; })",
    "less": "choose(x < y, x, y)",
    "most": "choose(x <= y, y, x)",
    "more": "choose(x > y, x * 2, y)",
    "atleast": "choose(x >= y, x * 2, y)",
    "same": "choose(x == y, x * 2, y)",
    "other": "choose(x != y, x * 2, y)",
    "both": "choose((x > y) & (x > R(1)), x, y)",
    "either": "choose((x > y) | (x > R(1)), x, y)",
    "alike": "choose(c(R(1)) < c(R(2)), x, y) + choose(c(R(1)) > c(R(2)), x, y)",  # a test of what all nodes share
    "neither": "choose(not_(x > y), x, y)",
    "anywhere": "choose(x == x, x * R(any_(x > R(2.5)) ? 2 : 1), x)",
}
GATES = """
extern "C" void picked(const R* table, const R* at, R* one, R* two, long n) {
    for (long i = 0; i < n; i += 2 * W) {
        const I a = truncated(load(at + i)), b = truncated(load(at + i + W));
        store(one + i, pick(table, a));
        store(one + i + W, pick(table, b));
        const V2 both = pick(table, I2{a, b});
        store(two + i, both.a);
        store(two + i + W, both.b);
    }
}
extern "C" void cubic(const R* table, const R* v, R* one, R* outside, long n) {
    std::memcpy(gate_tables, table, sizeof gate_tables);
    for (long i = 0; i < n; i += 2 * W) {
        const V2 both{load(v + i), load(v + i + W)};
        const auto at = segment_of(both, R(-120));
        const V2 value = polynomial<3>(0, at), out = choose(at.outside, V2(R(1)), V2(R(0)));
        store(one + i, value.a);
        store(one + i + W, value.b);
        store(outside + i, out.a);
        store(outside + i + W, out.b);
    }
}
"""
TARGETS = ("native", "x86-64-v3", "x86-64") if platform.machine() == "x86_64" else ("native",)


class Compiled:
    """The headers with their functions over arrays, for a precision and an instruction set."""

    def __init__(self, real, target, folder):
        self.dtype = np.dtype("f8" if real == "double" else "f4")
        self.lanes = vector_bytes(target) // self.dtype.itemsize
        self.grid = grid_for(self.dtype, self.lanes)
        forms = {name: f"{name}(x)" for name in UNARY} | BINARY
        source = [
            f"#define HPCFIT_REAL {real}",
            f"#define HPCFIT_LANES {self.lanes}",
            '#include "lanes.hpp"\n#include "pair.hpp"',
            f"constexpr int SEGMENTS = {self.grid.segments};",
            f"static const R gate_per_mV = R({1 / self.grid.width_mV!r});",
            "alignas(64) static R gate_tables[4 * SEGMENTS];",
            '#include "gates.hpp"',
            *(
                f"template <class T> INLINE T form_{name}(T x, T y) {{ (void)y; return {form}; }}"
                for name, form in forms.items()
            ),
            *(
                f'extern "C" void {name}(const R* x, const R* y, R* one, R* two, long n) {{'
                "for (long i = 0; i < n; i += 2 * W) {"
                f"store(one + i, form_{name}(load(x + i), load(y + i)));"
                f"store(one + i + W, form_{name}(load(x + i + W), load(y + i + W)));"
                f"const V2 z = form_{name}(V2{{load(x + i), load(x + i + W)}}, V2{{load(y + i), load(y + i + W)}});"
                "store(two + i, z.a); store(two + i + W, z.b); } }"
                for name in forms
            ),
            GATES,
        ]
        self._library = library("\n".join(source), folder, target)

    def __call__(self, name, x, y):
        """The two arrays that a function writes."""
        arrays = [np.ascontiguousarray(one, self.dtype) for one in (x, y)]
        size = len(arrays[1])
        assert size % (2 * self.lanes) == 0
        out = [np.full(size, np.nan, self.dtype) for _ in range(2)]
        pointers = [ctypes.c_void_p(one.ctypes.data) for one in (*arrays, *out)]
        getattr(self._library, name)(*pointers, ctypes.c_long(size))
        return out


@pytest.fixture(
    scope="module", params=[(real, target) for target in TARGETS for real in ("double", "float")], ids="-".join
)
def compiled(request, tmp_path_factory):
    real, target = request.param
    return Compiled(real, target, tmp_path_factory.mktemp("pairs"))


@pytest.mark.parametrize("name", [*UNARY, *(name for name in BINARY if name != "anywhere")])
def test_a_pair_is_its_two_halves(compiled, name):
    random = np.random.default_rng(4)
    x, y = random.uniform(0.01, 3, 256), random.uniform(-2, 2, 256)
    y[::5] = x[::5]  # so that == and != have both answers
    one, two = compiled(name, x, y)
    np.testing.assert_array_equal(one, two)
    assert np.all(np.isfinite(one)) and np.ptp(one) > 0


def test_any_looks_at_both_halves(compiled):
    size = 2 * compiled.lanes
    for lane in range(size):
        x = np.ones(size)
        x[lane] = 3.0
        _, two = compiled("anywhere", x, x)
        np.testing.assert_array_equal(two, 2 * x)
    _, two = compiled("anywhere", np.ones(size), np.ones(size))
    np.testing.assert_array_equal(two, 1.0)


def test_every_coefficient_is_picked_in_every_lane(compiled):
    segments, size = compiled.grid.segments, 2 * compiled.lanes
    table = np.random.default_rng(5).normal(size=segments).astype(compiled.dtype)
    index = (np.arange(segments)[:, None] + 3 * np.arange(size)[None, :]) % segments
    one, two = compiled("picked", table, index.ravel())
    np.testing.assert_array_equal(one, table[index.ravel()])
    np.testing.assert_array_equal(two, one)


def test_polynomials_hold_up_to_both_ends_of_their_range(compiled):
    """One cubic over all segments; beyond the ends a lane is marked, not a number is not."""
    grid, eps = compiled.grid, np.finfo(compiled.dtype).eps
    high_mV = -120 + grid.segments * grid.width_mV
    middles = -120 + grid.width_mV * (np.arange(grid.segments) + 0.5)
    whole = np.polynomial.Polynomial([0.3, 0.01, -2e-4, 1e-6])
    parts = [whole(np.polynomial.Polynomial([middle, grid.width_mV])) for middle in middles]
    table = np.array([part.coef for part in parts]).T.ravel()
    near = [sign * 10.0**power for sign in (-1, 1) for power in range(-6, 1)]
    v = np.concatenate(
        [np.linspace(-120, high_mV, 1000), [-120 + d for d in near], [high_mV + d for d in near], [np.nan]]
    )
    v = np.concatenate([v, np.zeros(-len(v) % (2 * compiled.lanes))]).astype(compiled.dtype)
    value, outside = compiled("cubic", table, v)
    inside = (v >= -120) & (v <= high_mV)
    rounded = np.minimum(np.abs(v + 120), np.abs(v - high_mV)) < 2 * (high_mV + 120) * eps  # v itself cannot tell
    np.testing.assert_array_equal((outside == 1)[~rounded], (~inside & ~np.isnan(v))[~rounded])
    size = np.max(np.abs(whole(np.linspace(-120, high_mV, 100))))
    # u is what is left after taking off the segment's number: exact to a rounding of the number of segments.
    assert np.max(np.abs(value - whole(v.astype("f8")))[inside]) < 8 * grid.segments * eps * size
