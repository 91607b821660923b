"""What should each stimulus evoke?  Score terms with mean and sd, from given statistics or from recorded sweeps.

A feature's mean and sd are taken over sweeps, one value a sweep; sd is the sample's (ddof = 1), and no smaller than the
floors of [features], because a few sweeps can agree by chance.  A single sweep has the floor for sd.  `unit` of
[[scores]] chooses something else than the sd; [weighting] changes the weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np

from hpcfit.biophys.distances import TraceDistance, distance_unit, make_distance
from hpcfit.biophys.electrodes import Step
from hpcfit.biophys.feature_targets import feature_target, floor_of, relative_unit
from hpcfit.biophys.features import NEED_CURRENT, check_features, extract
from hpcfit.biophys.objectives import objective_names
from hpcfit.biophys.recorded import RecordedSweep, recorded_sweeps
from hpcfit.biophys.recordings import rheobase_nA
from hpcfit.biophys.settings import (
    FeatureSettings,
    FitSettings,
    RheobaseSettings,
    ScoreSettings,
    StimulusSettings,
    TargetSettings,
)
from hpcfit.biophys.terms import RecordedTraces, Targets, Term
from hpcfit.biophys.weighting import weighted
from hpcfit.errors import ConfigError, InputError

__all__ = ["RecordedTraces", "Targets", "Term", "build_targets", "resolve_rheobase", "site_settings"]


@dataclass(frozen=True)
class _Request:
    """The features that one [[scores]] table wants of one stimulus."""

    where: str
    score: ScoreSettings
    stimulus: StimulusSettings
    target: TargetSettings
    features: tuple[str, ...]

    def given(self, feature: str, statistics: tuple[float, float], settings: FeatureSettings) -> Term:
        """The term of a feature whose mean and sd are given: the sd stands for a median absolute deviation, too."""
        mean, sd = statistics
        unit = self.score.unit
        size = floor_of(feature, mean, settings) if unit == "range" else sd
        size = relative_unit(feature, mean, settings) if unit == "mean" else size
        return self._term(feature, (mean, size), sd, 0, f"targets.{self.stimulus.name}.statistics")

    def recorded(self, feature: str, values: np.ndarray, settings: FeatureSettings) -> Term:
        """The term of a feature with these values in the sweeps where it is defined."""
        _, sd = feature_target(feature, values, "sd", settings)
        target = feature_target(feature, values, self.score.unit, settings)
        return self._term(feature, target, sd, len(values), str(self.target.recordings))

    def _term(self, feature: str, target: tuple[float, float], sd: float, sweeps: int, source: str) -> Term:
        score, weight = self.score, self.score.weight * self.score.weights.get(feature, 1.0)
        place = (self.stimulus.name, score.site, feature)
        return Term(*place, *target, weight, sweeps, source, score.unit, score.list_values, sd)

    def distance(self, unit: float, sweeps: int) -> Term:
        """The term of a distance between traces."""
        place = (self.stimulus.name, self.score.site, self.score.trace_name)
        return Term(*place, 0.0, unit, self.score.weight, sweeps, str(self.target.recordings), "distance", data_sd=unit)


def resolve_rheobase(fit: FitSettings) -> FitSettings:
    """The fit with every amplitude in nA: those in rheobases multiplied out, the rheobase itself given as a number.

    Raises
    ------
    InputError
        When the rheobase cannot be read from its recordings.
    """
    if fit.rheobase is None:
        return fit
    rheobase = rheobase_nA(fit.rheobase, fit.features.threshold_mV)

    def resolved(electrode):
        if not isinstance(electrode, Step) or electrode.amplitude_rheobase is None:
            return electrode
        amplitude = electrode.amplitude_rheobase * rheobase
        return electrode.model_copy(update={"amplitude_nA": amplitude, "amplitude_rheobase": None})

    stimuli = tuple(
        stimulus.model_copy(update={"electrodes": tuple(map(resolved, stimulus.electrodes))})
        for stimulus in fit.stimuli
    )
    return fit.model_copy(update={"stimuli": stimuli, "rheobase": RheobaseSettings(value_nA=rheobase)})


def build_targets(fit: FitSettings) -> Targets:
    """The score terms of a fit file.

    Statistics given in the file go before recordings.  A feature that is undefined in more than half of the sweeps
    makes no term; it is listed in `dropped`, as is a statistic that no [[scores]] table uses.

    Raises
    ------
    ConfigError
        When a feature does not exist, a term would count twice, or a stimulus has no term.
    InputError
        When recordings cannot be used.
    """
    _check_names(fit)

    @cache
    def rheobase() -> float:
        assert fit.rheobase is not None  # checked with the names of the fit file
        return rheobase_nA(fit.rheobase, fit.features.threshold_mV)

    stimuli = {stimulus.name: stimulus for stimulus in fit.stimuli}
    sweeps = {
        name: recorded_sweeps(stimuli[name], target, rheobase)
        for name, target in fit.targets.items()
        if target.recordings is not None
    }
    traces = {
        (name, fit.targets[name].site): _traces(found, stimuli[name], fit.engine.record_dt_ms)
        for name, found in sweeps.items()
    }
    terms: list[Term] = []
    dropped: list[tuple[str, str, str, str]] = []
    distances: dict[tuple[str, str, str], TraceDistance] = {}
    for request in _requests(fit):
        found = sweeps.get(request.stimulus.name, ())
        if request.score.trace is not None:
            term, distance = _distance(request, found, traces, fit)
            terms.append(term)
            distances[term.stimulus, term.site, term.feature] = distance
            continue
        made, unmade = _terms(request, found, fit)
        terms += made
        dropped += unmade
    dropped += _unused(fit, terms)
    _check_terms(fit, terms, dropped)
    objective_names(terms, getattr(fit.strategy, "objectives", "terms"))
    return Targets(weighted(terms, fit.weighting), traces, tuple(dropped), distances)


def site_settings(fit: FitSettings, site: str) -> FeatureSettings:
    """How features are read at a site: dendritic spikes are smaller, so a site may have its own threshold."""
    threshold = next(each.threshold_mV for each in fit.all_sites if each.name == site)
    return fit.features if threshold is None else fit.features.model_copy(update={"threshold_mV": threshold})


def _check_names(fit: FitSettings) -> None:
    for index, score in enumerate(fit.scores):
        check_features(score.names, f"scores[{index}].features")
    for name, target in fit.targets.items():
        for site, statistics in target.statistics.items():
            check_features(tuple(statistics), f"targets.{name}.statistics.{site}")
    check_features(tuple(fit.features.sd_floor), "features.sd_floor")


def _requests(fit: FitSettings) -> Iterator[_Request]:
    for index, score in enumerate(fit.scores):
        where = f"scores[{index}]"
        found = False
        for stimulus in fit.stimuli:
            if (score.stimuli and stimulus.name not in score.stimuli) or stimulus.name not in fit.targets:
                continue
            target = fit.targets[stimulus.name]
            recorded = target.recordings is not None and target.site == score.site
            given = target.statistics.get(score.site, {})
            if recorded or given:
                found = True
                yield _Request(where, score, stimulus, target, _wanted(score, recorded, tuple(given)))
            elif score.stimuli:
                raise ConfigError(
                    f"{where}: targets.{stimulus.name} has neither recordings nor statistics for site {score.site}; "
                    "add them or take the stimulus out"
                )
        if not found:
            raise ConfigError(f"{where}: no target has recordings or statistics for site {score.site}; add them")


def _wanted(score: ScoreSettings, recorded: bool, given: tuple[str, ...]) -> tuple[str, ...]:
    """The table's features; the defaults stand for what there is: recordings have all of them, statistics their own."""
    if score.features or not given:
        return score.names
    return (*score.names, *(name for name in given if name not in score.names)) if recorded else given


