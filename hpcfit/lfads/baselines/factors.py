"""Rates from a few factors of smoothed spikes: principal components, and factor analysis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcfit.lfads.baselines.choosing import best_of
from hpcfit.lfads.baselines.completion import Completion
from hpcfit.lfads.baselines.smoothing import kernels_bins
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.smoothing import smoothed

_COMPONENTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
_COMPONENT_KERNELS_S = (0.02, 0.03, 0.04, 0.06, 0.1)
_FACTORS = (2, 3, 5, 8, 12, 20, 30)
_FACTOR_KERNELS_S = (0.01, 0.02, 0.03, 0.05)
"""Factors shrink what is noise, so that more of them and less smoothing do no harm."""
_MOST_SAMPLES = 20_000
"""Of a factor analysis: more only cost time."""


@dataclass(frozen=True)
class Linear:
    """Factors (..., k) = (rates - mean) into; rates = mean + factors out."""

    mean: np.ndarray
    into: np.ndarray
    out: np.ndarray

    def factors(self, rates: np.ndarray) -> np.ndarray:
        """Of smoothed counts (..., neurons)."""
        return (rates - self.mean) @ self.into

    def __call__(self, rates: np.ndarray) -> np.ndarray:
        """Smoothed counts with what the factors do not tell removed."""
        return (self.mean + self.factors(rates) @ self.out).astype(np.float32)


@dataclass(frozen=True)
class _Factors:
    linear: Linear
    completion: Completion
    chosen: Mapping[str, float]

    def rates(self, trials: Trials) -> np.ndarray:
        """See Baseline.rates."""
        counts = smoothed(trials.encod, self.chosen["sd_bins"], trials.lengths)
        return self.completion(self.linear(counts), self.linear.factors(counts))


class PcaBaseline:
    """Principal components of smoothed spikes."""

    @staticmethod
    def fit(session: Session) -> _Factors:
        """Choose width of the kernel and number of components."""

        def models(rows: np.ndarray) -> Callable[[int], Linear]:
            mean = rows.mean(0)
            _, vectors = np.linalg.eigh(np.cov(rows.T).reshape(rows.shape[1], -1))
            return lambda k: Linear(mean, vectors[:, ::-1][:, :k], vectors[:, ::-1][:, :k].T)

        return _fitted(session, models, _COMPONENTS, _COMPONENT_KERNELS_S)


class FactorAnalysisBaseline:
    """Factor analysis of smoothed spikes: each neuron has noise of its own."""

    @staticmethod
    def fit(session: Session) -> _Factors:
        """Choose width of the kernel and number of factors."""
        from sklearn.decomposition import FactorAnalysis

        def models(rows: np.ndarray) -> Callable[[int], Linear]:
            some = rows[np.random.default_rng(0).permutation(len(rows))[:_MOST_SAMPLES]]

            def of(k: int) -> Linear:
                found = FactorAnalysis(k, random_state=0, max_iter=1000, tol=1e-5 * some.size).fit(some)
                loadings = found.components_ / found.noise_variance_
                posterior = np.linalg.inv(np.eye(k) + loadings @ found.components_.T)
                return Linear(found.mean_, (posterior @ loadings).T, found.components_)

            return of

        return _fitted(session, models, _FACTORS, _FACTOR_KERNELS_S)


def _fitted(
    session: Session,
    models: Callable[[np.ndarray], Callable[[int], Linear]],
    numbers: Sequence[int],
    kernels_s: Sequence[float],
) -> _Factors:
    train, valid, neurons = session.train, session.valid, session.neurons[0]
    dimensions = [k for k in numbers if k < neurons] or [1]
    bins = np.arange(train.encod.shape[1])
    ends = np.full(len(train), len(bins)) if train.lengths is None else np.asarray(train.lengths)
    there = bins[None] < ends[:, None]
    made: dict[tuple[float, int], Linear] = {}

    def candidates():
        for sd in kernels_bins(session, kernels_s):
            counts = smoothed(train.encod, sd, train.lengths)
            of = models(counts[there])
            for k in dimensions:
                linear = made[sd, k] = of(k)
                yield {"sd_bins": sd, "dimensions": k}, _maker(linear, sd, valid)

    chosen, _ = best_of(candidates(), valid)
    linear = made[chosen["sd_bins"], int(chosen["dimensions"])]
    features = linear.factors(smoothed(train.encod, chosen["sd_bins"], train.lengths))
    return _Factors(linear, Completion.fit(session, features, neurons), chosen)


def _maker(linear: Linear, sd: float, valid: Trials):
    return lambda: lambda counts: linear(smoothed(counts, sd, valid.lengths))
