"""Contributions of terms to a score, penalties and their counts, and the service that reads features in a worker."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.features import extract
from hpcfit.biophys.scores import contributions, feature_service
from hpcfit.biophys.settings import FitSettings, PenaltySettings
from hpcfit.biophys.targets import build_targets
from hpcfit.biophys.terms import Term
from hpcfit.config import validate

PENALTIES = PenaltySettings(undefined_feature=7.0, failed_simulation=11.0, cap=5.0)
DT_MS = 0.1


def term(mean: float = 0.0, sd: float = 1.0, weight: float = 1.0, stimulus: str = "s") -> Term:
    return Term(stimulus, "soma", "Spikecount", mean, sd, weight, 1, "test")


def test_a_contribution_is_the_weighted_distance_in_sd():
    terms = [term(10, 2, 1), term(10, 2, 3), term(-70, 5, 0)]
    added, undefined = contributions(np.array([[13.0, 9.0, -60.0]]), np.zeros((1, 3), int), terms, PENALTIES)
    assert added.tolist() == [[1.5, 1.5, 0.0]] and not undefined.any()


def test_the_cap_comes_before_the_weight_and_may_be_absent():
    value = np.array([[100.0]])
    assert contributions(value, np.zeros((1, 1), int), [term(weight=2)], PENALTIES)[0].tolist() == [[10.0]]
    free = PENALTIES.model_copy(update={"cap": None})
    assert contributions(value, np.zeros((1, 1), int), [term(weight=2)], free)[0].tolist() == [[200.0]]


def test_undefined_features_and_failed_simulations_have_their_penalties_and_counts():
    terms = [term(weight=2, stimulus="s"), term(stimulus="s"), term(stimulus="t")]
    values = np.array([[np.nan, 1.0, np.inf], [np.nan, np.nan, 2.0], [3.0, 1.0, 0.0]])
    by_stimulus = np.array([[Status.OK, Status.OK], [Status.DIVERGED, Status.OK], [Status.OK, Status.DEADLINE]])
    added, undefined = contributions(values, by_stimulus[:, [0, 0, 1]], terms, PENALTIES)
    # A value that comes with a failed simulation does not count.
    assert added.tolist() == [[14, 1, 7], [22, 11, 2], [6, 1, 11]]
    assert undefined.tolist() == [[True, False, True], [False, False, False], [False, False, False]]


values_or_nothing = st.one_of(st.floats(-1e3, 1e3), st.just(np.nan), st.just(np.inf))


@settings(max_examples=60, deadline=None)
@given(
    values=hnp.arrays(float, (7, 4), elements=values_or_nothing),
    status=hnp.arrays(np.int8, (7, 4), elements=st.sampled_from([0, 0, 1, 2, 3, 4])),
    order=st.permutations(range(7)),
    columns=st.permutations(range(4)),
)
def test_permuting_individuals_or_terms_permutes_contributions(values, status, order, columns):
    terms = [term(1.0, 2.0, 1.0), term(-3.0, 0.5, 0.0), term(0.0, 1.0, 2.5), term(100.0, 10.0, 1.0)]
    added, undefined = contributions(values, status, terms, PENALTIES)
    assert added.shape == (7, 4) and np.all(np.isfinite(added)) and np.all(added >= 0)
    assert np.all(added <= 11 * 2.5)

    moved, moved_undefined = contributions(values[order], status[order], terms, PENALTIES)
    assert np.array_equal(moved, added[order]) and np.array_equal(moved_undefined, undefined[order])
    assert np.array_equal(moved.sum(axis=1), added.sum(axis=1)[order])  # to the last bit
    swapped, _ = contributions(values[:, columns], status[:, columns], [terms[column] for column in columns], PENALTIES)
    assert np.array_equal(swapped, added[:, columns])


# The service


@pytest.fixture
def fit(tmp_path) -> FitSettings:
    """Two stimuli, two sites with their own thresholds, and a trace distance on the first."""
    rows = "".join(f"{index * DT_MS:.1f},{-70 + 5 * (1000 <= index < 4000)}\n" for index in range(5000))
    (tmp_path / "cell.csv").write_text("time_ms,voltage_mV\n" + rows)
    step = {"shape": "step", "delay_ms": 100, "duration_ms": 300, "amplitude_nA": 0.2}
    features = {
        "Spikecount": [3, 1],
        "AP_height": [20, 5],
        "ohmic_input_resistance_vb_ssse": [50, 5],
        "current_base": [0, 1],
    }
    tables = {
        "name": "test",
        "cell": {"morphology": "cell.swc", "regions": {"somatic": ["hh"]}},
        "parameters": [{"variable": "gnabar_hh", "regions": ["somatic"], "bounds": [0, 1]}],
        "sites": [{"name": "dend", "region": "apical", "threshold_mV": -55}],
        "stimuli": [
            {"name": name, "duration_ms": 500, "holding_nA": -0.1, "electrodes": [step]} for name in ("one", "two")
        ],
        "targets": {
            "one": {"recordings": str(tmp_path / "cell.csv"), "statistics": {"dend": {"Spikecount": [1, 1]}}},
            "two": {"statistics": {"soma": features}},
        },
        "scores": [
            {"stimuli": ["one"], "site": "dend", "features": ["Spikecount"]},
            {"stimuli": ["two"]},
            {"stimuli": ["one"], "trace": "rms"},
            {"stimuli": ["one"], "features": ["voltage_base"]},
        ],
    }
    return validate(FitSettings, tables, "fit.toml")


def responses(individuals: int) -> np.ndarray:
    """(individuals, sites, time): individual k has k spikes at the soma, smaller ones at the dendrite."""
    t_ms = np.arange(5001) * DT_MS
    rows = []
    for spikes in range(individuals):
        bumps = sum(
            (np.exp(-(((t_ms - peak) / 0.6) ** 2)) for peak in np.linspace(120, 380, spikes)), np.zeros(len(t_ms))
        )
        rest = -70 + 10.0 * ((t_ms >= 100) & (t_ms < 400))
        rows.append([rest + 90 * bumps, rest + 25 * bumps])
    return np.array(rows)


def test_the_service_gives_the_values_of_a_stimulus_in_the_order_of_its_terms(fit):
    targets = build_targets(fit)
    service = pickle.loads(pickle.dumps(feature_service(fit, targets)))()
    v_mV, sites = responses(4), ("soma", "dend")

    one = service.features("one", v_mV, sites, DT_MS, np.zeros(4, np.int8))
    names = [targets.terms[index].name for index in targets.columns("one")]
    assert names == ["one.dend.Spikecount", "one.soma.trace.rms", "one.soma.voltage_base"]
    assert one[:, 0].tolist() == [0, 1, 2, 3]  # above -55 mV, though far below the soma's threshold
    assert one[0, 1] == pytest.approx(5 * np.sqrt(3 / 5), rel=1e-3) and np.all(np.diff(one[:, 1]) > 0)
    assert one[:, 2] == pytest.approx([-70] * 4, abs=0.11)  # the first sample of the stimulus is in eFEL's base

    two = service.features("two", v_mV, sites, DT_MS, np.zeros(4, np.int8))
    wanted = [targets.terms[index].feature for index in targets.columns("two")]
    assert two[:, wanted.index("Spikecount")].tolist() == [0, 1, 2, 3]
    heights = extract(v_mV[:, 0], DT_MS, (100, 400), ("AP_height",), fit.features)[:, 0]
    assert np.array_equal(two[:, wanted.index("AP_height")], heights, equal_nan=True)
    # The model's own stimulus serves features that need a current.
    assert two[0, wanted.index("ohmic_input_resistance_vb_ssse")] == pytest.approx(10 / 0.2, rel=0.02)
    assert two[:, wanted.index("current_base")] == pytest.approx([-0.1] * 4, abs=0.003)


def test_failed_simulations_have_no_values_and_do_not_disturb_others(fit):
    targets = build_targets(fit)
    service = feature_service(fit, targets)()
    v_mV = responses(4)
    good = service.features("one", v_mV, ("soma", "dend"), DT_MS, np.zeros(4, np.int8))
    broken = v_mV.copy()
    broken[1] = np.nan
    status = np.array([Status.OK, Status.DIVERGED, Status.OK, Status.CRASHED])
    values = service.features("one", broken, ("soma", "dend"), DT_MS, status)
    assert np.all(np.isnan(values[[1, 3]])) and np.array_equal(values[[0, 2]], good[[0, 2]])


def test_sites_may_come_in_any_order(fit):
    service = feature_service(fit, build_targets(fit))()
    v_mV, status = responses(3), np.zeros(3, np.int8)
    assert np.array_equal(
        service.features("one", v_mV, ("soma", "dend"), DT_MS, status),
        service.features("one", v_mV[:, ::-1], ("dend", "soma"), DT_MS, status),
    )


def test_traces_travel_to_workers_only_where_a_term_needs_them(fit):
    with_trace = len(pickle.dumps(feature_service(fit, build_targets(fit))))
    plain = fit.model_copy(update={"scores": (*fit.scores[:2], fit.scores[3])})
    without = len(pickle.dumps(feature_service(plain, build_targets(plain))))
    # 5,001 samples of the mean trace; the current of the other stimulus stays.
    assert with_trace - without == pytest.approx(8 * 5001, rel=0.05)
