"""The TABLEs of a mechanism in generated code: their values, computed once when a kernel is made."""

from collections.abc import Iterator, Mapping

import numpy as np

from hpcfit.biophys.codegen.algebra import assigned_in, read_before_set
from hpcfit.biophys.codegen.interpret import Lookup, evaluate, run
from hpcfit.biophys.codegen.ir import Mechanism, Table
from hpcfit.biophys.codegen.optimise import needed
from hpcfit.biophys.codegen.plan import Plan, fixed_values
from hpcfit.errors import MechanismError


def lookups(mechanism: Mechanism, values: Mapping[str, float]) -> dict[str, Lookup]:
    """The tables of a mechanism.

    values: what its statements can read that is the same for all individuals, nodes and times.

    Raises
    ------
    MechanismError
        When a table is made from anything else: NEURON's own would then hold what one instance had at some moment.
    """
    done: dict[str, Lookup] = {}
    for name, table in mechanism.tables.items():
        done[name] = _lookup(mechanism, table, {**values, **done})
    return done


def _lookup(mechanism: Mechanism, table: Table, values: Mapping[str, object]) -> Lookup:
    statements = needed(table.statements, [table.output])
    moving = {*mechanism.states, *assigned_in((*mechanism.initial, *mechanism.advance, *mechanism.current))}
    unknown = read_before_set(statements) - {table.argument}
    unknown = {name for name in unknown if name not in values or name in moving} - {table.output}
    if unknown:
        raise MechanismError(
            f"{mechanism.source}, line {table.line}: TABLE is made from {sorted(unknown)[0]}, which is not the same "
            "for all individuals, places and times; set engine.tables = 'ignore'"
        )
    low, high = (float(evaluate(edge, dict(values))) for edge in (table.low, table.high))
    step = (high - low) / table.count
    # nocmodl adds up the steps; an inexact step must give the same points.
    points = np.concatenate([[low], np.full(table.count, step)]).cumsum()
    variables = {**values, table.argument: points}
    run(statements, variables)
    return Lookup(low, 1.0 / step, np.broadcast_to(np.asarray(variables[table.output], dtype=float), points.shape))


def table_names(mechanism: Mechanism) -> dict[str, str]:
    """What the tables of a mechanism are called in generated code."""
    return {name: f"{name}_of_{mechanism.name}" for name in mechanism.tables}


def tables_cpp(plan: Plan, mechanism: Mechanism, dt_ms: float) -> Iterator[str]:
    """The tables of a mechanism as functions of lanes."""
    if not mechanism.tables:
        return
    names = table_names(mechanism)
    for name, lookup in lookups(mechanism, fixed_values(plan, mechanism, dt_ms)).items():
        numbers = ", ".join(repr(value) for value in lookup.values.tolist())
        yield f"FIXED R values_{names[name]}[] = {{{numbers}}};"
        yield f"template <class X> INLINE X {names[name]}(X x) {{"
        yield f"    return looked_up(values_{names[name]}, {len(lookup.values) - 1}, R({lookup.low!r}), "
        yield f"        R({lookup.per_unit!r}), x);"
        yield "}"
