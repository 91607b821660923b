"""How probable are spike counts under inferred rates?  Definitions of the Neural Latents Benchmark (Pei et al. 2021).

co-bps is `bits_per_spike` of held-out neurons, fp-bps that of all neurons in bins after those seen.
"""

import numpy as np
from scipy.special import gammaln

ZERO_RATE = 1e-9
"""Takes the place of a rate of 0, as in the benchmark's code."""


def neg_log_likelihood(rates: np.ndarray, spikes: np.ndarray) -> float:
    """Poisson negative log likelihood, nats, summed over all elements; those with NaN spikes do not count.

    rates, spikes: of one shape, per bin.

    Raises
    ------
    ValueError
        When shapes differ, or rates that count are NaN or negative.
    """
    return float(_elements(rates, spikes).sum())


def nll_per_bin(rates: np.ndarray, spikes: np.ndarray) -> float:
    """Mean of the negative log likelihood over elements (a bin of a neuron) that count, nats.  Raises ValueError."""
    return float(_elements(rates, spikes).mean())


def bits_per_spike(rates: np.ndarray, spikes: np.ndarray) -> float:
    """What the rates tell beyond each neuron's mean rate, bits per spike.

    (NLL of the mean-rate model - NLL) / (spikes * ln 2); the mean-rate model knows the mean of `spikes` itself for each
    neuron (last dimension), as in the benchmark.  NaN spikes do not count; NaN when there are no spikes.

    Raises
    ------
    ValueError
        See `neg_log_likelihood`.
    """
    number = float(np.nansum(spikes))
    if not number:
        return float("nan")
    mean = np.broadcast_to(np.nanmean(spikes, axis=tuple(range(spikes.ndim - 1)), keepdims=True), spikes.shape)
    return (neg_log_likelihood(mean, spikes) - neg_log_likelihood(rates, spikes)) / number / float(np.log(2.0))


def _elements(rates: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    if rates.shape != spikes.shape:
        raise ValueError(f"rates have shape {rates.shape}, spikes {spikes.shape}; give one rate for each count")
    counted = ~np.isnan(spikes)
    rates, spikes = np.asarray(rates, float)[counted], np.asarray(spikes, float)[counted]
    if np.isnan(rates).any():
        raise ValueError(f"{np.isnan(rates).sum()} rates are NaN where there are counts")
    if (rates < 0).any():
        raise ValueError(f"{(rates < 0).sum()} rates are negative, the least {rates.min():g}")
    rates = np.where(rates == 0, ZERO_RATE, rates)
    return rates - spikes * np.log(rates) + gammaln(spikes + 1.0)
