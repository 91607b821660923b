"""Read the discretised structure out of a live NEURON cell."""

from typing import Any

import numpy as np

from hpcfit.biophys.codegen.structure import IonPool, Placement, Reach, Structure
from hpcfit.biophys.engines.neuron_cell import NeuronCell
from hpcfit.biophys.settings import ParameterSettings

_MEMBRANELESS_AREA_UM2 = 100.0
"""NEURON's convention for nodes at ends and branch points: the matrix needs some area, and they have no membrane."""


def read_structure(cell: NeuronCell, values: np.ndarray) -> Structure:
    """The structure of a cell whose free parameters have these values (what they do not touch is what matters).

    values: (free parameters,).
    """
    cell.set_parameters(values)
    cell.h.finitialize(cell.v_init_mV)
    sections = cell.sections("all")
    segments = {segment.node_index(): segment for section in sections for segment in section}
    nodes = _Nodes(sections)
    order = nodes.order
    place = {node: index for index, node in enumerate(order)}
    area, cm, ra, diam = (np.zeros(len(order)) for _ in range(4))
    area[:] = _MEMBRANELESS_AREA_UM2
    for node, segment in segments.items():
        area[place[node]], cm[place[node]], diam[place[node]] = segment.area(), segment.cm, segment.diam
    for node, section in nodes.section.items():
        ra[place[node]] = section.Ra
    return Structure(
        parent=np.array([place[nodes.parent[node]] if nodes.parent[node] >= 0 else -1 for node in order]),
        area_um2=area,
        cm_uF_cm2=cm,
        resistance_MOhm=np.array([nodes.resistance[node] for node in order]),
        Ra_ohm_cm=ra,
        membrane=np.array([node in segments for node in order]),
        mechanisms=_placements(cell.h, segments, place),
        ions=_ions(cell.h, segments, place),
        reaches=tuple(_reach(cell, parameter, place) for parameter in cell.cell.parameters),
        sites={name: place[segment.node_index()] for name, segment in cell.places.items()},
        globals_=_globals(cell.h, segments),
        celsius=float(cell.h.celsius),
        v_init_mV=float(cell.v_init_mV),
        diam_um=diam,
    )


class _Nodes:
    """NEURON's nodes: the parent of each, the resistance to it, and the section that it belongs to."""

    def __init__(self, sections: list[Any]) -> None:
        self.parent: dict[int, int] = {}
        self.resistance: dict[int, float] = {}
        self.section: dict[int, Any] = {}
        for section in sections:
            self._add(section)
        self.order = self._breadth_first()

    def _add(self, section: Any) -> None:
        before = section(0).node_index() if section.parentseg() is None else section.parentseg().node_index()
        if section.parentseg() is None:
            self.parent[before], self.resistance[before], self.section[before] = -1, 1.0, section
        for segment in [*section, section(1)]:
            node = segment.node_index()
            self.parent[node], self.resistance[node], self.section[node] = before, segment.ri(), section
            before = node

    def _breadth_first(self) -> list[int]:
        """Level by level: neighbours in this order do not wait for each other in the solver."""
        children: dict[int, list[int]] = {}
        for node in sorted(self.parent):
            children.setdefault(self.parent[node], []).append(node)
        order = list(children[-1])
        for node in order:
            order.extend(children.get(node, []))
        return order


def _placements(h: Any, segments: dict[int, Any], place: dict[int, int]) -> dict[str, Placement]:
    where: dict[str, list[int]] = {}
    for node, segment in segments.items():
        for mechanism in segment:
            if not mechanism.name().endswith("_ion"):
                where.setdefault(mechanism.name(), []).append(node)
    placements = {}
    for name, nodes in where.items():
        parameters = {
            variable: np.array([getattr(segments[node], f"{variable}_{name}") for node in nodes])
            for variable in variables_of(h, name, 1)
        }
        placements[name] = Placement(np.array([place[node] for node in nodes]), parameters)
    return placements


def variables_of(h: Any, mechanism: str, kind: int) -> list[str]:
    """Names, without the suffix, of a mechanism's parameters (1) or GLOBALs (-1)."""
    standard, reference = h.MechanismStandard(mechanism, kind), h.ref("")
    names = []
    for index in range(int(standard.count())):
        if standard.name(reference, index) > 1:
            continue  # an array: nothing in the kernel takes its values from NEURON
        names.append(reference[0].removesuffix(f"_{mechanism}"))
    return names


def _ions(h: Any, segments: dict[int, Any], place: dict[int, int]) -> dict[str, IonPool]:
    where: dict[str, list[int]] = {}
    for node, segment in segments.items():
        for mechanism in segment:
            if mechanism.name().endswith("_ion"):
                where.setdefault(mechanism.name().removesuffix("_ion"), []).append(node)

    def values(nodes: list[int], variable: str) -> np.ndarray:
        return np.array([getattr(segments[node], variable) for node in nodes])

    return {
        ion: IonPool(
            nodes=np.array([place[node] for node in nodes]),
            style=np.array([int(h.ion_style(f"{ion}_ion", sec=segments[node].sec)) for node in nodes]),
            charge=float(h.ion_charge(f"{ion}_ion")),
            reversal_mV=values(nodes, f"e{ion}"),
            inside_mM=values(nodes, f"{ion}i"),
            outside_mM=values(nodes, f"{ion}o"),
        )
        for ion, nodes in where.items()
    }


def _globals(h: Any, segments: dict[int, Any]) -> dict[str, float]:
    mechanisms = {mechanism.name() for segment in segments.values() for mechanism in segment}
    names = [f"{variable}_{name}" for name in sorted(mechanisms) for variable in variables_of(h, name, -1)]
    return {name: float(getattr(h, name)) for name in names if not name.endswith("_ion")}


def _reach(cell: NeuronCell, parameter: ParameterSettings, place: dict[int, int]) -> Reach:
    h = cell.h
    sections = [section for region in parameter.regions for section in cell.sections(region)]
    if parameter.variable == "Ra":  # a section's end node is joined through the same cytoplasm
        segments = [segment for section in sections for segment in [*section, section(1)]]
    else:
        segments = [segment for section in sections for segment in section]
    h.distance(0, 0.5, sec=cell.object.soma[0])
    if not sections and "." in parameter.variable:
        name, _, variable = parameter.variable.partition(".")
        nothing = np.array([], dtype=int)
        return Reach(parameter.name, name, variable, nothing, nothing.astype(float), "uniform", parameter.value)
    mechanism, variable = _owner(segments[0] if segments else None, parameter.variable)
    return Reach(
        parameter.name,
        mechanism,
        variable,
        np.array([place[segment.node_index()] for segment in segments], dtype=int),
        np.array([h.distance(1, segment.x, sec=segment.sec) for segment in segments], dtype=float),
        parameter.distribution,
        parameter.value,
    )


def _owner(segment: Any, variable: str) -> tuple[str, str]:
    for mechanism in segment or ():
        if variable in {entry.name() for entry in mechanism}:
            return mechanism.name(), variable.removesuffix(f"_{mechanism.name()}")
    return "", variable
