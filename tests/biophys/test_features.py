"""Features agree with eFEL called directly, do not depend on the order of calls, and are NaN where there is none."""

from __future__ import annotations

import warnings
from pathlib import Path

import efel
import numpy as np
import pytest

from hpcfit.biophys.default_features import DEFAULT_FEATURES
from hpcfit.biophys.features import check_features, extract, feature_names
from hpcfit.biophys.recordings import read_sweeps
from hpcfit.biophys.settings import FeatureSettings
from hpcfit.errors import ConfigError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "ephys" / "C060114A7.h5"
DT_MS = 0.1
WINDOW_MS = (100.0, 400.0)
BY_EFEL = FeatureSettings(backend="efel")


@pytest.fixture(scope="module")
def traces() -> np.ndarray:
    """Five traces of 500 ms with 0, 1, 3, 7 and 12 spikes during a step: (traces, time)."""
    t_ms = np.arange(0, 500, DT_MS)
    inside = (t_ms >= WINDOW_MS[0]) & (t_ms < WINDOW_MS[1])
    rows = []
    for spikes in (0, 1, 3, 7, 12):
        v_mV = -70 + 12 * inside * (1 - np.exp(-(t_ms - 100) / 10))
        for peak_ms in np.linspace(120, 380, spikes):
            v_mV = v_mV + 95 * np.exp(-(((t_ms - peak_ms) / 0.6) ** 2))
            v_mV = v_mV - 8 * np.exp(-(t_ms - peak_ms - 2) / 8) * (t_ms > peak_ms + 2)
        rows.append(v_mV)
    return np.array(rows)


def directly(v_mV, dt_ms, window_ms, names, **extra):
    """The mean of what eFEL gives for one trace, with its default settings."""
    efel.reset()
    warnings.simplefilter("ignore")  # eFEL's own; pytest restores the filters after each test
    trace = {"T": np.arange(len(v_mV)) * dt_ms, "V": v_mV, "stim_start": [window_ms[0]], "stim_end": [window_ms[1]]}
    found = efel.get_mean_feature_values([{**trace, **extra}], list(names), raise_warnings=False)[0]
    return np.array([np.nan if found[name] is None else found[name] for name in names])


def test_every_feature_of_every_trace_is_what_efel_gives(traces):
    names = feature_names()
    values = extract(traces, DT_MS, WINDOW_MS, names, BY_EFEL)
    expected = np.array([directly(trace, DT_MS, WINDOW_MS, names) for trace in traces])
    assert values.shape == (5, len(names)) and values.dtype == np.float64
    assert np.array_equal(np.isfinite(values), np.isfinite(expected))
    assert np.array_equal(values[np.isfinite(values)], expected[np.isfinite(expected)])
    assert values[:, names.index("Spikecount")].tolist() == [0, 1, 3, 7, 12]


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason=f"{REAL} is not there")
@pytest.mark.parametrize(
    ("pattern", "window_ms"),
    [("IDrest/*[369]", (700.0, 2700.0)), ("IV/*[05]", (20.0, 1020.0)), ("APWaveform/*[48]", (5.0, 55.0))],
)
def test_features_of_real_sweeps_are_what_efel_gives(pattern, window_ms):
    for sweep in read_sweeps(REAL, [pattern]):
        values = extract(sweep.v_mV, sweep.dt_ms, window_ms, DEFAULT_FEATURES, BY_EFEL)[0]
        expected = directly(sweep.v_mV, sweep.dt_ms, window_ms, DEFAULT_FEATURES)
        assert np.array_equal(values, expected, equal_nan=True), sweep.name


def test_one_trace_may_come_as_a_vector(traces):
    many = extract(traces[2:3], DT_MS, WINDOW_MS, DEFAULT_FEATURES, FeatureSettings())
    one = extract(traces[2], DT_MS, WINDOW_MS, DEFAULT_FEATURES, FeatureSettings())
    assert one.shape == (1, 20) and np.array_equal(one, many, equal_nan=True)


