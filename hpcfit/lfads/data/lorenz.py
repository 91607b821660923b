"""Spikes of neurons that read out a Lorenz system (Sussillo et al. 2016; Pandarinath et al. 2018, supplement).

x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z; rate = base rate * exp(weights . state), the state of zero mean
and unit variance.
"""

import numpy as np

from hpcfit.lfads.data.settings import LorenzSettings
from hpcfit.lfads.data.trials import Session, Trials

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0
_SETTLING = 1000
"""Bins until a random first state is near the attractor."""
_STEPS = 10
"""Steps of the integration in a bin."""


def lorenz(settings: LorenzSettings) -> Session:
    """Trials with their true rates per bin; `more` holds the states, (conditions, time, 3).

    A condition is a first state on the attractor; its trials differ by their spikes alone.  Weights are normal with
    variance 1/3, so that logarithms of rates have about unit variance.
    """
    rng = np.random.default_rng(settings.seed)
    state = rng.standard_normal((settings.conditions, 3)) * 10.0 + (0.0, 0.0, 25.0)
    part = settings.speed * settings.bin_s / _STEPS
    weights = rng.standard_normal((3, settings.neurons)) / np.sqrt(3.0)
    states = np.empty((settings.conditions, settings.steps, 3))
    for step in range(-_SETTLING, settings.steps):
        for _ in range(_STEPS):
            state = _advanced(state, part)
        if step >= 0:
            states[:, step] = state
    states = (states - states.mean((0, 1))) / states.std((0, 1))
    repeats = settings.trials_per_condition
    conditions = np.repeat(np.arange(settings.conditions), repeats)
    rates = (settings.base_rate_Hz * settings.bin_s * np.exp(states @ weights)).astype(np.float32)[conditions]
    spikes = rng.poisson(rates).astype(np.float32)
    valid = np.tile(np.arange(repeats) >= repeats - settings.validation_trials_per_condition, settings.conditions)

    def some(rows: np.ndarray) -> Trials:
        counts = spikes[rows]
        return Trials(counts, counts, rates[rows], None, conditions[rows], np.flatnonzero(rows))

    return Session(some(~valid), some(valid), "lorenz", settings.bin_s, {"states": states})


def slopes(state: np.ndarray) -> np.ndarray:
    """Derivatives of states (..., 3) by the system's time."""
    x, y, z = np.moveaxis(state, -1, 0)
    return np.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z], -1)


def _advanced(state: np.ndarray, dt: float) -> np.ndarray:
    """One Runge-Kutta step of order 4."""
    a = slopes(state)
    b = slopes(state + 0.5 * dt * a)
    c = slopes(state + 0.5 * dt * b)
    d = slopes(state + dt * c)
    return state + dt / 6.0 * (a + 2.0 * b + 2.0 * c + d)
