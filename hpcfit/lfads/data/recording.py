"""A recording as it was made, before it is cut: spike times, a trial table, signals; and its bins.

Times are whole nanoseconds inside, so that a spike on the edge of a bin falls on the same side whatever the bin.  Bins
are counted from time 0, as the Neural Latents Benchmark does (a bin begins at a multiple of its width).
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.signal import decimate

from hpcfit.errors import InputError


@dataclass(frozen=True)
class Signal:
    """What was sampled: times_s (samples,) rising, values (samples, dimensions)."""

    times_s: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Recording:
    """Spikes of one population, and what went with them.

    Attributes
    ----------
    spikes
        Of each unit, times in seconds.
    units
        Names.
    held_out
        (units,) bool.
    start_s, stop_s
        When it was made.
    observed
        (intervals, 2), s: when all units were watched; None: always.
    trials
        Columns of the trial table, (trials,) each.
    signals
        By name.
    rates
        True rates, Hz, (samples, units), where they are known.
    """

    name: str
    spikes: tuple[np.ndarray, ...]
    units: tuple[str, ...]
    held_out: np.ndarray
    start_s: float
    stop_s: float
    observed: np.ndarray | None = None
    trials: dict[str, np.ndarray] = field(default_factory=dict)
    signals: dict[str, Signal] = field(default_factory=dict)
    rates: Signal | None = None


@dataclass(frozen=True)
class Bins:
    """A recording in bins; `first` is the number of the first, counted from time 0.

    Attributes
    ----------
    counts
        (bins, units) uint8 or uint16.
    observed
        (bins,) bool: bins that were watched from beginning to end.
    """

    counts: np.ndarray
    observed: np.ndarray
    first: int
    bin_ns: int

    def __len__(self) -> int:
        return len(self.counts)


def nanoseconds(seconds: np.ndarray | float) -> np.ndarray:
    """Whole nanoseconds; NaN becomes the least number there is."""
    scaled = np.rint(np.asarray(seconds, float) * 1e9)
    return np.where(np.isfinite(scaled), scaled, np.iinfo(np.int64).min).astype(np.int64)


def binned(recording: Recording, bin_s: float) -> Bins:
    """Spikes counted in bins of bin_s from the recording's start to its stop.

    Raises
    ------
    InputError
        When a unit has more spikes in a bin than can be counted, or the recording is shorter than a bin.
    """
    bin_ns = int(nanoseconds(bin_s))
    first = int(nanoseconds(recording.start_s)) // bin_ns
    number = -(-int(nanoseconds(recording.stop_s)) // bin_ns) - first
    if bin_ns < 1 or number < 1:
        raise InputError(
            f"{recording.name}: from {recording.start_s:g} to {recording.stop_s:g} s there is no bin of {bin_s:g} s"
        )
    counts = np.zeros((number, len(recording.spikes)), np.uint16)
    for unit, times in enumerate(recording.spikes):
        places = nanoseconds(times) // bin_ns - first
        places = places[(places >= 0) & (places < number)]
        found = np.bincount(places, minlength=number)
        if found.max(initial=0) > np.iinfo(np.uint16).max:
            raise InputError(f"{recording.name}: unit {recording.units[unit]} has {found.max()} spikes in a bin")
        counts[:, unit] = found
    if counts.max(initial=0) <= 255:
        counts = counts.astype(np.uint8)
    return Bins(counts, _observed(recording.observed, first, number, bin_ns), first, bin_ns)


def in_bins(signal: Signal, bins: Bins) -> np.ndarray:
    """The signal at the beginning of every bin, (bins, dimensions); NaN where it was not sampled.

    Samples that lie a whole number of times in a bin are low-pass filtered and thinned (zero-phase FIR of order 500,
    as nlb_tools does); others are interpolated linearly.  Where samples are NaN, or further apart than usual, so is
    the result.
    """
    values = np.asarray(signal.values, float)
    values = values[:, None] if values.ndim == 1 else values
    times = nanoseconds(signal.times_s)
    if len(times) < 2:
        return np.full((len(bins), values.shape[1]), np.nan)
    step = int(np.median(np.diff(times)))
    starts = (bins.first + np.arange(len(bins), dtype=np.int64)) * bins.bin_ns
    factor = bins.bin_ns / step
    first = bins.first * bins.bin_ns
    places = np.rint((times - first) / step).astype(np.int64)
    regular = abs(factor - round(factor)) < 1e-6 and np.abs(times - first - places * step).max() <= 1e-3 * step
    if regular and round(factor) >= 1:
        return _thinned(values, places, round(factor), len(bins))
    known = np.isfinite(values).all(1)
    times, values = times[known], values[known]
    if len(times) < 2:
        return np.full((len(bins), values.shape[1]), np.nan)
    found = np.stack([np.interp(starts, times, column) for column in values.T], 1)
    after = np.searchsorted(times, starts, "left").clip(1, len(times) - 1)
    gap = (times[after] - times[after - 1]) > 2.5 * step
    on_sample = (times[after] == starts) | (times[after - 1] == starts)
    outside = (starts < times[0]) | (starts > times[-1])
    found[(gap & ~on_sample) | outside] = np.nan
    return found


def mean_in_bins(signal: Signal, bins: Bins) -> np.ndarray:
    """The mean of samples inside every bin, (bins, dimensions); NaN where there is none."""
    places = nanoseconds(signal.times_s) // bins.bin_ns - bins.first
    inside = (places >= 0) & (places < len(bins))
    found = np.zeros((len(bins), signal.values.shape[1]))
    np.add.at(found, places[inside], signal.values[inside])
    number = np.bincount(places[inside], minlength=len(bins))
    return np.where(number[:, None] > 0, found / np.maximum(number, 1)[:, None], np.nan)


def _thinned(values: np.ndarray, places: np.ndarray, factor: int, bins: int) -> np.ndarray:
    fine = np.full((bins * factor, values.shape[1]), np.nan)
    inside = (places >= 0) & (places < len(fine))
    fine[places[inside]] = values[inside]
    missing = np.isnan(fine[::factor])
    for column in fine.T:
        known = np.flatnonzero(~np.isnan(column))
        if len(known):
            column[:] = np.interp(np.arange(len(column)), known, column[known])
    found = decimate(fine, factor, axis=0, n=500, ftype="fir") if factor > 1 else fine
    found[missing] = np.nan
    return found


def _observed(intervals: np.ndarray | None, first: int, number: int, bin_ns: int) -> np.ndarray:
    if intervals is None:
        return np.ones(number, bool)
    begin, end = nanoseconds(intervals).reshape(-1, 2).T
    begins = (-(-begin // bin_ns) - first).clip(0, number)
    ends = (end // bin_ns - first).clip(0, number)
    change = np.zeros(number + 1, int)
    some = ends > begins
    np.add.at(change, begins[some], 1)
    np.add.at(change, ends[some], -1)
    return np.cumsum(change[:-1]) > 0
