"""Which simulator does a fit get?  The one its settings name, or NEURON in its place where they allow that."""

import dataclasses
from collections.abc import Sequence

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.coreneuron import CoreNeuronEngine, coreneuron_factory
from hpcfit.biophys.engines.coreneuron_service import CoreNeuronFactory
from hpcfit.biophys.engines.interface import Engine
from hpcfit.biophys.engines.neuron import NeuronEngine, neuron_factory
from hpcfit.biophys.engines.neuron_service import NeuronFactory
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.errors import MechanismError


@dataclasses.dataclass(frozen=True)
class Simulator:
    """An engine, and why it is not the one that was asked for ("" when it is)."""

    engine: Engine
    settings: EngineSettings
    note: str = ""

    @property
    def text(self) -> str:
        """What simulates, in one line."""
        return self.note or settings_text(self.settings)


def simulator_factory(
    cell: Cell, stimuli: Sequence[Stimulus], settings: EngineSettings
) -> NeuronFactory | CoreNeuronFactory:
    """What worker processes build: the cell in NEURON, or copies of it for CoreNEURON.

    Raises
    ------
    ConfigError, InputError, MechanismError, EngineError
        As neuron_factory and coreneuron_factory.
    """
    neuron = neuron_factory(cell, stimuli, settings)
    return coreneuron_factory(neuron) if settings.kind == "coreneuron" else neuron


def choose_simulator(neuron: NeuronEngine) -> Simulator:
    """The engine that `neuron.settings` ask for; NEURON's is always there, to build the cell and to write it down.

    Raises
    ------
    MechanismError
        When the batched engine cannot translate a mechanism and engine.fallback is "refuse".
    EngineError
        When there is no C++ compiler.
    """
    settings = neuron.settings
    if settings.kind == "neuron":
        return Simulator(neuron, settings)
    if settings.kind == "coreneuron":
        return Simulator(CoreNeuronEngine(neuron), settings)
    try:
        return Simulator(BatchedEngine.of(neuron), settings)
    except MechanismError as error:
        neuron.describe()  # raises where the cell itself cannot be built: there is nothing to fall back to
        if settings.fallback != "neuron":
            raise MechanismError(f"{error}; engine.fallback = 'neuron' lets NEURON simulate in its place") from None
        return Simulator(neuron, settings, f"engine.fallback: NEURON simulates, because {error}")


def settings_text(settings: EngineSettings) -> str:
    """Kind, precision, integrator, order and step, in one line."""
    words = [settings.kind]
    if settings.kind == "batched":
        words.append(settings.precision or "single")
    if settings.integrator == "cvode":
        return " ".join([*words, f"CVODE atol {settings.cvode_atol:g}"])
    return " ".join([*words, f"order {settings.order} dt {settings.dt_ms:g} ms"])
