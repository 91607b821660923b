"""Responses of a population, without a fit around it."""

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import SPIKE_MV, Responses, SpikeTimes
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.engines.readings import FeatureValues, features_of, readings_for
from hpcfit.biophys.extract.reading import Reading
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import EngineSettings, StimulusSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.jobs.words import say
from hpcfit.run.processes import Processes


@overload
def simulate(
    cell: Cell,
    parameters: np.ndarray,
    stimuli: Sequence[Stimulus | StimulusSettings],
    engine: EngineSettings | str = "neuron",
    record: Literal["traces"] = "traces",
) -> Responses: ...


@overload
def simulate(
    cell: Cell,
    parameters: np.ndarray,
    stimuli: Sequence[Stimulus | StimulusSettings],
    engine: EngineSettings | str = "neuron",
    *,
    record: Literal["spikes"],
    threshold_mV: float = SPIKE_MV,
) -> SpikeTimes: ...


@overload
def simulate(
    cell: Cell,
    parameters: np.ndarray,
    stimuli: Sequence[Stimulus | StimulusSettings],
    engine: EngineSettings | str = "neuron",
    *,
    record: Literal["features"],
    features: Sequence[str | Reading],
) -> FeatureValues: ...


def simulate(
    cell: Cell,
    parameters: np.ndarray,
    stimuli: Sequence[Stimulus | StimulusSettings],
    engine: EngineSettings | str = "neuron",
    record: str = "traces",
    threshold_mV: float = SPIKE_MV,
    features: Sequence[str | Reading] = (),
) -> Responses | SpikeTimes | FeatureValues:
    """Responses of a population.

    Parameters
    ----------
    cell
        `load(path).cell`.
    parameters
        (individuals, free parameters), in the order of `cell.free` and their units.
    stimuli
        `load(path).stimuli`, or some of them, or settings of your own.
    engine
        A name ("neuron", "batched", "coreneuron") or settings.
    record
        "traces": the voltage at every site; "spikes": only when it rises through a threshold, which takes hardly any
        memory; "features": what `features` names, read by the batched engine while it simulates, with no trace in
        memory, and by the others of traces that they keep until then.
    threshold_mV
        Of spikes, at sites that have no threshold_mV of their own.
    features
        Names, read at the first site under every stimulus in its own window; or `hpcfit.features.Reading`, each of one
        stimulus at one site with a window and settings of its own.

    Returns
    -------
    Responses | SpikeTimes | FeatureValues
        Voltage (individuals, sites, time) per stimulus, mV, or spike times, ms, or features; and a status per
        individual and stimulus.

    Raises
    ------
    ConfigError, InputError, MechanismError
        When the cell cannot be built, or a feature, or the stimulus or site of a reading, does not exist.
    EngineError
        When the result would not fit into memory: how much is needed and how much there is.
    ValueError
        When `parameters` has the wrong shape or is not finite, `record` is none of these, or `features` are given
        without record = "features" or the other way round.
    """
    if record not in ("traces", "spikes", "features"):
        raise ValueError(f"record = {record!r}; accepted: 'traces', 'spikes', 'features'")
    if (record == "features") != bool(features):
        raise ValueError(
            f"record = {record!r} with {len(features)} features; record = 'features' and features go together"
        )
    settings = engine if isinstance(engine, EngineSettings) else EngineSettings.model_validate({"kind": engine})
    built = [build_stimulus(one) if isinstance(one, StimulusSettings) else one for one in stimuli]
    readings = readings_for(features, built, [site.name for site in cell.sites])
    factory = simulator_factory(cell, built, settings)
    with Processes({SERVICE: factory}, settings.workers) as executor:
        chosen, names = choose_simulator(NeuronEngine(factory, executor)), [stimulus.name for stimulus in built]
        say(chosen.note, None)
        if record == "spikes":
            return chosen.engine.spikes(parameters, names, threshold_mV)
        if record == "features":
            return features_of(chosen.engine, parameters, names, readings)
        return chosen.engine.simulate(parameters, names)
