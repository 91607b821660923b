"""Statements of the intermediate form as C++ over lanes.

Every value is a vector of lanes; a branch is taken by all lanes and chosen from afterwards, so no lane waits.
"""

from collections.abc import Iterator, Mapping, Sequence

from hpcfit.biophys.codegen.ir import Assign, Binary, Call, Expression, If, Name, Number, Statement, Unary

_FUNCTIONS = {
    "exp": "exp_",
    "log": "log_",
    "log10": "log10_",
    "sqrt": "sqrt_",
    "fabs": "fabs_",
    "abs": "fabs_",
    "pow": "pow_",
    "sin": "sin_",
    "cos": "cos_",
    "tan": "tan_",
    "tanh": "tanh_",
    "sinh": "sinh_",
    "cosh": "cosh_",
    "floor": "floor_",
    "ceil": "ceil_",
    "asin": "asin_",
    "acos": "acos_",
    "atan": "atan_",
    "atan2": "atan2_",
    "fmod": "fmod_",
    "erf": "erf_",
}
_LOGIC = {"&&": "&", "||": "|"}
_MOST_POWER = 8


def statements_cpp(statements: Sequence[Statement], names: Mapping[str, str], known: set[str]) -> Iterator[str]:
    """Lines of C++.

    names: variable -> C++ expression of it (also an lvalue where it is assigned); a variable that is not in it is
    local and is declared.  known: locals that are declared already; those declared here are added.
    """
    for statement in statements:
        if isinstance(statement, Assign):
            yield _assignment(statement.target, expression_cpp(statement.value, names), names, known)
        else:
            yield from _branch(statement, names, known)


def expression_cpp(expression: Expression, names: Mapping[str, str]) -> str:
    """One expression."""
    match expression:
        case Number(value):
            return f"c({value!r})" if value >= 0 else f"c(R({value!r}))"
        case Name(name):
            return names.get(name, f"l_{name}")
        case Unary("-", operand):
            return f"(-{expression_cpp(operand, names)})"
        case Binary("-", Number(1.0), Call("exp", (argument,))):
            # Exact where the argument is small, as dt / tau is: in single precision 1 - exp(x) keeps few digits.
            return f"(-expm1_({expression_cpp(argument, names)}))"
        case Binary("-", Call("exp", (argument,)), Number(1.0)):
            return f"expm1_({expression_cpp(argument, names)})"
        case Binary("^", base, Number(power)) if power == int(power) and 1 <= power <= _MOST_POWER:
            factor = expression_cpp(base, names)
            return f"({' * '.join([factor] * int(power))})"
        case Binary("^", base, power):
            return f"pow_({expression_cpp(base, names)}, {expression_cpp(power, names)})"
        case Call(function, (argument,)) if function in names:  # a TABLE
            return f"{names[function]}({expression_cpp(argument, names)})"
        case Unary("!") | Binary(operator=("<" | "<=" | ">" | ">=" | "==" | "!=" | "&&" | "||")):
            return f"choose({mask_cpp(expression, names)}, c(1), c(0))"  # C's truth is a number, too
        case Binary(operator, left, right):
            return f"({expression_cpp(left, names)} {operator} {expression_cpp(right, names)})"
        case Call(function, arguments) if function in _FUNCTIONS:
            return f"{_FUNCTIONS[function]}({', '.join(expression_cpp(argument, names) for argument in arguments)})"
    raise AssertionError(f"no C++ for {expression}")


def _assignment(target: str, value: str, names: Mapping[str, str], known: set[str]) -> str:
    if target in names:
        return f"{names[target]} = {value};"
    declare = "" if target in known else "V "
    known.add(target)
    return f"{declare}l_{target} = {value};"


def _branch(statement: If, names: Mapping[str, str], known: set[str]) -> Iterator[str]:
    """Both sides on copies of what they assign, then a choice per lane."""
    targets = list(dict.fromkeys([*_targets(statement.then), *_targets(statement.otherwise)]))
    for target in targets:
        if target not in names and target not in known:
            known.add(target)
            yield f"V l_{target} = c(0);"
    outer = {target: names.get(target, f"l_{target}") for target in targets}
    yield "{"
    yield f"const M test = {mask_cpp(statement.test, names)};"
    for side, body in (("yes", statement.then), ("no", statement.otherwise)):
        # Named after the outer variable, so that those of a branch within a branch differ from it.
        inner = {**names, **{target: f"{side}_{outer[target]}" for target in targets}}
        yield from (f"V {side}_{outer[target]} = {outer[target]};" for target in targets)
        yield "{"
        yield from statements_cpp(body, inner, set(known))
        yield "}"
    yield from (f"{outer[target]} = choose(test, yes_{outer[target]}, no_{outer[target]});" for target in targets)
    yield "}"


def mask_cpp(expression: Expression, names: Mapping[str, str]) -> str:
    """In which lanes is the expression true, that is not 0?"""
    match expression:
        case Unary("!", operand):
            return f"not_({mask_cpp(operand, names)})"
        case Binary(("&&" | "||") as operator, left, right):
            return f"({mask_cpp(left, names)} {_LOGIC[operator]} {mask_cpp(right, names)})"
        case Binary(("<" | "<=" | ">" | ">=" | "==" | "!=") as operator, left, right):
            return f"({expression_cpp(left, names)} {operator} {expression_cpp(right, names)})"
    return f"({expression_cpp(expression, names)} != 0)"


def _targets(statements: Sequence[Statement]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, Assign):
            yield statement.target
        else:
            yield from _targets(statement.then)
            yield from _targets(statement.otherwise)
