"""Gaussian process factor analysis (Yu et al. 2009) of square roots of counts, by elephant."""

from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np

from hpcfit.errors import ConfigError
from hpcfit.lfads.baselines.completion import Completion
from hpcfit.lfads.data.trials import Session, Trials

_DIMENSIONS = 5
_MOST_TRIALS = 200
"""EM is fitted on so many training trials at most, drawn at random: it costs a minute then, hours with all."""
_ITERATIONS = 100


@dataclass(frozen=True)
class GpfaBaseline:
    """Smooth latent trajectories; rates of all neurons by Poisson regression from them, fitted on training trials."""

    parameters: Mapping[str, Any]
    active: np.ndarray
    """(seen,) bool: units with spikes in the trials it was fitted on."""
    completion: Completion
    chosen: Mapping[str, float]

    @classmethod
    def fit(cls, session: Session) -> "GpfaBaseline":
        """Fit by expectation maximisation.

        Raises
        ------
        ConfigError
            When elephant is not installed, trials end at different times, or units repeat each other.
        """
        core = _core()
        if session.train.lengths is not None:
            raise ConfigError("gpfa: trials of different lengths are not supported; leave it out of the baselines")
        rows = np.sort(np.random.default_rng(0).permutation(len(session.train))[:_MOST_TRIALS])
        some = session.train.encod[rows]
        active = np.asarray(some.any((0, 1)))
        dimensions = min(_DIMENSIONS, max(int(active.sum()) - 1, 1))
        flat = np.sqrt(some[..., active]).reshape(-1, active.sum())
        if np.linalg.matrix_rank(np.cov(flat.T)) < active.sum():
            raise ConfigError("gpfa: counts of some units follow from those of others; remove units that repeat others")
        width_ms = 1000.0 * (session.bin_s or 0.01)
        with redirect_stdout(StringIO()):  # it talks whatever it is told
            parameters, _ = core.fit(
                _sequences(some[..., active]), x_dim=dimensions, bin_width=width_ms, em_max_iters=_ITERATIONS
            )
        latents = _latents(core, parameters, session.train.encod[..., active])
        completion = Completion.fit(session, latents, 0)
        return cls(parameters, active, completion, {"dimensions": float(dimensions)})

    def rates(self, trials: Trials) -> np.ndarray:
        """See Baseline.rates."""
        return self.completion(None, _latents(_core(), self.parameters, trials.encod[..., self.active]))


def _core() -> Any:
    try:
        from elephant.gpfa import gpfa_core
    except (ImportError, RuntimeError) as error:  # elephant imports mpi4py, which raises where there is no MPI
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"gpfa: needs the package elephant, which cannot be imported ({reason}); pip install 'hpcfit[gpfa]'"
        ) from None
    return gpfa_core


def _sequences(counts: np.ndarray) -> np.ndarray:
    """Trials as the records that elephant takes."""
    found = np.empty(len(counts), [("T", int), ("y", "O")])
    for trial, one in enumerate(counts):
        found[trial] = (len(one), np.sqrt(one.T.astype(float)))
    return found


def _latents(core: Any, parameters: Mapping[str, Any], counts: np.ndarray) -> np.ndarray:
    """Posterior means (trials, time, dimensions), orthonormalised: of rising order in what they explain."""
    found, _ = core.exact_inference_with_ll(_sequences(counts), parameters, get_ll=False)
    _, found = core.orthonormalize(parameters, found)
    return np.stack([one.T for one in found["latent_variable_orth"]])
