"""Are errors against the limit dt -> 0 what they are said to be, and is that limit one?"""

import json

import numpy as np
import pytest

import hpcfit as package
from hpcfit.biophys.accuracy import Observed, errors, make_reference, spike_times_ms
from hpcfit.biophys.engine_settings import MODES, EngineSettings
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.settings import StimulusSettings
from hpcfit.biophys.terms import Term
from hpcfit.jobs.accuracy import SCHEMES, Request, Scheme, accuracy_table

STIMULI = ("a", "b")
TERMS = [
    Term("a", "soma", "Spikecount", 2.0, 0.5, 1.0, 0, "given"),
    Term("b", "soma", "voltage_base", -70.0, 2.0, 1.0, 0, "given"),
]


def observed(spikes, features=None, status=None):
    """Spikes [individual][stimulus]; features (individuals, terms), whose scores are |feature| here."""
    rows = len(spikes)
    features = np.zeros((rows, 2)) if features is None else np.array(features, dtype=float)
    status = np.zeros((rows, 2), dtype=np.int8) if status is None else np.array(status, dtype=np.int8)
    times = tuple(tuple(np.array(one, dtype=float) for one in row) for row in spikes)
    return Observed(times, features, np.nan_to_num(np.abs(features)), status)


def test_spike_times_are_interpolated():
    v_mV = np.array([-70, -30, -10, 20, -60, -20, -19, -70.0])
    np.testing.assert_allclose(spike_times_ms(v_mV, 0.5, -20.0), [0.75, 2.5])
    assert len(spike_times_ms(np.full(5, -70.0), 0.1, -20.0)) == 0


def test_shifts_counts_and_failures_are_counted_apart():
    limit = observed([[[10, 20, 30], []], [[10, 20], [5]], [[7], [8]]])
    reference = make_reference(limit, limit, TERMS, STIMULI)
    assert reference.error_ms == 0 and reference.resolved.all()
    scheme = observed(
        [[[10.1, 20.2, 29.6], []], [[10], [5.01]], [[7], []]],
        status=[[0, 0], [0, 0], [0, Status.DIVERGED]],
    )
    found = errors(scheme, reference, TERMS, STIMULI)
    assert (found["responses"], found["counts_changed"], found["failed"], found["spikes"]) == (6, 1, 1, 5)
    assert found["shift_ms"]["largest"] == pytest.approx(0.4) and found["shift_ms"]["last_largest"] == pytest.approx(
        0.4
    )
    assert found["shift_ms"]["first_largest"] == pytest.approx(0.1)
    assert found["shift_ms"]["median"] == pytest.approx(np.median([0.1, 0.2, 0.4, 0.01, 0.0]))


def test_features_are_in_sd_and_scores_add_up():
    limit = observed([[[1], [1]]] * 2, [[2, -70], [4, np.nan]])
    reference = make_reference(limit, limit, TERMS, STIMULI)
    found = errors(observed([[[1], [1]]] * 2, [[3, -71], [4, -70]]), reference, TERMS, STIMULI)
    assert found["features_sd"] == {"largest": 2.0, "largest_of": "a.soma.Spikecount", "mean": pytest.approx(2.5 / 3)}
    assert (found["features"], found["undefined_changed"]) == (3, 1)
    assert found["score"]["largest"] == pytest.approx(70) and found["score"]["mean"] == pytest.approx((2 + 70) / 2)


def test_a_response_whose_limit_is_unknown_is_listed_and_in_no_figure():
    fine = observed([[[10, 20], [5]], [[10], [5]], [[1], [2]]], status=[[0, 0], [0, 0], [0, Status.DEADLINE]])
    finest = observed([[[10], [5.001]], [[10.5], [5]], [[1], [2]]], [[9, 0], [9, 0], [0, 0]])
    reference = make_reference(fine, finest, TERMS, STIMULI)
    assert reference.resolved.tolist() == [[False, True], [False, True], [True, False]]
    assert "2 spikes" in reference.reasons[0, 0] and "0.5 ms" in reference.reasons[1, 0]
    assert "DEADLINE" in reference.reasons[2, 1]
    assert reference.error_ms == pytest.approx(0.001)
    wild = observed([[[99, 100], [5.002]], [[77], [5]], [[1], []]])
    found = errors(wild, reference, TERMS, STIMULI)
    assert (found["responses"], found["counts_changed"]) == (3, 0)
    assert found["shift_ms"]["largest"] == pytest.approx(0.001)
    assert found["features_sd"]["largest"] == 0 and found["score"]["largest"] == 0


