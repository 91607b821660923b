"""What does the package IPFX itself say of a trace?  A slow back end, and what our own numbers are compared with.

Its extractors are called as its documentation does.  Where IPFX raises there is no value, with three exceptions: a
filter at or above half the sampling frequency is left out; pauses and bursts are detected directly, because IPFX 2.1's
`pause` and `burst` name functions and attributes that are not there; the current of `input_resistance` is the
amplitude of the step.
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from hpcfit.biophys.extract.ipfx_names import PREFIX
from hpcfit.biophys.extract.ipfx_options import IpfxSettings
from hpcfit.errors import ConfigError

_TRAIN = ("burst_tol", "pause_cost", "baseline_interval", "sag_baseline_interval", "peak_width")
"""Settings of IPFX's SpikeTrainFeatureExtractor; the others are SpikeFeatureExtractor's."""

Found = dict[str, np.ndarray | None]


def lists_by_ipfx(
    v_mV: np.ndarray,
    t_ms: np.ndarray,
    window_ms: tuple[float, float],
    names: list[str],
    settings: IpfxSettings | Mapping[str, Any] | None = None,
    stimulus_nA: float | None = None,
) -> Found:
    """The values of each feature of one trace, by names with "ipfx:"; None where IPFX gives none, or raises.

    v_mV, t_ms: (time,).

    Raises
    ------
    ConfigError
        When IPFX is not installed.
    """
    _check_installed()
    chosen = IpfxSettings.of(settings)
    v, t = np.asarray(v_mV, float), np.asarray(t_ms, float) / 1e3
    disabled = logging.root.manager.disable
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            found = _of_spikes(v, t, window_ms, chosen) | _of_membrane(v, t, window_ms, chosen, stimulus_nA)
        finally:
            logging.disable(disabled)
    return {name: found.get(name.removeprefix(PREFIX)) for name in names}


def _check_installed() -> None:
    try:
        import ipfx.feature_extractor  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            f"features.backend = 'ipfx': the package cannot be imported ({error}); install it and pandas ('pip install "
            "--no-deps ipfx' ignores its old pins), or use 'hpcfit', whose numbers are the same"
        ) from None


def _of_spikes(v: np.ndarray, t: np.ndarray, window_ms: tuple[float, float], settings: IpfxSettings) -> Found:
    from ipfx import feature_extractor  # pyright: ignore[reportMissingImports]

    start, end = window_ms[0] / 1e3, window_ms[1] / 1e3
    given = asdict(settings)
    given["filter"] = _possible(settings.filter, t)
    for_trains = {name: given.pop(name) for name in _TRAIN}
    spikes = feature_extractor.SpikeFeatureExtractor(start, end, **given)
    trains = feature_extractor.SpikeTrainFeatureExtractor(start, end, **for_trains)
    try:
        with _HeavyFilter(t):
            table = spikes.process(t, v, None)
    except Exception:  # IPFX's own ways to say that it cannot: ValueError, AssertionError, IndexError ...
        return {}
    found = {name: _defined([value]) for name, value in trains.process(t, v, None, table).items()}
    if len(table) == 0:
        return found
    for name in table.columns.difference(["isi_type", "clipped"]):
        found[name] = _defined(spikes.spike_feature(table, name))
    return found | _of_intervals(t, window_ms, table, settings)


def _of_intervals(t: np.ndarray, window_ms: tuple[float, float], table: Any, settings: IpfxSettings) -> Found:
    """Pauses and bursts, by the functions that IPFX's `pause` and `burst` look for in the wrong module."""
    from ipfx import spike_train_features as of  # pyright: ignore[reportMissingImports]

    isis = of.get_isis(t, table["threshold_index"].values.astype(int))
    kinds = np.array(table["isi_type"].astype(object)[:-1])  # compared one by one, as before pandas 3
    landmarks = [table[name].values for name in ("fast_trough_v", "fast_trough_t", "slow_trough_v", "slow_trough_t")]
    thresholds_mV = table["threshold_v"].values
    found: Found = {}
    pauses = _raised(lambda: of.detect_pauses(isis, kinds, settings.pause_cost).astype(int))
    if pauses is not None:
        share = isis[pauses].sum() / ((window_ms[1] - window_ms[0]) / 1e3)
        found |= {"n_pauses": np.array([float(len(pauses))]), "pause_frac": np.array([share])}
    arguments = (isis, kinds, *landmarks, thresholds_mV, settings.burst_tol, settings.pause_cost)
    bursts = _raised(lambda: np.array(of.detect_bursts(*arguments)))
    if bursts is not None:
        most = bursts[:, 0].max() if len(bursts) else 0.0
        found |= {"max_burstiness_index": _defined([most]), "num_bursts": np.array([float(len(bursts))])}
    return found


def _of_membrane(
    v: np.ndarray, t: np.ndarray, window_ms: tuple[float, float], settings: IpfxSettings, stimulus_nA: float | None
) -> Found:
    from ipfx import subthresh_features as of  # pyright: ignore[reportMissingImports]

    start, end = window_ms[0] / 1e3, window_ms[1] / 1e3
    i_pA = None if stimulus_nA is None else np.full_like(t, 1e3 * stimulus_nA)
    base, short = settings.baseline_interval, settings.sag_baseline_interval
    asked: dict[str, Callable[[], float]] = {
        "v_baseline": lambda: of.baseline_voltage(t, v, start, base),
        "peak_deflect": lambda: of.voltage_deflection(t, v, i_pA, start, end)[0],
        "sag": lambda: of.sag(t, v, None, start, end, settings.peak_width, short),
        "tau": lambda: of.time_constant(t, v, None, start, end, baseline_interval=base),
    }
    if stimulus_nA:
        asked["input_resistance"] = lambda: of.input_resistance([t], [i_pA], [v], start, end, base)
    values = {name: _raised(ask) for name, ask in asked.items()}
    return {name: None if value is None else _defined([value]) for name, value in values.items()}


def _raised(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception:  # as in _of_spikes
        return None


def _defined(values: Any) -> np.ndarray | None:
    """The values of spikes for which there is one; None when there is none."""
    array = np.asarray(values, float)
    kept = array[~np.isnan(array)]
    return kept if len(kept) else None


def _possible(cutoff_kHz: float | None, t_s: np.ndarray) -> float | None:
    """The filter, unless it is at or above half the sampling frequency."""
    impossible = len(t_s) < 2 or not cutoff_kHz or cutoff_kHz * 1e3 / (1.0 / (t_s[1] - t_s[0]) / 2.0) >= 1
    return None if impossible else cutoff_kHz


class _HeavyFilter:
    """Within it, IPFX leaves out its filter of 1 kHz, which is no argument of its extractor, where it would raise."""

    def __init__(self, t_s: np.ndarray) -> None:
        from ipfx import time_series_utils  # pyright: ignore[reportMissingImports]

        self._module, self._t_s = time_series_utils, t_s

    def __enter__(self) -> None:
        self._original = self._module.calculate_dvdt
        self._module.calculate_dvdt = lambda v, t, filter=None: self._original(v, t, _possible(filter, t))

    def __exit__(self, *_: object) -> None:
        self._module.calculate_dvdt = self._original
