"""Can a fit's features be read while its cells are simulated, so that no trace is kept; and what are they then?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpcfit.biophys.engines.interface import Engine, Status
from hpcfit.biophys.engines.readings import Streaming, features_of
from hpcfit.biophys.extract.current import CurrentTrace
from hpcfit.biophys.extract.names import INDEX
from hpcfit.biophys.extract.reading import Reading
from hpcfit.biophys.features import extract_settings
from hpcfit.biophys.scores import FeatureService, SiteFeatures, StimulusScoring
from hpcfit.biophys.terms import Targets
from hpcfit.errors import EngineError


@dataclass(frozen=True)
class Streamed:
    """values: (individuals, score functions), NaN where undefined; status: (individuals, stimuli); simulating_s:
    seconds, less those of reading; reason: of the first simulation that failed.
    """

    values: np.ndarray
    status: np.ndarray
    simulating_s: float
    reason: str


def readings_on_the_way(service: FeatureService, stimuli: Sequence[str], engine: Engine) -> tuple[Reading, ...] | None:
    """What the engine can read while it simulates these stimuli, one for every group of the service's features.

    None where traces are needed: the engine hands only them out, a feature is eFEL's to read or one of IPFX's, a term
    is a distance between traces, or each value of a feature's list counts.
    """
    scored = [(name, service.stimuli[name]) for name in stimuli]
    if not isinstance(engine, Streaming) or not service.all_ours or any(scoring.traces for _, scoring in scored):
        return None
    groups = [group for _, scoring in scored for group in scoring.features]
    if any(target is not None for group in groups for target in group.targets):
        return None
    if any(name not in INDEX for group in groups for name in group.names):
        return None
    return tuple(_reading(name, scoring, group) for name, scoring in scored for group in scoring.features)


def _reading(stimulus: str, scoring: StimulusScoring, group: SiteFeatures) -> Reading:
    current = None if scoring.i_nA is None else CurrentTrace(scoring.i_nA)
    settings, given = extract_settings(group.settings), (scoring.stimulus_nA, current)
    return Reading(stimulus, group.site, scoring.window_ms, group.names, settings, *given)


def streamed_features(
    engine: Engine,
    parameters: np.ndarray,
    targets: Targets,
    service: FeatureService,
    readings: Sequence[Reading],
) -> Streamed:
    """Values of all score functions, in as many portions of the population as fit into memory.

    parameters: (individuals, free parameters); readings: what `readings_on_the_way` gave.

    Raises
    ------
    EngineError
        When one individual's results do not fit.
    """
    begun = time.monotonic()
    stimuli = tuple(dict.fromkeys(one.stimulus for one in readings))
    found = features_of(engine, parameters, stimuli, readings)
    values = np.full((len(parameters), len(targets.terms)), np.nan)
    means = iter(found.mean)
    for stimulus in stimuli:
        columns = targets.columns(stimulus)
        for group in service.stimuli[stimulus].features:
            values[:, columns[list(group.columns)]] = next(means)
    reason = next(iter(found.reasons.values()), "")
    return Streamed(values, found.status, time.monotonic() - begun - found.reading_s, reason)


def refuse_divergence(status: np.ndarray, reason: str, engine: Engine) -> None:
    """Raises EngineError when every simulation has diverged.  status: (individuals, stimuli)."""
    if np.all(status == Status.DIVERGED):
        raise EngineError(
            f"all {status.size} simulations diverged (the first: {reason}); lower engine.dt_ms = "
            f"{engine.settings.dt_ms:g} if it is above 0.025, or mend the bounds of the parameters"
        )
