"""Does the speed of the population's state tell how long an interval will be?  Pei et al. 2021; Sohn et al. 2019."""

import numpy as np


def neural_speed(rates: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
    """Mean length of the step of the rate vector from bin to bin, (trials,), in rate per bin.

    rates: (trials, time, neurons); there: (trials, time) bool, the bins of each trial that count (the benchmark: from
    set to go); None: all.  NaN for a trial with fewer than two.
    """
    speeds = np.full(len(rates), np.nan)
    for trial, steps in enumerate(rates):
        some = steps if there is None else steps[there[trial]]
        if len(some) > 1:
            speeds[trial] = np.linalg.norm(np.diff(some, axis=0), axis=1).mean()
    return speeds


def speed_correlation(speeds: np.ndarray, intervals: np.ndarray, conditions: np.ndarray) -> float:
    """Pearson correlation of speed and produced interval within each condition, the mean over conditions.

    speeds, intervals: (trials,); conditions: (trials, columns); trials whose columns are all NaN do not count.

    Raises
    ------
    ValueError
        When a condition has fewer than two trials.
    """
    conditions = np.asarray(conditions, float)
    known = conditions[~np.isnan(conditions).all(1)]
    found = []
    for condition in np.unique(known, axis=0):
        mine = (conditions == condition).all(1)
        if mine.sum() < 2:
            raise ValueError(f"condition {condition.tolist()} has {mine.sum()} trials; a correlation needs two")
        found.append(np.corrcoef(speeds[mine], intervals[mine])[0, 1])
    if not found:
        raise ValueError("no trial has a condition")
    return float(np.mean(found))
