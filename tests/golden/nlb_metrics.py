"""What do nlb_tools make of these arrays?  Writes nlb_metrics.h5 beside this script: arrays, and their measures.

python -m venv V; V/bin/pip install --no-deps nlb_tools==0.0.3; V/bin/pip install h5py scipy scikit-learn
V/bin/python tests/golden/nlb_metrics.py
"""

from pathlib import Path

import h5py
import numpy as np
from nlb_tools import evaluation

HERE = Path(__file__).resolve().parent


def arrays() -> dict[str, np.ndarray]:
    """Rates that tell something of spikes, velocity and conditions; NaN where the benchmark has it."""
    rng = np.random.default_rng(11)
    trials, steps, neurons = 48, 30, 7
    conditions = np.arange(trials) % 4
    time = np.linspace(0, 2 * np.pi, steps)
    latent = np.stack([np.sin(time + conditions[:, None]), np.cos(time * (1 + conditions[:, None] / 4))], 2)
    latent = latent + 0.2 * rng.standard_normal(latent.shape)
    true = np.exp(latent @ (0.8 * rng.standard_normal((2, neurons))) - 1.0)
    spikes = rng.poisson(true).astype(float)
    spikes[5, 20:] = np.nan
    rates = true * np.exp(0.3 * rng.standard_normal(true.shape))
    rates[2, 3, 1] = rates[7, 8, 2] = 0.0
    velocity = np.gradient(latent, axis=1) @ rng.standard_normal((2, 2)) + 0.02 * rng.standard_normal(latent.shape)
    velocity[3, :4] = np.nan
    groups = np.stack([conditions < 2, conditions >= 2], 1)
    psth = np.stack([true[conditions == one].mean(0) for one in range(4)])
    psth[1, :5] = np.nan
    jitter = np.zeros(trials, int)
    jitter[conditions == 1] = rng.integers(0, 5, (conditions == 1).sum())
    behaviour = np.stack([*rng.integers(0, 2, (2, trials)), np.zeros(trials), rng.random(trials)], 1)
    behaviour[0] = np.nan
    return {
        "spikes": spikes,
        "rates": rates,
        "velocity": velocity,
        "groups": groups,
        "psth": psth,
        "conditions": conditions,
        "jitter": jitter,
        "behaviour": behaviour,
    }


def measured(given: dict[str, np.ndarray]) -> dict[str, float]:
    """The benchmark's numbers for them."""
    half = len(given["rates"]) // 2
    spikes, rates = given["spikes"], given["rates"]
    trials_of = [np.flatnonzero(given["conditions"] == one) for one in range(3)] + [np.zeros(0, int)]
    later = trials_of[:1] + trials_of[2:]
    found = {
        "nll": evaluation.neg_log_likelihood(rates.copy(), spikes),
        "bits_per_spike": evaluation.bits_per_spike(rates.copy(), spikes),
        "co_bps": evaluation.bits_per_spike(rates[..., 5:].copy(), spikes[..., 5:]),
        "fp_bps": evaluation.bits_per_spike(rates[:, 24:].copy(), spikes[:, 24:]),
        "psth_r2": evaluation.eval_psth(given["psth"], rates, trials_of, given["jitter"]),
        "psth_r2_without_jitter": evaluation.eval_psth(given["psth"][[0, 2, 3]], rates, later),
        "speed_correlation": evaluation.speed_tp_correlation(spikes, rates, given["behaviour"]),
    }
    for name, groups in (("one", np.ones((2 * half, 1), bool)), ("two", given["groups"])):
        for chosen in (True, False):
            key = f"velocity_r2_{name}_{'chosen' if chosen else 'fixed'}"
            found[key] = evaluation.velocity_decoding(
                rates[:half],
                given["velocity"][:half],
                groups[:half],
                rates[half:],
                given["velocity"][half:],
                groups[half:],
                grid_search=chosen,
            )
    return found


def main() -> None:
    """Write the file."""
    given = arrays()
    with h5py.File(HERE / "nlb_metrics.h5", "w") as file:
        for name, array in given.items():
            file.create_dataset(f"given/{name}", data=array, compression="gzip")
        for name, value in measured(given).items():
            file[f"found/{name}"] = float(value)


if __name__ == "__main__":
    main()
