"""Do rates reproduce the mean response to each condition?  PSTH R2 of the Neural Latents Benchmark."""

from collections.abc import Sequence

import numpy as np


def condition_means(rates: np.ndarray, conditions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over trials of each condition, (conditions, time, neurons), and the conditions; negative ones are unknown.

    NaN, bins that a trial lacks, do not count.
    """
    wanted = np.unique(conditions[conditions >= 0])
    means = np.full((len(wanted), *rates.shape[1:]), np.nan)
    for row, condition in enumerate(wanted):
        some = rates[conditions == condition]
        there = ~np.isnan(some)
        number = there.sum(0)
        means[row] = np.where(number, np.where(there, some, 0.0).sum(0) / np.maximum(number, 1), np.nan)
    return means, wanted


def psth_r2(
    psth: np.ndarray, rates: np.ndarray, trials_of: Sequence[np.ndarray], jitter: np.ndarray | None = None
) -> float:
    """R2 of mean inferred rates against PSTHs over conditions and time, mean over neurons.

    Parameters
    ----------
    psth
        (conditions, time, neurons); bins whose first neuron is NaN do not count.
    rates
        (trials, time, neurons).
    trials_of
        For each condition the trials that belong to it; a condition without trials does not count.
    jitter
        (trials,) bins by which a trial's window was moved later: it is moved back.

    Raises
    ------
    ValueError
        When no condition has a trial, or rates are NaN in bins that count.
    """
    from sklearn.metrics import r2_score

    moved = np.zeros(len(rates), int) if jitter is None else np.asarray(jitter)
    true, found = [], []
    for condition, trials in enumerate(trials_of):
        if not np.size(trials):
            continue
        mean = np.mean([_moved(rates[trial], int(moved[trial])) for trial in trials], axis=0)
        there = ~np.isnan(psth[condition, :, 0])
        true.append(psth[condition][there])
        found.append(mean[there])
    if not found:
        raise ValueError("no condition has a trial")
    if np.isnan(np.vstack(found)).any():
        raise ValueError("rates are NaN in bins of the PSTH")
    return float(r2_score(np.vstack(true), np.vstack(found)))


def _moved(trial: np.ndarray, bins: int) -> np.ndarray:
    """A trial (time, neurons) later by so many bins; NaN comes in."""
    if bins == 0:
        return trial
    nothing = np.full((abs(bins), trial.shape[1]), np.nan)
    return np.vstack([nothing, trial[:-bins]]) if bins > 0 else np.vstack([trial[-bins:], nothing])
