"""What do the statements of the intermediate form compute?  Slow and readable: the twin of every generated kernel."""

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from hpcfit.biophys.codegen.ir import Assign, Binary, Call, Expression, Name, Number, Statement, Unary

Value = np.ndarray | float


@dataclass(frozen=True)
class Lookup:
    """A TABLE as nocmodl makes and reads it: linear between equidistant points, constant outside, NaN at NaN."""

    low: float
    per_unit: float
    values: np.ndarray
    """(count + 1,)"""

    def __call__(self, x: Value) -> Value:
        last = len(self.values) - 1
        place = np.asarray(self.per_unit * (x - self.low), dtype=float)
        index = np.clip(np.nan_to_num(place), 0, last - 1).astype(int)
        between = self.values[index] + (place - index) * (self.values[index + 1] - self.values[index])
        outside = np.where(place <= 0.0, self.values[0], np.where(place >= last, self.values[-1], between))
        return np.where(np.isnan(place), place, outside)[()]


Variables = MutableMapping[str, Any]

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


def run(statements: Iterable[Statement], variables: Variables) -> None:
    """Carry the statements out on arrays (or numbers), in place.  Both branches run; a mask chooses between them.

    variables: values by name, and a Lookup by the name of each TABLE.
    """
    with np.errstate(all="ignore"):
        _run(statements, variables)


def evaluate(e: Expression, variables: Variables) -> Value:
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
        case Call(function, (argument,)) if function in variables:  # a TABLE
            return cast(Lookup, variables[function])(evaluate(argument, variables))
        case Call(function, arguments):
            return getattr(np, _RENAMED.get(function, function))(*(evaluate(a, variables) for a in arguments))


def _run(statements: Iterable[Statement], variables: Variables) -> None:
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
