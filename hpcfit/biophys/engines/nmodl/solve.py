"""How does a SOLVE become an update of the states by one step?

cnexp: exact for an equation linear in its own state, each taken by itself and in its place, as nocmodl does; euler;
derivimplicit and sparse (see `implicit`).
"""

from hpcfit.biophys.codegen.algebra import (
    ONE,
    ZERO,
    add,
    assigned_in,
    assignments,
    divide,
    multiply,
    names_in,
    negate,
    renamed,
    subtract,
)
from hpcfit.biophys.codegen.ir import Assign, Binary, Call, Expression, If, Name, Number, Statement, Unary
from hpcfit.biophys.engines.nmodl.implicit import Conserved, implicit_step, linear_solution
from hpcfit.biophys.engines.nmodl.syntax import Block, Solve
from hpcfit.biophys.engines.nmodl.translate import Translator

_STEADY_DT = Number(1e9)
"""ms: the step by which NEURON finds a steady state."""
_MOST_COUPLED = 32
"""States that are eliminated together: the code of an elimination grows as their cube."""
Linear = tuple[Expression, Expression]


def solved(node: Solve, block: Block, to: Translator) -> tuple[Statement, ...]:
    """The statements that a SOLVE stands for."""
    body = to.solved(block)
    to.line = node.line
    if block.kind == "PROCEDURE":
        return body
    if block.kind == "LINEAR":
        done = linear_solution(body, to.kinetics.residuals, list(to.file.states), to.fresh)
        if done is None:
            to.refuse(f"LINEAR {block.name} does not determine its states; give one linear equation for each")
        return done or ()
    method = node.method or ("sparse" if block.kind == "KINETIC" else "derivimplicit")
    dt = _STEADY_DT if node.steady else Name("dt")
    if method == "cnexp" and block.kind == "DERIVATIVE" and not node.steady:
        if (done := _cnexp(body, to.nonlinear)) is not None:
            return done
        method = "derivimplicit"  # as NEURON does where an equation is not linear
    if method == "euler" and not node.steady and block.kind == "DERIVATIVE":
        return _euler(body)
    if method in ("derivimplicit", "sparse"):
        if _in_branch(body):
            to.refuse(f"{method} with an equation inside a branch is not translated; put the branch into its rates")
        if (count := sum(name.endswith("'") for name in assigned_in(body))) > _MOST_COUPLED:
            to.refuse(f"{block.name} couples {count} states, at most {_MOST_COUPLED} are solved; use fewer shells")
        bounded = method == "sparse"
        if to.order == 1 or node.steady:
            return implicit_step(body, _conserved(to), dt, to.fresh, bounded, to.kinetics.rates)
        return _second_order(body, to, bounded)
    to.refuse(f"METHOD {method} is not translated; use cnexp, derivimplicit, sparse or euler")
    raise AssertionError


def _second_order(body: tuple[Statement, ...], to: Translator, bounded: bool) -> tuple[Statement, ...]:
    """As NEURON with secondorder: half a step, then as far again (Crank and Nicolson)."""
    states = sorted(name[:-1] for name in assigned_in(body) if name.endswith("'"))
    before = {state: to.fresh(f"{state}_before") for state in states}
    half = to.fresh("half_dt")
    step = implicit_step(renamed(body, {"dt": half}), _conserved(to), Name(half), to.fresh, bounded, to.kinetics.rates)
    return (
        Assign(half, multiply(Number(0.5), Name("dt"))),
        *(Assign(before[state], Name(state)) for state in states),
        *step,
        *(Assign(s, Binary("+", Name(s), Binary("-", Name(s), Name(before[s])))) for s in states),
    )


def _in_branch(body: tuple[Statement, ...]) -> bool:
    return any(name.endswith("'") for s in body if isinstance(s, If) for name in assigned_in([s]))


