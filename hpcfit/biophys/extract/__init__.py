"""What are the features of many traces?  One call, one pass over each trace, eFEL's numbers or IPFX's.

    table = hpcfit.features.extract(v_mV, 0.1, (700, 2700), ["AP_amplitude", "mean_frequency", "ipfx:upstroke"])
    table.mean                          # (traces, features), NaN where undefined
    values, offsets = table.values("AP_amplitude")   # trace i has values[offsets[i] : offsets[i + 1]]

Definitions, names, units, defaults and failures are those of eFEL 5.7 asked for one feature at a time
(github.com/openbraininstitute/eFEL), and those of IPFX 2.1 (github.com/AllenInstitute/ipfx) for names that begin with
"ipfx:"; docs/features.md lists what differs and why.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcfit.biophys.extract.current import CurrentTrace
from hpcfit.biophys.extract.ipfx_names import IPFX_FUNCTIONS
from hpcfit.biophys.extract.ipfx_options import IpfxSettings
from hpcfit.biophys.extract.ipfx_plan import build_ipfx_plan, uniform_ipfx_plan
from hpcfit.biophys.extract.kernel import run
from hpcfit.biophys.extract.names import check_names, feature_names
from hpcfit.biophys.extract.options import ExtractSettings
from hpcfit.biophys.extract.plan import Plan, build_plan, uniform_plan
from hpcfit.biophys.extract.reading import Reading, checked_window
from hpcfit.biophys.extract.reasons import Reason
from hpcfit.errors import InputError

__all__ = [
    "CurrentTrace",
    "ExtractSettings",
    "FeatureTable",
    "IpfxSettings",
    "Reading",
    "Reason",
    "extract",
    "feature_names",
]

_UNEVEN = 1e-6
"""Sampling intervals may differ by this, relatively: times of a file are rounded."""


@dataclass(frozen=True)
class FeatureTable:
    """Features of a batch.

    Attributes
    ----------
    names
        Of the features, in the order of the columns.
    mean
        (traces, features) float64: the mean of a feature's values, NaN where undefined.
    count, reason
        (traces, features): how many values there are; why there is no mean, a value of Reason, else 0.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    count: np.ndarray
    reason: np.ndarray
    _values: np.ndarray
    _begins: np.ndarray
    """(traces, features): where in _values each list begins."""

    def __len__(self) -> int:
        """How many traces there are."""
        return len(self.mean)

    def values(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """All values of a feature, (total,), and offsets, (traces + 1,): trace i has values[offsets[i]:offsets[i + 1]].

        Raises KeyError when the feature was not asked for.
        """
        if name not in self.names:
            raise KeyError(f"{name} was not extracted; there are {', '.join(self.names)}")
        column = self.names.index(name)
        counts = self.count[:, column].astype(np.int64)
        begins = self._begins[:, column]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        return self._values[np.repeat(begins, counts) + within], offsets

    def __getitem__(self, name: str) -> np.ndarray:
        """The means of one feature: (traces,)."""
        return self.mean[:, self.names.index(name)]


def extract(
    v_mV: np.ndarray,
    dt_ms: float | np.ndarray,
    stimulus_window: tuple[float, float],
    names: Sequence[str],
    settings: ExtractSettings | Mapping[str, Any] | None = None,
    *,
    stimulus_nA: float | None = None,
    i_nA: np.ndarray | None = None,
    threads: int = 0,
) -> FeatureTable:
    """Features of traces.

    A trace with a NaN or an infinity has no features.  A window that reaches beyond the trace, or lies outside it, is
    no error: what needs the missing samples is undefined (Reason.OUTSIDE), the rest is not.

    Parameters
    ----------
    v_mV
        (traces, time) or (time,), float32 or float64 (anything else is converted to float64), mV.
    dt_ms
        Sampling interval, ms: sample i is at i * dt_ms; or the times themselves, (time,), evenly spaced.
    stimulus_window
        Start and end of the stimulus, ms.
    names
        Features, by eFEL's names, or IPFX's with "ipfx:" before them: `feature_names()` lists them.
    settings
        ExtractSettings, or some of eFEL's settings with values; `ipfx` among them: IpfxSettings, or some of the
        arguments of IPFX's extractors with values.
    stimulus_nA
        Amplitude of the step, which the input resistances need.
    i_nA
        (time,), what is injected, the same for all traces: `impedance`, `current_base` and
        `steady_state_current_stimend` need it.
    threads
        How many threads; 0: one for every core this process may use.  Results do not depend on it.

    Raises
    ------
    ConfigError
        When a feature (with the nearest name) or a setting does not exist or cannot be meant.
    InputError
        When traces are empty or not numbers, times are not evenly spaced, the window does not end after its start, or
        the current has not one finite number a sample.
    EngineError
        When there is no C++ compiler.
    """
    names = tuple(names)
    check_names(names)
    settings = ExtractSettings.of(settings)
    ipfx = IpfxSettings.of(settings.ipfx)
    samples = _samples(v_mV)
    current = None if i_nA is None else _current(i_nA, samples.shape[1])
    window_ms, given = checked_window(stimulus_window), np.asarray(dt_ms)
    plans: list[Callable[[], Plan]]
    if given.ndim == 0:
        interval_ms = float(given)
        if not (interval_ms > 0 and np.isfinite(interval_ms)):
            raise InputError(f"dt_ms = {dt_ms}; the sampling interval has to be positive, in ms")
        shared = samples.shape[1], interval_ms, window_ms
        plans = [lambda: uniform_plan(*shared, settings, stimulus_nA, current)]
        plans.append(lambda: uniform_ipfx_plan(*shared, ipfx, stimulus_nA))
    else:
        t_ms = _times(given, samples.shape[1])
        plans = [lambda: build_plan(t_ms, window_ms, settings, stimulus_nA, current)]
        plans.append(lambda: build_ipfx_plan(t_ms, window_ms, ipfx, stimulus_nA))
    return _both(plans, samples, names, threads or len(os.sched_getaffinity(0)))


def _both(
    plans: Sequence[Callable[[], Plan]], samples: np.ndarray, names: tuple[str, ...], threads: int
) -> FeatureTable:
    """The features of either family by its own plan, in the order of the names."""
    shape = (len(samples), len(names))
    mean, count, reason = np.full(shape, np.nan), np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
    begins, lists = np.zeros(shape, np.int64), [np.empty(0)]
    for family, plan in enumerate(plans):
        columns = [column for column, name in enumerate(names) if (name in IPFX_FUNCTIONS) == bool(family)]
        if not columns:
            continue
        chosen = tuple(names[column] for column in columns)
        mean[:, columns], counted, reason[:, columns], values = run(plan(), samples, chosen, threads, lists=True)
        assert values is not None
        count[:, columns] = counted
        ends = np.cumsum(counted, dtype=np.int64).reshape(counted.shape)
        begins[:, columns] = ends - counted + sum(map(len, lists))
        lists.append(values)
    values = lists[1] if len(lists) == 2 else np.concatenate(lists)  # of one family no copy
    return FeatureTable(names, mean, count, reason, values, begins)


def _samples(v_mV: np.ndarray) -> np.ndarray:
    try:
        given = np.asarray(v_mV)
        samples = np.atleast_2d(np.ascontiguousarray(given, dtype=np.float32 if given.dtype == np.float32 else float))
    except (TypeError, ValueError) as error:
        raise InputError(f"v_mV: not an array of numbers ({error}); give (traces, time) in mV") from None
    if samples.ndim != 2:
        raise InputError(f"v_mV has the shape {samples.shape}; give (traces, time), or (time,) for one trace")
    if samples.shape[1] == 0:
        raise InputError(f"v_mV has the shape {samples.shape}: its traces hold no sample")
    return samples


def _current(i_nA: np.ndarray, count: int) -> CurrentTrace:
    current = CurrentTrace(i_nA)
    if len(current.i_nA) != count:
        raise InputError(f"i_nA has {len(current.i_nA)} samples and v_mV {count} a trace; give the current at each")
    return current


def _times(t_ms: np.ndarray, count: int) -> np.ndarray:
    t_ms = t_ms.astype(float)
    if t_ms.shape != (count,):
        raise InputError(f"dt_ms has the shape {t_ms.shape}; give one number, or the time of each of {count} samples")
    intervals_ms = np.diff(t_ms)
    if not np.all(np.isfinite(t_ms)) or np.any(intervals_ms <= 0):
        raise InputError("dt_ms: times have to be finite and increase from sample to sample")
    if count > 2 and np.ptp(intervals_ms) > _UNEVEN * np.max(np.abs(t_ms)):
        worst = int(np.argmax(np.abs(intervals_ms - np.median(intervals_ms))))
        raise InputError(
            f"dt_ms: times are not evenly spaced: {intervals_ms[worst]:g} ms after sample {worst}, elsewhere "
            f"{np.median(intervals_ms):g} ms; resample the traces to a fixed interval"
        )
    return t_ms
