"""How does a .mod file become a Mechanism?

NMODL: Hines and Carnevale 2000, Neural Computation 12:995.  The file is parsed here and not by NEURON's own compiler,
whose Python interface keeps no line numbers; what the statements mean follows nocmodl, which compiles for NEURON.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from hpcfit.biophys.codegen.algebra import assigned_in, names_in, read_before_set, renamed
from hpcfit.biophys.codegen.ir import Assign, Current, Expression, Ion, Mechanism, Name, Number, Statement
from hpcfit.biophys.codegen.optimise import folded, needed, propagated
from hpcfit.biophys.engines.nmodl.conductance import conductances
from hpcfit.biophys.engines.nmodl.parser import parse
from hpcfit.biophys.engines.nmodl.receive import received
from hpcfit.biophys.engines.nmodl.shared import check_globals
from hpcfit.biophys.engines.nmodl.solve import solved
from hpcfit.biophys.engines.nmodl.syntax import File, Solve, array_of
from hpcfit.biophys.engines.nmodl.tables import needed_tables
from hpcfit.biophys.engines.nmodl.tokens import refuse
from hpcfit.biophys.engines.nmodl.translate import SPECIAL, Translator

Statements = tuple[Statement, ...]


@dataclass(frozen=True)
class Entries:
    """What NEURON calls of a mechanism: nrn_init, nrn_cur, nrn_state, net_init, net_receive."""

    initial: Statements
    current: Statements
    advance: Statements
    receive_initial: Statements = ()
    receive: Statements = ()

    def all(self) -> tuple[Statements, ...]:
        return self.initial, self.current, self.advance, self.receive_initial, self.receive


def read_mechanism(path: Path, order: int = 1, tables: bool = False) -> Mechanism:
    """The mechanism that a .mod file describes, its calls inlined and its equations solved.

    order: of the step in time, 1 or 2, that `advance` is meant for; what cnexp solves is the same in both.
    tables: honour TABLE, as NEURON does; else what it tabulates is computed exactly.

    Raises
    ------
    InputError
        When the file cannot be read.
    MechanismError
        At what is no NMODL or is not translated: file, line, what it is and what to do.
    """
    path = Path(path)
    file = parse(path)
    to = Translator(file, path, order, tables)
    names = _ion_names(file, path)
    current_names = _current_names(file)
    entries, net = _entries(file, to, bool(current_names)), received(file, to)
    entries = replace(entries, receive_initial=net.initial, receive=net.statements)
    entries, copies = _with_own_copies(entries, file, names, to)
    current, slopes = conductances(entries.current, current_names, to.fresh)
    entries = replace(entries, current=current)
    entries = _trimmed(
        entries, file, names, slopes, (*net.arguments, *(n for s in net.sends for n in (s.delay, s.flag)))
    )
    mechanism = replace(
        _mechanism(file, entries, names, slopes, path),
        arguments=net.arguments,
        receive=entries.receive,
        receive_initial=entries.receive_initial,
        sends=net.sends,
        tables=needed_tables(to.tables or {}, entries.all()),
    )
    check_globals(file, mechanism, copies, path)
    return mechanism


def _ion_names(file: File, path: Path) -> set[str]:
    """All ion variables that the mechanism uses."""
    found: set[str] = set()
    for ion in file.ions:
        known = {f"e{ion.name}", f"i{ion.name}", f"{ion.name}i", f"{ion.name}o"}
        if f"e{ion.name}" in ion.writes:
            what = f"WRITE e{ion.name}: a reversal potential that a mechanism writes is not translated; "
            cure = f"let Nernst's equation follow the concentrations, or set e{ion.name} as a parameter"
            refuse(path, ion.line, what + cure)
        used = {*ion.reads, *ion.writes}
        if used - known:
            what = ", ".join(sorted(used - known))
            refuse(path, ion.line, f"USEION {ion.name} has no {what}; it has {', '.join(sorted(known))}")
        found |= used
    return found


def _current_names(file: File) -> dict[str, str | None]:
    """Each membrane current and its ion."""
    names: dict[str, str | None] = {f"i{ion.name}": ion.name for ion in file.ions if f"i{ion.name}" in ion.writes}
    return names | dict.fromkeys([*file.nonspecific, *file.electrode])


# -- entries ----------------------------------------------------------------------------------------------------------


def _entries(file: File, to: Translator, has_current: bool) -> Entries:
    def solve(node: Solve) -> Statements:
        if node.block not in file.blocks:
            refuse(to.path, node.line, f"SOLVE {node.block}: there is no such block; mend its name")
        return solved(node, file.blocks[node.block], to)

    to.solver = solve
    to.sends = [] if "NET_RECEIVE" in file.blocks else None
    starts = tuple(Assign(s, _start(s, file)) for s in file.states if s not in _written(file))
    initial = (*starts, *to.body(file.blocks["INITIAL"].body)) if "INITIAL" in file.blocks else starts
    sends, to.sends = to.sends, None
    nodes = file.blocks["BREAKPOINT"].body if "BREAKPOINT" in file.blocks else ()
    advance = tuple(s for node in nodes if isinstance(node, Solve) for s in solve(node))
    to.solver = None
    current = to.body(node for node in nodes if not isinstance(node, Solve))
    to.sends = sends
    if not has_current:
        # NEURON carries the rest of BREAKPOINT out after SOLVE where there is no current to compute.
        advance, current = (*advance, *current), ()
    return Entries(*(_own_names(entry, to) for entry in (initial, current, advance)))


def _written(file: File) -> set[str]:
    return {name for ion in file.ions for name in (*ion.reads, *ion.writes)}


def _start(state: str, file: File) -> Expression:
    """<state>0, which may be a PARAMETER, else START's number."""
    given = f"{array_of(state, file)}0"
    return Name(given) if given in file.parameters else Number(file.states[state])


