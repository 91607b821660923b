"""NEURON and the batched kernel on the same cell, in one worker process, and how far apart they are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.codegen.structure import Structure
from hpcfit.biophys.engines.batched import BatchedEngine, read_mechanisms
from hpcfit.biophys.engines.interface import Responses, Status, spike_times
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import EngineSettings, StimulusSettings
from hpcfit.run.processes import Processes

THRESHOLD_MV = -20.0
BOUND_MV, BOUND_MS = 1e-6, 1e-6
"""What double precision is held to: voltages before the first spike, and first spikes."""


@dataclass(frozen=True)
class SideBySide:
    """A cell in NEURON (`neuron`), and what the batched engine is made from."""

    neuron: NeuronEngine
    structure: Structure

    @property
    def names(self) -> list[str]:
        return list(self.neuron.stimuli)

    def batched(self, precision: str, target: str = "native") -> BatchedEngine:
        """The same cell, stimuli and step in the batched engine."""
        changes = {"kind": "batched", "precision": precision, "tables": "honour"}
        settings = self.neuron.settings.model_copy(update=changes)
        mechanisms = read_mechanisms(self.neuron.cell.settings.mechanisms, self.structure.mechanisms, tables=True)
        stimuli = tuple(self.neuron.stimuli.values())
        return BatchedEngine(self.neuron.cell, self.structure, mechanisms, stimuli, settings, target)


@contextmanager
def side_by_side(cell: Cell, stimuli: Sequence[StimulusSettings], settings: EngineSettings) -> Iterator[SideBySide]:
    """settings: of the NEURON engine."""
    factory = neuron_factory(cell, [build_stimulus(one) for one in stimuli], settings)
    with Processes({SERVICE: factory}, 1) as executor:
        neuron = NeuronEngine(factory, executor)
        yield SideBySide(neuron, neuron.structure())


@dataclass(frozen=True)
class Apart:
    """How far one response is from its reference: the largest over the sites.

    Attributes
    ----------
    before_mV, all_mV
        Largest difference of voltages before the first spike at any site, and from start to end.
    first_ms, last_ms
        Shift of first and last spikes; nan where counts differ.
    spikes, reference_spikes
        At the first site, the soma.
    """

    before_mV: float = 0.0
    all_mV: float = 0.0
    first_ms: float = 0.0
    last_ms: float = 0.0
    counts_equal: bool = True
    spikes: int = 0
    reference_spikes: int = 0


def apart(ours: np.ndarray, reference: np.ndarray, dt_ms: float) -> Apart:
    """ours, reference: (sites, time), mV."""
    found = [
        (spike_times(a, dt_ms, THRESHOLD_MV), spike_times(b, dt_ms, THRESHOLD_MV))
        for a, b in zip(ours, reference, strict=True)
    ]
    first = min((times[0] for pair in found for times in pair if len(times)), default=np.inf)
    until = reference.shape[1] if np.isinf(first) else int(first / dt_ms) + 1
    difference = np.abs(ours - reference)
    equal = all(len(a) == len(b) for a, b in found)
    both = [(a, b) for a, b in found if len(a) and len(b)]
    return Apart(
        before_mV=float(np.max(difference[:, :until])),
        all_mV=float(np.max(difference)),
        first_ms=max((abs(a[0] - b[0]) for a, b in both), default=0.0),
        last_ms=max((abs(a[-1] - b[-1]) for a, b in both), default=0.0) if equal else np.nan,
        counts_equal=equal,
        spikes=len(found[0][0]),
        reference_spikes=len(found[0][1]),
    )


def all_apart(ours: Responses, reference: Responses) -> Iterator[tuple[tuple[int, str], Apart]]:
    """((individual, stimulus), how far apart) of those that ended well in both; statuses must agree."""
    np.testing.assert_array_equal(ours.status, reference.status, err_msg=f"{ours.reasons} {reference.reasons}")
    for number, name in enumerate(reference.stimuli):
        for individual in np.flatnonzero(reference.status[:, number] == Status.OK).tolist():
            pair = ours.v_mV[number][individual], reference.v_mV[number][individual]
            yield (individual, name), apart(*pair, reference.dt_ms)
