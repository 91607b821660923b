"""What are the features of a voltage trace?  eFEL's values, or IPFX's, one number a trace and feature, NaN where none.

They come from our own kernel, from eFEL (Ranjan et al., github.com/openbraininstitute/eFEL) or from IPFX
(github.com/AllenInstitute/ipfx).  eFEL keeps its settings in globals, so each call here sets them all and leaves eFEL's
defaults behind: order cannot matter.
"""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from hpcfit.biophys.extract import ExtractSettings
from hpcfit.biophys.extract import extract as extract_ours
from hpcfit.biophys.extract.ipfx_names import IPFX_FUNCTIONS, IPFX_NEEDS_AMPLITUDE, PREFIX
from hpcfit.biophys.extract.names import FUNCTIONS
from hpcfit.biophys.ipfx_backend import lists_by_ipfx
from hpcfit.biophys.settings import FeatureSettings
from hpcfit.errors import ConfigError

NEED_CURRENT = frozenset({"current_base", "steady_state_current_stimend", "impedance"})
"""Features of the current trace; undefined without it."""
NEED_AMPLITUDE = frozenset({"ohmic_input_resistance", "ohmic_input_resistance_vb_ssse"}) | IPFX_NEEDS_AMPLITUDE
"""Features that are divided by the amplitude of the step; undefined without it."""
_WHOLE_TRACES = frozenset({"time", "voltage", "current"})


@cache
def feature_names() -> tuple[str, ...]:
    """EFEL's features that are numbers one can compare: no whole traces, no indices into a trace."""
    import efel

    names = set(efel.get_feature_names()) - _WHOLE_TRACES
    return tuple(sorted(name for name in names if not name.endswith("_indices")))


def check_features(names: Sequence[str], where: str = "features") -> None:
    """Raises ConfigError, with the nearest name, unless all are comparable numbers of eFEL, or of IPFX ("ipfx:")."""
    known = (*feature_names(), *IPFX_FUNCTIONS)
    for name in names:
        if name in known:
            continue
        if name in _WHOLE_TRACES or name.endswith("_indices"):
            kind = "a whole trace" if name in _WHOLE_TRACES else "positions in a sampled trace"
            raise ConfigError(f"{where}: {name} is {kind}, not a number that can be scored; leave it out")
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        whose = "IPFX" if name.startswith(PREFIX) else "eFEL"
        hint = f"did you mean {near[0]}?" if near else f"{whose}'s documentation lists them"
        raise ConfigError(f"{where}: {whose} has no feature {name}; {hint}")


def extract(
    v_mV: np.ndarray,
    dt_ms: float,
    window_ms: tuple[float, float],
    names: Sequence[str] | Mapping[str, float | None],
    settings: FeatureSettings,
    i_nA: np.ndarray | None = None,
    stimulus_nA: float | None = None,
    threads: int = 1,
) -> np.ndarray:
    """Feature values, float64: (traces, features).

    The value of a list-valued feature (one entry a spike, say) is its mean, as in BluePyOpt's `calculate_feature`; with
    a target it is `folded`, so that its distance from the target is that of eFEL's `get_distance`, BluePyOpt's score.
    NaN means undefined.  eFEL tells "could not be computed" (None) from "there are none" (an empty list); both are
    NaN here, because neither can be compared with a mean and a standard deviation.

    Parameters
    ----------
    v_mV
        (traces, time) or (time,); a trace that is not finite has no features.
    dt_ms
        Sampling interval; sample i is at i * dt_ms.
    window_ms
        Start and end of the stimulus.
    names
        Names of eFEL's, or of IPFX's with "ipfx:" before them; or name -> target with which each value of its list is
        compared, None: the mean counts.
    settings
        Who reads; spike threshold, derivative threshold, interpolation step and strictness of the window.
    i_nA
        (time,), the same for all traces: needed by the features in NEED_CURRENT, which are NaN without it, or where a
        recording of it has holes.
    stimulus_nA
        Amplitude of the step, less holding: needed by the features in NEED_AMPLITUDE, which are NaN without it.
    threads
        Of our kernel; 0: one for every core this process may use.
    """
    traces = np.atleast_2d(np.asarray(v_mV, dtype=None if _is_single(v_mV) else float))
    i_nA = i_nA if i_nA is not None and np.all(np.isfinite(i_nA)) else None
    targets = names if isinstance(names, Mapping) else {}
    names = tuple(names)
    values = np.full((len(traces), len(names)), np.nan)
    ours = [column for column, name in enumerate(names) if _is_ours(name, settings)]
    if ours and traces.size:
        mine = [names[column] for column in ours]
        chosen = extract_settings(settings)
        stimulus = {"stimulus_nA": stimulus_nA, "i_nA": i_nA}
        table = extract_ours(traces, dt_ms, window_ms, mine, chosen, **stimulus, threads=threads)
        values[:, ours] = table.mean
        for column in ours:
            if (target := targets.get(names[column])) is not None:
                lists, offsets = table.values(names[column])
                values[:, column] = folded(table[names[column]], lists, offsets, target)
    theirs = [column for column in range(len(names)) if column not in ours]
    by_ipfx = [column for column in theirs if names[column] in IPFX_FUNCTIONS]
    by_efel = [column for column in theirs if column not in by_ipfx]
    if by_efel:
        wanted = {names[column]: targets.get(names[column]) for column in by_efel}
        values[:, by_efel] = _by_efel(traces.astype(float), dt_ms, window_ms, wanted, settings, i_nA, stimulus_nA)
    if by_ipfx:
        wanted, t_ms = [names[column] for column in by_ipfx], np.arange(traces.shape[1]) * dt_ms
        for row in np.flatnonzero(np.all(np.isfinite(traces), axis=1)):
            found = lists_by_ipfx(traces[row], t_ms, window_ms, wanted, settings.ipfx, stimulus_nA)
            values[row, by_ipfx] = [_mean(found[name], targets.get(name)) for name in wanted]
    return values


