"""What do all traces of a batch share?  The interpolated grid, the samples of each stretch of time, the settings.

eFEL's grid is accumulated (t += step), not multiplied, and ends at or just behind the last sample: both move samples
that decide ties, so both are kept.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from hpcfit.biophys.extract.current import CurrentStructure, CurrentTrace, SpectrumStructure, fill_current
from hpcfit.biophys.extract.options import ExtractSettings

TILE, FILL = 64, 16  # grid.hpp's
_PADDING = 16  # packs read beyond what they use
_BOUNDED_RATIO = 32
"""A grid step of more recorded samples than this reaches beyond neighbouring tiles, whose bounds then do not hold."""
_DOUBLES = ctypes.POINTER(ctypes.c_double)
_INTS = ctypes.POINTER(ctypes.c_int)


class _Stretch(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("begin", "end", "raw_begin", "raw_end")),
        ("weight", _DOUBLES),
    )


_STRETCHES = ("base", "stimulus_end", "after", "begin_base", "begin_range", "hyper", "deflection_base", "rest")


class PlanStructure(ctypes.Structure):
    """grid.hpp's Plan, field by field."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("raw_count", "count", "tail")),
        *((name, _DOUBLES) for name in ("t_ms", "raw_ms")),
        ("regular", ctypes.c_int),
        *((name, _INTS) for name in ("left", "fill_left", "tile_first")),
        ("bounded", ctypes.c_int),
        *((name, ctypes.c_double) for name in ("dt_ms", "least_dt_ms", "step_ms", "start_ms", "end_ms")),
        *(
            (name, ctypes.c_int)
            for name in ("start", "end", "after_end", "decay_begin", "decay_end", "base_defined", "median_base")
        ),
        *((name, _Stretch) for name in _STRETCHES),
        *(
            (name, ctypes.c_double)
            for name in (
                "amplitude_nA",
                "threshold_mV",
                "derivative_threshold",
                "down_derivative_threshold",
                "rise_begin",
                "rise_end",
                "slow_start_ms",
                "spike_skip",
                "initial",
                "burst_factor",
                "strict_burst_factor",
            )
        ),
        *(
            (name, ctypes.c_int)
            for name in ("derivative_window", "strict", "ignore_first", "most_skipped", "phaseslope_range")
        ),
        *((name, ctypes.c_double) for name in ("initburst_hz", "initburst_begin_ms", "initburst_end_ms")),
        ("least_block_ms", ctypes.c_double),
        ("current", CurrentStructure),
        ("spectrum", SpectrumStructure),
        ("decays", ctypes.c_int),
        ("decay", _INTS),
    )


@dataclass(frozen=True)
class Grid:
    """Interpolated samples.  raw_ms: (samples,) of the recording; t_ms: (grid,); left, offset_ms, dx_ms: (grid,)."""

    raw_ms: np.ndarray
    t_ms: np.ndarray
    left: np.ndarray
    offset_ms: np.ndarray
    dx_ms: np.ndarray
    tail: int

    @classmethod
    def of(cls, raw_ms: np.ndarray, step_ms: float) -> "Grid":
        """The grid of a recording; a recording of one or two samples is not interpolated."""
        count = len(raw_ms)
        if count < 3:
            return cls(raw_ms, raw_ms, np.arange(count, dtype=np.int32), np.zeros(count), np.ones(count), 0)
        steps = np.full(int(np.ceil((raw_ms[-1] - raw_ms[0]) / step_ms)) + 1, step_ms)
        steps[0] = raw_ms[0]
        t_ms = np.cumsum(steps)  # one addition after another
        if not t_ms[-2] < raw_ms[-1]:
            t_ms = t_ms[:-1]
        right = np.maximum(np.searchsorted(raw_ms, t_ms, side="left"), 1)
        tail = int(np.searchsorted(right, count))
        left = np.where(right < count, right - 1, count - 1).astype(np.int32)
        offset_ms = np.where(right < count, t_ms - raw_ms[left], 0.0)
        dx_ms = np.where(right < count, raw_ms[np.minimum(right, count - 1)] - raw_ms[left], 1.0)
        return cls(raw_ms, t_ms, left, offset_ms, dx_ms, tail)

    def first_at(self, t_ms: float) -> int:
        """The first grid sample at or after a time; the number of samples when there is none."""
        return int(np.searchsorted(self.t_ms, t_ms, side="left"))

    def first_after(self, t_ms: float) -> int:
        """The first grid sample after a time."""
        return int(np.searchsorted(self.t_ms, t_ms, side="right"))

    def interpolated(self, y: np.ndarray) -> np.ndarray:
        """What was recorded, (samples,), on the grid: (grid,); operation for operation as the kernel does it."""
        before, after = y[self.left], y[np.minimum(self.left + 1, len(y) - 1)]
        return before + ((after - before) / self.dx_ms) * self.offset_ms

    def weights(self, begin: int, end: int) -> tuple[int, np.ndarray]:
        """The first recorded sample, and the weights with which those from there make up the mean over a stretch."""
        left = self.left[begin:end]
        share = self.offset_ms[begin:end] / self.dx_ms[begin:end]
        first, size = int(left[0]), int(left[-1] - left[0]) + 2
        both = np.bincount(left - first, 1 - share, size) + np.bincount(left - first + 1, share, size)
        inside = min(size, len(self.raw_ms) - first)
        return first, both[:inside] / (end - begin)


