"""Make targets.h5: noisy repeats of what the cell with the hidden parameters does under the stimuli of fit.toml.

    envs/local python data/l5pc/make_targets.py
    envs/local python data/l5pc/make_targets.py held_out    # held_out.h5, of the stimuli of held_out.toml

Noise as in a recording: a synaptic-like current into the soma (Ornstein-Uhlenbeck, sd 5 pA, tau 3 ms) that differs from
repeat to repeat, and white noise of 0.05 mV on the voltage.  Same file for the same seed.
"""

import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.electrodes import Noise
from hpcfit.biophys.settings import EngineSettings, StimulusSettings
from hpcfit.config import read_toml
from hpcfit.jobs import load_settings

HERE = Path(__file__).resolve().parent
REPEATS = 5
CURRENT_SD_NA = 0.005
VOLTAGE_SD_MV = 0.05


def noisy(stimulus: StimulusSettings, number: int, repeat: int) -> StimulusSettings:
    """The stimulus with a current of its own on top."""
    seed = 1000 * number + repeat
    noise = Noise(shape="noise", delay_ms=0, duration_ms=stimulus.duration_ms, sd_nA=CURRENT_SD_NA, seed=seed)
    return stimulus.model_copy(
        update={"name": f"{stimulus.name}/{repeat:04d}", "electrodes": (*stimulus.electrodes, noise)}
    )


def main() -> None:
    """Write targets.h5, or held_out.h5, beside this file."""
    fit, out, first = load_settings(HERE / "fit.toml"), "targets.h5", 0
    stimuli = fit.stimuli
    if sys.argv[1:] == ["held_out"]:
        stimuli = tuple(StimulusSettings(**one) for one in read_toml(HERE / "held_out.toml")["stimuli"])
        out, first = "held_out.h5", len(fit.stimuli)  # noise of its own
    cell = Cell.of(fit)
    hidden = tomllib.loads((HERE / "hidden.toml").read_text())
    values = np.array([hidden[parameter.name] for parameter in cell.free])
    repeats = [
        (stimulus, noisy(stimulus, number, repeat))
        for number, stimulus in enumerate(stimuli, first)
        for repeat in range(REPEATS)
    ]
    # The exact solution is the neuron; the fit's own time step must not be part of the target.
    engine = EngineSettings(integrator="fixed", order=2, dt_ms=0.0125, record_dt_ms=0.1)
    responses = hpcfit.simulate(cell, values, [stimulus for _, stimulus in repeats], engine)
    random = np.random.default_rng(first)
    with h5py.File(HERE / out, "w", libver=("v110", "v110")) as file:
        file.attrs["note"] = "responses of a model with the parameters of hidden.toml, made by make_targets.py"
        for _, stimulus in repeats:
            v_mV = responses.trace(0, stimulus.name)
            v_mV = v_mV + VOLTAGE_SD_MV * random.standard_normal(len(v_mV))
            sweep = file.create_group(stimulus.name, track_order=False)
            sweep.attrs["dt_ms"] = responses.dt_ms
            current = next(one for one in stimuli if stimulus.name.startswith(f"{one.name}/"))
            sweep.create_dataset("voltage_mV", data=np.round(v_mV, 3).astype("f4"), compression="gzip", shuffle=True)
            sweep.create_dataset("current_nA", data=command(current, len(v_mV), responses.dt_ms), compression="gzip")


def command(stimulus: StimulusSettings, samples: int, dt_ms: float) -> np.ndarray:
    """The current that the amplifier was told to give, nA: without the cell's own noise."""
    from hpcfit.biophys.protocols import build_stimulus

    return build_stimulus(stimulus).current_nA(np.arange(samples) * dt_ms).astype("f4")


if __name__ == "__main__":
    main()
