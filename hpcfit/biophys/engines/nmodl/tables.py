"""How is a TABLE honoured?  A call of its PROCEDURE or FUNCTION becomes lookups, one for each name in the table."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hpcfit.biophys.codegen.algebra import assignments, mapped
from hpcfit.biophys.codegen.ir import Assign, Call, Expression, If, Name, Number, Statement, Table
from hpcfit.biophys.engines.nmodl.syntax import Block, Tabled

if TYPE_CHECKING:
    from hpcfit.biophys.engines.nmodl.translate import Scope, Translator


def tabled(to: "Translator", block: Block, table: Tabled, scope: "Scope") -> list[Statement]:
    """What a call computes where its table is used.  scope: the arguments and the value by their names in the block."""
    assert to.tables is not None
    to.line = table.line
    if len(block.arguments) != 1:
        to.refuse(f"TABLE in {block.name}, which has {len(block.arguments)} arguments; a table has one")
    for outer in (to.file.blocks[name] for name in to.calls[:-1]):
        if outer.line < block.line and any(isinstance(node, Tabled) for node in outer.body):
            to.refuse(
                f"TABLE in {block.name} is used by the TABLE in {outer.name}, which NEURON fills earlier; define "
                f"{block.name} before {outer.name}, or set engine.tables = 'ignore'"
            )
    argument = scope[block.arguments[0]]
    outputs = table.names or (block.name,)
    count = to.expression(table.count, {}, [])
    if not isinstance(count, Number) or count.value < 1:
        to.refuse("TABLE ... WITH needs a number of intervals; write it as a number")
        raise AssertionError
    low, high = (to.expression(edge, {}, []) for edge in (table.low, table.high))
    statements = to.body((node for node in block.body if not isinstance(node, Tabled)), scope)
    found: list[Statement] = []
    for output in outputs:
        name = f"table_{block.name}_{output}"
        given = scope.get(output, output)
        known = Table(argument, given, statements, low, high, int(count.value), table.line)
        to.tables.setdefault(name, known)
        found.append(Assign(given, Call(name, (Name(argument),))))
    return found


def needed_tables(tables: Mapping[str, Table], entries: Iterable[tuple[Statement, ...]]) -> dict[str, Table]:
    """The tables that statements look up, and those that these are made from, which come first."""
    called = {name for entry in entries for name in _called(entry)}
    while more := {n for name in called & set(tables) for n in _called(tables[name].statements)} - called:
        called |= more
    return {name: table for name, table in tables.items() if name in called}


def _called(statements: tuple[Statement, ...]) -> set[str]:
    found: set[str] = set()

    def note(e: Expression) -> Expression:
        if isinstance(e, Call):
            found.add(e.function)
        return e

    for one in assignments(statements):
        mapped(one.value, note)
    for test in _tests(statements):
        mapped(test, note)
    return found


def _tests(statements: Iterable[Statement]) -> Iterable[Expression]:
    for statement in statements:
        if isinstance(statement, If):
            yield statement.test
            yield from _tests((*statement.then, *statement.otherwise))
