"""What is a score term, and what do all targets of a fit consist of?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Literal

import numpy as np

TRACE = "trace."
"""What names of distances between traces start with."""


@dataclass(frozen=True)
class Term:
    """One score function: a feature, or a distance between traces (trace.KIND), at a site under a stimulus.

    It adds weight * |value - mean| / sd to the score.
    """

    stimulus: str
    site: str
    feature: str
    mean: float
    """The target: a mean over sweeps, or their median where unit is "mad"; 0 for a distance."""
    sd: float
    """The unit in which differences count: `unit` says which."""
    weight: float
    sweeps: int
    """How many sweeps mean and sd come from; 0 when they were given."""
    source: str
    unit: Literal["sd", "mad", "mean", "range", "distance"] = "sd"
    """sd, 1.4826 times the median absolute deviation, |mean|, the range in generation 0 (sd is then the floor that
    stands for it until `with_ranges`), or that of a distance between traces."""
    list_values: Literal["mean", "each"] = "mean"
    """Of several values (one a spike): their mean is compared, or each, and the mean of the distances counts."""
    data_sd: float = nan
    """sd over the sweeps, or as given; no smaller than the floor."""

    @property
    def is_trace(self) -> bool:
        """Whether it is a distance between traces, and not a feature."""
        return self.feature.startswith(TRACE)

    @property
    def name(self) -> str:
        """stimulus.site.feature"""
        return f"{self.stimulus}.{self.site}.{self.feature}"


def term_line(term: Term) -> str:
    """What a score function compares and in which unit, for people."""
    units = {"sd": "", "mad": ", median and MAD", "mean": ", relative to the mean", "distance": ", distance"}
    what = f"{term.mean:.5g} +- {term.sd:.3g}{units.get(term.unit, '')}"
    if term.unit == "range":
        what = f"{term.mean:.5g}, in ranges over generation 0 (at least {term.sd:.3g})"
    each = ", each value" if term.list_values == "each" else ""
    weight = f", weight {term.weight:.4g}" if term.weight != 1 else ""
    return f"{term.name}: {what}{each}{weight} ({term.source})"


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
    distances: Mapping[tuple[str, str, str], Callable[[np.ndarray, int], np.ndarray]] = field(default_factory=dict)
    """(stimulus, site, feature) -> what measures it: (traces, time) mV and threads -> (traces,)."""

    def needs_traces(self, stimulus: str) -> bool:
        """Whether a score function of this stimulus looks at whole traces: then features alone do not do."""
        return any(term.is_trace for term in self.terms if term.stimulus == stimulus)

    def needs_lists(self, stimulus: str) -> bool:
        """Whether a score function of this stimulus looks at each value of a feature: then means alone do not do."""
        return any(term.list_values == "each" for term in self.terms if term.stimulus == stimulus)

    def columns(self, stimulus: str) -> np.ndarray:
        """Indices of the terms of a stimulus: the columns that a service's values go to."""
        return np.flatnonzero([term.stimulus == stimulus for term in self.terms])

    def table(self) -> dict[str, np.ndarray]:
        """The terms as columns, for the ledger."""
        names = ("stimulus", "site", "feature", "mean", "sd", "weight", "sweeps", "source", "unit", "list_values")
        return {name: np.array([getattr(term, name) for term in self.terms]) for name in names}
