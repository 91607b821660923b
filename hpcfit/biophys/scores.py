"""How far is an individual from its targets?  Features in threads, or eFEL's in worker processes; scores in arrays.

    F(x) = sum over stimuli and score functions of  weight * |value - mean| / sd         (Ladd et al. 2021)

where sd is the unit that [[scores]] chooses, and the value of a distance between traces has the mean 0.  A feature that
is undefined and a simulation that failed contribute a penalty, in units of sd, and are counted.  docs/scores.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hpcfit.biophys.electrodes import Step
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.features import NEED_CURRENT, all_ours, extract
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import FeatureSettings, FitSettings, PenaltySettings, StimulusSettings
from hpcfit.biophys.targets import site_settings
from hpcfit.biophys.terms import Targets, Term


@dataclass(frozen=True)
class SiteFeatures:
    """The features read at one site, and which columns of the stimulus' terms they fill."""

    site: str
    names: tuple[str, ...]
    columns: tuple[int, ...]
    settings: FeatureSettings
    targets: tuple[float | None, ...]
    """Where each value of a feature is compared, with what; None: the mean of the values is the feature's value."""


@dataclass(frozen=True)
class SiteTrace:
    """A distance from recorded traces at a site, and the column that it fills."""

    site: str
    column: int
    distance: Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class StimulusScoring:
    """All that a worker needs to turn the responses to one stimulus into values: sent to it once."""

    terms: int
    window_ms: tuple[float, float]
    dt_ms: float
    features: tuple[SiteFeatures, ...]
    traces: tuple[SiteTrace, ...]
    stimulus_nA: float | None
    i_nA: np.ndarray | None
    """(time,) at dt_ms, only where a feature needs it."""


@dataclass(frozen=True)
class FeatureService:
    """Reads features of simulated voltages; one in each worker process, or one here when all features are ours."""

    stimuli: dict[str, StimulusScoring]
    threads: int = 1

    @property
    def all_ours(self) -> bool:
        """Whether no feature needs eFEL, and with it a worker process."""
        groups = [group for scoring in self.stimuli.values() for group in scoring.features]
        return all(all_ours(group.names, group.settings) for group in groups)

    def features(
        self, stimulus: str, v_mV: np.ndarray, sites: tuple[str, ...], dt_ms: float, status: np.ndarray
    ) -> np.ndarray:
        """Values of the terms of a stimulus, in their order: (individuals, terms); NaN where there is none.

        v_mV: (individuals, sites, time) at dt_ms; status: (individuals,), values of Status.
        """
        scoring = self.stimuli[stimulus]
        assert abs(dt_ms - scoring.dt_ms) < 1e-9, f"responses every {dt_ms} ms, expected {scoring.dt_ms}"
        values = np.full((len(v_mV), scoring.terms), np.nan)
        good = np.flatnonzero(np.asarray(status) == Status.OK)
        for group in scoring.features:
            traces = v_mV[good, sites.index(group.site)]
            values[np.ix_(good, np.array(group.columns))] = extract(
                traces,
                dt_ms,
                scoring.window_ms,
                dict(zip(group.names, group.targets, strict=True)),
                group.settings,
                i_nA=None if scoring.i_nA is None else scoring.i_nA[: traces.shape[1]],
                stimulus_nA=scoring.stimulus_nA,
                threads=self.threads,
            )
        for trace in scoring.traces:
            values[good, trace.column] = trace.distance(v_mV[good, sites.index(trace.site)], self.threads)
        return values


def feature_service(fit: FitSettings, targets: Targets) -> Callable[[], FeatureService]:
    """What builds the service in a worker: picklable, and holding recorded traces only where a term needs them.

    `fit` is resolved: its amplitudes are in nA.
    """
    stimuli = {stimulus.name: _scoring(stimulus, fit, targets) for stimulus in fit.stimuli}
    return partial(FeatureService, stimuli)


def contributions(
    values: np.ndarray, status: np.ndarray, terms: Sequence[Term], penalties: PenaltySettings
) -> tuple[np.ndarray, np.ndarray]:
    """What every term adds to the score, in sd times its weight, and where a feature was undefined.

    The cap applies to a defined feature's distance before its weight; the penalties are weighted too.

    Parameters
    ----------
    values
        (individuals, terms) feature values; NaN where undefined.
    status
        (individuals, terms) status of the simulation that each term belongs to.
    terms, penalties
        Means, sds and weights; and what stands in for a number.

    Returns
    -------
    contributions : (individuals, terms) float64, finite; an individual's score is its sum over terms
    undefined : (individuals, terms) bool, a feature without value although the simulation went well
    """
    means, sds, weights = (
        np.array([getattr(term, name) for term in terms], dtype=float) for name in ("mean", "sd", "weight")
    )
    simulated = np.asarray(status) == Status.OK
    undefined = simulated & ~np.isfinite(values)
    with np.errstate(invalid="ignore"):
        distances = np.abs(values - means) / sds
    if penalties.cap is not None:
        distances = np.minimum(distances, penalties.cap)
    distances = np.where(undefined, penalties.undefined_feature, distances)
    distances = np.where(simulated, distances, penalties.failed_simulation)
    return np.ascontiguousarray(weights * distances), undefined


def _scoring(stimulus: StimulusSettings, fit: FitSettings, targets: Targets) -> StimulusScoring:
    terms = [targets.terms[index] for index in targets.columns(stimulus.name)]
    features, traces = [], []
    for site in dict.fromkeys(term.site for term in terms):
        here = [(column, term) for column, term in enumerate(terms) if term.site == site]
        read = [(column, term) for column, term in here if not term.is_trace]
        if read:
            columns, names = tuple(column for column, _ in read), tuple(term.feature for _, term in read)
            means = tuple(term.mean if term.list_values == "each" else None for _, term in read)
            features.append(SiteFeatures(site, names, columns, site_settings(fit, site), means))
        traces += [
            SiteTrace(site, column, targets.distances[stimulus.name, site, term.feature])
            for column, term in here
            if term.is_trace
        ]
    dt_ms = fit.engine.record_dt_ms
    i_nA = None
    if any(not NEED_CURRENT.isdisjoint(group.names) for group in features):
        t_ms = np.arange(1 + int(stimulus.duration_ms / dt_ms + 1e-9)) * dt_ms
        i_nA = build_stimulus(stimulus).current_nA(t_ms, _stimulated(stimulus))
    return StimulusScoring(
        len(terms), stimulus.window, dt_ms, tuple(features), tuple(traces), _amplitude_nA(stimulus), i_nA
    )


def _stimulated(stimulus: StimulusSettings) -> str:
    return stimulus.electrodes[0].site if stimulus.electrodes else "soma"


def _amplitude_nA(stimulus: StimulusSettings) -> float | None:
    """The step that features divide by: the first electrode's, which is also the window's."""
    first = stimulus.electrodes[0] if stimulus.electrodes else None
    return first.amplitude_nA if isinstance(first, Step) else None
