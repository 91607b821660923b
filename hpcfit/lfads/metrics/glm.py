"""How well do signals and a neuron's own past explain its spikes?  Poisson GLM, pseudo-R2 and relative pseudo-R2.

GLM with history: Truccolo et al. 2005; basis: Pillow et al. 2008; pseudo-R2 and bootstrap over trials: Perich et al.
2018.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy


@dataclass(frozen=True)
class PoissonGlm:
    """log(expected count) = bias + features . weights; `fit` makes one."""

    weights: np.ndarray
    bias: float

    @classmethod
    def fit(cls, features: np.ndarray, counts: np.ndarray, l2: float = 0.0) -> "PoissonGlm":
        """Maximum likelihood by Newton's method (scikit-learn), less l2 / 2 * |weights|^2 per sample.

        features: (..., features); counts: (...).  Rows whose count is NaN do not count.

        Raises
        ------
        ValueError
            When shapes do not fit, or counts are negative.
        """
        from sklearn.linear_model import PoissonRegressor

        if features.shape[:-1] != counts.shape:
            raise ValueError(f"features have shape {features.shape}, counts {counts.shape}; give a row for each count")
        known = ~np.isnan(counts)
        x, y = np.asarray(features, float)[known], np.asarray(counts, float)[known]
        if (y < 0).any():
            raise ValueError("counts are negative")
        if not y.sum():
            return cls(np.zeros(x.shape[1]), float(np.log(1e-9)))
        model = PoissonRegressor(alpha=l2, solver="newton-cholesky", max_iter=200, tol=1e-8).fit(x, y)
        return cls(np.asarray(model.coef_), float(model.intercept_))

    def rates(self, features: np.ndarray) -> np.ndarray:
        """Expected counts (...) of features (..., features)."""
        return np.exp(np.minimum(self.bias + features @ self.weights, 50.0))


def raised_cosines(number: int, last_bin: int, offset: float = 1.0) -> np.ndarray:
    """Basis (last_bin, number) for the past: raised cosines over log(bins ago + offset), narrow near the present.

    Row 0 is one bin ago.  Raises ValueError when more functions than bins are asked for.
    """
    if not 1 <= number <= last_bin:
        raise ValueError(f"{number} basis functions over {last_bin} bins; give 1 to {last_bin}")
    if number == 1:
        return np.ones((last_bin, 1))
    place = np.log(np.arange(1, last_bin + 1) + offset)
    centres = np.linspace(place[0], place[-1], number)
    apart = (place[:, None] - centres) * np.pi / (2.0 * (centres[1] - centres[0]))
    return 0.5 * (np.cos(np.clip(apart, -np.pi, np.pi)) + 1.0)


def history(counts: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Features (trials, time, functions): the past of counts (trials, time) seen through a basis (bins ago, functions).

    Before a trial's first bin there are no spikes; the present bin is never in it.
    """
    past = np.zeros((*counts.shape, basis.shape[1]))
    steps = counts.shape[1]
    for ago, weights in enumerate(basis[: steps - 1], 1):
        past[:, ago:] += counts[:, :-ago, None] * weights
    return past


@dataclass(frozen=True)
class PseudoR2:
    """A value, and the bounds that hold it with the given confidence over trials drawn anew."""

    value: float
    low: float
    high: float


def pseudo_r2(counts: np.ndarray, rates: np.ndarray, draws: int = 1000, seed: int = 0, part: float = 0.95) -> PseudoR2:
    """1 - (L(counts) - L(rates)) / (L(counts) - L(mean count)) with L the Poisson log likelihood of counts.

    1: the counts themselves; 0: no better than the mean.

    Parameters
    ----------
    counts, rates
        (trials, time) of one neuron.
    draws, seed, part
        Bootstrap: so many times trials are drawn with replacement; the bounds hold this part of what is found.
    """
    most, model, spikes = _trial_sums(counts, rates)
    bins = np.full(len(counts), counts.shape[1], float)

    def value(rows: np.ndarray) -> np.ndarray:
        total, length = spikes[rows].sum(-1), bins[rows].sum(-1)
        mean = xlogy(total, total / length) - total
        best = most[rows].sum(-1)
        return 1.0 - (best - model[rows].sum(-1)) / (best - mean)

    return _bootstrapped(value, len(counts), draws, seed, part)


def relative_pseudo_r2(
    counts: np.ndarray, full: np.ndarray, reduced: np.ndarray, draws: int = 1000, seed: int = 0, part: float = 0.95
) -> PseudoR2:
    """What a full model explains beyond a reduced one: 1 - (L(counts) - L(full)) / (L(counts) - L(reduced)).

    counts, full, reduced: (trials, time).  A low bound above 0 says that what the full model has more does count.
    """
    most, more, _ = _trial_sums(counts, full)
    _, less, _ = _trial_sums(counts, reduced)

    def value(rows: np.ndarray) -> np.ndarray:
        best = most[rows].sum(-1)
        return 1.0 - (best - more[rows].sum(-1)) / (best - less[rows].sum(-1))

    return _bootstrapped(value, len(counts), draws, seed, part)


def _trial_sums(counts: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log likelihoods of each trial, less what depends on counts alone: of the counts as rates, of rates; spikes."""
    if counts.shape != rates.shape:
        raise ValueError(f"counts have shape {counts.shape}, rates {rates.shape}")
    counts, rates = np.asarray(counts, float), np.maximum(np.asarray(rates, float), 1e-9)
    return (
        (xlogy(counts, counts) - counts).sum(1),
        (counts * np.log(rates) - rates).sum(1),
        counts.sum(1),
    )


def _bootstrapped(value, trials: int, draws: int, seed: int, part: float) -> PseudoR2:
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):  # trials without a spike: undefined, and told as NaN
        found = _finite(value(rng.integers(0, trials, (draws, trials))))
        whole = float(_finite(value(np.arange(trials))))
    low, high = np.nanquantile(found, (0.5 - part / 2, 0.5 + part / 2)) if np.isfinite(found).any() else (np.nan,) * 2
    return PseudoR2(whole, float(low), float(high))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
