"""Which baselines are there, and how is one fitted by its name?"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from hpcfit.errors import ConfigError
from hpcfit.lfads.baselines.factors import FactorAnalysisBaseline, PcaBaseline
from hpcfit.lfads.baselines.gpfa import GpfaBaseline
from hpcfit.lfads.baselines.means import ConditionPsth, MeanRate
from hpcfit.lfads.baselines.smoothing import Smoothing
from hpcfit.lfads.data.trials import Session, Trials


class Baseline(Protocol):
    """A fitted baseline."""

    @property
    def chosen(self) -> Mapping[str, float]:
        """What was chosen on validation trials, by name."""
        ...

    def rates(self, trials: Trials) -> np.ndarray:
        """Expected counts (trials, time, neurons) of all that the trials' recon has; only their encod is looked at,
        and their condition.
        """
        ...


BASELINES: Mapping[str, Callable[[Session], Baseline]] = {
    "mean": MeanRate.fit,
    "psth": ConditionPsth.fit,
    "smoothing": Smoothing.fit,
    "pca": PcaBaseline.fit,
    "factor_analysis": FactorAnalysisBaseline.fit,
    "gpfa": GpfaBaseline.fit,
}
"""By name."""


def fit_baseline(name: str, session: Session) -> Baseline:
    """Fit one on a session's training trials; what must be chosen is chosen on its validation trials.

    Raises
    ------
    ConfigError
        When there is none of that name, the session lacks what it needs, or a package is missing.
    """
    if name not in BASELINES:
        raise ConfigError(f"{name!r} is no baseline; there are {', '.join(BASELINES)}")
    return BASELINES[name](session)
