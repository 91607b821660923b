"""Gates that depend on voltage alone, as piecewise polynomials: m += B(v) - A(v) m.

For a gate with m' = (minf - m) / tau the exact step is A = 1 - exp(-dt / tau), B = minf A.  Both are smooth functions
of v between the places where a mechanism branches, so a polynomial of degree 5 on each of 32 segments replaces two or
three exponentials and four divisions.  What a gate's update is, is found by running its statements, not by reading
them: any form that is affine in the state qualifies, and a gate that cannot be fitted to the tolerance keeps its own
statements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcfit.biophys.codegen.algebra import assigned_in, names_in
from hpcfit.biophys.codegen.interpret import run
from hpcfit.biophys.codegen.ir import Assign, If, Mechanism, Statement

SEGMENTS = 32
DEGREE = 5
TOLERANCE = 2e-6
_STARTS = [-130.0 + 0.5 * k for k in range(22)]
_RANGES = tuple((low, low + SEGMENTS * width) for width in (6.0, 6.25, 6.5) for low in _STARTS)
"""Ranges to try, mV: one of them has a boundary at the voltage where a mechanism branches."""


@dataclass(frozen=True)
class GateTable:
    """Polynomials of one state: (2, degree + 1, segments), A then B, lowest power first, in (v - middle) / width."""

    coefficients: np.ndarray
    error: float


@dataclass(frozen=True)
class Range:
    """The voltages that the segments cover; outside, the nearest end counts."""

    low_mV: float
    high_mV: float

    @property
    def width_mV(self) -> float:
        return (self.high_mV - self.low_mV) / SEGMENTS


@dataclass(frozen=True)
class Gates:
    """The tables of a kernel: (mechanism, state) -> table, all over one range."""

    where: Range
    tables: Mapping[tuple[str, str], GateTable]

    def has(self, mechanism: Mechanism) -> bool:
        """Are all states of that mechanism in tables?"""
        return bool(mechanism.states) and (mechanism.name, mechanism.states[0]) in self.tables


def voltage_gates(mechanism: Mechanism, values: Mapping[str, float]) -> bool:
    """Do all its states depend on nothing but voltage and themselves, each affinely?

    values: `dt`, `celsius`, and every constant and parameter that is the same in all lanes and nodes.
    """
    if not mechanism.states or not mechanism.advance:
        return False
    own = {*mechanism.states, *assigned_in(mechanism.advance), "v"}
    if not _names(mechanism.advance) <= own | set(values):
        return False
    if assigned_in(mechanism.advance) & {name for ion in mechanism.ions for name in (*ion.reads, *ion.writes)}:
        return False
    v = np.linspace(-120.0, 70.0, 39)
    return all(_is_own_affine(mechanism, state, values, v) for state in mechanism.states)


def fit_gates(mechanisms: Sequence[Mechanism], values: Mapping[str, Mapping[str, float]]) -> Gates:
    """Tables of all states of these mechanisms on the range that suits them best.

    A mechanism of which a state misses the tolerance on it has no table.
    """
    best: tuple[int, float, Range, dict[tuple[str, str], GateTable]] | None = None
    for low, high in _RANGES:
        where = Range(low, high)
        tables = {
            (mechanism.name, state): _fit(mechanism, state, values[mechanism.name], where)
            for mechanism in mechanisms
            for state in mechanism.states
        }
        poor = {name for (name, _), table in tables.items() if not table.error < TOLERANCE}
        kept = {key: table for key, table in tables.items() if key[0] not in poor}
        worst = max((table.error for table in kept.values()), default=0.0)
        if best is None or (len(poor), worst) < (best[0], best[1]):
            best = (len(poor), worst, where, kept)
        if best[0] == 0 and best[1] < TOLERANCE / 4:
            break
    assert best is not None
    return Gates(best[2], best[3])


def _fit(mechanism: Mechanism, state: str, values: Mapping[str, float], where: Range) -> GateTable:
    nodes = np.cos(np.pi * (np.arange(12) + 0.5) / 12) / 2  # Chebyshev's, in u from -1/2 to 1/2
    middles = where.low_mV + where.width_mV * (np.arange(SEGMENTS) + 0.5)
    sampled = _a_and_b(mechanism, state, values, middles[:, None] + where.width_mV * nodes)
    coefficients = np.empty((2, DEGREE + 1, SEGMENTS))
    for which in range(2):
        chebyshev = np.polynomial.chebyshev.chebfit(2 * nodes, sampled[which].T, DEGREE)
        for segment in range(SEGMENTS):
            power = np.polynomial.chebyshev.cheb2poly(chebyshev[:, segment])
            full = np.zeros(DEGREE + 1)
            full[: len(power)] = power
            coefficients[which, :, segment] = full * 2.0 ** np.arange(DEGREE + 1)
    check = np.linspace(-0.5, 0.5, 33)
    exact = _a_and_b(mechanism, state, values, middles[:, None] + where.width_mV * check)
    fitted = np.stack([np.polynomial.polynomial.polyval(check, coefficients[which]) for which in range(2)])
    return GateTable(coefficients, float(np.max(np.abs(fitted - exact))))


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


def _names(statements: Sequence[Statement]) -> set[str]:
    found: set[str] = set()
    for statement in statements:
        if isinstance(statement, Assign):
            found |= names_in(statement.value) | {statement.target}
        else:
            assert isinstance(statement, If)
            found |= names_in(statement.test) | _names(statement.then) | _names(statement.otherwise)
    return found
