"""Gates that depend on voltage alone, as piecewise polynomials: m += B(v) - A(v) m.

For a gate with m' = (minf - m) / tau the exact step is A = 1 - exp(-dt / tau), B = minf A.  Both are smooth functions
of v between the places where a mechanism branches, so short polynomials on a few segments, each of the lowest degree
that holds the tolerance, replace two or three exponentials and four divisions.  What a gate's update is, is found by
running its statements, not by reading them: any form that is affine in the state qualifies, and a gate that cannot be
fitted keeps its own statements.  So do voltages outside the segments.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpcfit.biophys.codegen.algebra import assigned_in, read_before_set
from hpcfit.biophys.codegen.interpret import run
from hpcfit.biophys.codegen.ir import Mechanism
from hpcfit.biophys.codegen.plan import kept

_POINTS = 24
"""Where a function is sampled on each segment: more than the highest degree."""


@dataclass(frozen=True)
class Grid:
    """How finely gates are cut up, and how exact they must be.

    Attributes
    ----------
    segments
        Where it is the lanes or twice those, one or two registers hold a coefficient of all segments and a permutation
        picks it.  In single precision with 16 lanes one is better, though degrees are higher: the tables are smaller,
        which counts where a whole block of lanes fits into the first cache.
    width_mV
        Of a segment.
    tolerance
        Largest error of A and of B in units of A: what it makes of a steady state, relative.
    degree
        The highest that is worth it; a gate that needs more keeps its statements.
    """

    segments: int
    width_mV: float
    tolerance: float
    degree: int


def grid_for(real: np.dtype, lanes: int) -> Grid:
    """The grid for this precision and these registers: few enough segments that registers can pick coefficients."""
    if real.itemsize == 8:
        return Grid(segments=16, width_mV=12.0, tolerance=1e-11, degree=17)
    if lanes in (8, 16):
        return Grid(segments=16, width_mV=12.0, tolerance=1e-5, degree=9)
    return Grid(segments=32, width_mV=6.0, tolerance=1e-5, degree=7)


_HIGHEST_START_MV = -120.0


@dataclass(frozen=True)
class GateTable:
    """Polynomials of one state in (v - middle of a segment) / width, lowest power first.

    Attributes
    ----------
    a, b
        (powers, segments).
    error
        The largest on a fine grid, in units of A.
    """

    a: np.ndarray
    b: np.ndarray
    error: float


@dataclass(frozen=True)
class MechanismGates:
    """The tables of all states of a mechanism, the voltage at which their segments begin, and what they were made with.

    values: what the mechanism's statements read besides voltage and states, for voltages outside the segments.
    """

    low_mV: float
    tables: Mapping[str, GateTable]
    values: Mapping[str, float]


@dataclass(frozen=True)
class Gates:
    """The tables of a kernel by mechanism."""

    grid: Grid
    mechanisms: Mapping[str, MechanismGates]

    @cached_property
    def starts_mV(self) -> tuple[float, ...]:
        """The voltages at which segments of some mechanism begin, each once."""
        return tuple(dict.fromkeys(one.low_mV for one in self.mechanisms.values()))


def voltage_gates(mechanism: Mechanism, values: Mapping[str, float]) -> bool:
    """Do all its states depend on nothing but voltage and themselves, each affinely?

    values: `dt`, `celsius`, and every constant and parameter that is the same in all lanes and nodes.
    """
    if not mechanism.states or not mechanism.advance:
        return False
    if not read_before_set(mechanism.advance) <= {*mechanism.states, "v", *values}:
        return False
    others = {name for ion in mechanism.ions for name in (*ion.reads, *ion.writes)} | set(kept(mechanism))
    if assigned_in(mechanism.advance) & others:  # the statements do more than advance the states
        return False
    v = np.linspace(-120.0, 70.0, 39)
    return all(_is_own_affine(mechanism, state, values, v) for state in mechanism.states)


def fit_gates(mechanisms: Sequence[Mechanism], values: Mapping[str, Mapping[str, float]], grid: Grid) -> Gates:
    """Tables of all states of these mechanisms, for those where every state meets the grid's tolerance.

    All share the same segments, so that a segment is found once for a voltage; a mechanism that branches at some
    voltage has its own, with a boundary there.
    """
    found: dict[str, MechanismGates] = {}
    for mechanism in mechanisms:
        for low in _starts(grid, found):
            tables = _tables(mechanism, values[mechanism.name], low, grid)
            if tables:
                found[mechanism.name] = MechanismGates(low, tables, values[mechanism.name])
                break
    return Gates(grid, found)


def _starts(grid: Grid, found: Mapping[str, MechanismGates]) -> Iterator[float]:
    """Where segments may begin: first as those of other mechanisms do."""
    used = dict.fromkeys(one.low_mV for one in found.values())
    yield from used
    steps = np.arange(0.0, grid.width_mV, 0.5)
    yield from (low for low in (_HIGHEST_START_MV - steps).tolist() if low not in used)


def _tables(mechanism: Mechanism, values: Mapping[str, float], low_mV: float, grid: Grid) -> dict[str, GateTable]:
    """By state; empty when one of them misses the tolerance."""
    tables: dict[str, GateTable] = {}
    for state in mechanism.states:
        table = _fit(mechanism, state, values, low_mV, grid)
        if table is None:
            return {}
        tables[state] = table
    return tables


def _fit(mechanism: Mechanism, state: str, values: Mapping[str, float], low_mV: float, grid: Grid) -> GateTable | None:
    nodes = np.cos(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)  # Chebyshev's
    check = np.linspace(-1.0, 1.0, 33) * (1.0 - 1e-9)  # a boundary itself may belong to either branch
    middles = low_mV + grid.width_mV * (np.arange(grid.segments) + 0.5)
    sampled = _a_and_b(mechanism, state, values, middles[:, None] + grid.width_mV / 2 * nodes)
    exact = _a_and_b(mechanism, state, values, middles[:, None] + grid.width_mV / 2 * check)
    scale = np.maximum(np.abs(exact[0]), 1e-12)
    spread = max(1.0, float(np.max(np.abs(exact[1]) / scale)))
    fits = [
        fit
        for which, size in enumerate((scale, scale * spread))
        if (fit := _lowest(nodes, sampled[which], check, exact[which], size, grid)) is not None
    ]
    if len(fits) < 2:
        return None
    (a, error_a), (b, error_b) = fits
    return GateTable(a, b, max(error_a, error_b))


def _lowest(
    nodes: np.ndarray, sampled: np.ndarray, check: np.ndarray, exact: np.ndarray, scale: np.ndarray, grid: Grid
) -> tuple[np.ndarray, float] | None:
    """The polynomials (powers, segments) of lowest degree that meet the tolerance, and their error."""
    if not (np.all(np.isfinite(sampled)) and np.all(np.isfinite(exact))):
        return None
    all_of_them = np.polynomial.chebyshev.chebfit(nodes, sampled.T, _POINTS - 1)
    for degree in range(grid.degree + 1):
        chebyshev = all_of_them[: degree + 1]  # of the function sampled at Chebyshev's nodes: truncation is near best
        error = np.max(np.abs(np.polynomial.chebyshev.chebval(check, chebyshev) - exact) / scale)
        if error < grid.tolerance:
            return _powers(degree) @ chebyshev, float(error)
    return None


def _powers(degree: int) -> np.ndarray:
    """(powers, degree + 1): Chebyshev's polynomials over -1 to 1 as powers of half the argument."""
    matrix = np.zeros((degree + 1, degree + 1))
    for one in range(degree + 1):
        matrix[: one + 1, one] = np.polynomial.chebyshev.cheb2poly(np.eye(degree + 1)[one])[: one + 1]
    return matrix * 2.0 ** np.arange(degree + 1)[:, None]


