"""Does the NEURON engine give NEURON's own numbers, whoever simulates what when, and survive bad individuals?"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.biophys.space import Space
from hpcfit.errors import ConfigError, MechanismError
from hpcfit.jobs import load_settings
from hpcfit.run.processes import Processes

L5PC = Path(__file__).resolve().parents[2] / "data" / "l5pc"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

BALL_AND_STICK = """\
1 1 0 0 0 10 -1
2 1 0 -10 0 10 1
3 1 0 10 0 10 1
4 3 0 -10 0 1 1
5 3 0 -210 0 1 4
6 4 0 10 0 1.5 1
7 4 0 310 0 0.5 6
"""
STEP = {
    "name": "step",
    "duration_ms": 60.0,
    "holding_nA": -0.02,
    "electrodes": [{"shape": "step", "delay_ms": 10.0, "duration_ms": 30.0, "amplitude_nA": 0.4}],
}
RAMP = {
    "name": "ramp",
    "duration_ms": 50.0,
    "electrodes": [{"shape": "ramp", "delay_ms": 5.0, "duration_ms": 40.0, "end_nA": 0.8}],
}
CHIRP = {
    "name": "chirp",
    "duration_ms": 60.0,
    "electrodes": [
        {"shape": "chirp", "delay_ms": 5.0, "duration_ms": 50.0, "amplitude_nA": 0.3, "start_Hz": 5, "end_Hz": 80}
    ],
}


def settings(folder: Path, **changes) -> dict:
    morphology = folder / "cell.swc"
    morphology.write_text(BALL_AND_STICK)
    values = {
        "cell": {
            "morphology": morphology,
            "regions": {"all": ["pas"], "somatic": ["hh"], "apical": ["hh"]},
            "celsius": 6.3,
        },
        "parameters": [
            {"variable": "Ra", "regions": ["all"], "value": 100.0},
            {"variable": "e_pas", "regions": ["all"], "value": -65.0},
            {"variable": "g_pas", "regions": ["all"], "bounds": [1e-5, 1e-3], "scale": "log", "unit": "S/cm2"},
            {"variable": "gnabar_hh", "regions": ["somatic"], "bounds": [0.05, 0.3]},
            {
                "variable": "gnabar_hh",
                "regions": ["apical"],
                "value": 0.12,
                "distribution": "value * exp(-distance / 100)",
            },
        ],
        "sites": [{"name": "soma"}, {"name": "dend", "region": "apical", "distance_um": 200.0}],
    }
    return values | changes


def cell(folder: Path, **changes) -> Cell:
    values = settings(folder, **changes)
    return Cell(
        CellSettings(**values["cell"]),
        tuple(ParameterSettings(**parameter) for parameter in values["parameters"]),
        tuple(SiteSettings(**site) for site in values["sites"]),
    )


@pytest.fixture
def simulate(tmp_path):
    """simulate(parameters, stimuli, workers, **engine settings) on the ball and stick."""
    the_cell = cell(tmp_path)

    def run(parameters, stimuli=(STEP,), workers=1, **engine):
        built = [build_stimulus(StimulusSettings(**stimulus)) for stimulus in stimuli]
        factory = neuron_factory(the_cell, built, EngineSettings(**engine))
        with Processes({SERVICE: factory}, workers) as executor:
            return NeuronEngine(factory, executor).simulate(parameters, [stimulus.name for stimulus in built])

    return run


POPULATION = np.array([[1e-4, 0.12], [3e-5, 0.2], [5e-4, 0.08], [1e-4, 0.12]])

# The same cell by hand: none of hpcfit's code, only NEURON's.
BY_HAND = """
    from neuron import h
    import json, math, sys
    h.load_file("stdrun.hoc")
    soma, dend, apic, axon0, axon1 = (h.Section(name=n) for n in ("soma", "dend", "apic", "axon0", "axon1"))
    for sec, points in (
        (soma, [(0, -10, 0, 20), (0, 0, 0, 20), (0, 10, 0, 20)]),
        (dend, [(0, -10, 0, 2), (0, -210, 0, 2)]),
        (apic, [(0, 10, 0, 3), (0, 310, 0, 1)]),
    ):
        for point in points:
            h.pt3dadd(*point, sec=sec)
    for sec in (axon0, axon1):
        sec.L, sec.diam = 30, 1
    dend.connect(soma(0.5)); apic.connect(soma(0.5)); axon0.connect(soma(1)); axon1.connect(axon0(1))
    for sec in (soma, dend, apic, axon0, axon1):
        sec.nseg = 1 + 2 * int(sec.L / 40)
        sec.Ra = 100
        sec.insert("pas")
        for seg in sec:
            seg.e_pas, seg.g_pas = -65, 1e-4
    soma.insert("hh"); apic.insert("hh")
    for seg in soma:
        seg.gnabar_hh = 0.12
    h.distance(0, 0.5, sec=soma)
    for seg in apic:
        seg.gnabar_hh = 0.12 * math.exp(-h.distance(1, seg.x, sec=apic) / 100)
    hold = h.IClamp(soma(0.5)); hold.delay, hold.dur, hold.amp = 0, 60, -0.02
    step = h.IClamp(soma(0.5)); step.delay, step.dur, step.amp = 10, 30, 0.4
    v = h.Vector().record(soma(0.5)._ref_v)
    h.celsius, h.v_init, h.tstop, h.dt, h.steps_per_ms = 6.3, -65, 60, 0.025, 40
    h.secondorder = int(sys.argv[1])
    h.run()
    json.dump(v.to_python()[::4], sys.stdout)
