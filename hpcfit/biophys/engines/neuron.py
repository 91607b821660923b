"""NEURON as an engine: worker processes that each hold the cell, one task per individual and stimulus."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.cell import Cell, check_morphology
from hpcfit.biophys.codegen.structure import Structure
from hpcfit.biophys.engines.coreneuron_service import CoreNeuronFactory
from hpcfit.biophys.engines.interface import SPIKE_MV, Responses, SpikeTimes, Status, site_thresholds
from hpcfit.biophys.engines.memory import Memory, Record, memory_limit
from hpcfit.biophys.engines.mod_files import compiled
from hpcfit.biophys.engines.neuron_cell import Description
from hpcfit.biophys.engines.neuron_service import NeuronFactory
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.population.executor import Executor, Fate, Outcome, Task

SERVICE = "neuron"
_STATUS = {Fate.DEADLINE: Status.DEADLINE, Fate.DIED: Status.CRASHED, Fate.FAILED: Status.ERROR}


def neuron_factory(cell: Cell, stimuli: Sequence[Stimulus], settings: EngineSettings) -> NeuronFactory:
    """What worker processes need; the cell's files are checked and its mechanisms compiled here, once.

    Raises
    ------
    InputError, MechanismError
        When the morphology or a mechanism is unusable.
    """
    check_morphology(cell.settings.morphology)
    folder = cell.settings.mechanisms
    library: Path | None = compiled(folder) if folder is not None else None
    return NeuronFactory(cell, tuple(stimuli), settings, library)


class NeuronEngine:
    """Simulates through an executor whose factories hold `neuron_factory(...)` under SERVICE."""

    def __init__(self, factory: NeuronFactory | CoreNeuronFactory, executor: Executor) -> None:
        self.cell = factory.cell
        self.stimuli = {stimulus.name: stimulus for stimulus in factory.stimuli}
        self.settings = factory.settings
        self.executor = executor
        self.at_once = 1

    def describe(self) -> Description:
        """What the workers build; raises the user's error when the cell cannot be built."""
        outcome = self.executor.map([Task(SERVICE, "describe", ())])[0]
        assert outcome.fate is Fate.DONE, outcome.reason
        return outcome.value

    def structure(self) -> Structure:
        """The discretised cell, as another engine needs it."""
        anywhere = np.array([parameter.bounds for parameter in self.cell.free], dtype=float).reshape(-1, 2).mean(axis=1)
        outcome = self.executor.map([Task(SERVICE, "structure", (anywhere,))])[0]
        assert outcome.fate is Fate.DONE, outcome.reason
        return outcome.value

    def hoc(self, values: np.ndarray) -> str:
        """The cell with these parameters, and its stimuli, as a hoc file.  values: (free parameters,)."""
        outcome = self.executor.map([Task(SERVICE, "hoc", (values,))])[0]
        assert outcome.fate is Fate.DONE, outcome.reason
        return outcome.value

    def simulate(self, parameters: np.ndarray, stimuli: Sequence[str]) -> Responses:
        """Responses of every individual to the named stimuli.  See Engine.simulate."""
        matrix = self.cell.matrix(parameters)
        needed = self.memory(len(matrix), stimuli)
        needed.check(memory_limit(self.settings.memory_GiB), f"simulating {len(matrix)} individuals (traces)")
        tasks = [
            Task(SERVICE, "simulate", (values, name), self.settings.deadline_s) for values in matrix for name in stimuli
        ]
        outcomes = self.executor.map(tasks)
        return self.responses(len(matrix), tuple(stimuli), outcomes)

    def spikes(self, parameters: np.ndarray, stimuli: Sequence[str], threshold_mV: float = SPIKE_MV) -> SpikeTimes:
        """Spike times, read from traces in the worker processes.  See Engine.spikes."""
        matrix, sites = self.cell.matrix(parameters), tuple(site.name for site in self.cell.sites)
        thresholds = site_thresholds(self.cell.sites, threshold_mV)
        tasks = [
            Task(SERVICE, "spikes", (values, name, thresholds), self.settings.deadline_s)
            for values in matrix
            for name in stimuli
        ]
        status = np.zeros((len(matrix), len(stimuli)), dtype=np.int8)
        counts = np.zeros((len(matrix), len(stimuli), len(sites)), dtype=np.int64)
        reasons: dict[tuple[int, int], str] = {}
        times: list[np.ndarray] = []
        for number, outcome in enumerate(self.executor.map(tasks)):
            pair = divmod(number, len(stimuli))
            status[pair], reason, found = _ended(outcome)
            if found is None:
                reasons[pair] = reason
                continue
            counts[pair] = [len(one) for one in found]
            times.extend(found)
        all_times = np.concatenate([np.zeros(0), *times])
        return SpikeTimes(tuple(stimuli), sites, counts, all_times, thresholds, status, reasons)

    def memory(self, population: int, stimuli: Sequence[str], record: Record = "traces") -> Memory:
        """Bytes at most, without the worker processes' own.  See Engine.memory."""
        sites = len(self.cell.sites)
        if record != "spikes":  # as they come from the workers, and put together
            results = 2 * 8 * population * sites * sum(self._samples(name) for name in stimuli)
        else:
            results = 2 * 8 * population * sites * round(sum(self.stimuli[name].duration_ms for name in stimuli))
        tasks = 200 + 8 * len(self.cell.free)
        return Memory(population * len(stimuli) * tasks, results, 0)

    def cancel(self) -> None:
        """The worker processes leave.  See Engine.cancel."""
        self.executor.cancel()

    def responses(self, individuals: int, stimuli: tuple[str, ...], outcomes: Sequence[Outcome]) -> Responses:
        """Outcomes, of the first individual under every stimulus, then of the next, as responses."""
        sites = tuple(site.name for site in self.cell.sites)
        status = np.zeros((individuals, len(stimuli)), dtype=np.int8)
        reasons: dict[tuple[int, int], str] = {}
        v_mV = tuple(np.full((individuals, len(sites), self._samples(name)), np.nan) for name in stimuli)
        for number, outcome in enumerate(outcomes):
            individual, stimulus = divmod(number, len(stimuli))
            status[individual, stimulus], reason, trace = _ended(outcome)
            if trace is not None:
                v_mV[stimulus][individual] = trace
            else:
                reasons[individual, stimulus] = reason
        return Responses(stimuli, sites, self.settings.record_dt_ms, v_mV, status, reasons)

    def _samples(self, name: str) -> int:
        return 1 + math.floor(self.stimuli[name].duration_ms / self.settings.record_dt_ms + 1e-9)


def _ended(outcome: Outcome) -> tuple[int, str, Any]:
    """Status, reason and result of one simulation."""
    return outcome.value if outcome.fate is Fate.DONE else (_STATUS[outcome.fate], outcome.reason, None)
