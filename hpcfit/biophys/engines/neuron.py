"""NEURON as an engine: worker processes that each hold the cell, one task per individual and stimulus."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpcfit.biophys.cell import Cell, check_morphology
from hpcfit.biophys.codegen.structure import Structure
from hpcfit.biophys.engines.coreneuron_service import CoreNeuronFactory
from hpcfit.biophys.engines.interface import Responses, Status
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
        tasks = [
            Task(SERVICE, "simulate", (values, name), self.settings.deadline_s) for values in matrix for name in stimuli
        ]
        outcomes = self.executor.map(tasks)
        return self.responses(len(matrix), tuple(stimuli), outcomes)

    def responses(self, individuals: int, stimuli: tuple[str, ...], outcomes: Sequence[Outcome]) -> Responses:
        """Outcomes, of the first individual under every stimulus, then of the next, as responses."""
        sites = tuple(site.name for site in self.cell.sites)
        status = np.zeros((individuals, len(stimuli)), dtype=np.int8)
        reasons: dict[tuple[int, int], str] = {}
        v_mV = tuple(np.full((individuals, len(sites), self._samples(name)), np.nan) for name in stimuli)
        for number, outcome in enumerate(outcomes):
            individual, stimulus = divmod(number, len(stimuli))
            code, reason, trace = (
                outcome.value if outcome.fate is Fate.DONE else (_STATUS[outcome.fate], outcome.reason, None)
            )
            status[individual, stimulus] = code
            if trace is not None:
                v_mV[stimulus][individual] = trace
            else:
                reasons[individual, stimulus] = reason
        return Responses(stimuli, sites, self.settings.record_dt_ms, v_mV, status, reasons)

    def _samples(self, name: str) -> int:
        return 1 + math.floor(self.stimuli[name].duration_ms / self.settings.record_dt_ms + 1e-9)
