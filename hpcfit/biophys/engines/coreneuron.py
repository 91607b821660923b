"""CoreNEURON as an engine: blocks of individuals and stimuli, each block one simulation in a worker process."""

from collections.abc import Sequence

import numpy as np

from hpcfit.biophys.engines.core_mod_files import compiled_for_coreneuron
from hpcfit.biophys.engines.coreneuron_service import COPIES, CoreNeuronFactory
from hpcfit.biophys.engines.interface import (
    SPIKE_MV,
    Responses,
    SpikeTimes,
    Status,
    site_thresholds,
    spike_times,
)
from hpcfit.biophys.engines.memory import Memory, Record
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.engines.neuron_service import NeuronFactory
from hpcfit.errors import ConfigError
from hpcfit.population.executor import Fate, Outcome, Task

_CHANGES_BETWEEN_BLOCKS = ("celsius", "v_init")
Pair = tuple[int, int]
"""Numbers of an individual and of a stimulus."""


def coreneuron_factory(neuron: NeuronFactory) -> CoreNeuronFactory:
    """What worker processes need in place of NEURON's own factory; the mechanisms are compiled here, once.

    Raises
    ------
    ConfigError
        When a mechanism's GLOBAL is a free parameter, or a stimulus has point processes.
    MechanismError
        When CoreNEURON cannot take a mechanism.
    EngineError
        When a tool is missing.
    """
    for parameter in neuron.cell.free:
        if not parameter.regions and parameter.variable not in _CHANGES_BETWEEN_BLOCKS:
            raise ConfigError(
                f"parameter {parameter.name}: CoreNEURON reads {parameter.variable}, a mechanism's GLOBAL, once in a "
                "process, so it cannot be free; give it a value, make it a RANGE variable in its .mod file, "
                "or use engine.kind = 'neuron'"
            )
    for stimulus in neuron.stimuli:
        if stimulus.point_processes:
            raise ConfigError(
                f"stimuli.{stimulus.name}: point processes are not simulated by engine.kind = 'coreneuron'; "
                "use 'batched' or 'neuron'"
            )
    folder, settings = neuron.cell.settings.mechanisms, neuron.settings
    return CoreNeuronFactory(neuron, compiled_for_coreneuron(folder, settings.gpu) if folder is not None else None)


class CoreNeuronEngine:
    """Simulates through an executor whose factories hold `coreneuron_factory(...)` under SERVICE."""

    def __init__(self, neuron: NeuronEngine) -> None:
        self._neuron = neuron
        self.settings = neuron.settings
        self.at_once = COPIES
        # It exists once in a process: who shares a block shares its value.
        self._shared = [column for column, free in enumerate(neuron.cell.free) if free.variable == "celsius"]

    def simulate(self, parameters: np.ndarray, stimuli: Sequence[str]) -> Responses:
        """Responses of every individual to the named stimuli.  See Engine.simulate."""
        matrix = self._neuron.cell.matrix(parameters)
        waiting = self._blocks(matrix, stimuli)
        outcomes: dict[Pair, Outcome] = {}
        while waiting:
            tasks = [self._task(matrix, stimuli, block) for block in waiting]
            done = list(zip(waiting, self._neuron.executor.map(tasks), strict=True))
            waiting = []
            for block, outcome in done:
                if outcome.fate in (Fate.DIED, Fate.FAILED) and len(block) > 1:
                    # One individual may take its process down: halves find it, and the others have their numbers.
                    waiting += [block[: len(block) // 2], block[len(block) // 2 :]]
                else:
                    outcomes |= dict(zip(block, self._shared_out(outcome, len(block)), strict=True))
        in_order = [outcomes[individual, number] for individual in range(len(matrix)) for number in range(len(stimuli))]
        return self._neuron.responses(len(matrix), tuple(stimuli), in_order)

    def spikes(self, parameters: np.ndarray, stimuli: Sequence[str], threshold_mV: float = SPIKE_MV) -> SpikeTimes:
        """Spike times, read from traces.  See Engine.spikes."""
        responses = self.simulate(parameters, stimuli)
        thresholds = site_thresholds(self._neuron.cell.sites, threshold_mV)
        counts = np.zeros((*responses.status.shape, len(responses.sites)), dtype=np.int64)
        times: list[np.ndarray] = [np.zeros(0)]
        for individual, number in np.ndindex(*responses.status.shape):
            if responses.status[individual, number] == Status.OK:
                traces = responses.v_mV[number][individual]
                found = [spike_times(v, responses.dt_ms, at) for v, at in zip(traces, thresholds, strict=True)]
                counts[individual, number] = [len(one) for one in found]
                times.extend(found)
        all_times = np.concatenate(times)
        return SpikeTimes(
            responses.stimuli, responses.sites, counts, all_times, thresholds, responses.status, responses.reasons
        )

    def memory(self, population: int, stimuli: Sequence[str], record: Record = "traces") -> Memory:
        """Bytes at most, without the worker processes' own: spikes come from whole traces here.  See Engine.memory."""
        return self._neuron.memory(population, stimuli, "traces")

    def cancel(self) -> None:
        """The worker processes leave.  See Engine.cancel."""
        self._neuron.cancel()

    def _blocks(self, matrix: np.ndarray, stimuli: Sequence[str]) -> list[list[Pair]]:
        """All pairs in blocks of one duration and temperature."""
        groups: dict[tuple[float, ...], list[Pair]] = {}
        for number, name in enumerate(stimuli):
            for individual, values in enumerate(matrix):
                key = (self._neuron.stimuli[name].duration_ms, *values[self._shared])
                groups.setdefault(key, []).append((individual, number))
        return [group[start : start + COPIES] for group in groups.values() for start in range(0, len(group), COPIES)]

    def _task(self, matrix: np.ndarray, stimuli: Sequence[str], block: list[Pair]) -> Task:
        values = matrix[[individual for individual, _ in block]]
        names = [stimuli[number] for _, number in block]
        return Task(SERVICE, "simulate_block", (values, names), self._neuron.settings.deadline_s * COPIES)

    def _shared_out(self, outcome: Outcome, members: int) -> list[Outcome]:
        """The outcome of each member of a block.  A fixed step takes all the same time: late is the whole block."""
        if outcome.fate is Fate.DONE:
            return [Outcome(Fate.DONE, value) for value in outcome.value]
        reason = outcome.reason
        if outcome.fate is Fate.DEADLINE:
            allowed = f"{COPIES} x {self._neuron.settings.deadline_s:g} s"
            reason = f"its block of {COPIES} took longer than {allowed}"
        return [Outcome(outcome.fate, None, reason)] * members
