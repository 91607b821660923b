"""One C++ translation unit that runs a population of one cell through a stimulus.

Layout [node][variable][lane]: a block of lanes keeps all its states in cache through the whole time loop.  A step is
    currents at v(t) -> elimination towards the root -> substitution towards the leaves -> v(t + dt) -> states,
NEURON's staggered scheme.  States of a step and currents of the next share the pass from the leaves to the root with
the elimination, so that the one's arithmetic hides the other's waiting.  Elimination works on the excess e = d - |b| of
the diagonal over the coupling to the parent: e_p += a e / (e + b) has no difference in it, so single precision loses
nothing where compartments are tightly coupled.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from hpcfit.biophys.codegen.events import event_tables, guard, received_cpp
from hpcfit.biophys.codegen.expression_cpp import expression_cpp, statements_cpp
from hpcfit.biophys.codegen.gates import Gates, GateTable
from hpcfit.biophys.codegen.ir import Current, Mechanism
from hpcfit.biophys.codegen.lookup import table_names, tables_cpp
from hpcfit.biophys.codegen.plan import (
    NodeClass,
    Plan,
    Slot,
    concentrations,
    currents_read,
    follows_nernst,
    kept,
)

_QUOTIENT_MV = 0.001
"""NEURON's step for the conductance of a current that is not linear in v."""
_GAS, _FARADAY, _ZERO_C = 8.31446261815324, 96485.3321233100141, 273.15


def kernel_source(plan: Plan, order: int, dt_ms: float, real: str, lanes: int, gates: Gates | None = None) -> str:
    """The source; includes lanes.hpp and harness.hpp, on a device cuda_check.cu.hpp.

    order: 1 or 2 in time; dt_ms: the step; real: double or float; lanes: individuals in a block, 1 for a device; gates:
    tables of states that are advanced by polynomials.
    """
    parts = [
        f"#define HPCFIT_REAL {real}",
        f"#define HPCFIT_LANES {lanes}",
        f"#define HPCFIT_EDGES_VARY {int(plan.edges_vary)}",
        '#include "lanes.hpp"',
        '#include "pair.hpp"',
        f"constexpr R dt = R({dt_ms!r});",
        f"constexpr double dt_ms = {dt_ms!r};",
        f"constexpr R cj = R({(2.0 if order == 2 else 1.0) / dt_ms!r});",
        f"constexpr int order = {order};",
        *_tables(plan),
        *event_tables(plan),
        *(line for mechanism in plan.mechanisms.values() for line in tables_cpp(plan, mechanism, dt_ms)),
        '#include "block.hpp"',
        *(_gate_tables(plan, gates) if gates else ()),
        *(line for index, group in enumerate(plan.classes) for line in _class_functions(plan, index, group, gates)),
        *_dispatch(plan),
        "#if defined(__CUDACC__)",
        '#include "cuda_check.cu.hpp"',
        "#else",
        '#include "harness.hpp"',
        "#endif",
    ]
    return "\n".join(parts) + "\n"


def _tables(plan: Plan) -> Iterator[str]:
    structure = plan.structure
    area, resistance = structure.area_um2, structure.resistance_MOhm
    parents = np.maximum(structure.parent, 0)
    # Conductance between a node and its parent, per area of the one and of the other: 1 / (MOhm um2) is 100 S/cm2.
    own, parental = 100.0 / (resistance * area), 100.0 / (resistance * area[parents])
    own[structure.parent < 0] = parental[structure.parent < 0] = 0.0
    yield f"constexpr int N = {len(structure.parent)};"
    yield _array("int", "parent", np.where(structure.parent < 0, len(structure.parent) + 1, structure.parent))  # SINK
    yield _array("R", "b_fixed", own)
    yield _array("R", "a_fixed", parental)
    yield _array("R", "cm_fixed", np.where(structure.membrane, 1e-3 * structure.cm_uF_cm2, 0.0))
    for index, group in enumerate(plan.classes):
        yield f"constexpr int n{index} = {len(group.nodes)}, states{index} = {max(1, len(group.states))};"
        yield f"constexpr int lanes{index} = {len(group.lanes)};"
        yield _array("int", f"nodes{index}", group.nodes)
        for number, values in enumerate(group.numbers.values()):
            yield _array("R", f"number{index}_{number}", values)
    shared = sum(len(group.shared) for group in plan.classes)
    yield f"constexpr int CLASSES = {len(plan.classes)}, GLOBALS = {len(plan.lane_globals) + shared};"
    yield _array("int", "class_states", np.array([len(g.nodes) * max(1, len(g.states)) for g in plan.classes]))
    yield _array("int", "class_lanes", np.array([len(g.nodes) * len(g.lanes) for g in plan.classes]))


