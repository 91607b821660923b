"""What distance from these recorded sweeps does a [[scores]] table ask for?  A function of traces, sent to workers.

Distances between voltages compare with the mean of the sweeps, distances between spike trains with each sweep in turn:
their value is the mean over sweeps.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from hpcfit.biophys.distances.pointwise import Window, pointwise
from hpcfit.biophys.distances.soft_dtw import soft_dtw_divergence
from hpcfit.biophys.distances.spike_trains import PAD, spike_times, van_rossum, victor_purpura
from hpcfit.biophys.score_settings import SPIKE_KINDS, PointwiseSettings, ScoreSettings, SoftDtwSettings
from hpcfit.biophys.terms import RecordedTraces
from hpcfit.errors import InputError

_BLOCK = 16
"""Traces at a time: what is computed between then stays in a core's cache, whatever the population."""


@dataclass(frozen=True)
class TraceDistance:
    """A function of traces: how far each is from recorded sweeps.

    Attributes
    ----------
    settings
        The table `trace` of [[scores]].
    dt_ms
        Sample k of traces and reference is at k * dt_ms.
    reference_mV
        (time,) NaN where nothing is compared; None for distances between spike trains.
    windows
        What is compared, in samples.
    trains_ms
        Spikes of each sweep, for distances between spike trains.
    threshold_mV, first_spike_ms, begin_ms
        What a spike rises through; the first spike of the reference at or after begin_ms, where traces are aligned.
    """

    settings: Any
    dt_ms: float
    reference_mV: np.ndarray | None
    windows: tuple[Window, ...]
    trains_ms: tuple[np.ndarray, ...] = ()
    threshold_mV: float = -20.0
    first_spike_ms: float | None = None
    begin_ms: float = 0.0

    def __call__(self, v_mV: np.ndarray, threads: int = 1) -> np.ndarray:
        """(traces,): mV, or the unit of a spike distance; NaN where a trace is not finite where it is compared.

        v_mV: (traces, time) at dt_ms.  Raises EngineError when soft_dtw finds no C++ compiler.
        """
        if isinstance(self.settings, SoftDtwSettings):
            return self._warped(v_mV, threads)
        of_block = self._pointwise if isinstance(self.settings, PointwiseSettings) else self._spikes
        blocks = [of_block(v_mV[first : first + _BLOCK]) for first in range(0, len(v_mV), _BLOCK)]
        return np.concatenate(blocks) if blocks else np.empty(0)

    def _pointwise(self, v_mV: np.ndarray) -> np.ndarray:
        assert self.reference_mV is not None
        power = 2 if self.settings.kind == "rms" else 1
        if self.first_spike_ms is None:
            return pointwise(v_mV, self.reference_mV, self.windows, power)
        times, counts = spike_times(v_mV, self.dt_ms, self.threshold_mV, (self.begin_ms, np.inf))
        shift = np.zeros(len(v_mV))  # of a trace without a spike: compared as it is
        if times.shape[1]:
            shift = np.where(counts > 0, times[:, 0] - self.first_spike_ms, 0.0) / self.dt_ms
        return pointwise(v_mV, self.reference_mV, self.windows, power, shift)

    def _warped(self, v_mV: np.ndarray, threads: int) -> np.ndarray:
        assert self.reference_mV is not None
        settings, window = self.settings, self.windows[0]
        last = min(window.last, v_mV.shape[1])
        bin_size = max(1, round(settings.every_ms / self.dt_ms))
        count = (last - window.first) // bin_size
        wanted = slice(window.first, window.first + count * bin_size)
        y = self.reference_mV[wanted].reshape(count, bin_size).mean(axis=1)
        x = v_mV[:, wanted].reshape(len(v_mV), count, bin_size).mean(axis=2, dtype=float)
        distances = np.full(len(x), np.nan)
        good = np.isfinite(x).all(axis=1)
        band = ceil(settings.band_ms / (bin_size * self.dt_ms) - 1e-9)
        divergence = soft_dtw_divergence(x[good], y, settings.gamma_mV2, band, threads)
        distances[good] = np.sqrt(divergence / count)
        return distances

    def _spikes(self, v_mV: np.ndarray) -> np.ndarray:
        window = self.windows[0]
        span_ms = (window.first * self.dt_ms, (window.last - 1) * self.dt_ms)
        times, counts = spike_times(v_mV, self.dt_ms, self.threshold_mV, span_ms)
        if self.settings.kind == "van_rossum":
            each = [van_rossum(times, train, self.settings.tau_ms) for train in self.trains_ms]
        else:
            each = [victor_purpura(times, counts, train, self.settings.cost_per_ms) for train in self.trains_ms]
        finite = np.isfinite(v_mV[:, window.first : window.last]).all(axis=1)
        return np.where(finite, np.mean(each, axis=0), np.nan)


