"""How do the statements of one entry (INITIAL, BREAKPOINT, a solved block) become the intermediate form?

PROCEDUREs and FUNCTIONs are inlined wherever they are called, and each LOCAL gets a name of its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hpcfit.biophys.codegen.algebra import ZERO, assigned_in, depends_on, names_in
from hpcfit.biophys.codegen.ir import Assign, Binary, Call, Expression, If, Name, Number, Send, Statement, Table, Unary
from hpcfit.biophys.codegen.optimise import folded
from hpcfit.biophys.engines.nmodl.syntax import (
    Block,
    Branch,
    Compartment,
    Conserve,
    Equation,
    File,
    Invoke,
    Local,
    Loop,
    Node,
    Reaction,
    Refused,
    Set,
    Solve,
    Start,
    Tabled,
    element,
)
from hpcfit.biophys.engines.nmodl.tables import tabled
from hpcfit.biophys.engines.nmodl.tokens import refuse

# Names by which mechanisms call the mathematical library, and the ones used here.
_PLAIN = ["exp", "log", "log10", "sqrt", "fabs", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"]
_PLAIN += ["floor", "ceil", "pow", "atan2", "fmod", "erf"]
_LIBRARY = {**{name: name for name in _PLAIN}, "abs": "fabs"}
_SILENT = {"printf", "fprintf", "at_time", "prterr"}
"""Calls without effect on a simulation with a fixed step."""
SPECIAL = ("v", "dt", "t", "celsius", "area", "diam")
_MOST_TURNS = 200
Scope = dict[str, str]
_NO_SCOPE: Scope = {}


_EARLY_MS = Number(1e-11)


def _at_time(when: Expression) -> Expression:
    """Is this step the first that reaches a time?  With NEURON's allowance for rounding (at_time in fadvance.cpp)."""
    reached = Binary("-", when, _EARLY_MS)
    before = Binary("-", Name("t"), Name("dt"))
    return Binary("&&", Binary("<=", reached, Name("t")), Binary(">", reached, before))


@dataclass
class Kinetics:
    """What a KINETIC or LINEAR block says besides its fluxes."""

    volumes: dict[str, Expression] = field(default_factory=dict)
    conserved: list[tuple[tuple[tuple[int, str], ...], Expression]] = field(default_factory=list)
    rates: set[str] = field(default_factory=set)
    """What the rates of reactions are called: NEURON's Jacobian takes them for constants, also if they are not."""
    residuals: list[str] = field(default_factory=list)
    """Of each equation of a LINEAR block, its left side less its right one."""


