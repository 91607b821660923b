"""Units, list values and weights of score functions: against eFEL's distance, NumPy's statistics, and by hand."""

from __future__ import annotations

from pathlib import Path

import efel
import h5py
import numpy as np
import pytest

from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.feature_targets import with_ranges
from hpcfit.biophys.features import extract, folded
from hpcfit.biophys.scores import contributions, feature_service
from hpcfit.biophys.settings import FeatureSettings, FitSettings, PenaltySettings
from hpcfit.biophys.targets import Targets, build_targets
from hpcfit.biophys.terms import Term, term_line
from hpcfit.config import validate
from hpcfit.errors import ConfigError

DT_MS = 0.1
WINDOW = (100.0, 400.0)


def response(peaks_ms: list[float], shift_mV: float = 0.0, heights: float = 95.0) -> np.ndarray:
    """A step response whose spikes grow, so that no two values of a list-valued feature are alike."""
    t_ms = np.arange(0, 500 + DT_MS / 2, DT_MS)
    v_mV = np.where((t_ms >= 100) & (t_ms < 400), -60.0, -70.0) + shift_mV
    for number, peak in enumerate(peaks_ms):
        v_mV = v_mV + (heights + 2 * number) * np.exp(-(((t_ms - peak) / 0.6) ** 2))
        v_mV = v_mV - 6 * np.exp(-(t_ms - peak) / 8) * (t_ms > peak + 2)
    return v_mV


TRAINS = [[], [150.0], [130.0, 200.0], [120.0, 170.0, 260.0, 390.0], list(np.linspace(110, 395, 12)), [120.0, 450.0]]
SWEEPS = [response([130.0, 200.0, 300.0]), response([131.0, 215.0, 330.0, 390.0], 1.0), response([125.0, 260.0], -0.5)]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("options") / "cell.h5"
    with h5py.File(path, "w") as file:
        for number, sweep in enumerate(SWEEPS):
            file[f"s/{number}/voltage_mV"] = sweep
            file[f"s/{number}"].attrs["dt_ms"] = DT_MS
    return path


@pytest.fixture
def make_fit(recordings):
    def make(*scores: dict, target: dict | None = None, **tables) -> FitSettings:
        step = {"shape": "step", "delay_ms": 100, "duration_ms": 300, "amplitude_nA": 0.2}
        content = {
            "name": "test",
            "cell": {"morphology": "cell.swc", "regions": {"somatic": ["hh"]}},
            "parameters": [{"variable": "gnabar_hh", "regions": ["somatic"], "bounds": [0, 1]}],
            "stimuli": [{"name": "s", "duration_ms": 500, "electrodes": [step]}],
            "targets": {"s": target or {"recordings": str(recordings)}},
            "scores": list(scores),
            "features": {"relative_sd_floor": 0.0, "absolute_sd_floor": 1e-6},
        }
        return validate(FitSettings, {**content, **tables}, "fit.toml")

    return make


def values_of(targets: Targets, fit: FitSettings, v_mV: np.ndarray) -> np.ndarray:
    service = feature_service(fit, targets)()
    return service.features("s", v_mV[:, None, :], ("soma",), DT_MS, np.zeros(len(v_mV), np.int8))


def score(targets: Targets, fit: FitSettings, v_mV: np.ndarray) -> np.ndarray:
    status = np.full((len(v_mV), len(targets.terms)), int(Status.OK))
    return contributions(values_of(targets, fit, v_mV), status, targets.terms, fit.penalties)[0]


# BluePyOpt's score


LISTS = ("AP_amplitude", "ISI_values", "AP_width", "AHP_depth_abs", "peak_time", "Spikecount", "voltage_base")


@pytest.mark.parametrize("backend", ["hpcfit", "efel"])
def test_each_value_counts_as_in_efels_distance_which_is_bluepyopts_score(make_fit, backend):
    # BluePyOpt: eFELFeature.calculate_score is efel.get_distance(..., trace_check=False, error_dist=max_score = 250).
    statistics = {
        "soma": dict(zip(LISTS, ([70, 5], [100, 12], [2, 0.3], [-62, 3], [200, 40], [4, 1], [-70, 1]), strict=True))
    }
    fit = make_fit(
        {"list_values": "each", "features": list(LISTS)},
        target={"statistics": statistics},
        penalties={"undefined_feature": 250.0, "cap": None},
        features={"backend": backend},
    )
    v_mV = np.stack([response(train) for train in TRAINS])
    found = score(build_targets(fit), fit, v_mV)
    for row, trace in enumerate(v_mV):
        for column, name in enumerate(LISTS):
            efel.reset()
            asked = {"T": np.arange(len(trace)) * DT_MS, "V": trace, "stim_start": [WINDOW[0]], "stim_end": [WINDOW[1]]}
            mean, sd = statistics["soma"][name]
            expected = efel.get_distance(asked, name, mean, sd, trace_check=False, error_dist=250)
            assert found[row, column] == pytest.approx(expected, rel=1e-6), (row, name)
    efel.reset()
    # The other convention gives less: distances to either side of the target cancel.
    plain = fit.model_copy(update={"scores": (fit.scores[0].model_copy(update={"list_values": "mean"}),)})
    assert np.all(score(build_targets(plain), plain, v_mV) <= found + 1e-9)
    assert score(build_targets(plain), plain, v_mV)[3, 1] < 0.9 * found[3, 1]


