"""From what is told of seen neurons in seen bins to rates of all neurons in all bins.

Held-out neurons: a Poisson regression from features, as the benchmark's own smoothing baseline has it.  Bins to be
predicted: each neuron's mean over training trials in that bin.
"""

from dataclasses import dataclass

import numpy as np

from hpcfit.lfads.baselines.choosing import LEAST_RATE
from hpcfit.lfads.baselines.means import counts_there
from hpcfit.lfads.data.trials import Session
from hpcfit.lfads.metrics.glm import PoissonGlm

_MOST_SAMPLES = 100_000
"""Of a regression: more only cost time."""


@dataclass(frozen=True)
class Completion:
    """Read-outs of neurons from features, and means of bins that are not seen."""

    readouts: tuple[PoissonGlm, ...]
    later: np.ndarray
    """(bins after those seen, neurons)."""

    @classmethod
    def fit(cls, session: Session, features: np.ndarray, first: int) -> "Completion":
        """features: (training trials, seen bins, features); neurons from `first` on are read out of them."""
        train = session.train
        bins = session.steps[0]
        known = np.asarray(counts_there(train), float)
        counts = known[:, :bins, first:]
        samples = counts.shape[0] * bins
        flat, x = counts.reshape(samples, counts.shape[2]), features.reshape(samples, features.shape[2])
        some = np.random.default_rng(0).permutation(len(x))[:_MOST_SAMPLES]
        readouts = tuple(PoissonGlm.fit(x[some], flat[some, neuron], l2=1e-6) for neuron in range(flat.shape[1]))
        later, there = known[:, bins:], ~np.isnan(known[:, bins:])
        means = np.where(there, later, 0.0).sum(0) / np.maximum(there.sum(0), 1)
        return cls(readouts, np.maximum(means, LEAST_RATE))

    def __call__(self, seen: np.ndarray | None, features: np.ndarray) -> np.ndarray:
        """Rates (trials, time, neurons) from those of seen neurons (trials, seen bins, seen), which come first."""
        parts = [] if seen is None else [seen]
        parts += [readout.rates(features)[..., None] for readout in self.readouts]
        now = np.maximum(np.concatenate(parts, -1), LEAST_RATE).astype(np.float32)
        later = np.broadcast_to(self.later, (len(now), *self.later.shape)).astype(np.float32)
        return np.concatenate([now, later], 1)