@dataclass
class Plan:
    """A filled structure of the kernel's and the arrays that it points into."""

    structure: Any
    keep: list[Any] = field(default_factory=list)

    def point(self, array: np.ndarray, kind: Any) -> Any:
        """A pointer to an array that lives as long as the plan."""
        array = np.ascontiguousarray(array, dtype=np.float64 if kind is _DOUBLES else np.int32)
        self.keep.append(array)
        return array.ctypes.data_as(kind)


@lru_cache(maxsize=64)
def uniform_plan(
    count: int,
    dt_ms: float,
    window_ms: tuple[float, float],
    settings: ExtractSettings,
    amplitude_nA: float | None,
    current: CurrentTrace | None = None,
) -> Plan:
    """The plan for traces of `count` samples at i * dt_ms."""
    return build_plan(np.arange(count) * dt_ms, window_ms, settings, amplitude_nA, current)


def build_plan(
    raw_ms: np.ndarray,
    window_ms: tuple[float, float],
    settings: ExtractSettings,
    amplitude_nA: float | None,
    current: CurrentTrace | None = None,
) -> Plan:
    """The plan for traces, and a current, sampled at raw_ms: (samples,)."""
    grid = Grid.of(raw_ms, settings.interp_step)
    plan = Plan(PlanStructure())
    it, t_ms = plan.structure, grid.t_ms
    it.raw_count, it.count, it.tail = len(raw_ms), len(t_ms), grid.tail
    it.t_ms, it.raw_ms = plan.point(np.append(t_ms, np.zeros(_PADDING)), _DOUBLES), plan.point(raw_ms, _DOUBLES)
    it.left, it.fill_left = plan.point(grid.left, _INTS), plan.point(_consecutive(grid), _INTS)
    tiles = (len(raw_ms) + TILE - 1) // TILE
    firsts = np.append(np.searchsorted(grid.left, np.arange(tiles) * TILE), len(t_ms))
    it.tile_first = plan.point(firsts, _INTS)
    it.dt_ms, it.least_dt_ms = (raw_ms[1] - raw_ms[0], np.min(np.diff(raw_ms))) if len(raw_ms) > 1 else (1.0, 1.0)
    it.step_ms = t_ms[1] - t_ms[0] if len(t_ms) > 1 else 1.0
    it.regular = np.array_equal(raw_ms, np.arange(len(raw_ms)) * it.dt_ms)
    it.bounded = settings.interp_step <= _BOUNDED_RATIO * it.least_dt_ms
    it.start_ms, it.end_ms = window_ms
    it.start, it.end, it.after_end = grid.first_at(it.start_ms), grid.first_at(it.end_ms), grid.first_after(it.end_ms)
    it.decay_begin = grid.first_at(it.end_ms + settings.decay_start_after_stim)
    it.decay_end = grid.first_at(it.end_ms + settings.decay_end_after_stim)
    it.base_defined = it.start_ms * settings.voltage_base_start_perc < it.start_ms * settings.voltage_base_end_perc
    it.median_base = settings.voltage_base_mode == "median"
    for name, (begin, end) in zip(_STRETCHES, _stretches(grid, it, settings), strict=True):
        stretch = getattr(it, name)
        stretch.begin, stretch.end = begin, end
        if begin < end:
            stretch.raw_begin, weights = grid.weights(begin, end)
            stretch.raw_end = stretch.raw_begin + len(weights)
            stretch.weight = plan.point(weights, _DOUBLES)
    it.amplitude_nA = np.nan if amplitude_nA is None else amplitude_nA
    i_nA = None if current is None else grid.interpolated(current.first(len(raw_ms)).i_nA)
    shares = settings.current_base_start_perc, settings.current_base_end_perc
    fill_current(plan, i_nA, _base(grid, it, shares, settings), (it.stimulus_end.begin, it.stimulus_end.end), settings)
    _settle(it, settings)
    _settle_steps(plan, grid, settings)
    return plan


