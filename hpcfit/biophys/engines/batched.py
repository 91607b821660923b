"""The batched engine: a whole population in one compiled kernel, individuals in the lanes of vector registers."""

import ctypes
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.codegen.build import HERE, library
from hpcfit.biophys.codegen.gates import Gates, fit_gates, voltage_gates
from hpcfit.biophys.codegen.ir import Mechanism
from hpcfit.biophys.codegen.kernel import kernel_source
from hpcfit.biophys.codegen.plan import Plan, Slot, fixed_values, make_plan
from hpcfit.biophys.codegen.structure import Structure
from hpcfit.biophys.engines.interface import Responses, Status
from hpcfit.biophys.engines.mod_files import cache_folder, mod_files
from hpcfit.biophys.engines.neuron import NeuronEngine
from hpcfit.biophys.engines.nmodl import read_mechanism
from hpcfit.biophys.expression import evaluate
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.errors import EngineError, MechanismError

BUILT_IN = HERE / "builtin"
_BYTES_PER_VECTOR = 64


class _Arguments(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("blocks", "steps", "every", "sites", "injections", "threads")),
        *((name, ctypes.c_void_p) for name in ("lanes", "globals", "edges", "v_init", "site", "injected", "current")),
        ("out", ctypes.c_void_p),
        ("stopped", ctypes.c_void_p),
    )


def read_mechanisms(folder: Path | None, names: Iterable[str], order: int = 1) -> dict[str, Mechanism]:
    """The mechanisms of these names: from the folder's .mod files, else from those that stand for NEURON's own.

    order: of the step in time.

    Raises
    ------
    MechanismError
        At what the batched engine cannot translate: file, line and cure; or when there is no such mechanism.
    """
    files = [*sorted(BUILT_IN.glob("*.mod")), *(mod_files(folder) if folder is not None else ())]
    known = {mechanism_name(path): path for path in files}
    missing = sorted(set(names) - set(known))
    if missing:
        raise MechanismError(
            f"{missing[0]}: the batched engine has no source of this mechanism of NEURON's own; "
            "put a .mod file of it under another name into cell.mechanisms, or use engine.kind = 'neuron'"
        )
    return {name: read_mechanism(known[name], order) for name in names}


def mechanism_name(path: Path) -> str:
    """What a .mod file's SUFFIX or POINT_PROCESS line names, else the file's own name."""
    text = re.sub(r"\bCOMMENT\b.*?\bENDCOMMENT\b", "", path.read_text(errors="replace"), flags=re.DOTALL)
    found = re.search(r"^[^:?\n]*\b(?:SUFFIX|POINT_PROCESS)\s+(\w+)", text, flags=re.MULTILINE)
    return found.group(1) if found else path.stem


class BatchedEngine:
    """Simulates populations of one cell."""

    def __init__(
        self,
        cell: Cell,
        structure: Structure,
        mechanisms: Mapping[str, Mechanism],
        stimuli: Sequence[Stimulus],
        settings: EngineSettings,
    ) -> None:
        """Generate and compile the kernel, or find it in the cache.

        Raises
        ------
        MechanismError
            When a free parameter reaches what is fixed in the kernel (celsius).
        EngineError
            When there is no C++ compiler.
        """
        self.cell, self.settings = cell, settings
        self.threads = settings.workers or len(os.sched_getaffinity(0))
        self.stimuli = {stimulus.name: stimulus for stimulus in stimuli}
        self.plan = make_plan(structure, mechanisms)
        precision = settings.precision or "single"
        self.real = np.dtype("f4" if precision == "single" else "f8")
        self.lanes = _BYTES_PER_VECTOR // self.real.itemsize
        gates = _gates(self.plan, settings.dt_ms) if precision == "single" else None
        real = "float" if precision == "single" else "double"
        self.source = kernel_source(self.plan, settings.order, settings.dt_ms, real, self.lanes, gates)
        self._run = library(self.source, cache_folder() / "kernels").hpcfit_run

    @classmethod
    def of(cls, neuron: NeuronEngine) -> "BatchedEngine":
        """The same cell, stimuli and settings as a NEURON engine's."""
        structure = neuron.structure()
        mechanisms = read_mechanisms(neuron.cell.settings.mechanisms, structure.mechanisms, neuron.settings.order)
        return cls(neuron.cell, structure, mechanisms, tuple(neuron.stimuli.values()), neuron.settings)

    def simulate(self, parameters: np.ndarray, stimuli: Sequence[str]) -> Responses:
        """Responses of every individual to the named stimuli.  See Engine.simulate."""
        matrix = self.cell.matrix(parameters)
        inputs = _LaneInputs(self.plan, matrix, self.lanes, self.real)
        traces = [self._one(self.stimuli[name], inputs) for name in stimuli]
        limit = self.settings.voltage_limit_mV
        status = np.zeros((len(matrix), len(traces)), dtype=np.int8)
        reasons: dict[tuple[int, int], str] = {}
        for number, v_mV in enumerate(traces):
            bad = ~np.all(np.abs(v_mV) <= limit, axis=(1, 2))
            v_mV[bad] = np.nan
            status[bad, number] = Status.DIVERGED
            reasons |= {(int(row), number): f"voltage beyond {limit:g} mV" for row in np.flatnonzero(bad)}
        sites = tuple(site.name for site in self.cell.sites)
        return Responses(tuple(stimuli), sites, self.settings.record_dt_ms, tuple(traces), status, reasons)

    def _one(self, stimulus: Stimulus, inputs: "_LaneInputs") -> np.ndarray:
        """(individuals, sites, time), mV."""
        structure, dt_ms = self.plan.structure, self.settings.dt_ms
        every = round(self.settings.record_dt_ms / dt_ms)
        samples = 1 + math.floor(stimulus.duration_ms / self.settings.record_dt_ms + 1e-9)
        steps = (samples - 1) * every
        site = np.array([structure.sites[one.name] for one in self.cell.sites], dtype=np.int64)
        injected = np.array([structure.sites[one.site] for one in stimulus.injections], dtype=np.int64)
        # NEURON evaluates a current at the middle of the step; nA over um2 is 100 mA/cm2.
        middle = (np.arange(steps) + 0.5) * dt_ms
        current = np.array(
            [one.at(middle) * 100.0 / structure.area_um2[structure.sites[one.site]] for one in stimulus.injections],
            dtype=self.real,
        ).reshape(len(injected), steps)
        out = np.full((inputs.blocks, len(site), samples, self.lanes), np.nan, dtype=self.real)
        stopped = np.zeros(inputs.blocks, dtype=np.int64)
        arrays = (inputs.values, inputs.globals_, inputs.edges, inputs.v_init, site, injected, current, out, stopped)
        pointers = [array.ctypes.data for array in arrays]
        counts = (inputs.blocks, steps, every, len(site), len(injected), self.threads)
        failed = self._run(ctypes.byref(_Arguments(*counts, *pointers)))
        if failed:
            raise EngineError("the batched kernel found no memory; make the population smaller, or record less")
        return out.transpose(0, 3, 1, 2).reshape(-1, len(site), samples)[: inputs.individuals].astype(float)


