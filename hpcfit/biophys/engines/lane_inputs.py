"""What differs between individuals, as the kernel reads it: one row of numbers each."""

from collections.abc import Iterator

import numpy as np

from hpcfit.biophys.codegen.plan import Plan, Slot
from hpcfit.biophys.expression import evaluate

_AT_ONCE = 256
"""Individuals whose rows are made together: what that needs beside the table does not grow with the population."""


def row_length(plan: Plan) -> int:
    """Numbers that describe an individual."""
    nodes = len(plan.structure.parent)
    lanes = sum(len(group.nodes) * len(group.lanes) for group in plan.classes)
    shared = sum(len(group.shared) for group in plan.classes)
    return lanes + 3 * nodes * plan.edges_vary + len(plan.lane_globals) + shared + 1


def making_bytes(plan: Plan, individuals: int) -> int:
    """What making a table needs beside it, at most: rows in float64, and the parts they are stacked from."""
    return 4 * 8 * min(individuals, _AT_ONCE) * row_length(plan)


def parameter_table(plan: Plan, matrix: np.ndarray, real: np.dtype) -> np.ndarray:
    """(individuals, row_length): lane parameters by class [node][slot], edges [3][node], globals,
    what all nodes of a class share, v_init.

    matrix: (individuals, free parameters).
    """
    table = np.empty((len(matrix), row_length(plan)), dtype=real)
    for start in range(0, len(matrix), _AT_ONCE):
        _Rows(plan, matrix[start : start + _AT_ONCE]).write(table[start : start + _AT_ONCE])
    return table


class _Rows:
    """The rows of some individuals."""

    def __init__(self, plan: Plan, matrix: np.ndarray) -> None:
        self._plan, self._matrix = plan, matrix

    def write(self, rows: np.ndarray) -> None:
        """Fill rows, (individuals, row_length)."""
        start = 0
        for part in self._parts():
            rows[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        assert start == rows.shape[1], f"{start} numbers for a row of {rows.shape[1]}"

    def _parts(self) -> Iterator[np.ndarray]:
        """(individuals, numbers) each."""
        for group in self._plan.classes:
            if group.lanes:
                slots = [self._slot(slot, group.nodes) for slot in group.lanes]
                yield np.stack(slots, axis=2).reshape(len(self._matrix), -1)
        if self._plan.edges_vary:
            yield self._edges().reshape(len(self._matrix), -1)
        for name in self._plan.lane_globals:
            yield self._scalar(name, self._plan.structure.globals_[name])[:, None]
        for group in self._plan.classes:
            for slot in group.shared:
                yield self._slot(slot, group.nodes[:1])
        yield self._scalar("v_init", self._plan.structure.v_init_mV)[:, None]

    def _columns(self) -> list[np.ndarray]:
        """For each reach (individuals,): its free parameter's column, or its fixed value."""
        free = iter(self._matrix.T)
        return [
            next(free) if reach.value is None else np.full(len(self._matrix), reach.value)
            for reach in self._plan.structure.reaches
        ]

    def _applied(self, owner: str, variable: str, base: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """(individuals, nodes): base values (nodes,) with every parameter of the fit file set in its order."""
        values = np.tile(base, (len(self._matrix), 1))
        place = {int(node): index for index, node in enumerate(nodes)}
        for reach, column in zip(self._plan.structure.reaches, self._columns(), strict=True):
            inside = [index for index in reach.at(owner, variable) if int(reach.nodes[index]) in place]
            if not inside:
                continue
            targets = [place[int(reach.nodes[index])] for index in inside]
            if reach.distribution == "uniform":
                values[:, targets] = column[:, None]
                continue
            distance_um = reach.distance_um[inside]
            # One individual at a time: NumPy's functions may round differently in arrays of another shape.
            for row, value in zip(values, column, strict=True):
                row[targets] = evaluate(reach.distribution, {"value": value, "distance": distance_um})
        return values

    def _slot(self, slot: Slot, nodes: np.ndarray) -> np.ndarray:
        return self._applied(slot.owner, slot.variable, np.zeros(len(nodes)), nodes)

    def _scalar(self, variable: str, default: float) -> np.ndarray:
        """(individuals,) of a variable that belongs to no node."""
        value = np.full(len(self._matrix), default)
        for reach, column in zip(self._plan.structure.reaches, self._columns(), strict=True):
            if not reach.mechanism and reach.variable == variable and not len(reach.nodes):
                value = column
        return value

    def _edges(self) -> np.ndarray:
        """(individuals, 3, nodes): conductance to the parent per its area and per one's own, and capacitance."""
        structure = self._plan.structure
        nodes = np.arange(len(structure.parent))
        ra = self._applied("", "Ra", structure.Ra_ohm_cm, nodes)
        cm = self._applied("", "cm", structure.cm_uF_cm2, nodes)
        resistance = structure.resistance_MOhm * ra / structure.Ra_ohm_cm
        parental = structure.area_um2[np.maximum(structure.parent, 0)]
        membrane = np.where(structure.membrane, 1e-3 * cm, 0.0)
        edges = np.stack([100.0 / (resistance * parental), 100.0 / (resistance * structure.area_um2), membrane], axis=1)
        edges[:, :2, structure.parent < 0] = 0.0
        return edges
