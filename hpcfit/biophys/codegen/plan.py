"""What becomes of every variable of every mechanism in generated code: literal, per node, per lane, or a state.

Nodes with the same mechanisms form a class; a class is one function of the kernel.  A parameter that no free parameter
reaches is a literal where it is the same throughout the class, else a number per node; one that is reached is a lane.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcfit.biophys.codegen.algebra import assigned_in, read_before_set
from hpcfit.biophys.codegen.ir import Mechanism
from hpcfit.biophys.codegen.order import elimination_order, renumbered, runs, trimmed
from hpcfit.biophys.codegen.structure import Reach, Structure
from hpcfit.errors import MechanismError

NERNST = 64
"""Bit of NEURON's ion style: the reversal potential follows the concentrations at every step."""
BUILT_IN = ("v", "dt", "t", "celsius", "area", "diam")


@dataclass(frozen=True)
class Slot:
    """Where a lane parameter of a class comes from: an entry (mechanism or ion, variable)."""

    owner: str
    variable: str
    start: bool = False
    """The parameter that a state of this name starts from, where mechanisms assign their own parameters."""


@dataclass(frozen=True)
class NodeClass:
    """Nodes that share their mechanisms.

    Attributes
    ----------
    nodes
        (n,) indices, falling: in the order in which they are eliminated.
    mechanisms
        In the order in which they run: those that write a concentration first.
    states
        (owner, variable) of everything kept from step to step.
    lanes, shared, numbers, literals
        Parameters by kind: per lane and node, per lane for all nodes of the class, per node, one for all; `numbers`
        map to (n,) values.
    """

    nodes: np.ndarray
    mechanisms: tuple[Mechanism, ...]
    states: tuple[Slot, ...]
    lanes: tuple[Slot, ...]
    shared: tuple[Slot, ...]
    numbers: Mapping[Slot, np.ndarray]
    literals: Mapping[Slot, float]


@dataclass(frozen=True)
class Plan:
    """A structure ready for code generation, its nodes in the order of the kernel."""

    structure: Structure
    classes: tuple[NodeClass, ...]
    runs: tuple[tuple[int, int], ...]
    """(class, how many nodes) from the last node to the first; class -1 has no membrane."""
    lane_globals: tuple[str, ...]
    """GLOBALs that a free parameter sets, as name_suffix."""
    edges_vary: bool
    """Ra or cm differ between individuals."""

    @property
    def mechanisms(self) -> dict[str, Mechanism]:
        """All mechanisms by name."""
        return {mechanism.name: mechanism for group in self.classes for mechanism in group.mechanisms}


def fixed_values(plan: Plan, mechanism: Mechanism, dt_ms: float) -> dict[str, float]:
    """What a mechanism's statements can read that is the same in every lane and node."""
    fixed = {"dt": dt_ms, "celsius": plan.structure.celsius}
    for name, value in mechanism.constants.items():
        full = f"{name}_{mechanism.suffix}"
        if full not in plan.lane_globals:
            fixed[name] = plan.structure.globals_.get(full, value)
    groups = [group for group in plan.classes if mechanism in group.mechanisms]
    for name, value in mechanism.parameters.items():
        slot = Slot(mechanism.name, name)
        found = {group.literals.get(slot, value) for group in groups}
        varying = (slot in (*group.lanes, *group.shared, *group.numbers, *group.states) for group in groups)
        if len(found) == 1 and not any(varying):
            fixed[name] = found.pop()
    return fixed


def make_plan(structure: Structure, mechanisms: Mapping[str, Mechanism]) -> Plan:
    """Group nodes and decide what every parameter becomes.  mechanisms: by name, one for each in the structure.

    Raises
    ------
    MechanismError
        When a free parameter is something that the kernel holds fixed.
    """
    free = [reach for reach in structure.reaches if reach.value is None]
    for reach in free:
        if not reach.mechanism and reach.variable in ("celsius", "L", "diam"):
            raise MechanismError(
                f"parameter {reach.name}: {reach.variable} is fixed in the batched kernel; "
                "give it a value, or use engine.kind = 'neuron'"
            )
    structure = trimmed(structure)
    groups = _groups(structure, mechanisms)
    classes = np.full(len(structure.parent), -1)
    for number, nodes in enumerate(groups.values()):
        classes[nodes] = number
    order = elimination_order(structure.parent, classes.tolist())
    structure, classes = renumbered(structure, order), classes[order]
    free = [reach for reach in structure.reaches if reach.value is None]
    node_classes = tuple(
        _node_class(structure, tuple(mechanisms[name] for name in names), np.flatnonzero(classes == number)[::-1], free)
        for number, names in enumerate(groups)
    )
    lane_globals = tuple(reach.variable for reach in free if not reach.mechanism and not len(reach.nodes))
    edges_vary = any(reach.variable in ("Ra", "cm") and not reach.mechanism for reach in free)
    kept_globals = tuple(name for name in lane_globals if name not in (*BUILT_IN, "v_init"))
    return Plan(structure, node_classes, tuple(runs(classes.tolist())), kept_globals, edges_vary)


def _groups(structure: Structure, mechanisms: Mapping[str, Mechanism]) -> dict[tuple[str, ...], list[int]]:
    """Nodes by the mechanisms in them, those that write a concentration first."""
    hosts = {instance.node for instance in structure.instances}
    by_node: dict[int, list[str]] = {int(node): [] for node in {*np.flatnonzero(structure.membrane).tolist(), *hosts}}
    for name, placement in structure.mechanisms.items():
        for node in placement.nodes:
            by_node[int(node)].append(name)
    groups: dict[tuple[str, ...], list[int]] = {}
    for node, names in by_node.items():
        groups.setdefault(tuple(sorted(names, key=lambda name: _rank(mechanisms[name]))), []).append(node)
    return groups