def _terms(
    request: _Request, sweeps: Sequence[RecordedSweep], fit: FitSettings
) -> tuple[list[Term], list[tuple[str, str, str, str]]]:
    name, site = request.stimulus.name, request.score.site
    given = request.target.statistics.get(site, {})
    recorded = sweeps if request.target.site == site else ()
    asked = tuple(feature for feature in request.features if feature not in given)
    values = _values(recorded, asked, site_settings(fit, site)) if recorded else np.empty((0, len(asked)))
    terms: list[Term] = []
    dropped: list[tuple[str, str, str, str]] = []
    for feature in request.features:
        if feature in given:
            with _at(request.where):
                terms.append(request.given(feature, given[feature], fit.features))
            continue
        column = values[:, asked.index(feature)]
        defined = column[np.isfinite(column)]
        if not recorded:
            dropped.append((name, site, feature, "no recordings, and no statistics given"))
        elif 2 * len(defined) < len(column):
            reason = f"undefined in {len(column) - len(defined)} of {len(column)} recorded sweeps"
            dropped.append((name, site, feature, reason))
        else:
            with _at(request.where):
                terms.append(request.recorded(feature, defined, fit.features))
    return terms, dropped


def _values(sweeps: Sequence[RecordedSweep], names: tuple[str, ...], settings: FeatureSettings) -> np.ndarray:
    """(sweeps, features), one call a sweep because sampling and windows may differ between sweeps."""
    need_current = not NEED_CURRENT.isdisjoint(names)
    return np.concatenate(
        [
            extract(
                sweep.v_mV,
                sweep.dt_ms,
                sweep.window_ms,
                names,
                settings,
                i_nA=sweep.i_nA if need_current else None,
                stimulus_nA=sweep.step_nA,
            )
            for sweep in sweeps
        ]
    )