def _array(kind: str, name: str, values: np.ndarray) -> str:
    numbers = ", ".join(repr(value) for value in values.tolist())
    return f"FIXED {kind} {name}[] = {{{numbers}}};"


def _gate_tables(plan: Plan, gates: Gates) -> Iterator[str]:
    """Coefficients, and for voltages outside of them the mechanism's own statements."""
    yield f"constexpr int SEGMENTS = {gates.grid.segments};"
    yield f"constexpr R gate_per_mV = R({1.0 / gates.grid.width_mV!r});"
    coefficients: list[float] = []
    for name, one in gates.mechanisms.items():
        for state, table in one.tables.items():
            for which, values in _both(table):
                yield f"constexpr int {which}_{name}_{state} = {len(coefficients)};"
                coefficients += values.ravel().tolist()
    yield f"alignas(64) FIXED R gate_tables[] = {{{', '.join(map(repr, coefficients))}}};"
    yield '#include "gates.hpp"'
    for name, mechanism in plan.mechanisms.items():
        if name not in gates.mechanisms:
            continue
        states = {state: f"x_{state}" for state in mechanism.states}
        references = ", ".join(f"V& {variable}" for variable in states.values())
        yield f"static SELDOM void outside_{name}(V v, {references}) {{"
        values = {key: f"c(R({value!r}))" for key, value in gates.mechanisms[name].values.items()}
        yield from statements_cpp(mechanism.advance, {**values, **states, "v": "v"}, set())
        yield "}"
        references = ", ".join(f"V2& {variable}" for variable in states.values())
        yield f"static SELDOM void outside_{name}(V2 v, {references}) {{"
        for half in "ab":
            yield f"outside_{name}(v.{half}, {', '.join(f'{variable}.{half}' for variable in states.values())});"
        yield "}"


def _class_functions(plan: Plan, index: int, group: NodeClass, gates: Gates | None) -> Iterator[str]:
    yield from _function(plan, index, group, "start", _initial(plan, group))
    yield from _function(plan, index, group, "step", _step(plan, group, gates))


def _function(plan: Plan, index: int, group: NodeClass, name: str, body: Iterator[str]) -> Iterator[str]:
    """A function that goes over the nodes of a class, two at a time: load, work, store."""
    yield f"template <bool FIRST, class At> INLINE void {name}{index}_at(Block& block, At at) {{"
    yield "typedef typename At::V V; typedef typename At::M M;"
    yield "V v = at.of(block.v);"
    for number, slot in enumerate(group.states):
        yield f"V {_variable(slot)} = at.state({number});"
    for number, slot in enumerate(group.lanes):
        yield f"const V {_variable(slot)} = at.lane({number});"
    first = len(plan.lane_globals) + sum(len(other.shared) for other in plan.classes[:index])
    for number, slot in enumerate(group.shared, first):
        yield f"const V {_variable(slot)} = load(block.globals + {number} * W);"
    for number, slot in enumerate(group.numbers):
        yield f"const V {_variable(slot)} = at.number(number{index}_{number});"
    for slot, value in group.literals.items():
        yield f"const V {_variable(slot)} = c(R({value!r}));"
    yield from body
    for number, slot in enumerate(group.states):
        yield f"at.keep({number}, {_variable(slot)});"
    yield "}"
    yield f"template <bool FIRST> static NOINLINE void {name}{index}(Block& block, int k, int end) {{"
    yield f"R* s = block.states[{index}] + k * (states{index} * W);"
    yield f"const R* p = block.lanes[{index}] + k * (lanes{index} * W);"
    yield f"constexpr int states = states{index}, lanes = lanes{index}; const int* const nodes = nodes{index};"
    if not any(mechanism.kind == "point_process" for mechanism in group.mechanisms):  # events come to one node
        yield "for (; k + 1 < end; k += 2, s += 2 * states * W, p += 2 * lanes * W)"
        yield f"    {name}{index}_at<FIRST>(block, Two(nodes, k, s, p, states, lanes));"
    yield "for (; k < end; ++k, s += states * W, p += lanes * W)"
    yield f"    {name}{index}_at<FIRST>(block, One(nodes, k, s, p, states, lanes));"
    yield "}"


