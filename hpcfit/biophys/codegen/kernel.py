"""One C++ translation unit that runs a population of one cell through a stimulus.

Layout [node][variable][lane]: a block of lanes keeps all its states in cache through the whole time loop.  A step is
    currents at v(t) -> elimination towards the root -> substitution towards the leaves -> v(t + dt) -> states,
NEURON's staggered scheme; states of a step and currents of the next share one pass over the nodes of a class.
Elimination works on the excess e = d - |b| of the diagonal over the coupling to the parent: e_p += a e / (e + b) has no
difference in it, so single precision loses nothing where compartments are tightly coupled.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from hpcfit.biophys.codegen.expression_cpp import expression_cpp, statements_cpp
from hpcfit.biophys.codegen.gates import DEGREE, SEGMENTS, Gates
from hpcfit.biophys.codegen.ir import Current, Mechanism
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
    """The source; includes lanes.hpp and harness.hpp.

    order: 1 or 2 in time; dt_ms: the step; real: double or float; lanes: individuals in a block; gates: tables of
    states that are advanced by polynomials.
    """
    parts = [
        f"#define HPCFIT_REAL {real}",
        f"#define HPCFIT_LANES {lanes}",
        f"#define HPCFIT_EDGES_VARY {int(plan.edges_vary)}",
        '#include "lanes.hpp"',
        f"static const R dt = R({dt_ms!r});",
        f"static const R cj = R({(2.0 if order == 2 else 1.0) / dt_ms!r});",
        f"constexpr int order = {order};",
        *_tables(plan),
        *(_gate_tables(gates) if gates else ()),
        '#include "block.hpp"',
        *(line for index, group in enumerate(plan.classes) for line in _class_functions(plan, index, group, gates)),
        *_dispatch(plan),
        '#include "harness.hpp"',
    ]
    return "\n".join(parts) + "\n"


def _tables(plan: Plan) -> Iterator[str]:
    structure = plan.structure
    area, resistance = structure.area_um2, structure.resistance_MOhm
    parents = np.maximum(structure.parent, 0)
    # Conductance between a node and its parent, per area of the one and of the other: 1 / (MOhm um2) is 100 S/cm2.
    own, parental = 100.0 / (resistance * area), 100.0 / (resistance * area[parents])
    yield f"constexpr int N = {len(structure.parent)};"
    yield _array("int", "parent", structure.parent)
    yield _array("R", "b_fixed", own)
    yield _array("R", "a_fixed", parental)
    yield f"[[maybe_unused]] {_array('R', 'area_um2', area)}"
    yield f"[[maybe_unused]] {_array('R', 'diam_um', structure.diam_um)}"
    yield _array("R", "cm_fixed", np.where(structure.membrane, 1e-3 * structure.cm_uF_cm2, 0.0))
    bare = np.flatnonzero(~structure.membrane)
    yield f"constexpr int BARE = {len(bare)};"
    yield _array("int", "bare", bare if len(bare) else np.array([0]))
    for index, group in enumerate(plan.classes):
        yield f"constexpr int n{index} = {len(group.nodes)}, states{index} = {max(1, len(group.states))};"
        yield f"constexpr int lanes{index} = {len(group.lanes)};"
        yield _array("int", f"nodes{index}", group.nodes)
        for number, values in enumerate(group.numbers.values()):
            yield _array("R", f"number{index}_{number}", values)
    yield f"constexpr int CLASSES = {len(plan.classes)}, GLOBALS = {len(plan.lane_globals)};"
    yield _array("int", "class_states", np.array([len(g.nodes) * max(1, len(g.states)) for g in plan.classes]))
    yield _array("int", "class_lanes", np.array([len(g.nodes) * len(g.lanes) for g in plan.classes]))


def _array(kind: str, name: str, values: np.ndarray) -> str:
    numbers = ", ".join(repr(value) for value in values.tolist())
    return f"static const {kind} {name}[] = {{{numbers}}};"


def _gate_tables(gates: Gates) -> Iterator[str]:
    yield f"static const R gate_low = R({gates.where.low_mV!r}), gate_per_mV = R({1.0 / gates.where.width_mV!r});"
    yield f"constexpr int SEGMENTS = {SEGMENTS}, DEGREE = {DEGREE};"
    for (mechanism, state), table in gates.tables.items():
        numbers = ", ".join(repr(value) for value in table.coefficients.ravel().tolist())
        yield f"alignas(64) static const R gate_{mechanism}_{state}[] = {{{numbers}}};"
    yield '#include "gates.hpp"'


def _class_functions(plan: Plan, index: int, group: NodeClass, gates: Gates | None) -> Iterator[str]:
    yield from _function(plan, index, group, "start", _initial(plan, group))
    yield from _function(plan, index, group, "step", _step(plan, group, gates))


def _function(plan: Plan, index: int, group: NodeClass, name: str, body: Iterator[str]) -> Iterator[str]:
    """A function that goes over the nodes of a class: load, work, store."""
    yield f"template <bool FIRST> static void {name}{index}(Block& block) {{"
    yield f"for (int k = 0; k < n{index}; ++k) {{"
    yield f"const int node = nodes{index}[k];"
    yield f"R* const s = block.states[{index}] + k * (states{index} * W);"
    yield f"const R* const p = block.lanes[{index}] + k * (lanes{index} * W); (void)p;"
    yield "V v = load(block.v + node * W);"
    for number, slot in enumerate(group.states):
        yield f"V {_variable(slot)} = load(s + {number} * W);"
    for number, slot in enumerate(group.lanes):
        yield f"const V {_variable(slot)} = load(p + {number} * W);"
    for number, slot in enumerate(group.numbers):
        yield f"const V {_variable(slot)} = c(number{index}_{number}[k]);"
    for slot, value in group.literals.items():
        yield f"const V {_variable(slot)} = c(R({value!r}));"
    yield from body
    for number, slot in enumerate(group.states):
        yield f"store(s + {number} * W, {_variable(slot)});"
    yield "}}"


def _variable(slot: Slot) -> str:
    return f"x_{slot.owner}_{slot.variable}"


def _names(plan: Plan, group: NodeClass, mechanism: Mechanism) -> dict[str, str]:
    """What the variables of a mechanism are called in the function of its class."""
    names = {"v": "v", "dt": "c(dt)", "t": "c(block.t)", "celsius": f"c(R({plan.structure.celsius!r}))"}
    names |= {"area": "c(area_um2[node])", "diam": "c(diam_um[node])"}
    for name, value in mechanism.constants.items():
        full = f"{name}_{mechanism.name}"
        if full in plan.lane_globals:
            names[name] = f"load(block.globals + {plan.lane_globals.index(full)} * W)"
        else:
            names[name] = f"c(R({plan.structure.globals_.get(full, value)!r}))"
    for name, value in mechanism.parameters.items():
        names[name] = f"c(R({value!r}))"
    for slot in (*group.lanes, *group.numbers, *group.literals, *group.states):
        if slot.owner == mechanism.name:
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
            factor = 1e3 * _GAS * (plan.structure.celsius + _ZERO_C) / _FARADAY / plan.structure.ions[ion].charge
            yield f"const V now_e{ion} = R({factor!r}) * log_(x_ion_{ion}o / x_ion_{ion}i);"


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
            yield f"{names[state]} = c(R({mechanism.state_initials.get(state, 0.0)!r}));"
    for slot in group.states:
        if slot.owner == "ion" and slot.variable[-1] in "io" and slot.variable[0] != "d":
            ion = slot.variable[:-1]
            if ion in plan.structure.ions:
                pool = plan.structure.ions[ion]
                start = (pool.inside_mM if slot.variable.endswith("i") else pool.outside_mM)[
                    np.isin(pool.nodes, group.nodes)
                ][0]
                yield f"{_variable(slot)} = c(R({float(start)!r}));"
    for mechanism in group.mechanisms:
        yield "{"
        yield from _local_currents(mechanism)
        yield from _reversals(plan, group)
        names = _with_reversals(plan, group, _names(plan, group, mechanism))
        yield from statements_cpp(mechanism.initial, names, set())
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
        yield "const V dv = load(block.rhs + node * W);"
        yield from (f"x_ion_i{ion} += x_ion_di{ion} * dv;" for ion in reading)
        yield "}"
    tabled = [mechanism for mechanism in group.mechanisms if gates and gates.has(mechanism)]
    if tabled:
        yield "const Segment at = segment_of(v);"
    for mechanism in tabled:
        for state in mechanism.states:
            yield f"{_variable(Slot(mechanism.name, state))} = advanced(gate_{mechanism.name}_{state}, at, "
            yield f"    {_variable(Slot(mechanism.name, state))});"
    for mechanism in group.mechanisms:
        if mechanism.advance and mechanism not in tabled:
            yield f"{{ // {mechanism.name}"
            yield from _local_currents(mechanism)
            yield from _reversals(plan, group)
            names = _with_reversals(plan, group, _names(plan, group, mechanism))
            yield from statements_cpp(mechanism.advance, names, set())
            yield "}"
    yield "}"
    yield "V i_total = c(0), g_total = c(0);"
    yield from (f"V sum_i{ion} = c(0), sum_di{ion} = c(0);" for ion in reading)
    yield from _reversals(plan, group)
    for mechanism in group.mechanisms:
        if mechanism.currents:
            yield from _currents(plan, group, mechanism, reading)
    yield from (f"x_ion_i{ion} = sum_i{ion}; x_ion_di{ion} = sum_di{ion};" for ion in reading)
    yield "store(block.rhs + node * W, -i_total);"
    yield "store(block.e + node * W, block.capacitance(node) + g_total);"


def _currents(plan: Plan, group: NodeClass, mechanism: Mechanism, reading: Sequence[str]) -> Iterator[str]:
    names = _with_reversals(plan, group, _names(plan, group, mechanism))
    locals_ = {current.variable: f"i_{number}" for number, current in enumerate(mechanism.currents)}
    names |= locals_
    yield f"{{ // {mechanism.name}"
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
        yield from _total(current, names, locals_[current.variable], reading)
        if current.variable in kept(mechanism):  # a current that the states' equations read
            yield f"{_variable(Slot(mechanism.name, current.variable))} = {locals_[current.variable]};"
    yield "}"


def _total(current: Current, names: dict[str, str], local: str, reading: Sequence[str]) -> Iterator[str]:
    if current.conductance is None:
        slope = f"((up_{local} - {local}) * R({1.0 / _QUOTIENT_MV!r}))"
    else:
        slope = expression_cpp(current.conductance, names)
    sign = "-" if current.electrode else "+"
    yield f"{{ const V g = {slope}; i_total {sign}= {local}; g_total {sign}= g;"
    if current.ion in reading:
        yield f"sum_i{current.ion} += {local}; sum_di{current.ion} += g;"
    yield "}"


def _dispatch(plan: Plan) -> Iterator[str]:
    yield "template <bool FIRST> static void all_classes(Block& block) {"
    yield from (f"step{index}<FIRST>(block);" for index in range(len(plan.classes)))
    yield "}"
    yield "static void all_starts(Block& block) {"
    yield from (f"start{index}<true>(block);" for index in range(len(plan.classes)))
    yield "}"