def _distance(
    request: _Request,
    sweeps: Sequence[RecordedSweep],
    traces: Mapping[tuple[str, str], RecordedTraces],
    fit: FitSettings,
) -> tuple[Term, TraceDistance]:
    name, target, score = request.stimulus.name, request.target, request.score
    if not sweeps or target.site != score.site:
        raise ConfigError(
            f"{request.where}: a trace distance needs recordings; targets.{name} has none at {score.site}"
        )
    model_ms = request.stimulus.window[1] - request.stimulus.window[0]
    for sweep in sweeps:
        recorded_ms = sweep.window_ms[1] - sweep.window_ms[0]
        if abs(recorded_ms - model_ms) > max(0.01 * model_ms, sweep.dt_ms):
            raise ConfigError(
                f"{request.where}: a trace distance needs equal timing, but targets.{name}.window_ms lasts "
                f"{recorded_ms:g} ms and the model's stimulus {model_ms:g} ms; score features instead"
            )
    where, recorded = f"{request.where}.trace, stimulus {name}", traces[name, score.site]
    distance = make_distance(score.trace, recorded, site_settings(fit, score.site).threshold_mV, where)
    return request.distance(distance_unit(score, distance, recorded, where), len(sweeps)), distance


@contextmanager
def _at(where: str) -> Iterator[None]:
    """What is wrong with a feature names the table that asks for it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _traces(sweeps: Sequence[RecordedSweep], stimulus: StimulusSettings, dt_ms: float) -> RecordedTraces:
    t_ms = np.arange(1 + int(stimulus.duration_ms / dt_ms + 1e-9)) * dt_ms
    v_mV = np.stack([sweep.on_grid(t_ms) for sweep in sweeps])
    return RecordedTraces(v_mV, dt_ms, stimulus.window, tuple(sweep.name for sweep in sweeps))


def _unused(fit: FitSettings, terms: Sequence[Term]) -> list[tuple[str, str, str, str]]:
    made = {(term.stimulus, term.site, term.feature) for term in terms}
    return [
        (name, site, feature, "given in statistics, but no [[scores]] table names it")
        for name, target in fit.targets.items()
        for site, statistics in target.statistics.items()
        for feature in statistics
        if (name, site, feature) not in made
    ]


def _check_terms(fit: FitSettings, terms: Sequence[Term], dropped: Sequence[tuple[str, str, str, str]]) -> None:
    names = [term.name for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"scores: {name} is asked for {names.count(name)} times; name it in one [[scores]] table")
    for stimulus in fit.stimuli:
        if any(term.stimulus == stimulus.name for term in terms):
            continue
        if stimulus.name not in fit.targets:
            raise ConfigError(
                f"stimulus {stimulus.name} has no [targets.{stimulus.name}]; add it or remove the stimulus"
            )
        reasons = [f"{feature} at {site}: {reason}" for name, site, feature, reason in dropped if name == stimulus.name]
        if not reasons:
            raise ConfigError(
                f"stimulus {stimulus.name} is in no [[scores]] table; add it to one or remove the stimulus"
            )
        raise InputError(
            f"targets.{stimulus.name}: none of its {len(reasons)} features makes a term ({reasons[0]}); choose "
            "features that are defined in its recordings, or other sweeps"
        )
