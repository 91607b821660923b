"""How much would a set of solutions lose without one of them?  Zitzler & Kuenzli 2004 (IBEA), additive epsilon.

The fitness of member j is the sum over the others i of exp(-I(i, j) / (c kappa)), low is good, with I(i, j) the least
amount by which i must be improved in every objective to be nowhere worse than j, objectives scaled to [0, 1], and c the
largest |I|.  As in BluePyOpt (`selIBEA`) the survivors are chosen at once, not one by one with an update of the rest.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

KAPPA = 0.05
_BLOCK_BYTES = 400_000
"""Of a block of the matrix of pairs, which is never whole in memory: such that it and a second one stay in cache."""


def ibea_fitness(objectives: np.ndarray, kappa: float = KAPPA) -> np.ndarray:
    """(n,) fitness, low is good.

    Parameters
    ----------
    objectives : numpy.ndarray
        (n, M) finite, low is good.
    kappa : float
        Scale, > 0: the smaller, the more the nearest better solution counts.
    """
    low = objectives.min(axis=0)
    extent = objectives.max(axis=0) - low
    if not np.any(extent > 0.0):
        return np.zeros(len(objectives))
    # Scaled to [0, 1], the largest |I| is that of the two ends of any objective, exactly 1.  Differences from the
    # least first: they keep two members that are equal equal, and lose nothing where the range is small.
    scaled = ((objectives - low) / np.where(extent > 0.0, extent, 1.0)).T.copy()
    n = len(objectives)
    rows = max(1, _BLOCK_BYTES // (8 * n))
    starts = range(0, n, rows)
    # Rows are independent, so the number of threads changes nothing but the time.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) as threads:
        return np.concatenate(list(threads.map(lambda start: _fitness(scaled, start, start + rows, kappa), starts)))


def _fitness(scaled: np.ndarray, start: int, stop: int, kappa: float) -> np.ndarray:
    """Fitness of the members start to stop.  scaled: (M, n)."""
    these = scaled[:, start:stop, None]
    indicator = np.subtract(scaled[0], these[0])
    difference = np.empty_like(indicator)
    for objective, mine in zip(scaled[1:], these[1:], strict=True):
        np.subtract(objective, mine, out=difference)
        np.maximum(indicator, difference, out=indicator)
    indicator *= -1.0 / kappa
    np.exp(indicator, out=indicator)
    return indicator.sum(axis=1) - 1.0  # less exp(0), the member itself


def ibea_order(objectives: np.ndarray, survivors: int, kappa: float = KAPPA) -> np.ndarray:
    """Indices of the fittest, best first; equals in the order given.  Arguments as `ibea_fitness`."""
    return np.argsort(ibea_fitness(objectives, kappa), kind="stable")[:survivors]