def _conserved(to: Translator) -> list[Conserved]:
    found: list[Conserved] = []
    for terms, total in to.kinetics.conserved:
        weights: dict[str, Expression] = {}
        for count, species in terms:
            if species not in to.file.states:
                to.refuse(f"CONSERVE names {species}, which is no STATE; leave it out")
            weights[species] = multiply(Number(float(count)), to.kinetics.volumes.get(species, ONE))
        found.append((weights, total))
    return found


def _euler(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    states = sorted({s.target[:-1] for s in assignments(body) if s.target.endswith("'")})
    steps = [Assign(s, add(Name(s), multiply(Name("dt"), Name(s + "'")))) for s in states]
    return (*body, *steps)


def _cnexp(body: tuple[Statement, ...], nonlinear: set[str]) -> tuple[Statement, ...] | None:
    """The body with each equation replaced by its exact step; None if one is not linear in its own state."""
    done: list[Statement] = []
    for statement in body:
        if isinstance(statement, If):
            then, otherwise = _cnexp(statement.then, nonlinear), _cnexp(statement.otherwise, nonlinear)
            if then is None or otherwise is None:
                return None
            done.append(If(statement.test, then, otherwise))
        elif statement.target.endswith("'"):
            state = statement.target[:-1]
            step = None if state in nonlinear else _exact_step(state, statement.value)
            if step is None:
                return None
            done.append(Assign(state, step))
        else:
            done.append(statement)
    return tuple(done)


def _exact_step(state: str, rate: Expression) -> Expression | None:
    """X + (1 - exp(a dt)) (x_inf - x) for the rate s (a' x + b'), a = s a', x_inf = -b'/a'."""
    scale, inner = _unscaled(rate, state)
    parts = linear_parts(inner, state)
    if parts is None:
        return None
    slope, rest = parts
    x, dt = Name(state), Name("dt")
    if slope == ZERO:
        return add(x, multiply(dt, scale(rest)))
    decay = subtract(ONE, Call("exp", (multiply(dt, scale(slope)),)))
    end = divide(negate(rest), slope)
    return add(x, multiply(decay, subtract(end, x)))


def _unscaled(rate: Expression, state: str):
    """A factor or divisor without the state, as a function that applies it, and what it applies to.

    Taken apart so that m' = (minf - m) / mtau ends at minf itself, not at (minf / mtau) / (1 / mtau).
    """
    match rate:
        case Binary("/", top, bottom) if state not in names_in(bottom):
            scale, inner = _unscaled(top, state)
            return (lambda e: divide(scale(e), bottom)), inner
        case Binary("*", left, right) if state not in names_in(left):
            scale, inner = _unscaled(right, state)
            return (lambda e: multiply(left, scale(e))), inner
        case Binary("*", left, right) if state not in names_in(right):
            scale, inner = _unscaled(left, state)
            return (lambda e: multiply(scale(e), right)), inner
    return (lambda e: e), rate


def linear_parts(e: Expression, state: str) -> Linear | None:
    """A and b of e = a state + b, found by nocmodl's rules; None where e is not of this form."""
    if e == Name(state):
        return ONE, ZERO
    if state not in names_in(e):
        return ZERO, e
    match e:
        case Unary("-", operand):
            parts = linear_parts(operand, state)
            return parts and (negate(parts[0]), negate(parts[1]))
        case Binary(("+" | "-" | "*" | "/") as operator, left, right):
            one, other = linear_parts(left, state), linear_parts(right, state)
            if one is None or other is None:
                return None
            return _combined(operator, one, other)
    return None


def _combined(operator: str, one: Linear, other: Linear) -> Linear | None:
    (a, b), (c, d) = one, other
    if operator == "+":
        return add(a, c), add(b, d)
    if operator == "-":
        return subtract(a, c), subtract(b, d)
    if operator == "/":
        return (divide(a, d), divide(b, d)) if c == ZERO else None
    if ZERO not in (a, c):
        return None
    return add(multiply(a, d), multiply(b, c)), multiply(b, d)
