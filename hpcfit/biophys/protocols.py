"""From a protocol's settings to its currents."""

import numpy as np

from hpcfit.biophys.electrodes import Chirp, Electrode, Noise, Ramp, Step, Waveform
from hpcfit.biophys.point_processes import PointProcessSettings
from hpcfit.biophys.recordings import waveform
from hpcfit.biophys.settings import StimulusSettings
from hpcfit.biophys.stimulus import Injection, PointProcess, Stimulus
from hpcfit.errors import ConfigError

_SINE_STEP_MS = 0.025
_NOISE_STEP_MS = 0.1


def build_stimulus(settings: StimulusSettings) -> Stimulus:
    """Currents of a protocol.

    Raises
    ------
    ConfigError
        When a step is given in rheobases and has not been resolved.
    InputError
        When a waveform file cannot be read.
    """
    injections = [_injection(electrode, settings) for electrode in settings.electrodes]
    if settings.holding_nA:
        injections.insert(0, _pulse("soma", 0.0, settings.duration_ms, [settings.holding_nA] * 2))
    points = tuple(_point_process(one) for one in settings.point_processes)
    return Stimulus(settings.name, settings.duration_ms, settings.window, tuple(injections), points)


def _point_process(one: PointProcessSettings) -> PointProcess:
    times_ms = None if one.times_ms is None else np.array(one.times_ms, dtype=float)
    return PointProcess(one.mechanism, one.site, one.parameters, times_ms, one.weight or 0.0, one.name)


def _injection(electrode: Electrode, stimulus: StimulusSettings) -> Injection:
    match electrode:
        case Step(amplitude_nA=None):
            raise ConfigError(f"stimulus {stimulus.name}: its amplitude is in rheobases, which are not known yet")
        case Step():
            return _pulse(
                electrode.site, electrode.delay_ms, electrode.duration_ms, [float(electrode.amplitude_nA or 0.0)] * 2
            )
        case Ramp():
            ends = [electrode.start_nA, electrode.end_nA]
            return _pulse(electrode.site, electrode.delay_ms, electrode.duration_ms, ends)
        case Chirp():
            return _pulse(electrode.site, electrode.delay_ms, electrode.duration_ms, _chirp(electrode))
        case Noise():
            return _pulse(electrode.site, electrode.delay_ms, electrode.duration_ms, _noise(electrode))
        case Waveform():
            i_nA, dt_ms = waveform(electrode.path, electrode.sweep)
            length = min((len(i_nA) - 1) * dt_ms, stimulus.duration_ms - electrode.delay_ms)
            t_ms = electrode.delay_ms + np.arange(len(i_nA)) * dt_ms
            return Injection(electrode.site, electrode.delay_ms, length, t_ms, i_nA * electrode.scale)


def _pulse(site: str, delay_ms: float, duration_ms: float, values: list[float] | np.ndarray) -> Injection:
    i_nA = np.asarray(values, dtype=float)
    t_ms = np.linspace(delay_ms, delay_ms + duration_ms, len(i_nA))
    return Injection(site, delay_ms, duration_ms, t_ms, i_nA)


def _chirp(chirp: Chirp) -> np.ndarray:
    """A sine with phase 2 pi times the integral of its frequency."""
    t_s = np.linspace(0.0, chirp.duration_ms, 1 + max(1, round(chirp.duration_ms / _SINE_STEP_MS))) / 1e3
    length_s, start, end = chirp.duration_ms / 1e3, chirp.start_Hz, chirp.end_Hz
    if chirp.sweep == "linear" or start == end:
        cycles = start * t_s + (end - start) * t_s**2 / (2 * length_s)
    else:
        rate = np.log(end / start) / length_s
        cycles = start * np.expm1(rate * t_s) / rate
    return chirp.amplitude_nA * np.sin(2 * np.pi * cycles)


def _noise(noise: Noise) -> np.ndarray:
    """An Ornstein-Uhlenbeck process by its exact update (Gillespie 1996, eq. 1.10)."""
    count = 1 + max(1, round(noise.duration_ms / _NOISE_STEP_MS))
    draws = np.random.default_rng(noise.seed).standard_normal(count)
    keep = np.exp(-noise.duration_ms / (count - 1) / noise.tau_ms)
    values = np.empty(count)
    values[0] = noise.sd_nA * draws[0]
    for index in range(1, count):
        values[index] = keep * values[index - 1] + noise.sd_nA * np.sqrt(1 - keep**2) * draws[index]
    return noise.mean_nA + values