def make_distance(settings: Any, recorded: RecordedTraces, threshold_mV: float, where: str) -> TraceDistance:
    """The distance that a table `trace` of [[scores]] asks for.

    recorded: the sweeps to compare with; where: the table, for errors.

    Raises
    ------
    InputError
        When nothing was recorded in a window, a sweep to align has no spike, or bins are wider than the window.
    """
    if isinstance(settings, PointwiseSettings) and settings.align:
        recorded, first_spike_ms = _aligned(recorded, threshold_mV, where)
    else:
        first_spike_ms = None
    reference_mV, begin_ms = recorded.mean_mV, recorded.window_ms[0]
    there = np.flatnonzero(np.isfinite(reference_mV))
    if not len(there):
        raise InputError(f"{where}: nothing was recorded while {', '.join(recorded.names)} last; give other sweeps")
    windows = _windows(settings, recorded.dt_ms, (int(there[0]), int(there[-1]) + 1))
    for window in windows:
        if not np.isfinite(reference_mV[window.first : window.last]).any():
            low, high = there[0] * recorded.dt_ms, there[-1] * recorded.dt_ms
            raise InputError(
                f"{where}: nothing was recorded in its window from {window.first * recorded.dt_ms:g} ms; recordings "
                f"last from {low:g} to {high:g} ms of the stimulus, move the window"
            )
    made = TraceDistance(settings, recorded.dt_ms, reference_mV, windows, (), threshold_mV, first_spike_ms, begin_ms)
    if settings.kind in SPIKE_KINDS:
        return replace(made, reference_mV=None, trains_ms=_trains(recorded, threshold_mV, windows[0]))
    if isinstance(settings, SoftDtwSettings):
        bins = (windows[0].last - windows[0].first) // max(1, round(settings.every_ms / recorded.dt_ms))
        if bins < 2:
            raise InputError(
                f"{where}: every_ms = {settings.every_ms:g} leaves {bins} bins of its window; lower it, "
                "or widen the window"
            )
    return made


def distance_unit(score: ScoreSettings, distance: TraceDistance, recorded: RecordedTraces, where: str) -> float:
    """What the distance is divided by: a number of the file, or what the recordings say.

    Raises
    ------
    InputError
        When it is asked of recordings that do not vary: a flat one, a single one, or repeats that are the same.
    """
    assert score.trace is not None
    unit = score.trace.unit if score.trace.unit is not None else score.sd_mV
    if not isinstance(unit, str):
        return float(unit)
    if unit == "repeats":
        found = _between_repeats(distance, recorded, where)
    else:
        reference_mV = distance.reference_mV
        assert reference_mV is not None
        parts = [reference_mV[window.first : window.last] for window in distance.windows]
        compared = np.concatenate([part[np.isfinite(part)] for part in parts])
        found = float(np.std(compared) if unit == "recording_sd" else np.ptp(compared))
    if not found > 0:
        raise InputError(
            f"{where}: trace.unit = '{unit}' is 0, because the recordings do not vary; give a number, in mV or spikes"
        )
    return found


def _between_repeats(distance: TraceDistance, recorded: RecordedTraces, where: str) -> float:
    """Mean distance of each sweep from the others."""
    sweeps = len(recorded.v_mV)
    if sweeps < 2:
        raise InputError(
            f"{where}: trace.unit = 'repeats' needs two sweeps or more, there is {recorded.names[0]}; give a number"
        )
    found = []
    for index in range(sweeps):
        sweep_mV = recorded.v_mV[index]
        # Where this sweep has no samples the others have nothing to be compared with.
        others_mV = np.where(np.isfinite(sweep_mV), np.delete(recorded.v_mV, index, axis=0), np.nan)
        names = recorded.names[:index] + recorded.names[index + 1 :]
        rest = replace(recorded, v_mV=others_mV, names=names)
        measure = make_distance(distance.settings, rest, distance.threshold_mV, where)
        found.append(float(measure(_filled(sweep_mV)[None, :])[0]))
    return float(np.mean(found))


def _windows(settings: Any, dt_ms: float, recorded: tuple[int, int]) -> tuple[Window, ...]:
    """In samples, cut to what was recorded."""
    first, last = recorded
    spans = [(window.start_ms, window.end_ms, window.weight) for window in getattr(settings, "windows", ())]
    if getattr(settings, "window_ms", None):
        spans = [(*settings.window_ms, 1.0)]
    if not spans:
        return (Window(first, last),)
    places = [(ceil(start / dt_ms - 1e-9), int(end / dt_ms + 1e-9) + 1, weight) for start, end, weight in spans]
    return tuple(
        Window(max(begin, first) if begin < last else begin, min(end, last), weight) for begin, end, weight in places
    )


def _filled(v_mV: np.ndarray) -> np.ndarray:
    """What was not recorded is as at the nearest sample: it holds no spike."""
    there = np.flatnonzero(np.isfinite(v_mV))
    return np.interp(np.arange(len(v_mV)), there, v_mV[there])


def _trains(recorded: RecordedTraces, threshold_mV: float, window: Window) -> tuple[np.ndarray, ...]:
    span_ms = (window.first * recorded.dt_ms, (window.last - 1) * recorded.dt_ms)
    filled = np.stack([_filled(sweep) for sweep in recorded.v_mV])
    times, _ = spike_times(filled, recorded.dt_ms, threshold_mV, span_ms)
    return tuple(row[row < PAD] for row in times)


def _aligned(recorded: RecordedTraces, threshold_mV: float, where: str) -> tuple[RecordedTraces, float]:
    """Sweeps shifted so that their first spikes coincide, at their mean time: it, ms, is the second that is given."""
    begin_ms = recorded.window_ms[0]
    first_ms = []
    for name, sweep in zip(recorded.names, recorded.v_mV, strict=True):
        times, counts = spike_times(_filled(sweep)[None, :], recorded.dt_ms, threshold_mV, (begin_ms, np.inf))
        if not counts[0]:
            raise InputError(
                f"{where}: align = 'first_spike', but sweep {name} has no spike above {threshold_mV:g} mV; leave out "
                "align, or name stimuli that make the cell fire"
            )
        first_ms.append(times[0, 0])
    mean_ms = float(np.mean(first_ms))
    t_ms = np.arange(recorded.v_mV.shape[1]) * recorded.dt_ms
    shifted = [
        np.interp(t_ms + (own - mean_ms), t_ms, sweep, left=np.nan, right=np.nan)
        for own, sweep in zip(first_ms, recorded.v_mV, strict=True)
    ]
    return replace(recorded, v_mV=np.stack(shifted)), mean_ms