def _own_names(entry: Statements, to: Translator) -> Statements:
    """Derivatives get proper names; v and an ion's variable that is only READ, if assigned, become copies.

    NEURON forgets such a change after the entry.
    """
    targets = assigned_in(entry)
    names = {name: to.fresh(f"rate_{name[:-1]}") for name in targets if name.endswith("'")}
    read_only = {"v", *(name for ion in to.file.ions for name in set(ion.reads) - set(ion.writes))}
    copies = {name: to.fresh(f"{name}_copy") for name in sorted(read_only & targets)}
    starts = tuple(Assign(copy, Name(name)) for name, copy in copies.items())
    return (*starts, *renamed(entry, names | copies))


def _with_own_copies(
    entries: Entries, file: File, ion_names: set[str], to: Translator
) -> tuple[Entries, dict[str, str]]:
    """Entries in which a PARAMETER that is assigned has a copy, which INITIAL sets: its own value stays as given.

    With them the PARAMETER that each copy stands for.
    """
    written = set().union(*(assigned_in(entry) for entry in entries.all()))
    not_ours = ion_names | set(file.states) | set(SPECIAL) | {*file.nonspecific, *file.electrode}
    changed = sorted((written & set(file.parameters)) - not_ours)
    copies = {name: to.fresh(f"{name}_now") for name in changed}
    file.assigned.update({copy: file.parameters[name] for name, copy in copies.items()})
    initial, *others = (renamed(entry, copies) for entry in entries.all())
    starts = tuple(Assign(copy, Name(name)) for name, copy in copies.items())
    return Entries((*starts, *initial), *others), {copy: name for name, copy in copies.items()}


def _trimmed(
    entries: Entries, file: File, ion_names: set[str], slopes: dict[str, Expression | None], net: tuple[str, ...]
) -> Entries:
    """The entries without what nobody needs: variables that only a recording of them would read."""
    lasting = {*file.states, *file.assigned, *file.parameters, *net}
    outputs = {*net, *file.states, *(w for ion in file.ions for w in ion.writes), *slopes}
    extra = {n for e in slopes.values() if e is not None for n in names_in(e)}
    while True:
        before = entries
        read = set().union(*(read_before_set(e) for e in entries.all())) & lasting
        keep = outputs | read
        trimmed = []
        for place, entry in enumerate(entries.all()):
            local = assigned_in(entry) - lasting - ion_names - outputs
            wanted = keep | extra if place == 1 else keep
            trimmed.append(needed(propagated(folded(entry), local - extra), wanted))
        entries = Entries(*trimmed)
        if entries == before:
            return entries


# -- the whole --------------------------------------------------------------------------------------------------------


def _mechanism(
    file: File, entries: Entries, ion_names: set[str], slopes: dict[str, Expression | None], path: Path
) -> Mechanism:
    written = set().union(*(assigned_in(e) for e in entries.all()))
    read = set().union(*(read_before_set(e) for e in entries.all()))
    foreign = ion_names | set(SPECIAL)
    own = {n: v for n, v in file.parameters.items() if n not in foreign and n not in file.states}
    # A variable that nobody assigns is one that a user may set, and zero until then.
    unset = {n: 0.0 for n in file.assigned if n in read - written - foreign}
    if filled := [n for n in unset if array_of(n, file) != n]:
        name = array_of(filled[0], file)
        refuse(
            path, file.lines[name], f"{name}: an array that only a script fills is not known here; set it in INITIAL"
        )
    per_instance = {n for n in {**own, **unset} if n in file.ranges or n in written}
    # An ion's variable that is written but not READ is, within the mechanism, its own: it keeps what was written.
    shared = {n for ion in file.ions for n in ion.reads} | set(SPECIAL)
    assigned = {n for n in file.assigned if n in (read & written) - shared} | (set(own) & written)
    states = tuple(s for s in file.states if s not in ion_names)
    plain = {n: v for n, v in {**own, **unset}.items() if n not in per_instance}
    settable = [n for n in plain if n in own or n in file.globals_]
    starts = {s: own.get(f"{array_of(s, file)}0", file.states[s]) for s in states}
    ion_of = _current_names(file)
    return Mechanism(
        name=file.name,
        kind=file.kind,  # type: ignore[arg-type]
        parameters={n: v for n, v in {**own, **unset}.items() if n in per_instance},
        constants={**file.constants, **plain},
        globals_=tuple(sorted(settable)),
        states=states,
        assigned=tuple(sorted(assigned)),
        ions=tuple(Ion(i.name, i.reads, i.writes, i.valence) for i in file.ions),
        currents=tuple(Current(n, ion_of[n], slopes[n], n in file.electrode) for n in ion_of),
        initial=entries.initial,
        current=entries.current,
        advance=entries.advance,
        state_initials=starts,
        source=str(path),
    )
