"""Is the batched kernel NEURON 9, to rounding: for each mechanism alone, for every instruction set, for any neighbour?

Held to the project's own claim for double precision: voltages before the first spike within 1e-6 mV, first spikes
within 1e-6 ms, spike counts equal.  test_equality_random.py draws cells; benchmarks/equality.py measures the same over
seconds on the project's cell and on a real one.
"""

import platform

import numpy as np
import pytest

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings

from .random_cells import DENSITIES, MECHANISMS
from .side_by_side import BOUND_MS, BOUND_MV, all_apart, side_by_side

SOMA = "1 1 0 0 0 8 -1\n2 1 0 -8 0 8 1\n3 1 0 8 0 8 1\n"
BRANCHED = (
    SOMA
    + """\
4 3 0 -8 0 1 1
5 3 0 -210 0 1 4
6 4 0 8 0 1.5 1
7 4 0 310 0 0.5 6
8 4 50 500 0 0.4 7
9 4 -50 500 0 0.3 7
"""
)


def cell_of(folder, points, regions, parameters, sites=(), **more):
    """A cell of these points, mechanisms by region and parameters."""
    (folder / "cell.swc").write_text(points)
    given = {"morphology": folder / "cell.swc", "mechanisms": MECHANISMS, "regions": regions, "axon": "keep"}
    return Cell(
        CellSettings.model_validate({**given, **more}),
        tuple(ParameterSettings.model_validate(one) for one in parameters),
        (SiteSettings(name="soma"), *(SiteSettings.model_validate(one) for one in sites)),
    )


def stimulus(name, duration_ms, *electrodes):
    return StimulusSettings.model_validate({"name": name, "duration_ms": duration_ms, "electrodes": list(electrodes)})


def step(amplitude_nA, delay_ms, duration_ms, site="soma"):
    timing = {"delay_ms": delay_ms, "duration_ms": duration_ms, "site": site}
    return {"shape": "step", "amplitude_nA": amplitude_nA, **timing}


ALONE = [
    *((mechanism, 2) for mechanism in DENSITIES),
    *((mechanism, 1) for mechanism in ("pas", "hh", "K_Pst", "CaDynamics_E2")),
]


@pytest.mark.parametrize(("mechanism", "order"), ALONE)
def test_each_mechanism_alone(mechanism, order, tmp_path):
    """In one compartment, from above 72 to below -120 mV: the voltage leaves what the gates have polynomials for."""
    variable, typical = DENSITIES[mechanism]
    free = [
        {"variable": variable, "regions": ["somatic"], "bounds": [0.0, typical * 4]},
        {"variable": "v_init", "bounds": [-130.0, 30.0]},
    ]
    cell = cell_of(tmp_path, SOMA, {"somatic": [mechanism]}, free)
    values = np.array([[0.0, -65.0], [typical / 5, -130.0], [typical, -65.0], [typical * 4, 30.0]])
    noise = {"shape": "noise", "delay_ms": 0, "duration_ms": 40, "sd_nA": 0.05}
    stimuli = (
        stimulus("both_ways", 40, step(0.2, 2, 8), step(-0.25, 15, 15)),
        stimulus("noise", 40, noise),
    )
    steps = EngineSettings(order=order, record_dt_ms=0.025, voltage_limit_mV=5000)
    with side_by_side(cell, stimuli, steps) as both:
        reference = both.neuron.simulate(values, both.names)
        ours = both.batched("double").simulate(values, both.names)
    found = dict(all_apart(ours, reference))
    assert len(found) == values.shape[0] * len(stimuli)
    for where, apart in found.items():
        assert apart.all_mV < BOUND_MV and apart.counts_equal, f"{where}: {apart}"
    assert reference.v_mV[0].min() < -120
    assert reference.v_mV[0].max() > 72 or mechanism == "hh"  # whose potassium is there at any gnabar
    if mechanism != "CaDynamics_E2":  # without a calcium current it does nothing
        assert np.max(np.abs(reference.v_mV[0][0] - reference.v_mV[0][2])) > 0.1, "the mechanism is meant to matter"


