"""How well can behaviour be read out of rates?  Ridge regression as in the Neural Latents Benchmark; OLE."""

from dataclasses import dataclass

import numpy as np

_ALPHAS = np.logspace(-4, 0, 9)
"""Ridge parameters among which the benchmark chooses, by 5-fold cross-validation on training trials."""


@dataclass(frozen=True)
class LinearEstimator:
    """Optimal linear estimation (Salinas & Abbott 1994): the linear read-out of least mean square error.

    signal = mean + (rates - their mean) D with D = (Q + noise)^-1 L; Q: covariance of rates; L: covariance of rates and
    signal.

    Attributes
    ----------
    weights
        D: (neurons, dimensions).
    centre, mean
        Means of rates and signal.
    """

    weights: np.ndarray
    centre: np.ndarray
    mean: np.ndarray

    @classmethod
    def fit(cls, rates: np.ndarray, signal: np.ndarray, noise: np.ndarray | None = None) -> "LinearEstimator":
        """From training data rates (..., neurons) and signal (..., dimensions); rows with NaN signal are left out.

        noise: (neurons,) variance of what will be decoded about `rates`, where that is noisier: to decode counts with
        an estimator made of smooth rates give their mean (Poisson).

        Raises
        ------
        ValueError
            When fewer rows than neurons are left, or rates are NaN there.
        """
        x, y = _rows(rates, signal)
        if len(x) <= x.shape[1]:
            raise ValueError(f"{len(x)} samples for {x.shape[1]} neurons; give more training data")
        centre, mean = x.mean(0), y.mean(0)
        covariance = (x - centre).T @ (x - centre) / len(x)
        if noise is not None:
            covariance = covariance + np.diag(noise)
        cross = (x - centre).T @ (y - mean) / len(x)
        return cls(np.linalg.lstsq(covariance, cross, rcond=None)[0], centre, mean)

    def __call__(self, rates: np.ndarray) -> np.ndarray:
        """The signal (..., dimensions) that rates (..., neurons) tell of."""
        return self.mean + (rates - self.centre) @ self.weights


def lagged(rates: np.ndarray, signal: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates (trials, time, neurons) beside the signal (trials, time, dimensions) so many bins later.

    Both lose that many bins; a negative lag pairs rates with an earlier signal.  Where a signal ends before the rates
    do, so do the rates.

    Raises
    ------
    ValueError
        When nothing is left.
    """
    steps = min(rates.shape[1], signal.shape[1])
    if abs(bins) >= steps:
        raise ValueError(f"a lag of {bins} bins leaves nothing of trials of {steps}")
    rates, signal = rates[:, :steps], signal[:, :steps]
    if bins >= 0:
        return rates[:, : steps - bins], signal[:, bins:]
    return rates[:, -bins:], signal[:, : steps + bins]


def velocity_r2(
    train: tuple[np.ndarray, np.ndarray],
    evaluated: tuple[np.ndarray, np.ndarray],
    groups: tuple[np.ndarray, np.ndarray] | None = None,
    alpha: float | None = None,
) -> float:
    """R2 of behaviour decoded from rates, as the benchmark defines it: mean over dimensions, then over groups.

    Parameters
    ----------
    train, evaluated
        Rates (trials, time, neurons) and behaviour (trials, time, dimensions); samples whose behaviour is NaN do not
        count.
    groups
        (trials, groups) bool for train and evaluated: trials with a decoder of their own, the benchmark's decode masks;
        None: one decoder for all.
    alpha
        Ridge parameter; None: chosen by cross-validation on the training data, as in the benchmark.

    Raises
    ------
    ValueError
        When rates are NaN where behaviour is known.
    """
    masks = groups or tuple(np.ones((len(rates), 1), bool) for rates, _ in (train, evaluated))
    scores = []
    for mine, theirs in zip(masks[0].T, masks[1].T, strict=True):
        decoder = _ridge(train[0][mine], train[1][mine], alpha)
        scores.append(decoder.score(*_rows(evaluated[0][theirs], evaluated[1][theirs])))
    return float(np.mean(scores))


def decoded(
    train: tuple[np.ndarray, np.ndarray], rates: np.ndarray, alpha: float | None = None
) -> tuple[np.ndarray, float]:
    """Behaviour (trials, time, dimensions) read from rates by the decoder of `velocity_r2`, and its ridge parameter."""
    decoder = _ridge(*train, alpha)
    found = decoder.predict(rates.reshape(-1, rates.shape[-1])).reshape(*rates.shape[:-1], -1)
    return found, float(getattr(decoder, "best_params_", {"alpha": alpha})["alpha"])


def _ridge(rates: np.ndarray, behaviour: np.ndarray, alpha: float | None):
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    decoder = GridSearchCV(Ridge(), {"alpha": _ALPHAS}) if alpha is None else Ridge(alpha=alpha)
    return decoder.fit(*_rows(rates, behaviour))


def _rows(rates: np.ndarray, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples in which the signal's first dimension is known."""
    x, y = (np.asarray(array, float).reshape(-1, array.shape[-1]) for array in (rates, signal))
    if len(x) != len(y):
        raise ValueError(f"rates {rates.shape} and behaviour {signal.shape} have different numbers of samples")
    known = ~np.isnan(y[:, 0])
    x, y = x[known], y[known]
    if not len(x):
        raise ValueError("behaviour is NaN everywhere; there is nothing to decode")
    if np.isnan(x).any():
        raise ValueError("rates are NaN where behaviour is known")
    return x, y
