"""How are expressions built, read and renamed?  Builders fold constants and drop neutral elements."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from hpcfit.biophys.codegen.ir import Assign, Binary, Call, Expression, If, Name, Number, Statement, Unary

ZERO, ONE = Number(0.0), Number(1.0)


def add(left: Expression, right: Expression) -> Expression:
    if left == ZERO:
        return right
    if right == ZERO:
        return left
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(left.value + right.value)
    if isinstance(right, Unary) and right.operator == "-":
        return Binary("-", left, right.operand)
    return Binary("+", left, right)


def subtract(left: Expression, right: Expression) -> Expression:
    if right == ZERO:
        return left
    if left == ZERO:
        return negate(right)
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(left.value - right.value)
    if isinstance(right, Unary) and right.operator == "-":
        return Binary("+", left, right.operand)
    return Binary("-", left, right)


def multiply(left: Expression, right: Expression) -> Expression:
    if ZERO in (left, right):
        return ZERO
    if left == ONE:
        return right
    if right == ONE:
        return left
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(left.value * right.value)
    for one, other in ((left, right), (right, left)):
        if one == Number(-1.0):
            return negate(other)
    return Binary("*", left, right)


def divide(left: Expression, right: Expression) -> Expression:
    if left == ZERO and right != ZERO:
        return ZERO
    if right == ONE:
        return left
    if right == Number(-1.0):
        return negate(left)
    if isinstance(left, Number) and isinstance(right, Number) and right.value != 0.0:
        return Number(left.value / right.value)
    return Binary("/", left, right)


def negate(operand: Expression) -> Expression:
    if isinstance(operand, Number):
        return Number(-operand.value)
    if isinstance(operand, Unary) and operand.operator == "-":
        return operand.operand
    return Unary("-", operand)


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The operands or arguments of an expression."""
    match expression:
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Call(_, arguments):
            return arguments
    return ()


def names_in(expression: Expression) -> set[str]:
    """All variables that an expression reads."""
    if isinstance(expression, Name):
        return {expression.name}
    return set().union(*(names_in(part) for part in parts(expression)))


def mapped(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The expression with `change` applied to each node, leaves first."""
    match expression:
        case Unary(operator, operand):
            expression = Unary(operator, mapped(operand, change))
        case Binary(operator, left, right):
            expression = Binary(operator, mapped(left, change), mapped(right, change))
        case Call(function, arguments):
            expression = Call(function, tuple(mapped(a, change) for a in arguments))
    return change(expression)


def substitute(expression: Expression, values: Mapping[str, Expression]) -> Expression:
    """The expression with variables replaced."""
    return mapped(expression, lambda e: values.get(e.name, e) if isinstance(e, Name) else e)


def renamed(statements: Iterable[Statement], names: Mapping[str, str]) -> tuple[Statement, ...]:
    """The statements with variables renamed, those assigned and those read."""
    values = {old: Name(new) for old, new in names.items()}
    done: list[Statement] = []
    for statement in statements:
        if isinstance(statement, Assign):
            target = names.get(statement.target, statement.target)
            done.append(Assign(target, substitute(statement.value, values)))
        else:
            test = substitute(statement.test, values)
            done.append(If(test, renamed(statement.then, names), renamed(statement.otherwise, names)))
    return tuple(done)


def assigned_in(statements: Iterable[Statement]) -> set[str]:
    """All variables that statements may assign."""
    return {statement.target for statement in assignments(statements)}


def assignments(statements: Iterable[Statement]) -> Iterator[Assign]:
    """All assignments, those inside branches too."""
    for statement in statements:
        if isinstance(statement, Assign):
            yield statement
        else:
            yield from assignments(statement.then)
            yield from assignments(statement.otherwise)


def read_before_set(statements: Iterable[Statement]) -> set[str]:
    """Variables whose value from before the statements matters."""
    return _flow(statements, set())[0]


def _flow(statements: Iterable[Statement], known: set[str]) -> tuple[set[str], set[str]]:
    """Variables read before they are set, and those set on every way through."""
    needed: set[str] = set()
    known = set(known)
    for statement in statements:
        if isinstance(statement, Assign):
            needed |= names_in(statement.value) - known
            known.add(statement.target)
        else:
            needed |= names_in(statement.test) - known
            one, then = _flow(statement.then, known)
            other, otherwise = _flow(statement.otherwise, known)
            needed |= one | other
            known = then & otherwise
    return needed, known


def depends_on(statements: Iterable[Statement], sources: Iterable[str]) -> set[str]:
    """Variables that may hold something made from the sources, through values or through the tests of branches."""
    touched = set(sources)
    return _spread(tuple(statements), touched, controlled=False)


def _spread(statements: tuple[Statement, ...], touched: set[str], controlled: bool) -> set[str]:
    for statement in statements:
        if isinstance(statement, Assign):
            if controlled or names_in(statement.value) & touched:
                touched = touched | {statement.target}
            else:
                touched = touched - {statement.target}
        else:
            under = controlled or bool(names_in(statement.test) & touched)
            touched = _spread(statement.then, touched, under) | _spread(statement.otherwise, touched, under)
    return touched