"""


@pytest.mark.parametrize(("order", "secondorder"), [(1, 0), (2, 2)])
def test_voltage_is_neurons_own(simulate, order, secondorder):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BY_HAND), str(secondorder)], capture_output=True, text=True, check=True
    )
    reference = np.array(json.loads(done.stdout[done.stdout.index("[") :]))
    v_mV = simulate(POPULATION[0], order=order).trace(0, "step")
    assert len(v_mV) == 601
    assert np.max(v_mV) > 0, "the reference individual is meant to spike"
    np.testing.assert_allclose(v_mV, reference, rtol=0, atol=1e-6)


def test_fixed_step_and_cvode_agree_where_no_spike_amplifies_differences(simulate):
    quiet = {**STEP, "electrodes": [{**STEP["electrodes"][0], "amplitude_nA": -0.1}]}
    fixed = simulate(POPULATION[:1], [quiet], order=2)
    cvode = simulate(POPULATION[:1], [quiet], integrator="cvode", cvode_atol=1e-6)
    assert fixed.v_mV[0].shape == cvode.v_mV[0].shape
    np.testing.assert_allclose(fixed.trace(0, "step"), cvode.trace(0, "step"), atol=5e-3)


@pytest.mark.parametrize("integrator", ["fixed", "cvode"])
def test_results_depend_neither_on_order_nor_on_workers(simulate, integrator):
    stimuli = (STEP, RAMP, CHIRP)
    forward = simulate(POPULATION, stimuli, workers=1, integrator=integrator)
    backward = simulate(POPULATION[::-1], stimuli[::-1], workers=2, integrator=integrator)
    assert np.all(forward.status == Status.OK)
    for number, stimulus in enumerate(forward.stimuli):
        ours = forward.v_mV[number]
        theirs = backward.v_mV[backward.stimuli.index(stimulus)][::-1]
        assert np.array_equal(ours, theirs), stimulus
        assert np.array_equal(ours[0], ours[3]), "equal individuals must respond equally"
        assert not np.array_equal(ours[0], ours[1]), "different individuals must not"


def test_a_diverging_individual_is_named_and_harms_nobody(tmp_path):
    """A reversal potential of -900 V does it."""
    values = settings(tmp_path)
    values["parameters"][2] = {"variable": "e_pas", "regions": ["all"], "bounds": [-1e6, 0.0]}
    changed = cell(tmp_path, parameters=values["parameters"])
    factory = neuron_factory(changed, [build_stimulus(StimulusSettings(**STEP))], EngineSettings())
    with Processes({SERVICE: factory}, 1) as executor:
        engine = NeuronEngine(factory, executor)
        alone = engine.simulate(np.array([[-65.0, 0.12]]), ["step"])
        mixed = engine.simulate(np.array([[-65.0, 0.12], [-9e5, 0.12], [-65.0, 0.12]]), ["step"])
    assert mixed.status[:, 0].tolist() == [Status.OK, Status.DIVERGED, Status.OK]
    assert "500 mV" in mixed.reasons[1, 0]
    assert np.all(np.isnan(mixed.v_mV[0][1]))
    assert np.array_equal(alone.v_mV[0][0], mixed.v_mV[0][0])
    assert np.array_equal(alone.v_mV[0][0], mixed.v_mV[0][2])


def test_a_stuck_individual_is_ended_at_its_deadline(simulate):
    long = {**STEP, "name": "long", "duration_ms": 2e6}
    responses = simulate(POPULATION[:2], [STEP, long], workers=2, deadline_s=1.5, record_dt_ms=100.0)
    assert responses.status.tolist() == [[Status.OK, Status.DEADLINE]] * 2
    assert "1.5 s" in responses.reasons[0, 1]


def test_responses_have_the_samples_that_were_asked_for(simulate):
    odd = {**STEP, "duration_ms": 41.03}
    responses = simulate(POPULATION[:2], [odd], record_dt_ms=0.2)
    assert responses.v_mV[0].shape == (2, 2, 206)
    assert responses.time_ms("step")[-1] == pytest.approx(41.0)
    assert np.all(np.isfinite(responses.v_mV[0]))
    assert responses.trace(0, "step", "dend")[0] == -65.0


def test_the_dendritic_site_is_where_it_was_asked_for(tmp_path):
    factory = neuron_factory(cell(tmp_path), [build_stimulus(StimulusSettings(**STEP))], EngineSettings())
    with Processes({SERVICE: factory}, 1) as executor:
        built = NeuronEngine(factory, executor).describe()
    site = built.places[1]
    assert site.section == "apic[0]"
    # The centre of the segment that holds the point: 300 um in 15 segments.
    assert abs(site.distance_um - 200.0) <= 10.0
    assert (built.sections, built.segments) == (5, 1 + 11 + 15 + 1 + 1)


@pytest.mark.parametrize(
    ("matrix", "said"),
    [(np.zeros((2, 3)), "expected (individuals, 2)"), (np.array([[np.nan, 0.1]]), "not finite")],
)
def test_parameter_matrix_of_the_wrong_kind(simulate, matrix, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)")):
        simulate(matrix)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"regions": {"all": ["nosuch"]}}, MechanismError, "no mechanism nosuch"),
        ({"regions": {"axonal": ["pas"]}, "axon": "keep"}, ConfigError, "no such sections"),
    ],
)
def test_a_cell_that_cannot_be_built_is_the_callers_error(tmp_path, changes, error, said):
    values = settings(tmp_path)
    changed = cell(tmp_path, cell={**values["cell"], **changes})
    factory = neuron_factory(changed, [], EngineSettings())
    with Processes({SERVICE: factory}, 1) as executor, pytest.raises(error, match=said):
        NeuronEngine(factory, executor).describe()


@pytest.mark.real
def test_the_real_reconstruction_has_the_fields_discretisation():
    """BluePyOpt's rules give 199 sections and 699 segments on this cell: 486 apical, 210 basal, soma, stub axon."""
    morphology = SHARED / "morphology" / "C060114A7.asc"
    if not morphology.exists():
        pytest.skip("../shared/data is not there")
    real = Cell(
        CellSettings(morphology=morphology, regions={"all": ("pas",)}),
        (ParameterSettings(variable="g_pas", regions=("all",), bounds=(1e-5, 1e-4)),),
        (SiteSettings(name="soma"), SiteSettings(name="dend1", region="apical", distance_um=660.0, branch="last")),
    )
    factory = neuron_factory(real, [], EngineSettings())
    with Processes({SERVICE: factory}, 1) as executor:
        built = NeuronEngine(factory, executor).describe()
    assert (built.sections, built.segments) == (199, 699)
    assert abs(built.places[1].distance_um - 660.0) < 25.0


def test_the_projects_cell_runs_over_its_whole_space():
    """The 12 mechanisms compile, and random individuals respond with finite voltages."""
    fit = load_settings(L5PC / "fit.toml")
    the_cell = Cell.of(fit)
    step = {"shape": "step", "delay_ms": 5, "duration_ms": 30, "amplitude_nA": 1.5}
    short = StimulusSettings.model_validate({"name": "short", "duration_ms": 40.0, "electrodes": [step]})
    factory = neuron_factory(the_cell, [build_stimulus(short)], EngineSettings())
    with Processes({SERVICE: factory}, 2) as executor:
        responses = NeuronEngine(factory, executor).simulate(Space.of(the_cell.free).random(6), ["short"])
    assert np.all(responses.status == Status.OK), responses.reasons
    assert np.max(responses.v_mV[0]) < 100.0