@pytest.mark.parametrize(("order", "factor"), [(1, 2.0), (2, 4.0)])
def test_the_error_shrinks_as_the_order_says(tiny, order, factor):
    """Below threshold: halving dt halves the first-order error and quarters the second-order, once dt is small.

    At 0.0125 ms and above, the tightly coupled compartments of this cell ring (h g / c > 2), and no order shows.
    """
    problem = package.load(tiny())
    values = problem.space.random(1, seed=2)
    ramp = {"shape": "ramp", "delay_ms": 2, "duration_ms": 15, "end_nA": 0.03}
    stimulus = StimulusSettings.model_validate({"name": "weak", "duration_ms": 20, "electrodes": [ramp]})

    def v_mV(dt_ms, order):
        engine = EngineSettings(kind="batched", precision="double", order=order, dt_ms=dt_ms)
        return package.simulate(problem.cell, values, [stimulus], engine).trace(0, "weak")

    limit = v_mV(0.1 / 256, 2)
    assert np.ptp(limit) > 0.1 and limit.max() < -50, "a response, but no spike"
    coarse, fine = (np.max(np.abs(v_mV(dt_ms, order) - limit)) for dt_ms in (0.1 / 16, 0.1 / 32))
    assert coarse > 1e-5
    assert coarse / fine == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_sets_what_is_not_set(mode):
    preset = EngineSettings(kind="batched", mode=mode)
    assert {key: getattr(preset, key) for key in MODES[mode]} == MODES[mode]
    mine = EngineSettings(kind="batched", mode=mode, dt_ms=0.01, order=1)
    assert (mine.dt_ms, mine.order, mine.precision) == (0.01, 1, MODES[mode]["precision"])


def test_modes_differ_and_the_default_mode_is_the_default():
    assert len({tuple(preset.items()) for preset in MODES.values()}) == len(MODES) == 3
    silent = EngineSettings(kind="batched")
    assert (silent.precision or "single", silent.order, silent.dt_ms) == tuple(MODES["default"].values())
    assert {scheme.name.partition("(mode ")[2].rstrip(")") for scheme in SCHEMES} - {""} == set(MODES)


def test_the_table_ranks_schemes_by_their_error(tiny):
    """On one small cell: first order is worst, the exact mode best, and its own reference far better than either."""
    problem = package.load(tiny())
    schemes = [
        Scheme("first", {"kind": "batched", "precision": "double", "order": 1, "dt_ms": 0.025}, True),
        Scheme("coarse", {"kind": "batched", "precision": "double", "order": 2, "dt_ms": 0.05}, True),
        Scheme("fine", {"kind": "batched", "precision": "double", "order": 2, "dt_ms": 0.025}, True),
        Scheme("odd", {"kind": "batched", "dt_ms": 0.03}, True),
    ]
    said = []
    table = accuracy_table(problem, Request(models=3, seed=3, quick=True), schemes, said.append)
    first, coarse, fine = table["schemes"]
    shifts = [row["shift_ms"]["largest"] for row in (first, coarse, fine)]
    assert shifts[0] > 1.5 * shifts[1] and shifts[1] > 3 * shifts[2] > 0
    assert table["reference"]["error_ms"] < shifts[2] / 10
    assert table["models"]["kept"] == 3 <= table["models"]["drawn"]
    assert all(row["core_s_per_model_s"] > 0 and row["counts_changed"] == 0 for row in table["schemes"])
    assert all(row["times_neuron"] is None for row in table["schemes"]), "NEURON's default is not in this table"
    assert table["left_out"] == [{"name": "odd", "reason": "dt_ms = 0.03 does not divide engine.record_dt_ms = 0.1"}]
    assert [line for line in said if line in ("first", "coarse", "fine")] == ["first", "coarse", "fine"]


def test_the_command_prints_the_table_and_writes_it(tiny, hpcfit):
    file = tiny()
    problem = package.load(file)
    values = dict(zip(problem.space.names, problem.space.random(1, seed=9)[0].tolist(), strict=True))
    lines = [f'"{name}" = {value!r}' for name, value in values.items()]
    file.with_name("mine.toml").write_text("\n".join(["score = 1.0", "[parameters]", *lines]))
    ended = hpcfit("accuracy", file, "--quick", "--models", 2, "--parameters", "mine.toml", "-o", "table.json")
    assert ended.code == 0, ended.err
    table = json.loads(file.with_name("table.json").read_text())
    assert table["models"]["given"] == 1 and table["models"]["kept"] == 3
    names = [row["name"] for row in table["schemes"]]
    assert names == [scheme.name for scheme in SCHEMES if scheme.quick] and len(names) == 6
    for row in table["schemes"]:
        assert row["name"] in ended.out
        assert row["times_neuron"] > 0 and row["features_sd"]["largest"] >= 0
    by_name = {row["name"].partition(" (")[0]: row["shift_ms"]["largest"] for row in table["schemes"]}
    assert by_name["NEURON order 1 dt 0.025"] > 3 * by_name["batched double order 2 dt 0.025"]
    assert "its own error" in ended.out and "unresolved, in no figure above: 0 of 3 responses" in ended.out


@pytest.mark.parametrize(
    ("arguments", "changes", "said"),
    [
        (["--stimuli", "jump"], [], "stimulus jump is not among those that are scored: step"),
        (
            ["--models", 1],
            [("bounds = [0.05, 0.3]", "bounds = [0.005, 0.006]")],
            "none of 20 models drawn from the bounds",
        ),
        (["--parameters", "none.toml"], [], "none.toml: no such file"),
        (["--parameters", "fit.toml"], [], "has no number for the free parameter g_pas.all"),
    ],
)
def test_what_cannot_be_tabled_is_one_line(tiny, hpcfit, arguments, changes, said):
    ended = hpcfit("accuracy", tiny(*changes), "--quick", *arguments)
    assert ended.code == 2
    assert said in ended.err.splitlines()[-1]
