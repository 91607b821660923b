"""The batched engine: a whole population in one compiled kernel, individuals in the lanes of vector registers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.codegen.build import HERE, library, vector_bytes
from hpcfit.biophys.codegen.events import with_instances
from hpcfit.biophys.codegen.gates import Gates, Grid, fit_gates, grid_for, voltage_gates
from hpcfit.biophys.codegen.ir import Mechanism
from hpcfit.biophys.codegen.kernel import kernel_source
from hpcfit.biophys.codegen.plan import Plan, fixed_values, make_plan
from hpcfit.biophys.codegen.schedule import make_schedule
from hpcfit.biophys.codegen.structure import Structure
from hpcfit.biophys.engines.feature_call import extractor_bytes, feature_order, sites_read, table_bytes
from hpcfit.biophys.engines.interface import SPIKE_MV, Responses, SpikeTimes, Status, cores, site_thresholds
from hpcfit.biophys.engines.kernel_call import Ends, Input, KernelCall, kernel_input, most_spikes, samples_of
from hpcfit.biophys.engines.lane_inputs import making_bytes, parameter_table, row_length
from hpcfit.biophys.engines.memory import Memory, Record, memory_limit
from hpcfit.biophys.engines.mod_files import cache_folder, mechanism_name, mod_files
from hpcfit.biophys.engines.neuron import NeuronEngine
from hpcfit.biophys.engines.nmodl import read_mechanism
from hpcfit.biophys.engines.readings import FeatureValues, check_readings, empty_tables
from hpcfit.biophys.extract.reading import Reading
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.errors import MechanismError

BUILT_IN = HERE / "builtin"


def read_mechanisms(
    folder: Path | None, names: Iterable[str], order: int = 1, tables: bool = False
) -> dict[str, Mechanism]:
    """The mechanisms of these names: from the folder's .mod files, else from those that stand for NEURON's own.

    order: of the step in time; tables: honour their TABLE statements.

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
    return {name: read_mechanism(known[name], order, tables) for name in names}


def sources(structure: Structure) -> list[str]:
    """The mechanisms whose .mod files a structure needs: a point process has one for all its instances."""
    owners = {instance.owner: instance.mechanism for instance in structure.instances}
    return list(dict.fromkeys(owners.get(name, name) for name in structure.mechanisms))