def test_order_of_names_traces_and_calls_does_not_matter(traces):
    names = DEFAULT_FEATURES
    values = extract(traces, DT_MS, WINDOW_MS, names, FeatureSettings())
    other = FeatureSettings(
        threshold_mV=20, derivative_threshold=50, interpolation_step_ms=0.5, strict_stimulus_interval=True
    )
    extract(traces, DT_MS, (50.0, 60.0), names, other)
    backwards = extract(traces[::-1], DT_MS, WINDOW_MS, names[::-1], FeatureSettings())
    assert np.array_equal(backwards[::-1, ::-1], values, equal_nan=True)


def test_the_callers_own_use_of_efel_does_not_leak_in(traces):
    before = extract(traces, DT_MS, WINDOW_MS, ("Spikecount",), FeatureSettings())
    efel.set_setting("Threshold", 200.0)
    assert np.array_equal(extract(traces, DT_MS, WINDOW_MS, ("Spikecount",), FeatureSettings()), before)


@pytest.mark.parametrize(
    ("name", "changed", "feature"),
    [
        ("threshold_mV", 60.0, "Spikecount"),
        ("derivative_threshold", 60.0, "AP_begin_voltage"),
        ("interpolation_step_ms", 0.5, "AP_width"),
        ("strict_stimulus_interval", True, "Spikecount"),
    ],
)
def test_every_setting_reaches_efel(traces, name, changed, feature):
    window_ms = (100.0, 300.0)  # leaves spikes after the stimulus
    default = extract(traces[3], DT_MS, window_ms, (feature,), FeatureSettings())
    assert extract(traces[3], DT_MS, window_ms, (feature,), FeatureSettings(**{name: changed})) != default


def test_what_is_undefined_is_nan_and_leaves_its_neighbours_alone(traces):
    names = ("Spikecount", "AP_height", "ISI_CV", "voltage_base")
    broken = traces.copy()
    broken[1, 7] = np.nan
    values = extract(broken, DT_MS, WINDOW_MS, names, FeatureSettings())
    assert np.array_equal(np.isnan(values[0]), [False, True, True, False])  # no spike
    assert np.all(np.isnan(values[1]))  # the simulation left a hole
    assert np.all(np.isfinite(values[3:]))
    assert np.array_equal(np.isnan(values[2]), [False, False, True, False])  # too few intervals for their variation


def test_a_trace_too_short_for_everything_raises_nothing():
    values = extract(np.full(4, -70.0), DT_MS, (0.1, 0.2), feature_names(), FeatureSettings())
    assert values.shape == (1, len(feature_names())) and not np.any(np.isinf(values))


def test_features_that_need_the_current_have_it_or_are_nan(traces):
    names = ("current_base", "steady_state_current_stimend", "ohmic_input_resistance_vb_ssse", "voltage_base")
    i_nA = np.where((np.arange(traces.shape[1]) >= 1000) & (np.arange(traces.shape[1]) < 4000), 0.3, 0.1)
    without = extract(traces[0], DT_MS, WINDOW_MS, names, FeatureSettings())[0]
    assert np.array_equal(np.isnan(without), [True, True, True, False])
    current = extract(traces[0], DT_MS, WINDOW_MS, names, FeatureSettings(), i_nA=i_nA, stimulus_nA=0.2)[0]
    # eFEL's base includes the first sample of the stimulus.
    assert current[:2] == pytest.approx([0.1, 0.3], abs=0.003) and current[2] == pytest.approx(12 / 0.2, rel=0.01)


def test_unknown_features_are_named_with_the_nearest_one():
    check_features(DEFAULT_FEATURES)
    with pytest.raises(
        ConfigError, match=r"scores\[0\]\.features: eFEL has no feature AP_hight; did you mean AP_height\?"
    ):
        check_features(("Spikecount", "AP_hight"), "scores[0].features")


@pytest.mark.parametrize("name", ["time", "voltage", "current", "peak_indices"])
def test_whole_traces_and_positions_are_no_features(name):
    with pytest.raises(ConfigError, match=f"{name} is .*not a number that can be scored"):
        check_features((name,))
    assert name not in feature_names()
