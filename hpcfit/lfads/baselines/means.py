"""Mean rates: of each neuron, and of each neuron in each condition and bin."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hpcfit.errors import ConfigError
from hpcfit.lfads.baselines.choosing import LEAST_RATE
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.metrics.likelihood import nll_per_bin
from hpcfit.lfads.metrics.psth import condition_means
from hpcfit.lfads.smoothing import smoothed

_SDS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)


def counts_there(trials: Trials) -> np.ndarray:
    """Counts (trials, time, neurons) with NaN in bins that a trial lacks."""
    if trials.lengths is None:
        return trials.recon
    counts = np.array(trials.recon)
    counts[np.arange(counts.shape[1])[None] >= np.asarray(trials.lengths)[:, None]] = np.nan
    return counts


@dataclass(frozen=True)
class MeanRate:
    """Every neuron fires at its mean over training trials."""

    mean: np.ndarray
    chosen: Mapping[str, float]

    @classmethod
    def fit(cls, session: Session) -> "MeanRate":
        """From training trials."""
        return cls(np.maximum(np.nanmean(counts_there(session.train), (0, 1)), LEAST_RATE), {})

    def rates(self, trials: Trials) -> np.ndarray:
        """See Baseline.rates."""
        return np.broadcast_to(self.mean, trials.recon.shape).astype(np.float32)


@dataclass(frozen=True)
class ConditionPsth:
    """Every trial is the mean of its condition's training trials, smoothed as explains validation trials best."""

    psth: np.ndarray
    """(conditions, time, neurons); the last is for trials of no condition that training has: the mean over all."""
    conditions: np.ndarray
    chosen: Mapping[str, float]

    @classmethod
    def fit(cls, session: Session) -> "ConditionPsth":
        """From training trials.  Raises ConfigError where trials have no conditions."""
        train, valid = session.train, session.valid
        if train.conditions is None or valid.conditions is None or not (np.asarray(train.conditions) >= 0).any():
            raise ConfigError("psth: the trials have no conditions; give train_conditions and valid_conditions")
        counts = counts_there(train)
        means, conditions = condition_means(counts, np.asarray(train.conditions))
        everything = np.nanmean(counts, 0, keepdims=True)
        known = np.where(np.isnan(means), np.broadcast_to(everything, means.shape), means)
        raw = np.nan_to_num(np.concatenate([known, everything]))
        target = counts_there(valid)
        best = None
        for sd in _SDS:
            psth = np.maximum(smoothed(raw, sd), LEAST_RATE)
            fitted = cls(psth, conditions, {"sd_bins": sd})
            loss = nll_per_bin(fitted.rates(valid), target)
            if best is None or loss < best[0]:
                best = (loss, fitted)
        assert best is not None
        return best[1]

    def rates(self, trials: Trials) -> np.ndarray:
        """See Baseline.rates."""
        if trials.conditions is None:
            row = np.full(len(trials), len(self.conditions))
        else:
            asked = np.asarray(trials.conditions)
            place = np.minimum(np.searchsorted(self.conditions, asked), len(self.conditions) - 1)
            row = np.where(self.conditions[place] == asked, place, len(self.conditions))
        return self.psth[row].astype(np.float32)
