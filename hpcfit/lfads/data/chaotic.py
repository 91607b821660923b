"""Spikes of a chaotic rate network: the synthetic data of the AutoLFADS papers (K19 section 4.2; K22 Methods).

y <- (1 - a) y + a (gamma W tanh y + B q) with a = bin / tau; rate = (tanh y + 1) / 2 * rate_most.
"""

import numpy as np

from hpcfit.lfads.data.settings import ChaoticRnnSettings
from hpcfit.lfads.data.trials import Session, Trials


def chaotic_rnn(settings: ChaoticRnnSettings) -> Session:
    """Trials with their true rates per bin; `more` holds the inputs, (conditions or trials, time, inputs).

    Weights are normal with variance 1 / neurons; inputs are white noise of unit variance; a trial starts from its
    condition's state.
    """
    rng = np.random.default_rng(settings.seed)
    neurons, steps = settings.neurons, settings.steps
    recurrent = rng.standard_normal((neurons, neurons)) / np.sqrt(neurons)
    into = rng.standard_normal((neurons, settings.inputs))
    repeats = settings.trials_per_condition
    conditions = np.repeat(np.arange(settings.conditions), repeats)
    drawn = settings.conditions if settings.inputs_per == "condition" else len(conditions)
    whose = conditions if settings.inputs_per == "condition" else np.arange(len(conditions))
    state = rng.standard_normal((settings.conditions, neurons))[conditions]
    inputs = rng.standard_normal((drawn, steps, settings.inputs))
    part = settings.bin_s / settings.tau_s
    rates = np.empty((len(conditions), steps, neurons), np.float32)
    for step in range(steps):
        drive = settings.gamma * np.tanh(state) @ recurrent.T + inputs[whose, step] @ into.T
        state = (1.0 - part) * state + part * drive
        rates[:, step] = 0.5 * (np.tanh(state) + 1.0)
    rates *= settings.rate_most_Hz * settings.bin_s
    spikes = rng.poisson(rates).astype(np.float32)
    valid = np.tile(np.arange(repeats) >= repeats - settings.validation_trials_per_condition, settings.conditions)

    def some(rows: np.ndarray) -> Trials:
        counts = spikes[rows]
        return Trials(counts, counts, rates[rows], None, conditions[rows], np.flatnonzero(rows))

    return Session(some(~valid), some(valid), f"chaotic_rnn_{settings.gamma:g}", settings.bin_s, {"inputs": inputs})