def writes_concentration(mechanism: Mechanism) -> bool:
    """Does it own an ion's concentration?"""
    return any(name in (f"{ion.name}i", f"{ion.name}o") for ion in mechanism.ions for name in ion.writes)


def kept(mechanism: Mechanism) -> list[str]:
    """Assigned variables that carry a value from one block, or one step, to the next."""
    blocks = (mechanism.initial, mechanism.current, mechanism.advance, mechanism.receive, mechanism.receive_initial)
    carried = set().union(*(read_before_set(block) for block in blocks[:4]))
    # What a connection brings with it keeps what NET_RECEIVE makes of it.
    carried |= set().union(*(assigned_in(block) for block in blocks)) & set(mechanism.parameters)
    return [name for name in mechanism.assigned if name in carried]


def concentrations(mechanisms: Iterable[Mechanism]) -> list[str]:
    """Concentrations that are states because one of the mechanisms writes them."""
    names = [name for mechanism in mechanisms for ion in mechanism.ions for name in ion.writes]
    return [name for name in dict.fromkeys(names) if name[-1] in "io" and not name.startswith("i")]


def currents_read(mechanisms: Iterable[Mechanism]) -> list[str]:
    """Ions whose total current some mechanism reads."""
    return list(
        dict.fromkeys(ion.name for mechanism in mechanisms for ion in mechanism.ions if f"i{ion.name}" in ion.reads)
    )


def follows_nernst(structure: Structure, ion: str, nodes: np.ndarray) -> bool:
    """Is the ion's reversal potential computed at every step at these nodes?"""
    pool = structure.ions[ion]
    return bool(np.all(pool.style[np.isin(pool.nodes, nodes)] & NERNST))


def _rank(mechanism: Mechanism) -> tuple[bool, str]:
    return not writes_concentration(mechanism), mechanism.name


def _node_class(
    structure: Structure, mechanisms: tuple[Mechanism, ...], nodes: np.ndarray, free: Sequence[Reach]
) -> NodeClass:
    states = [Slot(mechanism.name, name) for mechanism in mechanisms for name in (*mechanism.states, *kept(mechanism))]
    states += [Slot("ion", name) for name in concentrations(mechanisms)]
    states += [Slot("ion", f"{prefix}{ion}") for ion in currents_read(mechanisms) for prefix in ("i", "di")]
    lanes: list[Slot] = []
    shared: list[Slot] = []
    numbers: dict[Slot, np.ndarray] = {}
    literals: dict[Slot, float] = {}
    for slot, values in _parameters(structure, mechanisms, nodes):
        if slot in states:
            if slot.owner == "ion":
                continue
            slot = Slot(slot.owner, slot.variable, start=True)
        if any(np.any(np.isin(reach.nodes[reach.at(slot.owner, slot.variable)], nodes)) for reach in free):
            (shared if _is_uniform(structure, slot, nodes) else lanes).append(slot)
        elif np.all(values == values[0]):
            literals[slot] = float(values[0])
        else:
            numbers[slot] = values
    return NodeClass(nodes, mechanisms, tuple(states), tuple(lanes), tuple(shared), numbers, literals)


def _is_uniform(structure: Structure, slot: Slot, nodes: np.ndarray) -> bool:
    """Does every parameter that sets it set it alike at all of these nodes?"""
    setting = [(one, one.nodes[one.at(slot.owner, slot.variable)]) for one in structure.reaches]
    touching = [(one, reached) for one, reached in setting if np.any(np.isin(reached, nodes))]
    return all(one.distribution == "uniform" and np.all(np.isin(nodes, reached)) for one, reached in touching)


def _parameters(
    structure: Structure, mechanisms: Sequence[Mechanism], nodes: np.ndarray
) -> Iterator[tuple[Slot, np.ndarray]]:
    """Every parameter of a class and its value at each of its nodes."""
    for mechanism in mechanisms:
        placement = structure.mechanisms[mechanism.name]
        rows = _rows(placement.nodes, nodes)
        for name in mechanism.parameters:
            if name in placement.parameters:
                yield Slot(mechanism.name, name), placement.parameters[name][rows]
    geometry = {"area": structure.area_um2, "diam": structure.diam_um}
    read = set().union(*(_names_read(mechanism) for mechanism in mechanisms))
    for name, values in geometry.items():
        if name in read:
            yield Slot("node", name), values[nodes]
    for ion in dict.fromkeys(ion.name for mechanism in mechanisms for ion in mechanism.ions):
        pool = structure.ions[ion]
        rows = _rows(pool.nodes, nodes)
        yield Slot("ion", f"e{ion}"), pool.reversal_mV[rows]
        yield Slot("ion", f"{ion}i"), pool.inside_mM[rows]
        yield Slot("ion", f"{ion}o"), pool.outside_mM[rows]


def _names_read(mechanism: Mechanism) -> set[str]:
    """What its statements read from outside; a point process' current is spread over the area of its node."""
    blocks = (mechanism.initial, mechanism.current, mechanism.advance, mechanism.receive, mechanism.receive_initial)
    found = set().union(*(read_before_set(block) for block in blocks))
    return found | {"area"} if mechanism.kind == "point_process" else found


def _rows(all_nodes: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    order = {int(node): row for row, node in enumerate(all_nodes)}
    return np.array([order[int(node)] for node in nodes])
