"""Is a current linear in the membrane potential, and what is its conductance?"""

from collections.abc import Callable, Iterable

from hpcfit.biophys.codegen.algebra import ZERO, assigned_in, assignments, depends_on, names_in
from hpcfit.biophys.codegen.ir import Assign, Expression, Name, Statement
from hpcfit.biophys.engines.nmodl.differentiate import NotDifferentiable, differentiate


def conductances(
    statements: tuple[Statement, ...], currents: Iterable[str], fresh: Callable[[str], str]
) -> tuple[tuple[Statement, ...], dict[str, Expression | None]]:
    """The statements of BREAKPOINT, with what the conductances need, and di/dv of each current.

    di/dv is None where it depends on v: not then a number that one may use instead of NEURON's difference quotient.
    """
    try:
        done, tangents = differentiate(statements, ["v"], fresh)
    except NotDifferentiable:
        return statements, dict.fromkeys(currents)
    touched = depends_on(done, ["v"])
    own = assigned_in(done) - assigned_in(statements)
    found: dict[str, Expression | None] = {}
    for current in currents:
        slope = tangents.get(current, {}).get("v", ZERO)
        found[current] = None if names_in(slope) & touched else _inlined(slope, done, own)
    return done, found


def _inlined(slope: Expression, statements: tuple[Statement, ...], own: set[str]) -> Expression:
    """The expression behind a tangent's name (one of `own`), where it can as well be evaluated after the statements."""
    if not isinstance(slope, Name) or slope.name not in own:
        return slope
    if sum(s.target == slope.name for s in assignments(statements)) != 1:
        return slope
    for place, statement in enumerate(statements):
        if isinstance(statement, Assign) and statement.target == slope.name:
            later = assigned_in(statements[place + 1 :])
            return slope if names_in(statement.value) & later else _inlined(statement.value, statements, own)
    return slope
