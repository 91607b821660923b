"""How does one implicit Euler step of coupled equations become straight statements?

Newton's method on x = x0 + dt f(x), with exact derivatives and a fixed number of iterations: one if the equations are
linear, in which case it is NEURON's own step (derivimplicit, sparse; Hines and Carnevale 2000).  Gaussian elimination
is written out, without pivoting: the pivots of I - dt J are 1 or more for kinetic schemes.
"""

from collections.abc import Callable, Sequence, Set

from hpcfit.biophys.codegen.algebra import (
    ONE,
    ZERO,
    add,
    assigned_in,
    depends_on,
    divide,
    multiply,
    names_in,
    negate,
    subtract,
)
from hpcfit.biophys.codegen.ir import Assign, Binary, Call, Expression, If, Name, Number, Statement
from hpcfit.biophys.engines.nmodl.differentiate import Tangents, differentiate

ITERATIONS = 6
"""Newton iterations where equations are not linear; from a step's start they converge in 3 or 4."""

_SPARSE_CONVERGED = 1e-6
"""Sum of the states' changes, in their units, at which NEURON's sparse solver stops."""

Conserved = tuple[dict[str, Expression], Expression]
"""Weights of states, and the total that their weighted sum must have."""
Row = dict[str, Expression]


def implicit_step(
    body: tuple[Statement, ...],
    conserved: Sequence[Conserved],
    dt: Expression,
    fresh: Callable[[str], str],
    bounded: bool,
    held: Set[str] = frozenset(),
) -> tuple[Statement, ...]:
    """One step of the states whose derivatives the body assigns as `m'`.

    conserved: replaces the equation of the last of its states that has still its own, as NEURON does.
    held: rates that count as constants within an iteration, as in NEURON's kinetic schemes.
    bounded: whether states below zero are set to zero, as NEURON's sparse does where equations are not linear.
    """
    states = sorted(n[:-1] for n in assigned_in(body) if n.endswith("'"))
    evaluated, tangents = differentiate(body, states, fresh, held)
    linear = _is_linear(evaluated, tangents, states, held)
    replaced: dict[str, Conserved] = {}
    for weights, total in conserved:
        replaced[next(s for s in reversed(weights) if s not in replaced)] = (weights, total)
    old = {state: fresh(f"{state}_old") for state in states}
    iteration = [*evaluated, *_newton(states, old, tangents, replaced, dt, fresh)]
    if bounded and not linear:
        iterations = _as_sparse(iteration, states, fresh)
    else:
        iterations = iteration * (1 if linear else ITERATIONS)
    start = [Assign(old[state], Name(state)) for state in states]
    # The body runs once more, so that what it computes besides derivatives (fluxes, currents) fits the new states.
    return (*start, *iterations, *body)


def _as_sparse(iteration: list[Statement], states: list[str], fresh: Callable[[str], str]) -> list[Statement]:
    """Newton iterations as NEURON's sparse does them: no state below zero, and no more once the changes are small.

    Where to stop matters: concentrations may be no larger than the sum of changes that ends the iterations.
    """
    changed = Name(fresh("changed"))
    changes = [
        s.value.right for s in iteration[-len(states) :] if isinstance(s, Assign) and isinstance(s.value, Binary)
    ]
    total: Expression = ZERO
    for change in changes:
        total = add(total, Call("fabs", (change,)))
    bounds = [If(Binary("<", Name(s), ZERO), (Assign(s, ZERO),)) for s in states]
    done: list[Statement] = [*iteration, *bounds, Assign(changed.name, total)]
    again = If(Binary(">", changed, Number(_SPARSE_CONVERGED)), tuple(done))
    return [*done, *[again] * (ITERATIONS - 1)]


def linear_solution(
    body: tuple[Statement, ...], residuals: list[str], states: Sequence[str], fresh: Callable[[str], str]
) -> tuple[Statement, ...] | None:
    """The states at which the residuals, which the body computes, are zero; None if they do not determine them."""
    evaluated, tangents = differentiate(body, states, fresh)
    rows = [dict(tangents.get(residual, {})) for residual in residuals]
    unknowns = sorted(set().union(*rows))
    touched = depends_on(evaluated, unknowns)
    if len(unknowns) != len(rows) or any(names_in(e) & touched for row in rows for e in row.values()):
        return None
    matched: dict[str, int] = {}

    def match(row: int, tried: set[str]) -> bool:
        """Give the row an unknown of its own (augmenting path), so that no pivot is empty."""
        for state in rows[row]:
            if state not in tried:
                tried.add(state)
                if state not in matched or match(matched[state], tried):
                    matched[state] = row
                    return True
        return False

    if not all(match(row, set()) for row in range(len(rows))):
        return None
    sides: dict[str, Expression] = {s: negate(Name(residuals[row])) for s, row in matched.items()}
    return (*evaluated, *_eliminate(unknowns, {s: rows[row] for s, row in matched.items()}, sides, fresh))


