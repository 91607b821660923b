"""How do the variables that statements compute change with some of their inputs?

Forward mode: each assignment is preceded by those of its tangents, so that branches and reassignment need no thought.
"""

from collections.abc import Callable, Iterable, Mapping, Set

from hpcfit.biophys.codegen.algebra import ONE, ZERO, add, divide, multiply, names_in, negate, subtract
from hpcfit.biophys.codegen.ir import Assign, Binary, Call, Expression, If, Name, Number, Statement, Unary


class NotDifferentiable(ValueError):
    """A function whose derivative is not known here."""


Tangents = dict[str, dict[str, Expression]]
"""Of each variable, its derivative with respect to each input; what is absent is zero."""


def differentiate(
    statements: Iterable[Statement], inputs: Iterable[str], fresh: Callable[[str], str], held: Set[str] = frozenset()
) -> tuple[tuple[Statement, ...], Tangents]:
    """The statements with those of their tangents among them, and the tangents at the end.

    fresh: gives a new name like the one it is given; held: variables that count as constants.
    """
    names: dict[tuple[str, str], str] = {}

    def named(variable: str, by: str) -> str:
        if (variable, by) not in names:
            names[variable, by] = fresh(f"d_{variable.rstrip(chr(39))}_d_{by}")
        return names[variable, by]

    tangents: Tangents = {name: {name: ONE} for name in inputs}
    done = _block(tuple(statements), tangents, named, held)
    return tuple(done), tangents


def _block(
    statements: tuple[Statement, ...], tangents: Tangents, named: Callable[[str, str], str], held: Set[str]
) -> list[Statement]:
    done: list[Statement] = []
    for statement in statements:
        if isinstance(statement, If):
            done.append(_branch(statement, tangents, named, held))
            continue
        slopes = {by: slope(statement.value, tangents, by) for by in _inputs(statement.value, tangents)}
        slopes = {by: value for by, value in slopes.items() if value != ZERO}
        for by, value in slopes.items():
            if not isinstance(value, Number):
                done.append(Assign(named(statement.target, by), value))
                slopes[by] = Name(named(statement.target, by))
        done.append(statement)
        tangents[statement.target] = {} if statement.target in held else slopes
    return done


def _branch(statement: If, tangents: Tangents, named: Callable[[str, str], str], held: Set[str]) -> If:
    """Both branches; tangents in which they differ end in one name."""
    one, other = dict(tangents), dict(tangents)
    then = _block(statement.then, one, named, held)
    otherwise = _block(statement.otherwise, other, named, held)
    for variable in {*one, *other}:
        a, b = one.get(variable, {}), other.get(variable, {})
        joined: dict[str, Expression] = {}
        for by in sorted({*a, *b}):
            joined[by] = a.get(by, ZERO)
            if a.get(by) != b.get(by):
                joined[by] = Name(named(variable, by))
                for branch, slopes in ((then, a), (otherwise, b)):
                    if slopes.get(by) != joined[by]:
                        branch.append(Assign(named(variable, by), slopes.get(by, ZERO)))
        tangents[variable] = joined
    return If(statement.test, tuple(then), tuple(otherwise))


def _inputs(expression: Expression, tangents: Tangents) -> list[str]:
    return sorted({by for name in names_in(expression) for by in tangents.get(name, {})})


def slope(e: Expression, tangents: Mapping[str, Mapping[str, Expression]], by: str) -> Expression:
    """The derivative of an expression with respect to one input."""
    match e:
        case Name(name):
            return tangents.get(name, {}).get(by, ZERO)
        case Unary("-", operand):
            return negate(slope(operand, tangents, by))
        case Binary("+", left, right):
            return add(slope(left, tangents, by), slope(right, tangents, by))
        case Binary("-", left, right):
            return subtract(slope(left, tangents, by), slope(right, tangents, by))
        case Binary("*", left, right):
            a, b = slope(left, tangents, by), slope(right, tangents, by)
            return add(multiply(a, right), multiply(left, b))
        case Binary("/", left, right):
            a, b = slope(left, tangents, by), slope(right, tangents, by)
            return divide(subtract(a, multiply(e, b)) if b != ZERO else a, right)
        case Binary("^", base, power):
            return _power_slope(e, base, power, slope(base, tangents, by), slope(power, tangents, by))
        case Call(function, arguments):
            slopes = [slope(argument, tangents, by) for argument in arguments]
            if all(s == ZERO for s in slopes):
                return ZERO
            if function not in _LIBRARY:
                raise NotDifferentiable(function)
            return multiply(_LIBRARY[function](e, arguments[0]), slopes[0])
    return ZERO  # numbers, comparisons and logic


def _power_slope(
    e: Expression, base: Expression, power: Expression, of_base: Expression, of_power: Expression
) -> Expression:
    by_base = multiply(multiply(power, Binary("^", base, subtract(power, ONE))), of_base) if of_base != ZERO else ZERO
    by_power = multiply(multiply(e, Call("log", (base,))), of_power) if of_power != ZERO else ZERO
    return add(by_base, by_power)


def _one_over(e: Expression) -> Expression:
    return divide(ONE, e)


def _square(e: Expression) -> Expression:
    return multiply(e, e)


_LIBRARY: dict[str, Callable[[Call, Expression], Expression]] = {
    "exp": lambda e, x: e,
    "log": lambda e, x: _one_over(x),
    "log10": lambda e, x: divide(Number(0.4342944819032518), x),
    "sqrt": lambda e, x: divide(Number(0.5), e),
    "fabs": lambda e, x: divide(x, e),
    "sin": lambda e, x: Call("cos", (x,)),
    "cos": lambda e, x: negate(Call("sin", (x,))),
    "tan": lambda e, x: add(ONE, _square(e)),
    "asin": lambda e, x: _one_over(Call("sqrt", (subtract(ONE, _square(x)),))),
    "acos": lambda e, x: negate(_one_over(Call("sqrt", (subtract(ONE, _square(x)),)))),
    "atan": lambda e, x: _one_over(add(ONE, _square(x))),
    "sinh": lambda e, x: Call("cosh", (x,)),
    "cosh": lambda e, x: Call("sinh", (x,)),
    "tanh": lambda e, x: subtract(ONE, _square(e)),
    "floor": lambda e, x: ZERO,
    "ceil": lambda e, x: ZERO,
}
"""Derivatives of one-argument functions from the call and its argument; others count as not differentiable."""
