"""Does the batched kernel compute what NEURON computes, whoever the neighbours in the lanes are?"""

from pathlib import Path

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.batched import read_mechanisms
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.errors import MechanismError
from hpcfit.jobs import load_settings
from hpcfit.population.ledger import Ledger, same_numbers

L5PC = Path(__file__).resolve().parents[2] / "data" / "l5pc"

BRANCHED = """\
1 1 0 0 0 10 -1
2 1 0 -10 0 10 1
3 1 0 10 0 10 1
4 3 0 -10 0 1 1
5 3 0 -210 0 1 4
6 4 0 10 0 1.5 1
7 4 0 310 0 0.5 6
8 4 50 500 0 0.4 7
9 4 -50 500 0 0.3 7
"""
STEP = {"shape": "step", "delay_ms": 5, "duration_ms": 40, "amplitude_nA": 0.6}
RAMP = {"shape": "ramp", "site": "dend", "delay_ms": 2, "duration_ms": 45, "end_nA": 0.5}
NOISE = {"shape": "noise", "delay_ms": 0, "duration_ms": 50, "sd_nA": 0.1}


def stimulus(name, *electrodes, holding_nA=0.0):
    return StimulusSettings.model_validate(
        {"name": name, "duration_ms": 50, "holding_nA": holding_nA, "electrodes": list(electrodes)}
    )


STIMULI = (stimulus("step", STEP, holding_nA=-0.02), stimulus("mixed", RAMP, NOISE))
FIXED = [
    {"variable": "Ra", "regions": ["all"], "value": 120.0},
    {"variable": "cm", "regions": ["apical"], "value": 1.5},
    {"variable": "e_pas", "regions": ["all"], "value": -75.0},
    {"variable": "g_pas", "regions": ["all"], "value": 5e-5},
    {"variable": "ek", "regions": ["somatic", "apical"], "value": -85.0},
    {"variable": "gNaTs2_tbar_NaTs2_t", "regions": ["somatic"], "value": 0.6},
    {
        "variable": "gNaTs2_tbar_NaTs2_t",
        "regions": ["apical"],
        "value": 0.02,
        "distribution": "value * (1 + distance / 500)",
    },
    {"variable": "gSKv3_1bar_SKv3_1", "regions": ["somatic"], "value": 0.3},
    {"variable": "gSK_E2bar_SK_E2", "regions": ["somatic"], "value": 0.01},
    {"variable": "gCa_HVAbar_Ca_HVA", "regions": ["somatic"], "value": 5e-4},
    {"variable": "gamma_CaDynamics_E2", "regions": ["somatic"], "value": 1e-3},
]
REGIONS = {
    "all": ["pas"],
    "somatic": ["NaTs2_t", "SKv3_1", "SK_E2", "Ca_HVA", "CaDynamics_E2"],
    "apical": ["NaTs2_t", "Ih", "Im"],
    "basal": ["hh"],
}
FREE = {
    "density": {"variable": "gNaTs2_tbar_NaTs2_t", "regions": ["somatic"], "bounds": [0.3, 0.9]},
    "spread": {
        "variable": "gIhbar_Ih",
        "regions": ["apical"],
        "bounds": [2e-5, 3e-4],
        "distribution": "(-0.8696 + 2.087 * exp(0.0031 * distance)) * value",
    },
    "axial": {"variable": "Ra", "regions": ["all"], "bounds": [60, 250]},
    "capacitance": {"variable": "cm", "regions": ["apical"], "bounds": [0.8, 2.5]},
    "reversal": {"variable": "ena", "regions": ["somatic"], "bounds": [40, 60]},
    "leak": {"variable": "e_pas", "regions": ["all"], "bounds": [-85, -65]},
    "calcium": {"variable": "decay_CaDynamics_E2", "regions": ["somatic"], "bounds": [20, 500]},
    "start": {"variable": "v_init", "bounds": [-80, -60]},
    "global": {"variable": "zTau_SK_E2", "bounds": [0.5, 5]},
}