def _is_ours(name: str, settings: FeatureSettings) -> bool:
    """Whether our kernel reads a feature."""
    package, has = ("ipfx", IPFX_FUNCTIONS) if name.startswith(PREFIX) else ("efel", FUNCTIONS)
    return name in has and settings.backend != package


def folded(means: np.ndarray, values: np.ndarray, offsets: np.ndarray, target: float) -> np.ndarray:
    """The single values that are as far from the target as the lists are, each value counting, on their means' side.

    target + sign(mean - target) * mean |value - target|: (traces,), NaN where the list is empty or its mean not finite.
    For a list of one value it is that value.

    means: (traces,); values: the lists one after the other; offsets: (traces + 1,), trace i's from offsets[i].
    """
    apart = np.full(len(means), np.nan)
    counts = np.diff(offsets)
    some = np.flatnonzero((counts > 0) & np.isfinite(means))
    if len(some):
        sums = np.add.reduceat(np.abs(values - target), offsets[:-1][counts > 0])
        apart[some] = sums[np.isfinite(means[counts > 0])] / counts[some]
    return np.where(counts == 1, means, target + np.copysign(apart, means - target))


def all_ours(names: Sequence[str], settings: FeatureSettings) -> bool:
    """Whether our kernel reads all these features, so that a worker process has nothing to add."""
    return all(_is_ours(name, settings) for name in names)


def _is_single(v_mV: np.ndarray) -> bool:
    return getattr(v_mV, "dtype", None) == np.float32


def extract_settings(settings: FeatureSettings) -> ExtractSettings:
    """What a fit file says about features, as our kernel takes it."""
    return ExtractSettings(
        Threshold=settings.threshold_mV,
        DerivativeThreshold=settings.derivative_threshold,
        interp_step=settings.interpolation_step_ms,
        strict_stiminterval=settings.strict_stimulus_interval,
        ipfx=settings.ipfx,
    )


def _by_efel(
    traces: np.ndarray,
    dt_ms: float,
    window_ms: tuple[float, float],
    names: Mapping[str, float | None],
    settings: FeatureSettings,
    i_nA: np.ndarray | None,
    stimulus_nA: float | None,
) -> np.ndarray:
    values = np.full((len(traces), len(names)), np.nan)
    shared: dict[str, Any] = {
        "T": np.arange(traces.shape[1]) * dt_ms,
        "stim_start": [float(window_ms[0])],
        "stim_end": [float(window_ms[1])],
    }
    if i_nA is not None:
        shared["I"] = np.asarray(i_nA, dtype=float)
    if stimulus_nA:
        shared["stimulus_current"] = [float(stimulus_nA)]
    _set_up(settings)
    try:
        for row, trace in zip(values, traces, strict=True):
            if np.all(np.isfinite(trace)):
                row[:] = _values({**shared, "V": trace}, names)
    finally:
        _set_up(None)
    return values


def _set_up(settings: FeatureSettings | None) -> None:
    import efel

    efel.reset()
    if settings is not None:
        efel.set_setting("Threshold", float(settings.threshold_mV))
        efel.set_setting("DerivativeThreshold", float(settings.derivative_threshold))
        efel.set_setting("interp_step", float(settings.interpolation_step_ms))
        efel.set_setting("strict_stiminterval", bool(settings.strict_stimulus_interval))


def _values(trace: dict[str, Any], names: Mapping[str, float | None]) -> list[float]:
    """One number a feature, all from one call, so that eFEL converts and interpolates the trace once.

    names: feature -> target, as in `extract`.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = _ask(trace, list(names))
        except Exception:  # a feature written in Python may raise anything on a trace it did not expect
            found = {name: _alone(trace, name) for name in names}
    return [_mean(found[name], target) for name, target in names.items()]


def _alone(trace: dict[str, Any], name: str) -> Any:
    """One feature of a trace on which eFEL raised: only the feature that raises is undefined, not its neighbours."""
    try:
        return _ask(trace, [name])[name]
    except Exception:  # see _values
        return None


def _ask(trace: dict[str, Any], names: list[str]) -> dict[str, Any]:
    import efel

    # return_list is its default, given because eFEL's type hints ask for it.
    return efel.get_feature_values([trace], names, parallel_map=None, return_list=True, raise_warnings=False)[0]


def _mean(values: Any, target: float | None) -> float:
    if values is None or len(values) == 0:
        return np.nan
    numbers = np.asarray(values, dtype=float)
    mean = float(np.mean(numbers))
    if target is not None:
        mean = float(folded(np.array([mean]), numbers, np.array([0, len(numbers)]), target)[0])
    return mean if np.isfinite(mean) else np.nan