def _consecutive(grid: Grid) -> np.ndarray:
    """Of every FILL grid samples that are interpolated from one recorded sample each, in a row, the first; else -1."""
    blocks = np.full((len(grid.t_ms) + FILL - 1) // FILL, -1, np.int32)
    whole = min(len(grid.t_ms), grid.tail) // FILL
    left = grid.left[: whole * FILL].reshape(whole, FILL)
    consecutive = np.all(np.diff(left, axis=1) == 1, axis=1)
    blocks[:whole][consecutive] = left[consecutive, 0]
    return blocks


def _stretches(grid: Grid, it: PlanStructure, settings: ExtractSettings) -> Sequence[tuple[int, int]]:
    """Where the means are taken, in the order of _STRETCHES; an empty one has no mean."""
    start_ms, end_ms, count = it.start_ms, it.end_ms, it.count
    length_ms = end_ms - start_ms
    late_ms = end_ms - 0.1 * length_ms
    early_ms = start_ms + length_ms * (0.1 / 2)
    last_ms = float(grid.t_ms[-1])
    rest_end = grid.first_after(end_ms + (last_ms - end_ms) * 0.75) + 1
    near = it.end - 5
    back = it.after_end if it.after_end < count else 0
    return (
        _base(grid, it, (settings.voltage_base_start_perc, settings.voltage_base_end_perc), settings),
        (grid.first_at(late_ms), it.end),
        (it.after_end, count),
        (0, it.start),
        (grid.first_after(early_ms), grid.first_after(early_ms + length_ms * 0.1)),
        (near - 30, near) if near >= 30 else (0, 0),
        (back - 10, back - 5) if back >= 10 else (0, 0),
        (grid.first_at(end_ms + (last_ms - end_ms) * 0.25), min(rest_end, count)),
    )


def _base(grid: Grid, it: PlanStructure, shares: tuple[float, float], settings: ExtractSettings) -> tuple[int, int]:
    """From the first sample at or after the begin to the last that is not clearly after the end; else to the last.

    shares: of the time before the stimulus, where it begins and ends; empty where it does not end after its begin.
    """
    begin_ms, end_ms = (it.start_ms * share for share in shares)
    begin = grid.first_at(begin_ms)
    inside = np.flatnonzero(grid.t_ms[1:] - end_ms < settings.precision_threshold)
    if begin_ms >= end_ms:
        return 0, 0
    return (begin if begin < it.count else 0), (int(inside[-1]) + 2 if len(inside) else it.count)


def _settle(it: PlanStructure, settings: ExtractSettings) -> None:
    it.threshold_mV = settings.Threshold
    it.derivative_threshold, it.down_derivative_threshold = (
        settings.DerivativeThreshold,
        settings.DownDerivativeThreshold,
    )
    it.derivative_window, it.phaseslope_range = settings.DerivativeWindow, settings.AP_phaseslope_range
    it.rise_begin, it.rise_end = settings.rise_start_perc, settings.rise_end_perc
    it.slow_start_ms, it.strict, it.ignore_first = (
        settings.sahp_start,
        settings.strict_stiminterval,
        settings.ignore_first_ISI,
    )
    it.spike_skip, it.most_skipped, it.initial = settings.spike_skipf, settings.max_spike_skip, settings.initial_perc
    it.burst_factor, it.strict_burst_factor = settings.burst_factor, settings.strict_burst_factor
    it.initburst_hz = settings.initburst_freq_threshold
    it.initburst_begin_ms, it.initburst_end_ms = settings.initburst_sahp_start, settings.initburst_sahp_end
    it.least_block_ms = settings.depol_block_min_duration


def _settle_steps(plan: Plan, grid: Grid, settings: ExtractSettings) -> None:
    """Where each step of a stimulus of several starts, and where the decay after it begins and ends."""
    steps = [
        (start_ms, end_ms + settings.decay_start_after_stim, end_ms + settings.decay_end_after_stim)
        for start_ms, end_ms in zip(settings.multi_stim_start, settings.multi_stim_end, strict=True)
    ]
    places = np.array([[grid.first_at(t_ms) for t_ms in step] for step in steps], dtype=np.int32)
    plan.structure.decays, plan.structure.decay = len(steps), plan.point(places, _INTS)
