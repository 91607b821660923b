"""Do distributions along the tree mean what Python means by the same words, and nothing else?"""

import ast
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.biophys.expression import check_expression, evaluate

NUMBERS = st.one_of(
    st.integers(0, 1000).map(str),
    st.floats(1e-6, 1e6).map(repr),
    st.sampled_from(["value", "distance", "0", "1e-3", ".5", "2."]),
)


def _grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(parts, parts)
    return st.one_of(
        st.builds("({0[0]} {1} {0[1]})".format, two, st.sampled_from(["+", "-", "*", "/", "**", "<", "<=", ">", ">="])),
        st.builds("{0[0]} {1} {0[1]}".format, two, st.sampled_from(["+", "-", "*", "/"])),
        st.builds("{1}{0}".format, parts, st.sampled_from(["-", "+", "- -"])),
        st.builds("{1}({0})".format, parts, st.sampled_from(["exp", "log", "sqrt", "abs", "tanh"])),
        st.builds("{1}({0[0]}, {0[1]})".format, two, st.sampled_from(["min", "max"])),
        st.builds("({0} if {1[0]} else {1[1]})".format, parts, two),
    )


EXPRESSIONS = st.recursive(NUMBERS, _grown, max_leaves=12)
FUNCTIONS = {name: getattr(np, name) for name in ("exp", "log", "sqrt", "abs", "tanh")}
FUNCTIONS |= {"min": np.minimum, "max": np.maximum}


def by_python(text: str, value: float, distance: float) -> float:
    """Python's eval, with NumPy's floats for every number: only they know inf and nan."""

    class Wrap(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return ast.Call(ast.Name("number", ast.Load()), [node], [])

        def visit_Compare(self, node: ast.Compare) -> ast.AST:
            self.generic_visit(node)
            return ast.Call(ast.Name("number", ast.Load()), [node], [])

    tree = ast.fix_missing_locations(Wrap().visit(ast.parse(text, mode="eval")))
    names = {**FUNCTIONS, "number": np.float64, "value": np.float64(value), "distance": np.float64(distance)}
    with np.errstate(all="ignore"):
        return float(eval(compile(tree, text, "eval"), {"__builtins__": {}}, names))


@given(EXPRESSIONS, st.floats(1e-6, 10), st.floats(0, 1500))
def test_agrees_with_python(text, value, distance):
    ours = float(evaluate(text, {"value": np.float64(value), "distance": np.float64(distance)}))
    theirs = by_python(text, value, distance)
    assert ours == theirs or (math.isnan(ours) and math.isnan(theirs)), text


@given(EXPRESSIONS, st.lists(st.floats(0, 1500), min_size=1, max_size=5))
def test_arrays_go_elementwise(text, distances):
    together = np.broadcast_to(evaluate(text, {"value": 0.5, "distance": np.array(distances)}), len(distances))
    singly = [evaluate(text, {"value": 0.5, "distance": np.float64(each)}) for each in distances]
    # NumPy's vectorised exp and pow may differ from its scalar ones in the last bit.
    np.testing.assert_allclose(together, np.array(singly, dtype=float), rtol=1e-9, atol=1e-300)


@given(EXPRESSIONS)
def test_what_is_made_of_accepted_parts_is_accepted(text):
    assert check_expression(text, ("value", "distance")) is None


def test_the_usual_ones():
    distance = np.array([0.0, 100.0, 1000.0])
    exponential = evaluate("(-0.8696 + 2.087 * exp(distance * 0.0031)) * value", {"value": 8e-5, "distance": distance})
    np.testing.assert_allclose(exponential, (-0.8696 + 2.087 * np.exp(0.0031 * distance)) * 8e-5, rtol=1e-14)
    hot_zone = evaluate("value if distance > 685 else value * 0.01", {"value": 2.0, "distance": distance})
    assert hot_zone.tolist() == [0.02, 0.02, 2.0]
    assert evaluate("value * (distance < 50) + 1", {"value": 2.0, "distance": distance}).tolist() == [3.0, 1.0, 1.0]
    assert evaluate("-(distance < 50) - (distance > 1)", {"distance": distance}).tolist() == [-1.0, -1.0, -1.0]
    assert np.array_equal(distance, [0.0, 100.0, 1000.0])


def test_what_python_would_raise_is_a_number():
    assert evaluate("1 / 0", {}) == np.inf and np.isnan(evaluate("(-8) ** 0.5", {}))
    assert evaluate("9 ** 9 ** 9 ** 9", {}) == np.inf and evaluate("0 ** -1", {}) == np.inf
    assert np.isnan(evaluate("value / value", {"value": 0.0})) and np.isnan(evaluate("log(-1)", {}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vlue", "uses 'vlue'"),
        ("x + 1", "uses 'x'"),
        ("__import__('os')", r"uses \"__import__\('os'\)\""),
        ("value.real", "uses 'value.real'"),
        ("value[0]", r"uses 'value\[0\]'"),
        ("sin(value)", r"uses 'sin\(value\)'"),
        ("exp.nin", "uses 'exp.nin'"),
        ("exp", "uses 'exp'"),
        ("(lambda: value)()", "uses "),
        ("[value]", "uses "),
        ("[v for v in value]", "uses "),
        ("value and 1", "uses "),
        ("not value", "uses "),
        ("value // 2", "uses "),
        ("value % 2", "uses "),
        ("value == 2", "uses "),
        ("0 < distance < 1", "uses "),
        ("True", "uses 'True'"),
        ("'a'", "uses "),
        ("1j", "uses "),
        ("f'{value}'", "uses "),
        ("(v := 1)", "uses "),
        ("exp(x=1)", "uses "),
        ("exp(*value)", "uses "),
        ("exp(value, distance)", "exp takes 1 arguments, got 2"),
        ("min(value)", "min takes 2 arguments, got 1"),
        ("max(1, 2, distance)", "max takes 2 arguments, got 3"),
        ("", "is not an expression"),
        ("value *", "is not an expression"),
        ("value; 1", "is not an expression"),
        ("value = 1", "is not an expression"),
        ("import os", "is not an expression"),
        ("1" + "0" * 400, "too large a number"),
        ("-" * 20000 + "1", "nested too deeply"),
    ],
)
def test_nothing_else_is_understood(text, said):
    with pytest.raises(ValueError, match=said) as error:
        check_expression(text, ("value", "distance"))
    assert "accepted: numbers, value, distance" in str(error.value) or "takes" in said or "too" in said


def test_arguments_are_not_written_into():
    distance = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="takes 1"):
        evaluate("exp(value, distance)", {"value": np.array([3.0, 4.0]), "distance": distance})
    assert distance.tolist() == [1.0, 2.0]
