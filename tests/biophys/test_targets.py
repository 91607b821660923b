"""Score terms from recordings and statistics: means, sds with floors, selection, timing, what is dropped or refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcfit.biophys.features import extract
from hpcfit.biophys.settings import FeatureSettings, FitSettings
from hpcfit.biophys.targets import Targets, build_targets, resolve_rheobase
from hpcfit.config import validate
from hpcfit.errors import ConfigError, InputError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "ephys" / "C060114A7.h5"
DT_MS = 0.2
DURATION_MS = 500.0
AMPLITUDES = {"a/1": 0.10, "a/2": 0.20, "a/3": 0.30, "b/1": 0.20, "b/2": 0.20}
HOLDING_NA = -0.05


def response(
    spikes: int, shift_mV: float = 0.0, delay_ms: float = 100.0, duration_ms: float = DURATION_MS
) -> np.ndarray:
    """A trace with evenly spaced spikes in the 300 ms after delay_ms."""
    t_ms = np.arange(0, duration_ms, DT_MS)
    v_mV = np.where((t_ms >= delay_ms) & (t_ms < delay_ms + 300), -60.0, -70.0) + shift_mV
    for peak_ms in delay_ms + np.linspace(20, 280, spikes):
        v_mV = (
            v_mV
            + 95 * np.exp(-(((t_ms - peak_ms) / 0.6) ** 2))
            - 6 * np.exp(-(t_ms - peak_ms) / 8) * (t_ms > peak_ms + 2)
        )
    return v_mV


def current(amplitude: float, delay_ms: float = 100.0, duration_ms: float = DURATION_MS) -> np.ndarray:
    t_ms = np.arange(0, duration_ms, DT_MS)
    return HOLDING_NA + amplitude * ((t_ms >= delay_ms) & (t_ms < delay_ms + 300))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """`a`: growing steps with 0, 2, 8 spikes; `b`: two repeats with 4 and 6; `late` and `short`: for trouble."""
    path = tmp_path_factory.mktemp("recorded") / "cell.h5"
    spikes = {"a/1": 0, "a/2": 2, "a/3": 8, "b/1": 4, "b/2": 6}
    with h5py.File(path, "w") as file:

        def write(name: str, v_mV: np.ndarray, i_nA: np.ndarray) -> None:
            file[f"{name}/voltage_mV"], file[f"{name}/current_nA"] = v_mV, i_nA
            file[name].attrs["dt_ms"] = DT_MS

        for name, amplitude in AMPLITUDES.items():
            write(name, response(spikes[name], shift_mV=float(name == "b/2")), current(amplitude))
        write("late/1", response(5, 0, 400, 900), current(0.2, 400, 900))
        write("short/1", response(5, 0, 50, 380), current(0.2, 50, 380))
    return path


@pytest.fixture
def make_fit(recordings):
    """A fit with one stimulus, `step`, whose target and scores are given; any table replaced."""

    def make(target: dict | None = None, scores: list[dict] | None = None, **tables) -> FitSettings:
        electrode = {"shape": "step", "delay_ms": 100, "duration_ms": 300, "amplitude_nA": 0.2}
        content = {
            "name": "test",
            "cell": {"morphology": "cell.swc", "regions": {"somatic": ["hh"]}},
            "parameters": [{"variable": "gnabar_hh", "regions": ["somatic"], "bounds": [0, 1]}],
            "stimuli": [
                {"name": "step", "duration_ms": DURATION_MS, "holding_nA": HOLDING_NA, "electrodes": [electrode]}
            ],
            "targets": {"step": {"recordings": str(recordings), "sweeps": ["b/*"], **(target or {})}},
            "scores": scores or [{"features": ["Spikecount", "voltage_base"]}],
        }
        return validate(FitSettings, {**content, **tables}, "fit.toml")

    return make


def terms_of(targets: Targets) -> dict[str, tuple[float, float]]:
    return {term.name: (term.mean, term.sd) for term in targets.terms}


# Means and sds


def test_mean_and_sd_are_taken_over_sweeps_with_the_samples_sd(make_fit):
    features = {"relative_sd_floor": 0.0, "absolute_sd_floor": 1e-9}
    targets = build_targets(make_fit(features=features))
    count, base = targets.terms
    assert (count.name, base.name) == ("step.soma.Spikecount", "step.soma.voltage_base")
    assert (count.mean, count.sd) == pytest.approx((5.0, np.sqrt(2.0)))
    # eFEL's base includes the first sample of the stimulus, 10 mV higher here.
    assert (base.mean, base.sd) == pytest.approx((-69.5, np.sqrt(0.5)), abs=0.25)
    assert base.sd == pytest.approx(np.sqrt(0.5))
    assert count.sweeps == 2 and count.source.endswith("cell.h5") and count.weight == 1.0


@pytest.mark.parametrize(
    ("floors", "feature", "sd"),
    [
        ({"relative_sd_floor": 0.5}, "time_to_first_spike", 0.5 * 20.0),
        ({"relative_sd_floor": 0.0, "absolute_sd_floor": 3.0}, "time_to_first_spike", 3.0),
        ({"relative_sd_floor": 0.5, "sd_floor": {"voltage_base": 4.0}}, "voltage_base", 4.0),
        ({"relative_sd_floor": 0.0, "sd_floor": {"Spikecount": 4.0}}, "Spikecount", 4.0),
    ],
)
def test_an_sd_is_no_smaller_than_its_floors(make_fit, floors, feature, sd):
    targets = build_targets(make_fit(scores=[{"features": [feature]}], features=floors))
    assert terms_of(targets)[f"step.soma.{feature}"][1] == pytest.approx(sd, rel=0.01)


def test_a_single_sweep_has_the_floor_for_sd(make_fit):
    targets = build_targets(make_fit({"sweeps": ["b/1"]}))
    assert terms_of(targets)["step.soma.Spikecount"] == (4.0, 0.5)
    assert [term.sweeps for term in targets.terms] == [1, 1]


def test_given_statistics_go_before_recordings_and_stand_for_other_sites(make_fit):
    statistics = {"soma": {"Spikecount": [9.0, 2.0]}, "dend": {"maximum_voltage": [10.0, 5.0]}}
    fit = make_fit(
        {"statistics": statistics},
        [{"features": ["Spikecount", "voltage_base"], "weight": 2, "weights": {"Spikecount": 3}}, {"site": "dend"}],
        sites=[{"name": "dend", "region": "apical", "distance_um": 100}],
    )
    count, base, dend = build_targets(fit).terms
    assert (count.mean, count.sd, count.weight, count.sweeps, count.source) == (9, 2, 6, 0, "targets.step.statistics")
    assert base.weight == 2 and base.sweeps == 2
    assert (dend.site, dend.feature, dend.mean) == ("dend", "maximum_voltage", 10)


def test_without_names_recordings_are_scored_by_the_defaults_and_statistics_by_what_is_given(make_fit):
    recorded = build_targets(make_fit(scores=[{}]))
    assert len(recorded.terms) + len(recorded.dropped) == 20
    given = {"targets": {"step": {"statistics": {"soma": {"AHP_depth_abs": [-60, 2], "AP_height": [20, 4]}}}}}
    assert list(terms_of(build_targets(make_fit(scores=[{}], **given)))) == [
        "step.soma.AHP_depth_abs",
        "step.soma.AP_height",
    ]


def test_the_table_has_one_row_a_term(make_fit):
    table = build_targets(make_fit()).table()
    assert table["feature"].tolist() == ["Spikecount", "voltage_base"] and table["sweeps"].tolist() == [2, 2]
    assert {"stimulus", "site", "mean", "sd", "weight", "sweeps"} <= set(table)


# What is dropped


def test_a_feature_undefined_in_more_than_half_of_the_sweeps_is_dropped_with_its_reason(make_fit):
    scores = [{"features": ["Spikecount", "AP_height", "ISI_CV"]}]
    targets = build_targets(make_fit({"sweeps": ["a/*"]}, scores))
    # a/1 has no spike: AP_height lacks one value of three; ISI_CV needs more spikes than a/2 has, too.
    assert [(term.feature, term.sweeps) for term in targets.terms] == [("Spikecount", 3), ("AP_height", 2)]
    assert targets.dropped == (("step", "soma", "ISI_CV", "undefined in 2 of 3 recorded sweeps"),)


def test_a_statistic_that_no_table_scores_is_listed_as_dropped(make_fit):
    targets = build_targets(make_fit({"statistics": {"soma": {"AP_height": [20.0, 4.0]}}}))
    assert targets.dropped == (("step", "soma", "AP_height", "given in statistics, but no [[scores]] table names it"),)


def test_a_stimulus_without_any_term_is_an_error(make_fit):
    with pytest.raises(
        InputError, match=r"targets\.step: none of its 1 features makes a term \(AP_height at soma: undef"
    ):
        build_targets(make_fit({"sweeps": ["a/1"]}, [{"features": ["AP_height"]}]))


# Selection


def test_sweeps_are_selected_by_their_step_less_holding(make_fit):
    one = build_targets(make_fit({"sweeps": ["a/*"], "amplitude_range_nA": [0.25, 0.35]}))
    assert terms_of(one)["step.soma.Spikecount"][0] == 8
    rheobase = {"value_nA": 0.1}
    two = build_targets(make_fit({"sweeps": ["a/*"], "rheobase_range": [1.9, 2.1]}, rheobase=rheobase))
    assert terms_of(two)["step.soma.Spikecount"][0] == 2
    assert two.traces["step", "soma"].names == ("a/2",)


def test_a_range_that_no_sweep_is_in_lists_the_steps_there_are(make_fit):
    fit = make_fit({"sweeps": ["a/*"], "rheobase_range": [5, 6]}, rheobase={"value_nA": 0.1})
    with pytest.raises(
        InputError, match=r"none of 3 sweeps .* rheobase_range \(0\.5 to 0\.6 nA\); steps there: 0\.1, 0\.2, 0\.3"
    ):
        build_targets(fit)


def test_amplitudes_in_rheobases_are_resolved_from_recordings(make_fit, recordings):
    electrode = {"shape": "step", "delay_ms": 100, "duration_ms": 300, "amplitude_rheobase": 1.5}
    fit = make_fit(
        rheobase={"recordings": str(recordings), "sweeps": ["a/*"]},
        stimuli=[{"name": "step", "duration_ms": DURATION_MS, "electrodes": [electrode]}],
    )
    resolved = resolve_rheobase(fit)
    (step,) = resolved.stimuli[0].electrodes
    assert step.amplitude_nA == pytest.approx(0.3) and step.amplitude_rheobase is None
    assert resolved.rheobase is not None and resolved.rheobase.value_nA == pytest.approx(0.2)
    assert fit.stimuli[0].electrodes[0].amplitude_rheobase == 1.5  # the settings given stay as they were
    assert resolve_rheobase(make_fit()) == make_fit()


# The time axis


def test_a_recording_with_a_window_of_its_own_gives_the_same_features(make_fit):
    names = ["Spikecount", "voltage_base", "time_to_first_spike", "AP_height", "steady_state_voltage_stimend"]
    floors = {"relative_sd_floor": 0.0}
    fit = make_fit({"sweeps": ["late/1"], "window_ms": [400, 700]}, [{"features": names}], features=floors)
    targets = build_targets(fit)
    expected = extract(response(5), DT_MS, (100, 400), names, FeatureSettings())[0]
    assert [term.mean for term in targets.terms] == pytest.approx(expected, rel=1e-6)
    traces = targets.traces["step", "soma"]
    assert traces.dt_ms == 0.1 and traces.v_mV.shape == (1, 5001)
    assert np.allclose(traces.v_mV[0, :4990:2], response(5)[:2495], atol=1e-9)


def test_where_nothing_was_recorded_a_trace_is_nan(make_fit):
    targets = build_targets(make_fit({"sweeps": ["short/1"], "window_ms": [50, 350]}))
    (trace,) = targets.traces["step", "soma"].v_mV
    # Its baseline is 50 ms shorter than the model's, its tail 70 ms.
    assert np.all(np.isnan(trace[:500])) and np.all(np.isnan(trace[4300:])) and np.all(np.isfinite(trace[500:4290]))


def test_the_junction_potential_is_subtracted(make_fit):
    plain, corrected = (build_targets(make_fit({"junction_potential_mV": shift})) for shift in (0.0, 14.0))
    moved = terms_of(plain)["step.soma.voltage_base"][0] - terms_of(corrected)["step.soma.voltage_base"][0]
    assert moved == pytest.approx(14.0)
    assert np.allclose(plain.traces["step", "soma"].v_mV - 14, corrected.traces["step", "soma"].v_mV, equal_nan=True)


def test_a_recording_shorter_than_the_stimulus_is_an_error(make_fit):
    with pytest.raises(
        InputError, match=r"sweep short/1: lasts 380 ms, stimulus step 500 ms; .*targets\.step\.window_ms"
    ):
        build_targets(make_fit({"sweeps": ["short/1"]}))
    with pytest.raises(InputError, match=r"window_ms = \[100, 400\] is not inside its 380 ms"):
        build_targets(make_fit({"sweeps": ["short/1"], "window_ms": [100, 400]}))


def test_a_recorded_step_elsewhere_than_the_models_is_an_error(make_fit):
    with pytest.raises(
        InputError, match=r"late/1: its step lasts from 400 to 700 ms, stimulus step from 100 to 400 ms"
    ):
        build_targets(make_fit({"sweeps": ["late/1"]}))


def test_a_site_may_have_its_own_spike_threshold(make_fit):
    sites = [{"name": "soma", "threshold_mV": 60.0}]
    assert terms_of(build_targets(make_fit(sites=sites)))["step.soma.Spikecount"][0] == 0


# Distances between traces


def test_a_trace_distance_is_a_term_of_mean_zero(make_fit):
    targets = build_targets(make_fit(scores=[{"trace": "rms", "sd_mV": 4.0}]))
    (term,) = targets.terms
    assert (term.feature, term.mean, term.sd, term.sweeps) == ("trace.rms", 0.0, 4.0, 2)
    mean = targets.traces["step", "soma"].mean_mV
    assert mean[:4990:2] == pytest.approx((response(4) + response(6, 1.0))[:2495] / 2)


def test_a_trace_distance_needs_recordings_of_equal_timing(make_fit):
    scores = [{"trace": "rms"}]
    with pytest.raises(
        ConfigError, match=r"scores\[0\]: a trace distance needs recordings; targets\.step has none at soma"
    ):
        build_targets(make_fit(scores=scores, targets={"step": {"statistics": {"soma": {"AP_height": [20, 4]}}}}))
    with pytest.raises(ConfigError, match=r"needs equal timing, .* lasts 200 ms and the model's stimulus 300 ms"):
        build_targets(make_fit({"sweeps": ["late/1"], "window_ms": [400, 600]}, scores))


# Settings that contradict each other


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"scores": [{"features": ["Spikecont"]}]}, r"scores\[0\]\.features: .*Spikecont; did you mean Spikecount"),
        ({"features": {"sd_floor": {"Spikecont": 1.0}}}, r"features\.sd_floor: .*Spikecont; did you mean"),
        (
            {"target": {"statistics": {"soma": {"AP_hight": [1, 1]}}}},
            r"targets\.step\.statistics\.soma: .*AP_hight; did you mean AP_height",
        ),
        (
            {"scores": [{"features": ["Spikecount"]}, {"features": ["Spikecount"]}]},
            r"step\.soma\.Spikecount is asked for 2 times",
        ),
        (
            {"sites": [{"name": "dend"}], "scores": [{"site": "dend", "stimuli": ["step"]}]},
            r"targets\.step has neither recordings nor statistics for site dend",
        ),
        ({"sites": [{"name": "dend"}], "scores": [{"site": "dend"}]}, r"scores\[0\]: no target has .* for site dend"),
    ],
)
def test_contradictions_are_named(make_fit, tables, said):
    with pytest.raises(ConfigError, match=said):
        build_targets(make_fit(**tables))


def test_a_stimulus_that_nothing_is_scored_on_is_an_error(make_fit):
    step = {"shape": "step", "delay_ms": 100, "duration_ms": 300, "amplitude_nA": 0.2}
    stimuli = [{"name": name, "duration_ms": DURATION_MS, "electrodes": [step]} for name in ("step", "idle")]
    with pytest.raises(ConfigError, match=r"stimulus idle has no \[targets\.idle\]"):
        build_targets(make_fit(stimuli=stimuli))


# The real cell


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason=f"{REAL} is not there")
def test_targets_of_the_real_cell_at_twice_its_rheobase(make_fit):
    electrode = {"shape": "step", "delay_ms": 700, "duration_ms": 2000, "amplitude_rheobase": 2.0}
    fit = resolve_rheobase(
        make_fit(
            scores=[{}],
            rheobase={"recordings": str(REAL), "sweeps": ["IDrest/*", "IDthresh/*"]},
            stimuli=[{"name": "step", "duration_ms": 3000, "holding_nA": -0.1125, "electrodes": [electrode]}],
            targets={"step": {"recordings": str(REAL), "sweeps": ["IDrest/*"], "rheobase_range": [1.9, 2.1]}},
        )
    )
    targets = build_targets(fit)
    assert targets.traces["step", "soma"].names == ("IDrest/0358", "IDrest/0403")
    assert targets.traces["step", "soma"].v_mV.shape == (2, 30001)
    assert [drop[2] for drop in targets.dropped] == ["sag_amplitude"]
    found = terms_of(targets)
    assert found["step.soma.Spikecount"][0] == 18
    assert found["step.soma.mean_frequency"][0] == pytest.approx(9.09, abs=0.01)
    assert found["step.soma.voltage_base"][0] == pytest.approx(-68.63, abs=0.01)