class Translator:
    """Translates entries of one file; remembers the names it has given, so that none is given twice."""

    def __init__(self, file: File, path: Path, order: int, tables: bool = False) -> None:
        """tables: are TABLE statements honoured?  If not, functions are evaluated exactly (NEURON's usetable = 0)."""
        self.file, self.path, self.order = file, path, order
        self.tables: dict[str, Table] | None = {} if tables else None
        self.known = {*file.parameters, *file.constants, *file.states, *file.assigned, *SPECIAL}
        self.known |= {n for ion in file.ions for n in (*ion.reads, *ion.writes)}
        self.known |= {*file.nonspecific, *file.electrode}
        self.taken = {*self.known, *(ion.name for ion in file.ions), *_LIBRARY}
        self.calls: list[str] = []
        self.line = 1
        self.counters: dict[str, float] = {}
        """What the counters of the loops that are being unrolled stand for."""
        self.nonlinear: set[str] = set()
        """States in whose equations a function of the state is called."""
        self.kinetics = Kinetics()
        self.sends: list[Send] | None = None
        """The net_send calls found so far; None where none may stand."""
        self.solver: Callable[[Solve], tuple[Statement, ...]] | None = None
        """What a SOLVE in the entry becomes; None where it may not stand."""

    def refuse(self, what: str) -> None:
        refuse(self.path, self.line, what)

    def fresh(self, name: str) -> str:
        """A name that nothing else has."""
        number, chosen = 0, name
        while chosen in self.taken:
            number += 1
            chosen = f"{name}_{number}"
        self.taken.add(chosen)
        return chosen

    # -- statements ---------------------------------------------------------------------------------------------------

    def body(self, nodes: Iterable[Node], scope: Scope = _NO_SCOPE) -> tuple[Statement, ...]:
        """The statements of a block; `scope` maps names as written to names as given."""
        scope, out = dict(scope), []
        for node in nodes:
            self.line = node.line
            self._statement(node, scope, out)
        return tuple(out)

    def _statement(self, node: Node, scope: Scope, out: list[Statement]) -> None:
        match node:
            case Set(_, target, value, index):
                self._set(target if index is None else self._element(target, index, scope), value, scope, out)
            case Local(_, names, sizes):
                scope.update({name: self.fresh(name) for name in names})
                scope.update(
                    {n: self.fresh(n) for array, size in sizes for n in map(partial(element, array), range(size))}
                )
            case Loop():
                self._loop(node, scope, out)
            case Branch(_, Call("always"), then):
                out.extend(self.body(then, scope))
            case Branch(_, test, then, otherwise):
                condition = self.expression(test, scope, out)
                out.append(If(condition, self.body(then, scope), self.body(otherwise, scope)))
            case Invoke(_, call):
                self._invoke(call, scope, out)
            case Refused(_, what):
                self.refuse(what)
            case Tabled():
                pass  # where tables are honoured, _inline has seen to it
            case Start():
                self.refuse("INITIAL stands inside another block; only NET_RECEIVE may hold one")
            case Solve() if self.solver:
                out.extend(self.solver(node))
            case Solve():
                self.refuse("SOLVE inside a branch or a procedure is not translated; write it straight into BREAKPOINT")
            case Reaction():
                self._reaction(node, scope, out)
            case Equation(_, left, right):
                residual = self.fresh("residual")
                self.kinetics.residuals.append(residual)
                value = Binary("-", self.expression(left, scope, out), self.expression(right, scope, out))
                out.append(Assign(residual, value))
            case Compartment():
                self._compartment(node, scope, out)
            case Conserve(_, terms, total):
                named = tuple((count, self._species(species, scope)) for count, species in terms)
                self.kinetics.conserved.append((named, self.expression(total, scope, out)))

    def _set(self, target: str, value: Expression, scope: Scope, out: list[Statement]) -> None:
        before = len(out)
        translated = self.expression(value, scope, out)
        if target.endswith("'"):
            state = target[:-1]
            if state not in self.file.states:
                self.refuse(f"{target} is assigned, but {state} is no STATE; declare it")
            touched = depends_on(out[before:], [state])
            if touched & names_in(translated) - {state}:
                self.nonlinear.add(state)
            out.append(Assign(target, translated))
            return
        name = self._name(target, scope)
        if name in SPECIAL and name != "v":
            self.refuse(f"{name} is assigned, but it is not the mechanism's; use a variable of its own")
        if name in self.file.constants:
            self.refuse(f"{name} is assigned, but it is a constant; make it ASSIGNED")
        out.append(Assign(name, translated))

    # -- arrays and loops ---------------------------------------------------------------------------------------------

    def _loop(self, node: Loop, scope: Scope, out: list[Statement]) -> None:
        """Its body, once for each turn."""
        first, last, step = (
            self._whole(e, scope, "the ends of a FROM loop") for e in (node.first, node.last, node.step)
        )
        if step == 0 or (last - first) // step >= _MOST_TURNS:
            self.refuse(f"a FROM loop of more than {_MOST_TURNS} turns is not unrolled; write it as a formula")
        counter = self.fresh(node.counter)
        for turn in range(first, last + (1 if step > 0 else -1), step):
            self.counters[counter] = float(turn)
            out.extend(self.body(node.body, {**scope, node.counter: counter}))

    def _whole(self, e: Expression, scope: Scope, what: str) -> int:
        """The value of an expression that must be known before the simulation."""
        before: list[Statement] = []
        (statement,) = folded([Assign("value", self.expression(e, scope, before))])
        value = statement.value if isinstance(statement, Assign) else None
        if before or not isinstance(value, Number) or value.value != int(value.value):
            self.refuse(f"{what} must be whole numbers known beforehand; use numbers, DEFINE or a FROM loop's counter")
        assert isinstance(value, Number)
        return int(value.value)

    def _element(self, array: str, index: Expression, scope: Scope) -> str:
        """The variable, as written, of an element."""
        place = self._whole(index, scope, f"the index of {array}")
        name = element(array, place)
        declared = name.rstrip("'")
        if declared not in scope and declared not in self.known:
            plain = array.rstrip("'")
            size = self.file.arrays.get(plain)
            what = f"{plain}[{place}] is beyond its {size} elements" if size else f"{plain} is not declared as an array"
            self.refuse(f"{what}; mend its declaration or the index")
        return name

    def _species(self, e: Expression, scope: Scope) -> str:
        match e:
            case Call(_, (Name(array), index)):
                return self._name(self._element(array, index, scope), scope)
            case Name(name):
                return self._name(name, scope)
        raise AssertionError

    def _compartment(self, node: Compartment, scope: Scope, out: list[Statement]) -> None:
        counter = self.fresh(node.counter) if node.counter else ""
        for name in node.species:
            size = self.file.arrays.get(name)
            for index in range(size or 1):
                if counter:
                    self.counters[counter] = float(index)
                inner = {**scope, node.counter: counter} if counter else scope
                volume = self.expression(node.volume, inner, out)
                self.kinetics.volumes[element(name, index) if size else name] = volume

    # -- names and calls ----------------------------------------------------------------------------------------------

    def _name(self, name: str, scope: Scope) -> str:
        if name in scope:
            return scope[name]
        if name in self.known or name.endswith("'"):
            return name
        if name in self.file.defines:
            return name
        self.refuse(f"{name} is not declared; declare it in ASSIGNED, PARAMETER or LOCAL")
        raise AssertionError

    def _invoke(self, call: Call, scope: Scope, out: list[Statement]) -> None:
        if call.function in self.file.blocks:
            self._inline(call, scope, out)
        elif self.sends is not None and call.function in ("net_send", "state_discontinuity"):
            self._event(call, scope, out)
        elif call.function not in _SILENT and not (self.sends is not None and call.function == "net_event"):
            # net_event: nobody listens to a point process here
            self.refuse(self._unknown(call.function))

    def _event(self, call: Call, scope: Scope, out: list[Statement]) -> None:
        assert self.sends is not None
        if len(call.arguments) != 2:
            self.refuse(f"{call.function} takes 2 arguments, not {len(call.arguments)}; mend the call")
        one, other = call.arguments
        if call.function == "state_discontinuity":
            if not isinstance(one, Name):
                refuse(self.path, self.line, "state_discontinuity needs a STATE as its first argument; mend the call")
            self._set(one.name, other, scope, out)
            return
        send = Send(self.fresh("net_send_delay"), self.fresh("net_send_flag"), self.line)
        self.sends.append(send)
        out.append(Assign(send.delay, self.expression(one, scope, out)))
        out.append(Assign(send.flag, self.expression(other, scope, out)))

    def _unknown(self, function: str) -> str:
        if function in ("net_send", "net_event", "net_move", "state_discontinuity"):
            where = "; only net_send in INITIAL or NET_RECEIVE of a POINT_PROCESS is" if function == "net_send" else ""
            return f"{function} is not translated{where}; remove it"
        return f"function {function} is not known here; define it as a FUNCTION or PROCEDURE in this file"

    # -- expressions --------------------------------------------------------------------------------------------------

    def expression(self, e: Expression, scope: Scope, out: list[Statement]) -> Expression:
        """The expression with names resolved; what its calls compute is put before it, into `out`."""
        match e:
            case Name(name):
                given = self._name(name, scope)
                if given in self.counters:
                    return Number(self.counters[given])
                return Number(self.file.defines[given]) if given in self.file.defines else Name(given)
            case Unary(operator, operand):
                return Unary(operator, self.expression(operand, scope, out))
            case Binary(operator, left, right):
                return Binary(operator, self.expression(left, scope, out), self.expression(right, scope, out))
            case Call("[]", (Name(array), index)):
                return self.expression(Name(self._element(array, index, scope)), scope, out)
            case Call(function, arguments):
                if function in self.file.blocks:
                    return self._inline(e, scope, out)
                if function == "at_time" and len(arguments) == 1:
                    return _at_time(self.expression(arguments[0], scope, out))
                if function not in _LIBRARY:
                    self.refuse(self._unknown(function))
                given_arguments = tuple(self.expression(a, scope, out) for a in arguments)
                if function == "pow" and len(given_arguments) == 2:
                    return Binary("^", *given_arguments)
                return Call(_LIBRARY[function], given_arguments)
        return e

    def _inline(self, call: Call, scope: Scope, out: list[Statement]) -> Expression:
        block, line = self.file.blocks[call.function], self.line
        if block.name in self.calls:
            self.refuse(f"{block.name} calls itself, which is not translated; write it as a formula")
        if len(call.arguments) != len(block.arguments):
            given, due = len(call.arguments), len(block.arguments)
            self.refuse(f"{block.name} takes {due} arguments, not {given}; mend the call")
        inner: Scope = {}
        for name, argument in zip(block.arguments, call.arguments, strict=True):
            inner[name] = self.fresh(name)
            out.append(Assign(inner[name], self.expression(argument, scope, out)))
        if block.kind == "FUNCTION":
            inner[block.name] = self.fresh(block.name + "_value")
            out.append(Assign(inner[block.name], ZERO))
        self.calls.append(block.name)
        table = next((node for node in block.body if isinstance(node, Tabled)), None)
        if table is None or self.tables is None:
            out.extend(self.body(block.body, inner))
        else:
            out.extend(tabled(self, block, table, inner))
        self.calls.pop()
        self.line = line
        return Name(inner[block.name]) if block.kind == "FUNCTION" else ZERO

    # -- reactions ----------------------------------------------------------------------------------------------------

    def _reaction(self, node: Reaction, scope: Scope, out: list[Statement]) -> None:
        """Add a reaction's fluxes to the derivatives of its species; f_flux and b_flux stay readable after it."""
        rates: list[Expression] = []
        for rate in node.rates:
            name = self.fresh("rate_constant")
            out.append(Assign(name, self.expression(rate, scope, out)))
            self.kinetics.rates.add(name)
            rates.append(Name(name))
        left, right = (tuple((n, self._species(s, scope)) for n, s in side) for side in (node.left, node.right))
        forward, backward = (scope.setdefault(n, self.fresh(n)) for n in ("f_flux", "b_flux"))
        into = node.arrow == "<<"
        out.append(Assign(forward, ZERO if into else self._product(rates[0], left)))
        if node.arrow == "<->":
            out.append(Assign(backward, self._product(rates[1], right)))
        else:
            out.append(Assign(backward, rates[0] if into else ZERO))
        net = Binary("-", Name(forward), Name(backward))
        for terms, sign in ((left, "-"), (right, "+")):
            for count, species in terms:
                if species in self.file.states:
                    flux = net if count == 1 else Binary("*", Number(float(count)), net)
                    out.append(Assign(species + "'", Binary(sign, Name(species + "'"), flux)))  # type: ignore[arg-type]

    def _product(self, rate: Expression, terms: tuple[tuple[int, str], ...]) -> Expression:
        for count, species in terms:
            for _ in range(count):
                rate = Binary("*", rate, Name(species))
        return rate

    # -- entries ------------------------------------------------------------------------------------------------------

    def solved(self, block: Block) -> tuple[Statement, ...]:
        """The statements of a DERIVATIVE, KINETIC or PROCEDURE block, derivatives assigned as `m'`."""
        self.line, self.nonlinear, self.kinetics = block.line, set(), Kinetics()
        if block.kind != "KINETIC":
            return self.body(block.body)
        # Fluxes are added up from zero, once it is known which species have any.
        scope: Scope = {n: self.fresh(n) for n in ("f_flux", "b_flux")}
        inner = self.body(block.body, scope)
        rates = sorted(n for n in assigned_in(inner) if n.endswith("'"))
        zeros = [Assign(rate, ZERO) for rate in rates]
        volumes = self.kinetics.volumes
        shares = [Assign(r, Binary("/", Name(r), volumes[r[:-1]])) for r in rates if r[:-1] in volumes]
        return (*zeros, *inner, *shares)
