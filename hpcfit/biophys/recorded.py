"""Which recorded sweeps show what a stimulus should evoke, and where do they lie on the model's time axis?

A recording has its own baseline and tail.  Its stimulus window is laid on the model's, and what lies outside the
simulated time is cut off, so that features which see the whole trace (spike counts, the voltage before the stimulus)
mean the same in both.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpcfit.biophys.electrodes import Step
from hpcfit.biophys.recordings import Sweep, read_sweeps, step_of
from hpcfit.biophys.settings import StimulusSettings, TargetSettings
from hpcfit.biophys.step import Step as RecordedStep
from hpcfit.errors import InputError

_TIMING_MS = 2.0
"""Recorded and simulated steps may differ by this, or by 1 % of the step: rise times, and delays of an amplifier."""


@dataclass(frozen=True)
class RecordedSweep:
    """One sweep, corrected for the junction potential and cut to the simulated time.

    Attributes
    ----------
    name
        As in the file.
    v_mV, i_nA
        (time,) at dt_ms, as sampled.
    window_ms
        Stimulus window, counted from the first sample.
    offset_ms
        Time of the first sample on the model's axis.
    step_nA
        Amplitude of the main step, less holding; None where there is none.
    """

    name: str
    v_mV: np.ndarray
    i_nA: np.ndarray | None
    dt_ms: float
    window_ms: tuple[float, float]
    offset_ms: float
    step_nA: float | None

    def on_grid(self, t_ms: np.ndarray) -> np.ndarray:
        """Voltage at these times of the model, mV, linear between samples; NaN where nothing was recorded."""
        own_ms = self.offset_ms + np.arange(len(self.v_mV)) * self.dt_ms
        return np.interp(t_ms, own_ms, self.v_mV, left=np.nan, right=np.nan)


def recorded_sweeps(
    stimulus: StimulusSettings, target: TargetSettings, rheobase_nA: Callable[[], float]
) -> tuple[RecordedSweep, ...]:
    """The sweeps of a target, selected by amplitude and laid on the model's time axis.

    rheobase_nA is asked only if the target selects by it.

    Raises
    ------
    InputError
        When no sweep is left, or one is too short or has its step elsewhere than the model's stimulus.
    """
    assert target.recordings is not None
    sweeps = read_sweeps(target.recordings, target.sweeps)
    steps = {sweep.name: step_of(sweep) for sweep in sweeps}
    amplitudes = {name: None if step is None else step.amplitude_nA for name, step in steps.items()}
    kept = _selected(sweeps, amplitudes, stimulus.name, target, rheobase_nA)
    for sweep in kept:
        _check_length(sweep, stimulus, target)
        _check_timing(sweep, steps[sweep.name], stimulus, target)
    return tuple(_laid(sweep, amplitudes[sweep.name], stimulus, target) for sweep in kept)


def _selected(
    sweeps: tuple[Sweep, ...],
    amplitudes: dict[str, float | None],
    name: str,
    target: TargetSettings,
    rheobase_nA: Callable[[], float],
) -> list[Sweep]:
    ranges: dict[str, tuple[float, float]] = {}
    if target.rheobase_range is not None:
        low, high = (factor * rheobase_nA() for factor in target.rheobase_range)
        ranges["rheobase_range"] = (low, high)
    if target.amplitude_range_nA is not None:
        ranges["amplitude_range_nA"] = target.amplitude_range_nA

    def inside(amplitude: float | None) -> bool:
        return all(amplitude is not None and low <= amplitude <= high for low, high in ranges.values())

    kept = [sweep for sweep in sweeps if inside(amplitudes[sweep.name])] if ranges else list(sweeps)
    if not kept:
        wanted = " and ".join(f"{key} ({low:.4g} to {high:.4g} nA)" for key, (low, high) in ranges.items())
        found = sorted({round(value, 3) for value in amplitudes.values() if value is not None})
        there = f"steps there: {', '.join(f'{value:g}' for value in found)} nA" if found else "no sweep has a step"
        raise InputError(
            f"targets.{name}: none of {len(sweeps)} sweeps of {target.recordings} has a step within {wanted}; {there}; "
            "change the range"
        )
    return kept


def _window(stimulus: StimulusSettings, target: TargetSettings) -> tuple[float, float]:
    return target.window_ms or stimulus.window


def _check_length(sweep: Sweep, stimulus: StimulusSettings, target: TargetSettings) -> None:
    missing = 2 * sweep.dt_ms
    if target.window_ms is not None:
        start, end = target.window_ms
        if end > sweep.duration_ms + missing or start >= end:
            raise InputError(
                f"{sweep.where}: targets.{stimulus.name}.window_ms = [{start:g}, {end:g}] is not inside its "
                f"{sweep.duration_ms:g} ms; change the window or leave the sweep out"
            )
    elif stimulus.duration_ms > sweep.duration_ms + missing:
        raise InputError(
            f"{sweep.where}: lasts {sweep.duration_ms:g} ms, stimulus {stimulus.name} {stimulus.duration_ms:g} ms; "
            f"shorten its duration_ms, leave the sweep out, or say where the stimulus is in the recording with "
            f"targets.{stimulus.name}.window_ms"
        )


def _check_timing(sweep: Sweep, step: RecordedStep | None, stimulus: StimulusSettings, target: TargetSettings) -> None:
    """Without a window of its own, the recorded step must be where one of the model's steps is."""
    steps = [electrode for electrode in stimulus.electrodes if isinstance(electrode, Step)]
    if target.window_ms is not None or step is None or not steps or len(steps) < len(stimulus.electrodes):
        return
    slack = max(_TIMING_MS, 0.01 * (step.end_ms - step.start_ms))
    for electrode in steps:
        end_ms = electrode.delay_ms + electrode.duration_ms
        if abs(electrode.delay_ms - step.start_ms) <= slack and abs(end_ms - step.end_ms) <= slack:
            return
    start, end = stimulus.window
    raise InputError(
        f"{sweep.where}: its step lasts from {step.start_ms:.4g} to {step.end_ms:.4g} ms, stimulus {stimulus.name} "
        f"from {start:g} to {end:g} ms; correct the stimulus or give targets.{stimulus.name}.window_ms"
    )


def _laid(sweep: Sweep, step_nA: float | None, stimulus: StimulusSettings, target: TargetSettings) -> RecordedSweep:
    start, end = _window(stimulus, target)
    model_start, model_end = stimulus.window
    shift = start - model_start
    first = math.ceil(max(0.0, shift) / sweep.dt_ms - 1e-6)
    last = math.ceil((end + stimulus.duration_ms - model_end) / sweep.dt_ms - 1e-6)
    first_ms = first * sweep.dt_ms
    return RecordedSweep(
        name=sweep.name,
        v_mV=sweep.v_mV[first:last] - target.junction_potential_mV,
        i_nA=None if sweep.i_nA is None else sweep.i_nA[first:last],
        dt_ms=sweep.dt_ms,
        window_ms=(start - first_ms, end - first_ms),
        offset_ms=first_ms - shift,
        step_nA=step_nA,
    )