def _is_linear(evaluated: tuple[Statement, ...], tangents: Tangents, states: list[str], held: Set[str]) -> bool:
    touched = depends_on(_without_values(evaluated, held), states)
    return not any(names_in(e) & touched for s in states for e in tangents.get(s + "'", {}).values())


def _without_values(statements: tuple[Statement, ...], held: Set[str]) -> tuple[Statement, ...]:
    """The statements with what is assigned to the held names taken for constant."""
    done: list[Statement] = []
    for s in statements:
        if isinstance(s, If):
            done.append(If(s.test, _without_values(s.then, held), _without_values(s.otherwise, held)))
        else:
            done.append(Assign(s.target, ZERO) if s.target in held else s)
    return tuple(done)


def _newton(
    states: list[str],
    old: dict[str, str],
    tangents: Tangents,
    replaced: dict[str, Conserved],
    dt: Expression,
    fresh: Callable[[str], str],
) -> list[Statement]:
    """Solve (I - dt J) change = old - x + dt f(x), and add the change."""
    rows: dict[str, Row] = {}
    sides: dict[str, Expression] = {}
    for state in states:
        if state in replaced:
            weights, total = replaced[state]
            rows[state] = dict(weights)
            sides[state] = total
            for other, weight in weights.items():
                sides[state] = subtract(sides[state], multiply(weight, Name(other)))
            continue
        slopes = tangents.get(state + "'", {})
        rows[state] = {other: negate(multiply(dt, slopes[other])) for other in states if other in slopes}
        rows[state][state] = subtract(ONE, multiply(dt, slopes.get(state, ZERO)))
        rate = multiply(dt, Name(state + "'"))
        sides[state] = Binary("+", Binary("-", Name(old[state]), Name(state)), rate)
    return _eliminate(states, rows, sides, fresh)


def _eliminate(
    states: list[str], rows: dict[str, Row], sides: dict[str, Expression], fresh: Callable[[str], str]
) -> list[Statement]:
    done: list[Statement] = []

    def kept(value: Expression, like: str) -> Expression:
        if isinstance(value, Name | Number):
            return value
        name = fresh(like)
        done.append(Assign(name, value))
        return Name(name)

    for s in states:
        rows[s] = {c: kept(e, f"m_{s}_{c}") for c, e in rows[s].items()}
        sides[s] = kept(sides[s], f"r_{s}")
    left, order = list(states), []
    while left:
        pivot = min(left, key=lambda s: _fill(s, left, rows))
        left.remove(pivot)
        order.append(pivot)
        for s in left:
            if pivot not in rows[s]:
                continue
            ratio = kept(divide(rows[s].pop(pivot), rows[pivot][pivot]), f"q_{s}_{pivot}")
            for c in left:
                if c in rows[pivot]:
                    value = subtract(rows[s].get(c, ZERO), multiply(ratio, rows[pivot][c]))
                    rows[s][c] = kept(value, f"m_{s}_{c}")
            sides[s] = kept(subtract(sides[s], multiply(ratio, sides[pivot])), f"r_{s}")
    change: dict[str, Expression] = {}
    for s in reversed(order):
        value = sides[s]
        for c, factor in rows[s].items():
            if c != s and c in change:
                value = subtract(value, multiply(factor, change[c]))
        change[s] = kept(divide(value, rows[s][s]), f"change_{s}")
    return [*done, *(Assign(s, Binary("+", Name(s), change[s])) for s in states)]


def _fill(state: str, left: list[str], rows: dict[str, Row]) -> int:
    """How many elements a pivot may create (Markowitz); one whose diagonal is empty comes last."""
    if state not in rows[state]:
        return len(left) ** 2 + 1
    return (sum(c in rows[state] for c in left) - 1) * (sum(state in rows[s] for s in left) - 1)
