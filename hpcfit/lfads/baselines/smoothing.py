"""Rates are spikes smoothed by a Gaussian; its width is chosen on validation trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcfit.lfads.baselines.choosing import LEAST_RATE, best_of
from hpcfit.lfads.baselines.completion import Completion
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.smoothing import smoothed

_KERNELS_S = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2, 0.3, 0.5)
_USUAL_BIN_S = 0.01


def kernels_bins(session: Session, kernels_s: Sequence[float] = _KERNELS_S) -> tuple[float, ...]:
    """Standard deviations that are tried, in bins; as if bins were 10 ms wide where the session does not say."""
    width = session.bin_s or _USUAL_BIN_S
    fitting = tuple(kernel / width for kernel in kernels_s if 0.5 * width <= kernel <= session.steps[0] * width)
    return fitting or (1.0,)


@dataclass(frozen=True)
class Smoothing:
    """Held-out neurons: Poisson regression from logarithms of the smoothed rates of those seen."""

    sd_bins: float
    completion: Completion
    chosen: Mapping[str, float]

    @classmethod
    def fit(cls, session: Session) -> "Smoothing":
        """Choose the kernel."""
        valid = session.valid

        def by(sd: float):
            return lambda: lambda counts: smoothed(counts, sd, valid.lengths)

        chosen, _ = best_of([({"sd_bins": sd}, by(sd)) for sd in kernels_bins(session)], valid)
        sd = chosen["sd_bins"]
        features = _features(smoothed(session.train.encod, sd, session.train.lengths))
        return cls(sd, Completion.fit(session, features, session.neurons[0]), chosen)

    def rates(self, trials: Trials) -> np.ndarray:
        """See Baseline.rates."""
        seen = smoothed(trials.encod, self.sd_bins, trials.lengths)
        return self.completion(seen, _features(seen))


def _features(rates: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(rates, LEAST_RATE))