def test_a_folded_value_is_as_far_from_the_target_as_the_list_on_its_means_side():
    lists = [[1.0, 3.0], [], [7.0], [9.0, 8.0, 1.0], [5.0, 5.0]]
    means = np.array([np.mean(one) if one else np.nan for one in lists])
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])])
    found = folded(means, np.concatenate(lists), offsets, 5.0)
    assert found[[0, 2, 3, 4]].tolist() == pytest.approx([5 - 3, 7, 5 + 11 / 3, 5]) and np.isnan(found[1])
    assert np.isnan(folded(np.array([np.nan]), np.array([1.0, np.inf]), np.array([0, 2]), 0.0)).all()


def test_names_with_and_without_targets_are_read_together():
    v_mV = np.stack([response(train) for train in TRAINS])
    settings = FeatureSettings()
    plain = extract(v_mV, DT_MS, WINDOW, ("AP_amplitude", "ISI_values"), settings)
    mixed = extract(v_mV, DT_MS, WINDOW, {"AP_amplitude": None, "ISI_values": 100.0}, settings)
    assert np.array_equal(mixed[:, 0], plain[:, 0], equal_nan=True)
    assert plain[3, 1] == pytest.approx(110, abs=0.2) and mixed[3, 1] == pytest.approx(100 + (10 + 30) / 2, abs=0.2)


# Units


def test_units_from_repeats(make_fit):
    counts = np.array([3.0, 4.0, 2.0])
    bases = extract(np.stack(SWEEPS), DT_MS, WINDOW, ("voltage_base",), FeatureSettings())[:, 0]
    mad = 1.4826022185056018 * np.median(np.abs(bases - np.median(bases)))
    floors = {"relative_sd_floor": 0.0, "sd_floor": {"voltage_base": 1e-9, "Spikecount": 1e-9}}
    for unit, expected in {
        "sd": [(3, 1), (bases.mean(), bases.std(ddof=1))],
        "mad": [(3, 1.4826022185056018), (np.median(bases), mad)],
        "mean": [(3, 3), (bases.mean(), abs(bases.mean()))],
        "range": [(3, 1e-9), (bases.mean(), 1e-9)],
    }.items():
        terms = build_targets(
            make_fit({"features": ["Spikecount", "voltage_base"], "unit": unit}, features=floors)
        ).terms
        assert [(term.mean, term.sd) for term in terms] == [pytest.approx(pair) for pair in expected], unit
        assert {term.unit for term in terms} == {unit} and counts.mean() == terms[0].mean
        assert terms[1].data_sd == pytest.approx(bases.std(ddof=1))


def test_no_unit_is_below_the_floor(make_fit):
    same = {"features": ["Spikecount"], "unit": "mad"}
    floors = {"sd_floor": {"Spikecount": 3.0}}
    assert build_targets(make_fit(same, features=floors)).terms[0].sd == 3.0
    given = {"statistics": {"soma": {"Spikecount": [3, 2], "AP_width": [2, 0.1]}}}
    terms = build_targets(make_fit({"unit": "range"}, target=given)).terms
    assert [term.sd for term in terms] == [0.5, 1e-6]
    assert [term.sd for term in build_targets(make_fit({"unit": "mad"}, target=given)).terms] == [2, 0.1]
    assert [term.sd for term in build_targets(make_fit({"unit": "mean"}, target=given)).terms] == [3, 2]


def test_a_mean_of_zero_is_no_unit(make_fit):
    given = {"statistics": {"soma": {"Spikecount": [0, 1]}}}
    with pytest.raises(
        ConfigError, match=r"scores\[0\]: Spikecount has the mean 0, so a difference relative to it means"
    ):
        build_targets(make_fit({"unit": "mean"}, target=given))


def test_a_range_is_that_of_generation_0_but_for_the_floor():
    terms = [Term("s", "soma", "a", 1.0, 0.5, 1.0, 1, "t", unit) for unit in ("range", "range", "range", "sd")]
    first = np.array(
        [[1.0, 2.0, np.nan, 0.0], [4.0, 2.1, np.nan, 9.0], [np.nan, 2.2, np.nan, 0.0], [np.inf, 2, np.nan, 1]]
    )
    assert [term.sd for term in with_ranges(terms, first)] == [3.0, 0.5, 0.5, 0.5]
    assert with_ranges(terms, first[:0])[0].sd == 0.5


# Weights


def weights(targets: Targets) -> dict[str, float]:
    return {term.feature: term.weight for term in targets.terms}


