"""Distributions over the tree: arithmetic in a few variables, evaluated without Python's eval."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, np.ufunc] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
    "tanh": np.tanh,
}
_ACCEPTED = f"numbers, value, distance, + - * / **, comparisons, a if b else c, {', '.join(_FUNCTIONS)}"


def check_expression(text: str, variables: tuple[str, ...]) -> None:
    """Raises ValueError, naming what is not understood, unless `text` is an expression of these variables."""
    evaluate(text, dict.fromkeys(variables, np.float64(1.0)))


def evaluate(text: str, variables: Mapping[str, Any]) -> Any:
    """The value of an expression, elementwise over the arrays in `variables`.

    Raises
    ------
    ValueError
        When it is not an expression, or uses a name or construct outside the accepted ones.
    """
    try:
        tree = ast.parse(text, mode="eval")
        with np.errstate(all="ignore"):
            return _value(tree.body, variables, text)
    except SyntaxError:
        raise ValueError(f"{text!r} is not an expression; accepted: {_ACCEPTED}") from None
    except (OverflowError, RecursionError, MemoryError):
        raise ValueError(f"{text[:60]!r} has too large a number, or is nested too deeply; simplify it") from None


def _value(node: ast.expr, variables: Mapping[str, Any], text: str) -> Any:
    def value(child: ast.expr) -> Any:
        return _value(child, variables, text)

    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return np.float64(number)  # whose division by 0 is inf, and whose powers end
        case ast.Name(id=name) if name in variables:
            return np.asarray(variables[name], dtype=float)[()]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](value(left), value(right))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return 1.0 * _COMPARE[type(op)](value(left), value(right))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return np.where(value(test), value(body), value(orelse))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            function = _FUNCTIONS[name]
            if len(arguments) != function.nin:  # NumPy would write into an argument too many
                raise ValueError(f"{text!r}: {name} takes {function.nin} arguments, got {len(arguments)}")
            return function(*map(value, arguments))
    raise ValueError(f"{text!r} uses {ast.unparse(node)!r}, which is not understood; accepted: {_ACCEPTED}")