def _a_and_b(mechanism: Mechanism, state: str, values: Mapping[str, float], v: np.ndarray) -> np.ndarray:
    """(2, *v.shape): A and B of the update m + B - A m."""
    at_zero = _updated(mechanism, state, values, v, 0.0)
    at_one = _updated(mechanism, state, values, v, 1.0)
    return np.stack([1.0 - (at_one - at_zero), at_zero])


def _updated(
    mechanism: Mechanism, state: str, values: Mapping[str, float], v: np.ndarray, start: float, others: float = 0.5
) -> np.ndarray:
    variables = {**values, "v": v, **dict.fromkeys(mechanism.states, others), state: start}
    run(mechanism.advance, variables)
    return np.broadcast_to(variables[state], v.shape).astype(float)


def _is_own_affine(mechanism: Mechanism, state: str, values: Mapping[str, float], v: np.ndarray) -> bool:
    low, middle, high = (_updated(mechanism, state, values, v, start) for start in (0.0, 0.5, 1.0))
    elsewhere = _updated(mechanism, state, values, v, 0.5, others=0.1)
    affine = np.allclose(middle, (low + high) / 2, rtol=1e-12, atol=1e-12)
    return bool(affine and np.all(np.isfinite(low + high)) and np.array_equal(middle, elsewhere))
