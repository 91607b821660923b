"""Which statements are needed, and how much of them is known beforehand?"""

from collections.abc import Iterable

from hpcfit.biophys.codegen import algebra
from hpcfit.biophys.codegen.algebra import mapped, names_in
from hpcfit.biophys.codegen.ir import Assign, Binary, Expression, If, Name, Number, Statement, Unary

_BUILDERS = {"+": algebra.add, "-": algebra.subtract, "*": algebra.multiply, "/": algebra.divide}


def needed(statements: Iterable[Statement], wanted: Iterable[str]) -> tuple[Statement, ...]:
    """The statements without assignments that neither another statement nor `wanted` reads afterwards."""
    return tuple(_needed(tuple(statements), set(wanted))[0])


def _needed(statements: tuple[Statement, ...], alive: set[str]) -> tuple[list[Statement], set[str]]:
    """The statements needed, and what must be alive before them."""
    kept: list[Statement] = []
    for statement in reversed(statements):
        if isinstance(statement, Assign):
            if statement.target in alive and statement.value != Name(statement.target):
                alive = (alive - {statement.target}) | names_in(statement.value)
                kept.append(statement)
            continue
        then, before_then = _needed(statement.then, alive)
        otherwise, before_otherwise = _needed(statement.otherwise, alive)
        if then or otherwise:
            alive = before_then | before_otherwise | names_in(statement.test)
            kept.append(If(statement.test, tuple(then), tuple(otherwise)))
    return kept[::-1], alive


def folded(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """The statements with constant expressions computed, once and at full precision, and known branches chosen."""
    done: list[Statement] = []
    for statement in statements:
        if isinstance(statement, Assign):
            done.append(Assign(statement.target, mapped(statement.value, _fold)))
            continue
        test = mapped(statement.test, _fold)
        if isinstance(test, Number):
            done.extend(folded(statement.then if test.value else statement.otherwise))
        else:
            done.append(If(test, folded(statement.then), folded(statement.otherwise)))
    return tuple(done)


def _fold(e: Expression) -> Expression:
    match e:
        case Unary("-", operand):
            return algebra.negate(operand)
        case Binary("^", Number(base), Number(power)) if base > 0.0:
            return Number(base**power)
        case Binary(operator, left, right) if operator in _BUILDERS:
            return _BUILDERS[operator](left, right)
    return e


def propagated(statements: Iterable[Statement], local: Iterable[str]) -> tuple[Statement, ...]:
    """The statements with copies and numbers put in the place of `local` variables assigned once.

    Only where neither side changes afterwards, so that the order of statements stays right.
    """
    statements = tuple(statements)
    count: dict[str, int] = {}
    for one in algebra.assignments(statements):
        count[one.target] = count.get(one.target, 0) + 1
    once = {name for name in local if count.get(name) == 1}
    values: dict[str, Expression] = {}
    return _propagate(statements, once, count, values)


def _propagate(
    statements: tuple[Statement, ...], once: set[str], count: dict[str, int], values: dict[str, Expression]
) -> tuple[Statement, ...]:
    done: list[Statement] = []
    for statement in statements:
        if isinstance(statement, If):
            test = algebra.substitute(statement.test, values)
            then = _propagate(statement.then, once, count, dict(values))
            done.append(If(test, then, _propagate(statement.otherwise, once, count, dict(values))))
            continue
        value = algebra.substitute(statement.value, values)
        constant = isinstance(value, Number) or (
            isinstance(value, Name) and (count.get(value.name, 0) == 0 or value.name in once)
        )
        if constant and statement.target in once:
            values[statement.target] = value
        done.append(Assign(statement.target, value))
    return tuple(done)