@pytest.fixture
def branched(tmp_path):
    """branched(*free parameters): a cell with some of the project's currents, everything else fixed."""
    (tmp_path / "cell.swc").write_text(BRANCHED)
    settings = {"morphology": tmp_path / "cell.swc", "mechanisms": L5PC / "mechanisms"}

    def make(*free, regions=REGIONS):
        return Cell(
            CellSettings.model_validate({**settings, "regions": regions}),
            tuple(ParameterSettings.model_validate(one) for one in [*FIXED, *free]),
            (SiteSettings(name="soma"), SiteSettings(name="dend", region="apical", distance_um=300.0)),
        )

    return make


WITHOUT_HH = {region: mechanisms for region, mechanisms in REGIONS.items() if region != "basal"}


def both(cell, values, order, **engine):
    neuron = hpcfit.simulate(cell, values, STIMULI, EngineSettings(order=order))
    batched = hpcfit.simulate(cell, values, STIMULI, EngineSettings(kind="batched", order=order, **engine))
    assert np.all(neuron.status == Status.OK), neuron.reasons
    assert np.all(batched.status == Status.OK), batched.reasons
    return neuron, batched


def spike_times(v_mV):
    """Interpolated upward crossings of -20 mV, in samples."""
    up = np.flatnonzero((v_mV[1:] > -20) & (v_mV[:-1] <= -20))
    return up + (-20 - v_mV[up]) / (v_mV[up + 1] - v_mV[up])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("free", FREE)