def _variable(slot: Slot) -> str:
    return f"x_{slot.owner}_{slot.variable}{'_start' * slot.start}"


def _names(plan: Plan, group: NodeClass, mechanism: Mechanism) -> dict[str, str]:
    """What the variables of a mechanism are called in the function of its class."""
    names = table_names(mechanism) | {
        "v": "v",
        "dt": "c(dt)",
        "t": "c(block.t)",
        "celsius": f"c(R({plan.structure.celsius!r}))",
    }
    for name, value in mechanism.constants.items():
        full = f"{name}_{mechanism.suffix}"
        if full in plan.lane_globals:
            names[name] = f"load(block.globals + {plan.lane_globals.index(full)} * W)"
        else:
            names[name] = f"c(R({plan.structure.globals_.get(full, value)!r}))"
    for name, value in mechanism.parameters.items():
        names[name] = f"c(R({value!r}))"
    for slot in (*group.lanes, *group.shared, *group.numbers, *group.literals, *group.states):
        if slot.owner in (mechanism.name, "node") and not slot.start:
            names[slot.variable] = _variable(slot)
    for ion in mechanism.ions:
        for name in {f"e{ion.name}", f"{ion.name}i", f"{ion.name}o"} & {*ion.reads, *ion.writes}:
            names[name] = f"x_ion_{name}"
        if f"i{ion.name}" in ion.writes and f"i{ion.name}" not in kept(mechanism):
            names[f"i{ion.name}"] = f"own_i{ion.name}"
        if f"i{ion.name}" in ion.reads:
            names[f"i{ion.name}"] = f"x_ion_i{ion.name}"
    return names


def _reversals(plan: Plan, group: NodeClass) -> Iterator[str]:
    """Nernst potentials, where they follow concentrations that change."""
    changing = concentrations(group.mechanisms)
    for ion in dict.fromkeys(ion.name for mechanism in group.mechanisms for ion in mechanism.ions):
        follows = follows_nernst(plan.structure, ion, group.nodes)
        if follows and {f"{ion}i", f"{ion}o"} & set(changing):
            charge = plan.structure.ions[ion].charge
            # As NEURON's own nernst(): 0 without a charge, 1e6 mV where there is no concentration.
            factor = 1e3 * _GAS * (plan.structure.celsius + _ZERO_C) / _FARADAY / charge if charge else 0.0
            inside, outside = f"x_ion_{ion}i", f"x_ion_{ion}o"
            value = f"choose({outside} <= 0, V(c(R(-1e6))), R({factor!r}) * log_({outside} / {inside}))"
            value = f"choose({inside} <= 0, V(c(R(1e6))), {value})" if charge else "V(c(0))"
            yield f"const V now_e{ion} = {value};"


def _with_reversals(plan: Plan, group: NodeClass, names: dict[str, str]) -> dict[str, str]:
    lines = list(_reversals(plan, group))
    computed = {line.split()[2].removeprefix("now_") for line in lines}
    # A mechanism may have a variable of its own by that name, if it does not READ the ion's.
    ours = {name for name in computed if names.get(name) == f"x_ion_{name}"}
    return {**names, **{name: f"now_{name}" for name in ours}}


