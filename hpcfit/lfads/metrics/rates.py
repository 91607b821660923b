"""How near are inferred rates to the true ones, where those are known?"""

import numpy as np


def rate_r2(rates: np.ndarray, truth: np.ndarray) -> float:
    """1 - residual / variance over trials and time for each neuron, the mean over neurons (K22).

    rates, truth: (trials, time, neurons); NaN in truth does not count; neither does a neuron whose true rate is
    constant.  NaN when there is none.

    Raises
    ------
    ValueError
        When shapes differ.
    """
    if rates.shape != truth.shape:
        raise ValueError(f"rates have shape {rates.shape}, true rates {truth.shape}")
    truth = np.asarray(truth, float)
    residual = np.nansum((rates - truth) ** 2, (0, 1))
    variance = np.nansum((truth - np.nanmean(truth, (0, 1))) ** 2, (0, 1))
    varied = variance > 0
    return float(np.mean(1.0 - residual[varied] / variance[varied])) if varied.any() else float("nan")
