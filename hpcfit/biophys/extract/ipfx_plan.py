"""What do all traces of a batch share, for the features that are IPFX's?  Times in seconds, filters, the settings.

Indices are found as ipfx.time_series_utils.find_time_index does: the nearest sample, which has to be in the trace.
"""

import ctypes
from functools import lru_cache

import numpy as np

from hpcfit.biophys.extract.ipfx_options import IpfxSettings
from hpcfit.biophys.extract.plan import Plan

ORDER = 4  # ipfx_trace.hpp's
_HEAVY_KHZ = 1.0
"""The filter with which IPFX looks for afterdepolarisations; no setting of its extractors."""
_NEGLIGIBLE = 1e-16
"""A filter's kernel is cut where what is left is below this."""
_REST = 1e-5
"""What the taps of a kernel that most decisions do without add up to."""
_PADDING = 16  # packs read beyond what they use
_DOUBLES = ctypes.POINTER(ctypes.c_double)


class _Filter(ctypes.Structure):
    _fields_ = (
        ("applies", ctypes.c_int),
        ("reach", ctypes.c_int),
        ("near", ctypes.c_int),
        ("rest", ctypes.c_double),
        ("b", ctypes.c_double * (ORDER + 1)),
        ("a", ctypes.c_double * (ORDER + 1)),
        ("steady", ctypes.c_double * ORDER),
        ("kernel", _DOUBLES),
    )


class IpfxStructure(ctypes.Structure):
    """ipfx_trace.hpp's Plan, field by field."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("count", "start", "end")),
        *((name, ctypes.c_double) for name in ("start_s", "end_s", "least_dt_s", "most_dt_s")),
        ("t_s", _DOUBLES),
        *((name, _Filter) for name in ("light", "heavy")),
        *(
            (name, ctypes.c_double)
            for name in ("dv_cutoff", "thresh_frac", "min_height", "min_peak", "max_interval_s", "reject_s")
        ),
        *((name, ctypes.c_double) for name in ("burst_tol", "pause_cost")),
        *((name, ctypes.c_int) for name in ("base_begin", "sag_base_begin", "steady_begin")),
        *((name, ctypes.c_double) for name in ("half_peak_width_s", "amplitude_nA")),
    )


@lru_cache(maxsize=64)
def uniform_ipfx_plan(
    count: int, dt_ms: float, window_ms: tuple[float, float], settings: IpfxSettings, amplitude_nA: float | None
) -> Plan:
    """The plan for traces of `count` samples at i * dt_ms."""
    return build_ipfx_plan(np.arange(count) * dt_ms, window_ms, settings, amplitude_nA)


def build_ipfx_plan(
    raw_ms: np.ndarray, window_ms: tuple[float, float], settings: IpfxSettings, amplitude_nA: float | None
) -> Plan:
    """The plan for traces sampled at raw_ms: (samples,)."""
    plan = Plan(IpfxStructure())
    it, t_s = plan.structure, raw_ms / 1e3
    it.count, it.t_s = len(t_s), plan.point(np.append(t_s, np.zeros(_PADDING)), _DOUBLES)
    it.start_s, it.end_s = window_ms[0] / 1e3, window_ms[1] / 1e3
    it.start, it.end = nearest(t_s, it.start_s), nearest(t_s, it.end_s)
    if len(t_s) > 1:
        it.least_dt_s, it.most_dt_s = np.min(np.diff(t_s)), np.max(np.diff(t_s))
        sampling_Hz = 1.0 / (t_s[1] - t_s[0])
        _fill(it.light, plan, settings.filter, sampling_Hz)
        _fill(it.heavy, plan, _HEAVY_KHZ, sampling_Hz)
    for name in ("dv_cutoff", "thresh_frac", "min_height", "min_peak", "burst_tol", "pause_cost"):
        setattr(it, name, getattr(settings, name))
    it.max_interval_s, it.reject_s = settings.max_interval, settings.reject_at_stim_start_interval
    it.base_begin = nearest(t_s, it.start_s - settings.baseline_interval)
    it.sag_base_begin = nearest(t_s, it.start_s - settings.sag_baseline_interval)
    it.steady_begin = nearest(t_s, it.end_s - settings.sag_baseline_interval)
    it.half_peak_width_s = settings.peak_width / 2.0
    it.amplitude_nA = np.nan if amplitude_nA is None else amplitude_nA
    return plan


def nearest(t_s: np.ndarray, at_s: float) -> int:
    """The sample nearest to a time, the earlier of two; -1 when the time is not in the trace."""
    return int(np.argmin(np.abs(t_s - at_s))) if t_s[0] <= at_s <= t_s[-1] else -1


def _fill(filled: _Filter, plan: Plan, cutoff_kHz: float | None, sampling_Hz: float) -> None:
    """A Bessel filter of ORDER poles; `applies` stays 0 at or above half the sampling frequency."""
    from scipy import signal

    if not cutoff_kHz or (fraction := cutoff_kHz * 1e3 / (sampling_Hz / 2.0)) >= 1:
        return
    b, a = (np.asarray(each) for each in signal.bessel(ORDER, fraction, "low"))  # pyright: ignore
    filled.applies = 1
    filled.b[:], filled.a[:] = b, a
    filled.steady[:] = signal.lfilter_zi(b, a)
    decay = np.abs(np.roots(a)).max()
    length = 8 + int(np.ceil(np.log(_NEGLIGIBLE) / np.log(decay)))
    once = signal.lfilter(b, a, np.concatenate([[1.0], np.zeros(length)]))
    kernel = np.correlate(once, once, "full")  # forwards, then backwards
    filled.reach = length
    beyond = 2.0 * np.cumsum(np.abs(kernel[: length + 1]))[::-1]  # taps from the middle outwards, and all further ones
    near = int(np.argmax(beyond <= _REST)) - 1
    filled.near, filled.rest = near, beyond[near + 1]
    filled.kernel = plan.point(kernel, _DOUBLES)
