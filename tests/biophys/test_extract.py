"""Our extractor gives eFEL's numbers, and nothing where eFEL gives nothing, on traces of every kind; and says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import hpcfit
from hpcfit.biophys import features
from hpcfit.biophys.default_features import DEFAULT_FEATURES
from hpcfit.biophys.extract import ExtractSettings, Reason, extract, feature_names
from hpcfit.biophys.recordings import read_sweeps
from hpcfit.biophys.settings import EngineSettings, FeatureSettings, StimulusSettings
from hpcfit.errors import ConfigError, InputError
from hpcfit.population.ledger import Ledger

from .efel_oracle import differences
from .synthetic_traces import KINDS, MORE_KINDS, chirp_nA, synthetic

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "ephys" / "C060114A7.h5"
L5PC = Path(__file__).resolve().parents[2] / "data" / "l5pc"
ALL = feature_names()
WINDOW_MS = (20.0, 120.0)


def some(kind: str, seed: int, count: int = 1500, dt_ms: float = 0.1) -> np.ndarray:
    return synthetic(np.random.default_rng(seed), kind, count, dt_ms, WINDOW_MS)


CURRENT_NA = chirp_nA(1500, 0.1)
STEPS = {"multi_stim_start": (20.0, 60.0), "multi_stim_end": (40.0, 110.0)}
STIMULUS = {"stimulus_nA": 0.3, "i_nA": CURRENT_NA}


@pytest.mark.parametrize("kind", (*KINDS, *MORE_KINDS))
@pytest.mark.parametrize("strict", [False, True])
def test_every_feature_is_what_efel_gives(kind, strict):
    seed = (*KINDS, *MORE_KINDS).index(kind) + 100 * strict
    traces = np.array([some(kind, seed), some(kind, seed + 50)])
    changed = {"strict_stiminterval": strict, **STEPS}
    wrong, compared, _ = differences(traces, 0.1, WINDOW_MS, ALL, changed, **STIMULUS)
    assert wrong == [] and compared > 1.9 * len(ALL)


def test_every_feature_is_defined_on_some_of_the_traces_that_are_compared():
    seeds = [(kind, n + 100 * strict + more) for strict in (0, 1) for more in (0, 50) for n, kind in enumerate(KINDS)]
    seeds += [(kind, len(KINDS) + n) for n, kind in enumerate(MORE_KINDS)]
    table = extract(np.array([some(*each) for each in seeds]), 0.1, WINDOW_MS, ALL, STEPS, **STIMULUS)
    missing = {name for name in ALL if not np.any(table.reason[:, ALL.index(name)] == Reason.DEFINED)}
    assert missing == {"time_constant"}, "which takes a longer step"
    window_ms = (20.0, 420.0)
    longer = synthetic(np.random.default_rng(2), "sag", 5000, 0.1, window_ms)
    wrong, _, table = differences(longer, 0.1, window_ms, ["time_constant"])
    assert wrong == [] and table["time_constant"][0] > 0


@pytest.mark.parametrize("dt_ms", [0.004, 0.025, 0.05, 0.032, 0.2, 0.714])
def test_any_sampling_is_interpolated_as_efel_does(dt_ms):
    count = int(150 / dt_ms)
    for kind in ("spikes", "zap"):
        current = {"i_nA": chirp_nA(count, dt_ms)}
        wrong, compared, table = differences(some(kind, 7, count, dt_ms), dt_ms, WINDOW_MS, ALL, **current)
        assert wrong == [] and compared > 100
    assert table["impedance"][0] > 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 65, 201, 700, 1199, 1210])
def test_a_trace_may_end_anywhere(count):
    for kind in ("spikes", "noise"):
        wrong, compared, _ = differences(some(kind, 3)[:count], 0.1, WINDOW_MS, ALL, STEPS, i_nA=CURRENT_NA[:count])
        assert wrong == [] and compared > 100


@pytest.mark.parametrize(
    "changed",
    [
        {"Threshold": -45.0},
        {"DerivativeThreshold": 30.0},
        {"DownDerivativeThreshold": -25.0},
        {"DerivativeWindow": 5},
        {"interp_step": 0.04},
        {"ignore_first_ISI": False},
        {"spike_skipf": 0.4, "max_spike_skip": 4},
        {"initial_perc": 0.5},
        {"voltage_base_start_perc": 0.2, "voltage_base_end_perc": 0.7},
        {"voltage_base_mode": "median"},
        {"rise_start_perc": 0.2, "rise_end_perc": 0.8},
        {"sahp_start": 1.0},
        {"burst_factor": 1.1},
        {"strict_burst_factor": 1.2},
        {"AP_phaseslope_range": 4},
        {"initburst_freq_threshold": 20, "initburst_sahp_start": 1, "initburst_sahp_end": 7},
        {"depol_block_min_duration": 1.0},
        {"current_base_start_perc": 0.1, "current_base_end_perc": 0.6},
        {"current_base_start_perc": 0.1, "current_base_mode": "median"},
        {"impedance_max_freq": 1000.0},
        {"impedance_max_freq": 9000.0},
        STEPS,
    ],
    ids=lambda changed: "-".join(changed),
)
def test_a_setting_that_is_accepted_changes_something_and_means_what_it_means_to_efel(changed):
    traces = np.array([some("spikes", 3), some("noise", 1), some("zap", 1)])
    wrong, _, table = differences(traces, 0.1, WINDOW_MS, ALL, changed, i_nA=CURRENT_NA)
    assert wrong == []
    assert not np.array_equal(table.mean, extract(traces, 0.1, WINDOW_MS, ALL, i_nA=CURRENT_NA).mean, equal_nan=True)


def test_impedance_of_a_long_chirp_is_efels():
    """250 frequencies, and blocks of samples that do not divide the trace."""
    count, dt_ms = 20_011, 0.25
    t_ms = np.arange(count) * dt_ms
    i_nA = 0.1 * np.sin(2 * np.pi * t_ms**2 * 5e-6)
    traces = []
    for peak_kHz in (0.005, 0.013, 0.027):
        kernel = np.exp(-t_ms[:2000] / 60) * np.cos(2 * np.pi * peak_kHz * t_ms[:2000])
        traces.append(-70 + np.convolve(i_nA, kernel)[:count] * dt_ms)
    wrong, compared, table = differences(np.array(traces), dt_ms, (0.0, 5000.0), ["impedance"], i_nA=i_nA)
    assert wrong == [] and compared == 3
    assert np.all(np.abs(table["impedance"] - [5, 13, 27]) < 2)


def test_impedance_is_undefined_where_only_rounding_is_left():
    """A step has no power at some frequencies: eFEL divides by what rounding leaves there."""
    step_nA = np.where((np.arange(1500) >= 200) & (np.arange(1500) < 1200), 0.3, 0.0)

    def reason(trace, i_nA):
        return Reason(int(extract(trace, 0.1, WINDOW_MS, ["impedance"], i_nA=i_nA).reason[0, 0]))

    assert reason(some("zap", 1), step_nA) is Reason.BEYOND
    assert reason(np.full(1500, -70.0), CURRENT_NA) is Reason.BEYOND
    assert reason(some("zap", 1), np.zeros(1500)) is Reason.NOT_FOUND
    assert reason(some("spikes", 1), CURRENT_NA) is Reason.NOT_FOUND
    assert reason(some("zap", 1), None) is Reason.NO_STIMULUS


def test_a_cell_in_depolarisation_block_is_told_from_one_that_fires():
    fires = -70 + 90 * np.exp(-(((np.arange(1500) % 100 - 50) / 8) ** 2))
    blocked = np.where(np.arange(1500) > 500, -30.0, fires)
    silent = np.where((np.arange(1500) > 300) & (np.arange(1500) < 1100), -80.0, fires)
    found = extract(np.array([fires, blocked, silent]), 0.1, WINDOW_MS, ["depol_block_bool", "depol_block"])
    assert found["depol_block_bool"].tolist() == [0, 1, 1]
    assert found.reason[:, 1].tolist() == [Reason.DEFINED, Reason.NOT_FOUND, Reason.NOT_FOUND]


def test_decay_settings_are_those_that_efel_reads_from_its_map():
    trace = some("sag", 1)
    feature = ["decay_time_constant_after_stim"]
    late = {"decay_start_after_stim": 3.0, "decay_end_after_stim": 20.0}
    assert differences(trace, 0.1, WINDOW_MS, feature, late)[0] == []
    assert extract(trace, 0.1, WINDOW_MS, feature, late).mean != extract(trace, 0.1, WINDOW_MS, feature).mean


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason=f"{REAL} is not there")
@pytest.mark.parametrize(
    ("pattern", "window_ms", "names"),
    [
        ("IDrest/*[36]", (700.0, 2700.0), DEFAULT_FEATURES),
        ("IDrest/*9", (700.0, 2700.0), ALL),
        ("IV/*[05]", (20.0, 1020.0), DEFAULT_FEATURES),
        ("APWaveform/*[48]", (5.0, 55.0), ALL),
    ],
)
def test_real_sweeps_have_the_features_that_efel_gives(pattern, window_ms, names):
    sweeps = read_sweeps(REAL, [pattern])
    assert sweeps
    for sweep in sweeps[:4]:
        wrong, _, _ = differences(sweep.v_mV, sweep.dt_ms, window_ms, names)
        assert wrong == [], sweep.name


def test_responses_of_the_projects_cell_over_its_whole_space():
    problem = hpcfit.load(L5PC / "fit.toml")
    step = {"shape": "step", "delay_ms": 20, "duration_ms": 100, "amplitude_nA": 0.8}
    stimulus = StimulusSettings.model_validate({"name": "step", "duration_ms": 150, "electrodes": [step]})
    engine = EngineSettings(kind="batched", precision="single", dt_ms=0.025, order=2)
    responses = hpcfit.simulate(problem.cell, problem.space.random(16, seed=5), [stimulus], engine)
    traces = responses.v_mV[0][:, 0]
    wrong, compared, table = differences(traces, responses.dt_ms, WINDOW_MS, DEFAULT_FEATURES)
    assert wrong == [] and compared == 16 * 20
    assert np.ptp(table["Spikecount"]) > 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    knots=st.lists(st.integers(-90, 50), min_size=2, max_size=60),
    spread=st.integers(1, 12),
    dt_ms=st.sampled_from([0.1, 0.05, 0.3]),
    window_ms=st.sampled_from([(1.0, 3.0), (0.0, 8.0), (2.05, 40.0), (0.5, 4.0)]),
    strict=st.booleans(),
)
def test_any_broken_line_has_the_features_that_efel_gives(knots, spread, dt_ms, window_ms, strict):
    trace = np.interp(np.arange((len(knots) - 1) * spread + 1) / spread, np.arange(len(knots)), np.array(knots, float))
    wrong, _, _ = differences(trace, dt_ms, window_ms, DEFAULT_FEATURES, {"strict_stiminterval": strict})
    assert wrong == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    v_mV=arrays(
        st.sampled_from([np.float32, np.float64]),
        st.integers(1, 250),
        elements=st.floats(-150, 100, width=32, allow_subnormal=False),
        fill=st.sampled_from([-70.0, 30.0]),
    ),
    dt_ms=st.sampled_from([0.1, 0.025, 0.05, 0.2, 1 / 33, 0.07]),
    start_ms=st.floats(-2, 15),
    length_ms=st.floats(0.05, 20),
)
def test_any_finite_trace_in_any_window_has_the_features_that_efel_gives(v_mV, dt_ms, start_ms, length_ms):
    wrong, _, _ = differences(v_mV, dt_ms, (start_ms, start_ms + length_ms), DEFAULT_FEATURES)
    assert wrong == []


def test_single_precision_is_read_as_it_is():
    single = np.array([some(kind, 5) for kind in KINDS], dtype=np.float32)
    tables = [extract(traces, 0.1, WINDOW_MS, ALL) for traces in (single, single.astype(float))]
    assert np.array_equal(tables[0].reason, tables[1].reason) and np.array_equal(tables[0].count, tables[1].count)
    assert np.allclose(tables[0].mean, tables[1].mean, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_threads_and_neighbours_do_not_matter():
    traces = np.array([some(kind, seed) for seed in range(3) for kind in KINDS])
    one, three = (extract(traces, 0.1, WINDOW_MS, ALL, threads=threads) for threads in (1, 3))
    backwards = extract(traces[::-1], 0.1, WINDOW_MS, ALL[::-1], threads=2)
    assert np.array_equal(one.mean, three.mean, equal_nan=True)
    assert np.array_equal(one.mean, backwards.mean[::-1, ::-1], equal_nan=True)
    for name in ALL:
        assert all(
            np.array_equal(a, b, equal_nan=True) for a, b in zip(one.values(name), three.values(name), strict=True)
        )


def test_lists_are_ragged_and_their_means_are_the_table():
    traces = np.array([some("silent", 1), some("spikes", 9), some("spikes", 10)])
    table = extract(traces, 0.1, WINDOW_MS, ["voltage_base", "peak_time", "Spikecount"])
    values, offsets = table.values("peak_time")
    assert len(table) == 3 and offsets[0] == offsets[1] == 0 and offsets[-1] == len(values)
    assert np.diff(offsets).tolist() == table["Spikecount"].tolist() == table.count[:, 1].tolist()
    assert np.isclose(np.mean(values[offsets[2] : offsets[3]]), table["peak_time"][2])
    assert np.isnan(table["peak_time"][0]) and table.reason[0].tolist() == [0, Reason.NO_SPIKE, 0]
    with pytest.raises(KeyError, match=r"AP_width was not extracted; there are voltage_base"):
        table.values("AP_width")


def test_times_may_be_given_instead_of_their_interval():
    trace, t_ms = some("spikes", 4), np.arange(1500) * 0.1
    by_times, by_interval = (extract(trace, dt_ms, WINDOW_MS, ALL).mean for dt_ms in (t_ms, 0.1))
    assert np.array_equal(by_times, by_interval, equal_nan=True)
    with pytest.raises(InputError, match=r"not evenly spaced: 0.6 ms after sample 700, elsewhere 0.1 ms; resample"):
        extract(trace, t_ms + 0.5 * (t_ms > 70.05), WINDOW_MS, ALL)
    with pytest.raises(InputError, match=r"increase from sample to sample"):
        extract(trace, t_ms[::-1], WINDOW_MS, ALL)
    with pytest.raises(InputError, match=r"shape .3,.; give one number, or the time of each of 1500 samples"):
        extract(trace, t_ms[:3], WINDOW_MS, ALL)


def test_a_trace_that_is_not_finite_has_no_features_and_harms_no_neighbour():
    good = some("spikes", 4)
    rows = np.tile(good, (5, 1))
    rows[0] = np.nan
    rows[1, 700], rows[2, 0], rows[3, -1] = np.nan, np.inf, -np.inf
    for traces in (rows, rows.astype(np.float32)):
        table = extract(traces, 0.1, WINDOW_MS, ALL)
        assert np.all(np.isnan(table.mean[:4])) and np.all(table.reason[:4] == Reason.NOT_FINITE)
        alone = extract(traces[4], 0.1, WINDOW_MS, ALL).mean[0]
        assert np.array_equal(table.mean[4], alone, equal_nan=True)


@pytest.mark.parametrize("window_ms", [(200.0, 300.0), (-50.0, -10.0), (100.0, 1e6)])
def test_a_window_outside_the_trace_leaves_undefined_what_needs_it(window_ms):
    wrong, _, table = differences(some("spikes", 4), 0.1, window_ms, ALL)
    assert wrong == []
    assert table["peak_voltage"][0] > 0 and Reason.OUTSIDE in table.reason


def test_why_there_is_no_number():
    def reason(trace, feature, **more):
        return Reason(int(extract(trace, 0.1, WINDOW_MS, [feature], **more).reason[0, 0]))

    two = np.full(1500, -70.0)
    two[[300, 301, 600, 601]] = 20
    assert reason(two, "AP_height") is Reason.DEFINED
    assert reason(two, "ISI_values") is Reason.EMPTY and reason(two, "ISI_CV") is Reason.TOO_FEW
    assert reason(two[:250], "AP_height") is Reason.NO_SPIKE
    assert reason(two + 5 * (np.arange(1500) > 250), "sag_amplitude") is Reason.NOT_FOUND
    assert reason(two[:250], "steady_state_voltage") is Reason.OUTSIDE
    assert reason(two, "ohmic_input_resistance") is Reason.NO_STIMULUS
    assert reason(two, "ohmic_input_resistance", stimulus_nA=0.5) is Reason.DEFINED
    assert reason(np.full(1500, -70.0), "decay_time_constant_after_stim") is Reason.NOT_A_NUMBER


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"names": ["AP_hight"]}, "there is no feature 'AP_hight'.*; did you mean AP_height?"),
        ({"names": ["zzzz"]}, "there is no feature 'zzzz'.*feature_names.. lists them"),
        ({"settings": {"Treshold": 1.0}}, "there is no Treshold; there are .*Threshold, "),
        ({"settings": {"interp_step": 0.0}}, "interp_step = 0.0; it has to be greater than 0"),
        ({"settings": {"voltage_base_mode": "mode"}}, "voltage_base_mode = 'mode'; it has to be mean or median"),
        ({"settings": {"spike_skipf": 1.0}}, "spike_skipf = 1.0; it has to be at least 0 and below 1"),
        ({"settings": {"impedance_max_freq": 0.0}}, "impedance_max_freq = 0.0; it has to be greater than 0"),
        ({"settings": {"multi_stim_start": [1.0]}}, r"multi_stim_end = \(\); it has to be as long as multi_stim_start"),
    ],
)
def test_names_and_settings_that_cannot_be_meant(arguments, said):
    with pytest.raises(ConfigError, match=said):
        extract(**{"v_mV": some("silent", 1), "dt_ms": 0.1, "stimulus_window": WINDOW_MS, "names": ALL, **arguments})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"v_mV": []}, r"shape \(1, 0\): its traces hold no sample"),
        ({"v_mV": np.zeros((2, 3, 4))}, r"shape \(2, 3, 4\); give \(traces, time\)"),
        ({"v_mV": ["a"]}, "not an array of numbers"),
        ({"dt_ms": 0.0}, "dt_ms = 0.0; the sampling interval has to be positive"),
        ({"stimulus_window": (5.0, 5.0)}, r"stimulus_window = \(5, 5\) ms; it has to end after its start"),
        ({"stimulus_window": (5.0, np.nan)}, "it has to end after its start"),
        ({"i_nA": np.zeros(7)}, "i_nA has 7 samples and v_mV 1500 a trace; give the current at each"),
        ({"i_nA": np.zeros((2, 1500))}, r"i_nA has the shape \(2, 1500\); give one current"),
        ({"i_nA": np.full(1500, np.nan)}, "i_nA: sample 0 is not finite"),
        ({"i_nA": ["a"]}, "i_nA: not an array of numbers"),
    ],
)
def test_traces_and_times_that_cannot_be_used(arguments, said):
    with pytest.raises(InputError, match=said):
        extract(**{"v_mV": some("silent", 1), "dt_ms": 0.1, "stimulus_window": WINDOW_MS, "names": ALL, **arguments})


def test_no_traces_have_no_features():
    table = extract(np.zeros((0, 100)), 0.1, WINDOW_MS, ["Spikecount"])
    assert table.mean.shape == (0, 1) and table.values("Spikecount")[1].tolist() == [0]


def test_settings_are_efels_by_default():
    import efel.settings

    theirs = efel.settings.Settings()
    mine = ExtractSettings()
    shared = [name for name in vars(mine) if hasattr(theirs, name)]
    assert {name: getattr(mine, name) for name in shared} == {name: getattr(theirs, name) for name in shared}
    from_its_map = {"decay_start_after_stim", "decay_end_after_stim", "multi_stim_start", "multi_stim_end"}
    assert set(vars(mine)) - set(shared) == from_its_map | {"ipfx"}


def test_a_fit_may_choose_who_reads_and_gets_the_same_numbers():
    traces = np.array([some(kind, 6) for kind in (*KINDS, *MORE_KINDS) if kind != "constant"])
    names = (*DEFAULT_FEATURES, "impedance", "current_base", "activation_time_constant")
    ours, theirs = (
        features.extract(traces, 0.1, WINDOW_MS, names, FeatureSettings(backend=backend), i_nA=CURRENT_NA)
        for backend in ("hpcfit", "efel")
    )
    assert np.array_equal(np.isfinite(ours), np.isfinite(theirs)) and np.isfinite(ours).sum() > 50
    assert np.allclose(ours, theirs, rtol=1e-6, atol=1e-9, equal_nan=True)
    assert features.all_ours(DEFAULT_FEATURES, FeatureSettings()) and not features.all_ours(names, FeatureSettings())
    assert not features.all_ours(DEFAULT_FEATURES, FeatureSettings(backend="efel"))


def test_a_whole_fit_has_the_same_scores_whoever_reads_its_features(tiny):
    scores, features_read = [], []
    for backend in ("hpcfit", "efel"):
        changes = [("[strategy]", f'[features]\nbackend = "{backend}"\n\n[strategy]')]
        hpcfit.run(tiny(*changes), backend, generations=2)
        last = Ledger.open(Path(backend)).read(1)
        scores.append(last.arrays["scores"])
        features_read.append(last.arrays["features"])
    assert np.allclose(*scores, rtol=1e-9) and np.all(np.isfinite(scores[0]))
    assert np.allclose(*features_read, rtol=1e-9, atol=1e-9, equal_nan=True)