class BatchedEngine:
    """Simulates populations of one cell."""

    def __init__(
        self,
        cell: Cell,
        structure: Structure,
        mechanisms: Mapping[str, Mechanism],
        stimuli: Sequence[Stimulus],
        settings: EngineSettings,
        target: str = "native",
        lanes: int | None = None,
    ) -> None:
        """Generate and compile the kernel, or find it in the cache.

        target: the processor, as the compiler's -march names it; lanes: individuals in a block, as many as fit into a
        vector register if not given; 1 is what a device's source is, compiled for this processor.

        Raises
        ------
        MechanismError
            When a free parameter reaches what is fixed in the kernel (celsius).
        EngineError
            When there is no C++ compiler.
        """
        self.cell, self.settings = cell, settings
        self.threads = cores(settings)
        self.stimuli = {stimulus.name: stimulus for stimulus in stimuli}
        self.plan = make_plan(structure, with_instances(structure, mechanisms))
        self.schedules = {
            stimulus.name: make_schedule(self.plan, mechanisms, stimulus, settings.dt_ms) for stimulus in stimuli
        }
        precision = settings.precision or "single"
        self.real = np.dtype("f4" if precision == "single" else "f8")
        self.lanes = self.at_once = lanes or vector_bytes(target) // self.real.itemsize
        gates = _gates(self.plan, settings.dt_ms, grid_for(self.real, self.lanes))
        real = "float" if precision == "single" else "double"
        self.source = kernel_source(self.plan, settings.order, settings.dt_ms, real, self.lanes, gates)
        compiled = library(self.source, cache_folder() / "kernels", target)
        self._kernel = KernelCall(compiled, self.plan.structure, settings, [site.name for site in cell.sites])
        assert self._kernel.row_length == row_length(self.plan), (
            "the kernel and its caller count parameters differently"
        )

    @classmethod
    def of(cls, neuron: NeuronEngine, lanes: int | None = None) -> "BatchedEngine":
        """The same cell, stimuli and settings as a NEURON engine's.  lanes: see __init__."""
        structure = neuron.structure()
        settings, stimuli = neuron.settings, tuple(neuron.stimuli.values())
        folder = neuron.cell.settings.mechanisms
        mechanisms = read_mechanisms(folder, sources(structure), settings.order, settings.tables_honoured)
        return cls(neuron.cell, structure, mechanisms, stimuli, settings, lanes=lanes)

    def simulate(self, parameters: np.ndarray, stimuli: Sequence[str]) -> Responses:
        """Responses of every individual to the named stimuli, float32 in single precision.  See Engine.simulate."""
        table, inputs = self._prepared(parameters, stimuli, "traces")
        traces, ends = self._kernel.traces(table, inputs, self.lanes, self.threads)
        sites = tuple(site.name for site in self.cell.sites)
        dt_ms = self.settings.record_dt_ms
        return Responses(tuple(stimuli), sites, dt_ms, tuple(traces), ends.status, self._reasons(ends))

    def spikes(self, parameters: np.ndarray, stimuli: Sequence[str], threshold_mV: float = SPIKE_MV) -> SpikeTimes:
        """Spike times, found while simulating.  See Engine.spikes."""
        table, inputs = self._prepared(parameters, stimuli, "spikes")
        thresholds = site_thresholds(self.cell.sites, threshold_mV)
        most = most_spikes(len(table), [self.stimuli[name] for name in stimuli], len(self.cell.sites))
        counts, times, ends = self._kernel.spikes(table, inputs, self.lanes, self.threads, thresholds, most)
        sites = tuple(site.name for site in self.cell.sites)
        return SpikeTimes(tuple(stimuli), sites, counts, times, thresholds, ends.status, self._reasons(ends))

    def features(self, parameters: np.ndarray, stimuli: Sequence[str], readings: Sequence[Reading]) -> FeatureValues:
        """Features, read by each thread of the lanes it has just simulated.  See Streaming.features."""
        readings, sites = tuple(readings), tuple(site.name for site in self.cell.sites)
        check_readings(readings, stimuli, sites)
        table, inputs = self._prepared(parameters, stimuli, readings)
        mean, count, reason = tables = empty_tables(readings, len(table))
        samples = [one.samples for one in inputs]
        order = feature_order(readings, stimuli, sites, samples, self.settings.record_dt_ms, tables)
        ends, reading_s = self._kernel.features(table, inputs, self.lanes, self.threads, order)
        reasons = self._reasons(ends)
        return FeatureValues(tuple(stimuli), readings, mean, count, reason, ends.status, reasons, reading_s)

    def memory(self, population: int, stimuli: Sequence[str], record: Record = "traces") -> Memory:
        """Bytes at most: tables, currents, what is recorded, every thread's states and samples.  See Engine.memory."""
        chosen, sites = [self.stimuli[name] for name in stimuli], len(self.cell.sites)
        pairs = population * len(chosen)
        currents = sum(
            len(one.injections) * round(one.duration_ms / self.settings.dt_ms) * self.real.itemsize for one in chosen
        )
        table = population * row_length(self.plan) * self.real.itemsize + making_bytes(self.plan, population)
        if record == "traces":
            samples = sum(samples_of(one, self.settings) for one in chosen)
            results = population * sites * samples * self.real.itemsize
        elif record != "spikes":
            results = table_bytes(record, population)
        else:  # found, the order they belong in, and ordered; counts and starts
            results = 24 * most_spikes(population, chosen, sites) + 32 * pairs * sites
        lanes = 16 * (pairs + self.lanes) + 17 * pairs
        return Memory(table + currents + lanes, results, self.threads * self._work_bytes(stimuli, record))

    def _work_bytes(self, stimuli: Sequence[str], record: Record) -> int:
        """What one thread needs."""
        if isinstance(record, str):
            return self._kernel.work_bytes
        samples = {name: samples_of(self.stimuli[name], self.settings) for name in stimuli}
        sites = sites_read(record, [site.name for site in self.cell.sites])
        work = self._kernel.feature_work_bytes(len(sites), max(samples.values()))
        return work + extractor_bytes(record, samples, self.settings.record_dt_ms)

    def cancel(self) -> None:
        """The kernel at work leaves.  See Engine.cancel."""
        self._kernel.cancel()

    def _prepared(
        self, parameters: np.ndarray, stimuli: Sequence[str], record: Record
    ) -> tuple[np.ndarray, list[Input]]:
        """What the kernel reads; an error if that and what it writes do not fit into memory."""
        matrix = self.cell.matrix(parameters)
        needed = self.memory(len(matrix), stimuli, record)
        what = record if isinstance(record, str) else "features"
        needed.check(memory_limit(self.settings.memory_GiB), f"simulating {len(matrix)} individuals ({what})")
        structure = self.plan.structure
        inputs = [
            kernel_input(self.stimuli[name], structure, self.settings, self.real, self.schedules[name])
            for name in stimuli
        ]
        return parameter_table(self.plan, matrix, self.real), inputs

    def _reasons(self, ends: Ends) -> dict[tuple[int, int], str]:
        """What happened to those that did not end well."""
        settings, reasons = self.settings, {}
        for individual, stimulus in np.argwhere(ends.status).tolist():
            at_ms = ends.stopped_ms[individual, stimulus]
            if ends.status[individual, stimulus] == Status.DIVERGED:
                reason = f"voltage beyond {settings.voltage_limit_mV:g} mV by {at_ms:g} ms"
            else:
                reason = f"{at_ms:g} ms done when its block reached engine.deadline_s = {settings.deadline_s:g} s"
            reasons[individual, stimulus] = reason
        return reasons


def _gates(plan: Plan, dt_ms: float, grid: Grid) -> Gates | None:
    """Tables of all gates of the cell that depend on voltage alone."""
    values = {name: fixed_values(plan, mechanism, dt_ms) for name, mechanism in plan.mechanisms.items()}
    chosen = [
        mechanism
        for name, mechanism in plan.mechanisms.items()
        if mechanism.kind == "density" and not mechanism.tables and voltage_gates(mechanism, values[name])
    ]
    gates = fit_gates(chosen, values, grid)
    return gates if gates.mechanisms else None