def _gates(plan: Plan, dt_ms: float) -> Gates | None:
    """Tables of all gates of the cell that depend on voltage alone."""
    values = {name: fixed_values(plan, mechanism, dt_ms) for name, mechanism in plan.mechanisms.items()}
    chosen = [mechanism for name, mechanism in plan.mechanisms.items() if voltage_gates(mechanism, values[name])]
    return fit_gates(chosen, values) if chosen else None


class _LaneInputs:
    """What differs between individuals, laid out in blocks of lanes; the last block repeats its last individual."""

    def __init__(self, plan: Plan, matrix: np.ndarray, lanes: int, real: np.dtype) -> None:
        self.individuals = len(matrix)
        self.blocks = -(-len(matrix) // lanes)
        rows = np.minimum(np.arange(self.blocks * lanes), len(matrix) - 1)
        self._plan, self._matrix, self._lanes, self._real = plan, matrix[rows], lanes, real
        values = [self._slot(slot, group.nodes) for group in plan.classes for slot in group.lanes]
        per_class, start = [], 0
        for group in plan.classes:
            chosen = values[start : start + len(group.lanes)]
            start += len(group.lanes)
            if chosen:  # (individuals, nodes, slots)
                per_class.append(np.stack(chosen, axis=2).reshape(len(rows), -1))
        self.values = self._blocked(np.concatenate(per_class, axis=1) if per_class else np.zeros((len(rows), 0)))
        self.globals_ = self._blocked(self._globals())
        self.edges = self._blocked(
            self._edges().reshape(len(rows), -1) if plan.edges_vary else np.zeros((len(rows), 0))
        )
        self.v_init = self._blocked(self._scalar("v_init", plan.structure.v_init_mV)[:, None])

    def _blocked(self, values: np.ndarray) -> np.ndarray:
        """(individuals, items) -> (blocks, items, lanes)"""
        blocked = values.reshape(self.blocks, self._lanes, -1).transpose(0, 2, 1)
        return np.ascontiguousarray(blocked, dtype=self._real)

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
            reach_owner = "ion" if reach.mechanism.endswith("_ion") else reach.mechanism
            if (reach_owner, reach.variable) != (owner, variable):
                continue
            inside = [index for index, node in enumerate(reach.nodes) if int(node) in place]
            targets = [place[int(reach.nodes[index])] for index in inside]
            if reach.distribution == "uniform":
                values[:, targets] = column[:, None]
            else:
                names = {"value": column[:, None], "distance": reach.distance_um[inside][None, :]}
                values[:, targets] = evaluate(reach.distribution, names)
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

    def _globals(self) -> np.ndarray:
        columns = [self._scalar(name, self._plan.structure.globals_[name]) for name in self._plan.lane_globals]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self._matrix), 0))

    def _edges(self) -> np.ndarray:
        """(individuals, 3, nodes): conductance to the parent per its area and per one's own, and capacitance."""
        structure = self._plan.structure
        nodes = np.arange(len(structure.parent))
        ra = self._applied("", "Ra", structure.Ra_ohm_cm, nodes)
        cm = self._applied("", "cm", structure.cm_uF_cm2, nodes)
        resistance = structure.resistance_MOhm * ra / structure.Ra_ohm_cm
        parental = structure.area_um2[np.maximum(structure.parent, 0)]
        membrane = np.where(structure.membrane, 1e-3 * cm, 0.0)
        return np.stack([100.0 / (resistance * parental), 100.0 / (resistance * structure.area_um2), membrane], axis=1)