def _initial(plan: Plan, group: NodeClass) -> Iterator[str]:
    for mechanism in group.mechanisms:
        names = _names(plan, group, mechanism)
        for state in (*mechanism.states, *kept(mechanism)):
            start = Slot(mechanism.name, state, start=True)
            given = start in (*group.lanes, *group.shared, *group.numbers, *group.literals)
            value = f"c(R({mechanism.state_initials.get(state, 0.0)!r}))"
            yield f"{names[state]} = {_variable(start) if given else value};"
    for slot in group.states:
        if slot.owner == "ion" and slot.variable[-1] in "io" and slot.variable[0] != "d":
            ion = slot.variable[:-1]
            if ion in plan.structure.ions:
                pool = plan.structure.ions[ion]
                start = (pool.inside_mM if slot.variable.endswith("i") else pool.outside_mM)[
                    np.isin(pool.nodes, group.nodes)
                ][0]
                yield f"{_variable(slot)} = c(R({float(start)!r}));"
        elif slot.owner == "ion":  # its current, which an INITIAL may read: no current has been computed yet
            yield f"{_variable(slot)} = c(0);"
    for mechanism in group.mechanisms:
        yield f"{guard(plan, group, mechanism)}{{"
        yield from _local_currents(mechanism)
        yield from _reversals(plan, group)
        names = _with_reversals(plan, group, _names(plan, group, mechanism))
        yield from statements_cpp((*mechanism.initial, *mechanism.receive_initial), names, set())
        yield "}"


def _local_currents(mechanism: Mechanism) -> Iterator[str]:
    for ion in mechanism.ions:
        if f"i{ion.name}" not in ion.reads:
            yield f"V own_i{ion.name} = c(0); (void)own_i{ion.name};"


def _step(plan: Plan, group: NodeClass, gates: Gates | None) -> Iterator[str]:
    reading = currents_read(group.mechanisms)
    yield "if constexpr (!FIRST) {"
    if reading:
        yield "if constexpr (order == 2) {"
        yield "const V dv = at.of(block.dv);"
        yield from (f"x_ion_i{ion} += x_ion_di{ion} * dv;" for ion in reading)
        yield "}"
    tabled = [mechanism for mechanism in group.mechanisms if gates and mechanism.name in gates.mechanisms]
    if gates and tabled:
        yield from _tabled(gates, tabled)
    for mechanism in group.mechanisms:
        if mechanism.advance and mechanism not in tabled:
            yield f"{guard(plan, group, mechanism)}{{ // {mechanism.name}"
            yield from _local_currents(mechanism)
            yield from _reversals(plan, group)
            names = _with_reversals(plan, group, _names(plan, group, mechanism))
            yield from statements_cpp(mechanism.advance, names, set())
            yield "}"
    yield "}"
    for mechanism in group.mechanisms:
        yield from received_cpp(plan, group, mechanism, _names(plan, group, mechanism))
    yield "V i_total = c(0), g_total = c(0);"
    yield from (f"V sum_i{ion} = c(0), sum_di{ion} = c(0);" for ion in reading)
    yield from _reversals(plan, group)
    for mechanism in group.mechanisms:
        if mechanism.currents:
            yield from _currents(plan, group, mechanism, reading)
    yield from (f"x_ion_i{ion} = sum_i{ion}; x_ion_di{ion} = sum_di{ion};" for ion in reading)
    yield "at.eliminate(block, i_total, g_total);"


def _tabled(gates: Gates, mechanisms: Sequence[Mechanism]) -> Iterator[str]:
    """Advance the states that are in tables; a lane whose voltage is outside of them takes the statements' result."""
    starts = dict.fromkeys(gates.mechanisms[mechanism.name].low_mV for mechanism in mechanisms)
    for start in starts:
        yield f"const auto at{gates.starts_mV.index(start)} = segment_of(v, R({start!r}));"
    for mechanism in mechanisms:
        one = gates.mechanisms[mechanism.name]
        at = f"at{gates.starts_mV.index(one.low_mV)}"
        variables = {state: _variable(Slot(mechanism.name, state)) for state in mechanism.states}
        yield f"{{ // {mechanism.name}"
        for state, table in one.tables.items():
            a, b = (_polynomial(f"{which}_{mechanism.name}_{state}", values, at) for which, values in _both(table))
            yield f"V n_{state} = {variables[state]} + ({b} - {a} * {variables[state]});"
        yield f"if (__builtin_expect(any_({at}.outside), 0)) {{"
        yield from (f"V o_{state} = {variable};" for state, variable in variables.items())
        yield f"outside_{mechanism.name}(v, {', '.join(f'o_{state}' for state in variables)});"
        yield from (f"n_{state} = choose({at}.outside, o_{state}, n_{state});" for state in variables)
        yield "}"
        yield from (f"{variable} = n_{state};" for state, variable in variables.items())
        yield "}"