REGIONS = {
    "all": ["pas"],
    "somatic": ["NaTs2_t", "SKv3_1", "SK_E2", "Ca_HVA", "CaDynamics_E2"],
    "apical": ["NaTs2_t", "Ih", "Im", "K_Pst"],
    "basal": ["hh"],
}
FREE = [
    {"variable": "gNaTs2_tbar_NaTs2_t", "regions": ["somatic"], "bounds": [0.0, 1.0]},
    {"variable": "e_pas", "regions": ["all"], "bounds": [-1e7, 1e7]},
]
FIXED = [
    *(
        {"variable": DENSITIES[name][0], "regions": ["somatic"], "value": DENSITIES[name][1]}
        for name in REGIONS["somatic"][1:]
    ),
    *(
        {"variable": DENSITIES[name][0], "regions": ["apical"], "value": DENSITIES[name][1] / 20}
        for name in REGIONS["apical"]
    ),
    {"variable": "g_pas", "regions": ["all"], "value": 5e-5},
    {"variable": "ek", "regions": ["somatic", "apical", "basal"], "value": -85.0},
]
DENDRITE = {"name": "dend", "region": "apical", "section": 2, "x": 0.9}


@pytest.fixture
def branched(tmp_path):
    return cell_of(tmp_path, BRANCHED, REGIONS, [*FIXED, *FREE], [DENDRITE])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")
@pytest.mark.parametrize("order", [1, 2])
def test_instruction_sets(branched, order):
    """From registers of two numbers on, and without fused multiply-add, to what this machine has."""
    values = np.array([[0.3 + 0.06 * k, -75.0 + 2 * k] for k in range(5)])
    stimuli = (stimulus("step", 40, step(1.5, 5, 30)), stimulus("dendrite", 40, step(0.8, 5, 30, "dend")))
    with side_by_side(branched, stimuli, EngineSettings(order=order, record_dt_ms=0.025)) as both:
        reference = both.neuron.simulate(values, both.names)
        for target, lanes in (("native", None), ("x86-64-v3", 4), ("x86-64", 2)):
            engine = both.batched("double", target)
            assert lanes is None or engine.lanes == lanes
            found = dict(all_apart(engine.simulate(values, both.names), reference))
            assert sum(apart.spikes for apart in found.values()) > 8
            for where, apart in found.items():
                said = f"{target} {where}: {apart}"
                assert apart.before_mV < BOUND_MV and apart.first_ms < BOUND_MS and apart.counts_equal, said


@pytest.mark.parametrize("precision", ["double", "single"])
def test_neighbours_that_leave_all_bounds_do_not_matter(branched, precision):
    """One lane's voltage leaves the polynomials' range, another one's diverges: the rest get the same bits."""
    tame = [0.5, -75.0]
    low, high, lost = [0.5, -900.0], [0.5, 3000.0], [0.5, -9e6]
    mixed = np.array([low, tame, lost, high, tame, lost, low])
    with side_by_side(branched, [stimulus("step", 40, step(0.6, 5, 30))], EngineSettings(record_dt_ms=0.025)) as both:
        reference = both.neuron.simulate(mixed[[0, 1, 3]], both.names)
        engine = both.batched(precision)
        together, alone = (engine.simulate(values, both.names) for values in (mixed, np.array([tame] * 7)))
    expected = [Status.DIVERGED if one == lost else Status.OK for one in mixed.tolist()]
    assert together.status[:, 0].tolist() == expected
    assert together.v_mV[0][0].min() < -150 and together.v_mV[0][3].max() > 72
    for number in (1, 4):
        np.testing.assert_array_equal(together.v_mV[0][number], alone.v_mV[0][number])
    most_mV = BOUND_MV if precision == "double" else 0.05
    for ours, theirs in zip(together.v_mV[0][[0, 3]], reference.v_mV[0][[0, 2]], strict=True):
        assert np.max(np.abs(ours - theirs)) < most_mV