def test_double_precision_is_neurons_own_voltage(branched, free, order):
    low, high = FREE[free]["bounds"]
    values = np.linspace(low, high, 3)[:, None]
    neuron, batched = both(branched(FREE[free], regions=WITHOUT_HH), values, order, precision="double")
    for ours, theirs in zip(batched.v_mV, neuron.v_mV, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert np.ptp(neuron.v_mV[0], axis=0).max() > 1e-3, "the parameter is meant to matter"
    assert neuron.v_mV[0].max() > 0, "the cell is meant to spike"


def test_neurons_hh_reads_its_rates_from_a_table_which_may_be_ignored(branched):
    """So they differ by what linear interpolation between 201 voltages leaves, and no more."""
    values, ignoring = np.array([[-75.0], [-70.0]]), {"precision": "double", "tables": "ignore"}
    neuron, batched = both(branched(FREE["leak"]), values, 1, **ignoring)
    assert np.max(np.abs(neuron.v_mV[0] - batched.v_mV[0])) > 1e-3
    times = [spike_times(v_mV) for v_mV in (neuron.trace(0, "step"), batched.trace(0, "step"))]
    assert len(times[0]) == len(times[1]) > 0
    assert np.max(np.abs(times[0] - times[1])) < 1.0


@pytest.mark.parametrize("order", [1, 2])
def test_single_precision_keeps_spikes(branched, order):
    values = np.array([[0.3 + 0.05 * k, 2e-5 + 2e-5 * k] for k in range(12)])
    neuron, batched = both(branched(FREE["density"], FREE["spread"], regions=WITHOUT_HH), values, order)
    for ours, theirs in zip(batched.v_mV, neuron.v_mV, strict=True):
        for one, other in zip(ours[:, 0], theirs[:, 0], strict=True):
            times, reference = spike_times(one), spike_times(other)
            assert len(times) == len(reference)
            assert np.max(np.abs(times - reference), initial=0.0) < 0.1  # of a sample: 10 microseconds


@pytest.mark.parametrize("precision", ["single", "double"])
def test_neighbours_in_the_lanes_do_not_matter(branched, precision):
    cell = branched(FREE["density"], FREE["leak"])
    values = np.random.default_rng(1).uniform([0.3, -80], [0.9, -70], (21, 2))
    engine = EngineSettings(kind="batched", precision=precision)
    together = hpcfit.simulate(cell, values, STIMULI, engine)
    shuffled = np.random.default_rng(2).permutation(21)
    again = hpcfit.simulate(cell, values[shuffled], STIMULI, engine.model_copy(update={"workers": 1}))
    alone = hpcfit.simulate(cell, values[7], STIMULI, engine)
    for k in range(2):
        assert np.array_equal(together.v_mV[k][shuffled], again.v_mV[k])
        assert np.array_equal(together.v_mV[k][7], alone.v_mV[k][0])


def test_a_diverging_lane_is_named_and_harms_nobody(branched):
    cell = branched({**FREE["leak"], "bounds": [-1e6, 0]})
    engine = EngineSettings(kind="batched")
    mixed = hpcfit.simulate(cell, np.array([[-75.0], [-9e5], [-70.0]]), STIMULI, engine)
    good = hpcfit.simulate(cell, np.array([[-75.0], [-75.0], [-70.0]]), STIMULI, engine)
    assert mixed.status.tolist() == [[Status.OK] * 2, [Status.DIVERGED] * 2, [Status.OK] * 2]
    assert np.all(np.isnan(mixed.v_mV[0][1]))
    assert "500 mV" in mixed.reasons[1, 0]
    assert np.array_equal(mixed.v_mV[0][[0, 2]], good.v_mV[0][[0, 2]])


def test_the_projects_cell_over_its_whole_space():
    problem = hpcfit.load(L5PC / "fit.toml")
    values = problem.space.random(4, seed=5)
    stimuli = [one for one in problem.settings.stimuli if one.name == "high"]
    neuron = hpcfit.simulate(problem.cell, values, stimuli, EngineSettings(order=2))
    double = hpcfit.simulate(problem.cell, values, stimuli, EngineSettings(kind="batched", precision="double"))
    np.testing.assert_allclose(double.v_mV[0], neuron.v_mV[0], rtol=0, atol=1e-5)


def test_a_free_temperature_is_refused(branched):
    cell = branched({"variable": "celsius", "bounds": [20, 36]})
    with pytest.raises(MechanismError, match="celsius is fixed in the batched kernel"):
        hpcfit.simulate(cell, np.array([[34.0]]), STIMULI, EngineSettings(kind="batched"))


def test_a_construct_that_is_not_covered_is_refused_with_its_line(tmp_path):
    text = (L5PC / "mechanisms" / "Ih.mod").read_text()
    verbatim = "BREAKPOINT {\n  VERBATIM\n  x = 1;\n  ENDVERBATIM"
    (tmp_path / "Ih.mod").write_text(text.replace("BREAKPOINT {", verbatim))
    line = (tmp_path / "Ih.mod").read_text().splitlines().index("  VERBATIM") + 1
    with pytest.raises(MechanismError, match=f"line {line}"):
        read_mechanisms(tmp_path, ["Ih"])
    with pytest.raises(MechanismError, match="no source of this mechanism"):
        read_mechanisms(None, ["extracellular"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "batched", "integrator": "cvode"}, "fixed step"),
        ({"kind": "neuron", "precision": "single"}, "belongs to kind"),
    ],
)
def test_settings_that_the_engine_would_ignore_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        EngineSettings.model_validate(changes)


def test_a_fit_runs_on_it_and_gives_the_same_numbers_when_resumed(tmp_path):
    settings = load_settings(L5PC / "fit_small.toml")
    settings = settings.model_copy(
        update={
            "engine": EngineSettings(kind="batched"),
            "strategy": settings.strategy.model_copy(update={"parents": 6, "offspring": 10}),
        }
    )
    first = hpcfit.run(settings, tmp_path / "first", generations=3)
    hpcfit.run(settings, tmp_path / "second", generations=1)
    hpcfit.run(settings, tmp_path / "second", generations=3)
    assert same_numbers(Ledger.open(tmp_path / "first"), Ledger.open(tmp_path / "second")) == []
    assert first.best_scores()[-1] <= first.best_scores()[0]
    assert (tmp_path / "first" / "best" / "model.hoc").exists()