def _both(table: GateTable) -> tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]:
    return ("a", table.a), ("b", table.b)


def _polynomial(name: str, values: np.ndarray, at: str) -> str:
    if len(values) == 1 and np.all(values == values[0, 0]):
        return f"V(c(R({float(values[0, 0])!r})))"
    return f"polynomial<{len(values) - 1}>({name}, {at})"


def _currents(plan: Plan, group: NodeClass, mechanism: Mechanism, reading: Sequence[str]) -> Iterator[str]:
    names = _with_reversals(plan, group, _names(plan, group, mechanism)) | {"t": "c(block.middle)"}
    locals_ = {current.variable: f"i_{number}" for number, current in enumerate(mechanism.currents)}
    names |= locals_
    yield f"{guard(plan, group, mechanism)}{{ // {mechanism.name}"
    yield from (f"V {name} = c(0);" for name in locals_.values())
    quotient = any(current.conductance is None for current in mechanism.currents)
    if quotient:
        yield from (f"V up_{name} = c(0);" for name in locals_.values())
        yield "{"
        yield f"const V v_up = v + R({_QUOTIENT_MV!r});"
        raised = {**names, "v": "v_up", **{key: f"up_{name}" for key, name in locals_.items()}}
        for state in (name for name in (*mechanism.states, *kept(mechanism)) if name not in locals_):
            yield f"V trial_{state} = {names[state]}; (void)trial_{state};"
            raised[state] = f"trial_{state}"
        yield from statements_cpp(mechanism.current, raised, set())
        yield "}"
    yield from statements_cpp(mechanism.current, names, set())
    for current in mechanism.currents:
        point = mechanism.kind == "point_process"  # nA over um2 is 100 mA/cm2
        yield from _total(current, names, locals_[current.variable], reading, "c(100) / x_node_area" if point else "")
        if current.variable in kept(mechanism):  # a current that the states' equations read
            yield f"{_variable(Slot(mechanism.name, current.variable))} = {locals_[current.variable]};"
    yield "}"


def _total(current: Current, names: dict[str, str], local: str, reading: Sequence[str], scale: str) -> Iterator[str]:
    if current.conductance is None:
        slope = f"((up_{local} - {local}) * R({1.0 / _QUOTIENT_MV!r}))"
    else:
        slope = expression_cpp(current.conductance, names)
    sign = "-" if current.electrode else "+"
    times = f" * ({scale})" if scale else ""
    yield f"{{ const V i = {local}{times}, g = {slope}{times}; i_total {sign}= i; g_total {sign}= g;"
    if current.ion in reading:
        yield f"sum_i{current.ion} += i; sum_di{current.ion} += g;"
    yield "}"


def _dispatch(plan: Plan) -> Iterator[str]:
    """From the leaves to the root: runs of nodes of one class."""
    yield "template <bool FIRST> static DEVICE void towards_root(Block& block) {"
    done = [0] * len(plan.classes)
    node = len(plan.structure.parent)
    for index, count in plan.runs:
        if index < 0:
            yield f"for (int node = {node - 1}; node >= {node - count}; --node) block.eliminate(node, c(0), c(0));"
        else:
            yield f"step{index}<FIRST>(block, {done[index]}, {done[index] + count});"
            done[index] += count
        node -= count
    yield "}"
    yield "static DEVICE void all_starts(Block& block) {"
    yield from (f"start{index}<true>(block, 0, n{index});" for index in range(len(plan.classes)))
    yield "}"