def test_weights_by_inverse_variance_have_mean_1_and_leave_distances_alone(make_fit):
    names = ["Spikecount", "voltage_base", "AP_amplitude"]
    tables = ({"features": names, "unit": "mean", "weights": {"AP_amplitude": 2}}, {"trace": "rms", "weight": 3})
    plain = build_targets(make_fit(*tables)).terms
    found = weights(build_targets(make_fit(*tables, weighting={"kind": "inverse_variance"})))
    inverse = np.array([(term.sd / term.data_sd) ** 2 for term in plain[:3]])
    expected = inverse / inverse.mean() * [1, 1, 2]
    assert found == pytest.approx(dict(zip([*names, "trace.rms"], [*expected, 3.0], strict=True)))
    # The variance of what is scored, (value - mean) / |mean|, over the sweeps.
    relative = [
        values_of(build_targets(make_fit(*tables)), make_fit(*tables), np.stack(SWEEPS))[:, k] for k in range(3)
    ]
    variances = np.array([np.var(one / np.mean(one), ddof=1) for one in relative])
    assert [found[name] for name in names] / expected == pytest.approx(np.ones(3))
    assert expected / [1, 1, 2] == pytest.approx(1 / variances / np.mean(1 / variances), rel=0.02)


@pytest.mark.parametrize(
    ("unit", "says"),
    [("sd", "every feature is in units of its sd"), ("range", "every feature is in units of its sd.* or of a range")],
)
def test_inverse_variance_that_would_change_nothing_is_refused(make_fit, unit, says):
    with pytest.raises(ConfigError, match=says):
        build_targets(make_fit({"features": ["Spikecount"], "unit": unit}, weighting={"kind": "inverse_variance"}))


@pytest.mark.parametrize(("budget", "total"), [(10, 10.0), ({"s": 4}, 4.0)])
def test_a_budget_is_what_the_weights_of_a_stimulus_add_up_to(make_fit, budget, total):
    tables = ({"features": ["Spikecount", "voltage_base"], "weights": {"Spikecount": 3}}, {"trace": "van_rossum"})
    found = weights(build_targets(make_fit(*tables, weighting={"budget": budget})))
    assert sum(found.values()) == pytest.approx(total)
    assert found["Spikecount"] == pytest.approx(3 * found["voltage_base"])
    with pytest.raises(ConfigError, match="all score functions of s have weight 0"):
        build_targets(make_fit({"features": ["Spikecount"], "weight": 0}, weighting={"budget": budget}))


def test_penalties_are_in_units_and_weighted(make_fit):
    fit = make_fit({"features": ["AP_width"], "weight": 2}, penalties={"undefined_feature": 7.0})
    assert score(build_targets(fit), fit, response([])[None])[0, 0] == 14.0
    assert PenaltySettings().undefined_feature == 25.0


# Distances in a fit


def test_several_distances_and_features_are_scored_together(make_fit):
    fit = make_fit(
        {"features": ["Spikecount"]},
        {"trace": {"kind": "rms", "name": "onset", "windows": [{"start_ms": 90, "end_ms": 150}]}},
        {"trace": {"kind": "rms", "name": "late", "windows": [{"start_ms": 300, "end_ms": 450}]}, "sd_mV": 2},
        {"trace": "soft_dtw"},
        {"trace": {"kind": "van_rossum", "unit": "repeats"}},
        {"trace": {"kind": "victor_purpura"}},
    )
    targets = build_targets(fit)
    names = [term.feature for term in targets.terms]
    assert names == ["Spikecount", "trace.rms.onset", "trace.rms.late", *(f"trace.{k}" for k in KINDS[2:])]
    assert targets.needs_traces("s") and not targets.needs_lists("s")
    found = values_of(targets, fit, np.stack([*SWEEPS, SWEEPS[0] + 3, response([])]))
    mean = np.mean(SWEEPS, axis=0)
    assert found[3, 2] == pytest.approx(np.sqrt(np.mean((SWEEPS[0] + 3 - mean)[3000:4501] ** 2)))
    assert np.all(np.isfinite(found)) and found[4, 5] == 3.0  # the mean number of spikes
    status = np.zeros(found.shape, int)
    parts = contributions(found, status, targets.terms, fit.penalties)[0]
    assert parts[3, 2] == pytest.approx(found[3, 2] / 2) and targets.terms[4].sd != 1.0
    assert "trace.soft_dtw: 0 +- 5, distance" in "\n".join(map(term_line, targets.terms))
    plain = build_targets(make_fit({"features": ["Spikecount"], "list_values": "each"}))
    assert plain.needs_lists("s") and not plain.needs_traces("s")


KINDS = ("rms", "mean_absolute", "soft_dtw", "van_rossum", "victor_purpura")


def test_the_same_distance_twice_needs_names(make_fit):
    with pytest.raises(ConfigError, match=r"s\.soma\.trace\.rms is asked for 2 times"):
        build_targets(make_fit({"trace": "rms"}, {"trace": {"kind": "rms", "windows": []}}))
