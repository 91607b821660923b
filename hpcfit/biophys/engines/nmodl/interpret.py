"""What do the statements of the intermediate form compute?  Slow and readable: the twin of every generated kernel."""

from collections.abc import Callable, Iterable, MutableMapping

import numpy as np

from hpcfit.biophys.codegen.ir import Assign, Binary, Call, Expression, Name, Number, Statement, Unary

Value = np.ndarray | float

_BINARY: dict[str, Callable[[Value, Value], Value]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    "<": lambda a, b: np.less(a, b) * 1.0,
    "<=": lambda a, b: np.less_equal(a, b) * 1.0,
    ">": lambda a, b: np.greater(a, b) * 1.0,
    ">=": lambda a, b: np.greater_equal(a, b) * 1.0,
    "==": lambda a, b: np.equal(a, b) * 1.0,
    "!=": lambda a, b: np.not_equal(a, b) * 1.0,
    "&&": lambda a, b: np.logical_and(a, b) * 1.0,
    "||": lambda a, b: np.logical_or(a, b) * 1.0,
}
_RENAMED = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "pow": "power"}


def run(statements: Iterable[Statement], variables: MutableMapping[str, Value]) -> None:
    """Carry the statements out on arrays (or numbers), in place.  Both branches run; a mask chooses between them."""
    with np.errstate(all="ignore"):
        _run(statements, variables)


def evaluate(e: Expression, variables: MutableMapping[str, Value]) -> Value:
    """The value of an expression."""
    match e:
        case Number(value):
            return np.float64(value)
        case Name(name):
            return np.asarray(variables[name], dtype=float)[()]
        case Unary("-", operand):
            return np.negative(evaluate(operand, variables))
        case Unary(_, operand):
            return np.equal(evaluate(operand, variables), 0.0) * 1.0
        case Binary(operator, left, right):
            return _BINARY[operator](evaluate(left, variables), evaluate(right, variables))
        case Call("erf", (argument,)):
            from scipy.special import erf

            return erf(evaluate(argument, variables))
        case Call(function, arguments):
            return getattr(np, _RENAMED.get(function, function))(*(evaluate(a, variables) for a in arguments))


def _run(statements: Iterable[Statement], variables: MutableMapping[str, Value]) -> None:
    for statement in statements:
        if isinstance(statement, Assign):
            variables[statement.target] = evaluate(statement.value, variables)
            continue
        test = evaluate(statement.test, variables) != 0.0
        then, otherwise = dict(variables), dict(variables)
        _run(statement.then, then)
        _run(statement.otherwise, otherwise)
        for name in {**then, **otherwise}:
            one, other = then.get(name, np.nan), otherwise.get(name, np.nan)
            if one is not other:
                variables[name] = np.where(test, one, other)[()]
