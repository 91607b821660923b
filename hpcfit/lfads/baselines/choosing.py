"""How is a kernel or a dimension chosen, when the spikes to be explained are those that were smoothed?

Count splitting: each spike of a validation trial goes to the input with probability 0.8, else to the target.  Of
Poisson counts the two parts are independent (Neufeld et al. 2022), so an estimate cannot gain by explaining itself.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from hpcfit.lfads.data.trials import Trials
from hpcfit.lfads.metrics.likelihood import nll_per_bin

_SEEN = 0.8
LEAST_RATE = 1e-4
"""Counts per bin: no estimate is lower."""

Rates = Callable[[np.ndarray], np.ndarray]


def best_of(
    candidates: Iterable[tuple[Mapping[str, float], Callable[[], Rates]]], valid: Trials, seed: int = 0
) -> tuple[dict[str, float], Rates]:
    """The candidate whose rates explain best what was split off, and its function.

    candidates: what is chosen, and a maker of a function from counts (trials, time, seen) to rates of the same shape.
    """
    rng = np.random.default_rng(seed)
    counts = np.asarray(valid.encod)
    whole = np.maximum(np.rint(counts), 0).astype(np.int64)
    seen = rng.binomial(whole, _SEEN)
    target = (whole - seen).astype(float)
    if valid.lengths is not None:
        target[np.arange(counts.shape[1])[None] >= np.asarray(valid.lengths)[:, None]] = np.nan
    best: tuple[float, dict[str, float], Rates] | None = None
    for chosen, make in candidates:
        rates_of = make()
        rates = rates_of((seen / _SEEN).astype(np.float32)) * (1.0 - _SEEN)
        loss = nll_per_bin(np.maximum(rates, LEAST_RATE * (1.0 - _SEEN)), target)
        if best is None or loss < best[0]:
            best = (loss, dict(chosen), rates_of)
    assert best is not None
    return best[1], best[2]
