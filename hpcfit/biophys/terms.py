"""What is a score term, and what do all targets of a fit consist of?"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Term:
    """One score function: a feature (or trace.rms, trace.mean_absolute) at a site under a stimulus."""

    stimulus: str
    site: str
    feature: str
    mean: float
    sd: float
    weight: float
    sweeps: int
    """How many sweeps mean and sd come from; 0 when they were given."""
    source: str

    @property
    def name(self) -> str:
        """stimulus.site.feature"""
        return f"{self.stimulus}.{self.site}.{self.feature}"


@dataclass(frozen=True)
class RecordedTraces:
    """Recorded sweeps on the model's time axis, for plots and trace distances.

    v_mV: (sweeps, time), sample k at k * dt_ms of the simulation, NaN where nothing was recorded.
    """

    v_mV: np.ndarray
    dt_ms: float
    window_ms: tuple[float, float]
    names: tuple[str, ...]

    @property
    def mean_mV(self) -> np.ndarray:
        """Mean over the sweeps that were recorded at each time: (time,), NaN where none was."""
        recorded = np.isfinite(self.v_mV)
        count = np.count_nonzero(recorded, axis=0)
        total = np.sum(np.where(recorded, self.v_mV, 0.0), axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class Targets:
    """All score terms in the order of the file's [[scores]], the recorded traces, and what made no term."""

    terms: tuple[Term, ...]
    traces: dict[tuple[str, str], RecordedTraces]
    """(stimulus, site) -> recordings."""
    dropped: tuple[tuple[str, str, str, str], ...]
    """(stimulus, site, feature, reason)"""

    def columns(self, stimulus: str) -> np.ndarray:
        """Indices of the terms of a stimulus: the columns that a service's values go to."""
        return np.flatnonzero([term.stimulus == stimulus for term in self.terms])

    def table(self) -> dict[str, np.ndarray]:
        """The terms as columns, for the ledger."""
        names = ("stimulus", "site", "feature", "mean", "sd", "weight", "sweeps", "source")
        return {name: np.array([getattr(term, name) for term in self.terms]) for name in names}
