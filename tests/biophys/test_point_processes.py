"""Do point processes act in the batched kernel as they do in NEURON: what they inject, and when events reach them?"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.codegen.schedule import delivery_step, expanded
from hpcfit.biophys.engines.batched import BUILT_IN
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.engines.nmodl import read_mechanism, run
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.biophys.stimulus import PointProcess
from hpcfit.errors import ConfigError, MechanismError

from .point_mods import ALL, PULSE

SAME = 1e-7
"""mV or ms: what gates' polynomials, exact to 1e-11 in double precision, leave at a spike; else 1e-9."""

MECHANISMS = Path(__file__).resolve().parents[2] / "data" / "l5pc" / "mechanisms"
DENSITY = ("NaTs2_t", "SKv3_1", "Ca_HVA", "CaDynamics_E2")
SWC = """\
1 1 0 0 0 10 -1
2 1 0 -10 0 10 1
3 1 0 10 0 10 1
4 3 0 -10 0 1 1
5 3 0 -210 0 1 4
"""
FIXED = [
    {"variable": "gCa_HVAbar_Ca_HVA", "regions": ["somatic"], "value": 1e-4},
    {"variable": "gNaTs2_tbar_NaTs2_t", "regions": ["somatic"], "value": 0.5},
    {"variable": "gSKv3_1bar_SKv3_1", "regions": ["somatic"], "value": 0.3},
]
SITES = (
    SiteSettings(name="soma"),
    SiteSettings(name="dend", region="basal", x=0.5),
    SiteSettings(name="tip", region="basal", x=1.0),
)
FREE = {"variable": "g_pas", "regions": ["all"], "bounds": [1e-5, 1e-3]}
DT = 0.025

TRAIN = [0, 3, 3.0125, 7.5, 7.51, 20]
CLAMP = {"mechanism": "TClamp", "parameters": {"del": 5, "dur": 10.0125, "amp": 0.3}}
SINE = {"mechanism": "TSine", "site": "dend", "parameters": {"del": 2.5, "dur": 30, "amp": 0.2}}
TIMED = {"mechanism": "TTimed", "parameters": {"rate": 0.2}}
NMDA = {"mechanism": "TNmda", "site": "dend", "times_ms": TRAIN, "weight": 0.004}
SOMATIC = {**NMDA, "site": "soma"}
POOL = {"mechanism": "TPool", "site": "dend", "times_ms": [3, 9], "weight": 0.001}
PULSED = {"mechanism": "TPulse", "site": "dend", "times_ms": [3, 3.5, 9, 15.0, 16.1], "weight": 0.001}
FAST = {"mechanism": "ExpSyn", "site": "tip", "parameters": {"tau": 2}, "times_ms": TRAIN, "weight": 0.003}
SLOW = {
    "mechanism": "Exp2Syn",
    "site": "soma",
    "parameters": {"tau1": 0.5, "tau2": 5},
    "times_ms": [4, 6],
    "weight": 0.01,
}
# NEURON moves a rise time that is longer than the decay below it.
REVERSED = {**SLOW, "parameters": {"tau1": 0.5, "tau2": 0.3, "e": -80}}
CASES = {
    "an IClamp of the user's own": [CLAMP],
    "a sine": [SINE],
    "states and currents that depend on time": [TIMED],
    "NMDA with calcium": [NMDA],
    "NMDA where calcium is read and written": [SOMATIC],
    "calcium from one, reversal for another": [NMDA, POOL, CLAMP],
    "a pool alone": [POOL],
    "events that it sends itself": [PULSED],
    "ExpSyn at the end of a section": [FAST],
    "Exp2Syn": [SLOW],
    "Exp2Syn, time constants reversed": [REVERSED, CLAMP],
    "several at one node": [SLOW, SLOW, REVERSED, SOMATIC, FAST, PULSED, PULSED, TIMED, SINE, CLAMP],
    "none": [],
}


@pytest.fixture(scope="session")
def mechanisms(tmp_path_factory):
    """A folder with the point processes of these tests and some channels of the project's cell."""
    place = tmp_path_factory.mktemp("points")
    for name, text in ALL.items():
        (place / f"{name}.mod").write_text(text)
    for name in DENSITY:
        shutil.copy(MECHANISMS / f"{name}.mod", place)
    return place


@pytest.fixture
def cell(tmp_path, mechanisms):
    """cell(*free parameters): a soma with channels and a passive dendrite."""
    (tmp_path / "cell.swc").write_text(SWC)

    def make(*free):
        described = {
            "morphology": tmp_path / "cell.swc",
            "mechanisms": mechanisms,
            "regions": {"all": ["pas"], "somatic": list(DENSITY)},
            "segment_length_um": 60,
            "celsius": 30,
        }
        parameters = tuple(ParameterSettings.model_validate(one) for one in (*FIXED, *(free or (FREE,))))
        return Cell(CellSettings.model_validate(described), parameters, SITES)

    return make


def stimuli(*cases, duration_ms=40):
    return [
        StimulusSettings.model_validate({"name": f"s{k}", "duration_ms": duration_ms, "point_processes": points})
        for k, points in enumerate(cases)
    ]


def both(cell, values, protocols, order, **engine):
    """Voltages (individuals, sites, time) of every stimulus, by NEURON and by the batched kernel at every step."""
    engine = {"order": order, "record_dt_ms": DT, "dt_ms": DT, "precision": "double", **engine}
    precision = engine.pop("precision")
    neuron = hpcfit.simulate(cell, np.array(values), protocols, EngineSettings(**engine))
    batched = hpcfit.simulate(
        cell, np.array(values), protocols, EngineSettings(kind="batched", precision=precision, **engine)
    )
    assert np.all(neuron.status == Status.OK), neuron.reasons
    assert np.all(batched.status == Status.OK), batched.reasons
    return neuron.v_mV, batched.v_mV


def spike_times(v_mV):
    """Upward crossings of -20 mV, interpolated, ms."""
    up = np.flatnonzero((v_mV[1:] > -20) & (v_mV[:-1] <= -20))
    return DT * (up + (-20 - v_mV[up]) / (v_mV[up + 1] - v_mV[up]))


@pytest.mark.parametrize("order", [1, 2])
def test_each_is_neurons_own(cell, order):
    theirs, ours = both(cell(), [[5e-5], [2e-4]], stimuli(*CASES.values()), order)
    quiet, spikes = theirs[-1], 0
    for name, neuron, batched in zip(CASES, theirs, ours, strict=True):
        assert np.max(np.abs(neuron - batched)) < SAME, name
        for one, other in zip(neuron[:, 0], batched[:, 0], strict=True):
            assert len(spike_times(one)) == len(spike_times(other))
            assert np.max(np.abs(spike_times(one) - spike_times(other)), initial=0.0) < SAME, name
            spikes += len(spike_times(one))
        # It matters; a pool of calcium that nobody reads does not.
        assert (np.max(np.abs(neuron - quiet)) > 0.1) == (name not in ("none", "a pool alone")), name
    assert spikes > 5


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), order=st.sampled_from([1, 2]))
def test_random_trains(cell, data, order):
    """On steps, between them and on their edges: times in quarters of a step, and others."""
    quarters = st.integers(0, 4 * 39 * 40).map(lambda k: k * DT / 4)
    times = st.lists(st.one_of(quarters, st.floats(0, 39)), min_size=1, max_size=12).map(sorted)
    trains = data.draw(st.lists(st.tuples(times, times), min_size=6, max_size=6))
    points = [[{**NMDA, "times_ms": one}, {**FAST, "times_ms": other}] for one, other in trains]
    theirs, ours = both(cell(), [[5e-5]], stimuli(*points), order)
    for neuron, batched in zip(theirs, ours, strict=True):
        assert np.max(np.abs(neuron - batched)) < SAME


@pytest.mark.parametrize("dt_ms", [0.025, 0.1, 1 / 30])
def test_every_edge_of_a_step(cell, dt_ms):
    """An event in the middle of a step: NEURON's time, added up, decides to which step it falls."""
    edges = [[(k + 0.5) * dt_ms] for k in range(3, 1000, 91)]
    fast = [[{**FAST, "site": "soma", "times_ms": edge, "weight": 1e-4}] for edge in edges]
    protocols = stimuli(*fast, duration_ms=1000 * dt_ms + 1)
    theirs, ours = both(cell(), [[5e-5]], protocols, 1, dt_ms=dt_ms, record_dt_ms=dt_ms)
    for neuron, batched in zip(theirs, ours, strict=True):
        assert np.max(np.abs(neuron - batched)) < SAME


def test_delivery_follows_neurons_rounding():
    steps = delivery_step(np.array([0.0, 0.0125, 0.01250001, 0.025, 0.0375, 0.038]), 1.0, 0.025)
    assert steps.tolist() == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("order", [1, 2])
def test_parameters_and_weight_may_be_free(cell, order):
    free = [
        {"variable": "gaba.e", "bounds": [-90, -50]},
        {"variable": "gaba.weight", "bounds": [0, 0.01]},
        {"variable": "gaba.tau2", "value": 7.5},
        {"variable": "nmda.mg", "bounds": [0.1, 2]},
    ]
    gaba = {**SLOW, "name": "gaba"}
    case = [gaba, {**gaba, "site": "dend"}, {**NMDA, "name": "nmda"}, SLOW]
    values = [[-80, 0.001, 1], [-60, 0.008, 1], [-60, 0.008, 0.2]]
    theirs, ours = both(cell(*free), values, stimuli(case, [gaba], []), order)
    for neuron, batched in zip(theirs, ours, strict=True):
        assert np.max(np.abs(neuron - batched)) < SAME
    assert np.max(np.abs(theirs[0][1] - theirs[0][0])) > 1.0 and np.max(np.abs(theirs[0][2] - theirs[0][1])) > 0.1
    assert np.array_equal(theirs[2][0], theirs[2][1])


def test_single_precision_keeps_spikes(cell):
    theirs, ours = both(cell(), [[5e-5]], stimuli(CASES["several at one node"], [SLOW, NMDA]), 2, precision="single")
    for neuron, batched in zip(theirs, ours, strict=True):
        one, other = spike_times(neuron[0, 0]), spike_times(batched[0, 0])
        assert len(one) == len(other) > 0 and np.max(np.abs(one - other)) < 0.01


@pytest.mark.parametrize("kind", ["neuron", "batched"])
def test_stimuli_do_not_see_each_others_point_processes(cell, kind):
    """Nor what those leave behind in NEURON: the ion that a synapse brought stays in its segment."""
    protocols = stimuli([POOL, NMDA], [CLAMP], [NMDA])
    engine = EngineSettings(kind=kind, workers=1)
    forth = hpcfit.simulate(cell(), np.array([[5e-5]]), protocols, engine)
    back = hpcfit.simulate(cell(), np.array([[5e-5]]), protocols[::-1], engine)
    for protocol in protocols:
        assert np.array_equal(forth.trace(0, protocol.name), back.trace(0, protocol.name))


def test_the_twin_carries_events_out():
    """An event of weight w makes Exp2Syn's conductance peak at w, where theory has the peak."""
    mechanism = read_mechanism(BUILT_IN / "exp2syn.mod")
    tau1, tau2, weight = 0.5, 5.0, np.array([0.003, 0.01])
    x = {**mechanism.parameters, "tau1": tau1, "tau2": tau2, "dt": DT, "t": 0.0, "v": -65.0}
    run(mechanism.initial, x)
    run(mechanism.receive_initial, x)
    x |= {"flag": 0.0, mechanism.arguments[0]: weight}
    run(mechanism.receive, x)
    course = []
    for _ in range(400):
        run(mechanism.advance, x)
        run(mechanism.current, x)
        course.append(x["i"] / -65.0)
    peak = np.argmax(course, axis=0)
    assert np.all(np.abs((peak + 1) * DT - tau1 * tau2 / (tau2 - tau1) * np.log(tau2 / tau1)) <= DT)
    np.testing.assert_allclose(np.max(course, axis=0), weight, rtol=1e-3)


# -- events that a mechanism sends itself -----------------------------------------------------------------------------


def train(text, folder, **known):
    (folder / "sends.mod").write_text(text)
    mechanism = read_mechanism(folder / "sends.mod")
    values = {**mechanism.parameters, **mechanism.constants, "dt": DT, "t": 0.0, **known}
    values |= dict.fromkeys(mechanism.arguments, 0.0)
    return expanded(mechanism, values, PointProcess("P", "soma", {}, np.array([1.0, 1.5, 8.0])), 10.0)


def test_a_mechanisms_own_events(tmp_path):
    events = train(PULSE, tmp_path)
    assert [time for time, _ in events] == pytest.approx([1, 1.5, 2.1, 2.5, 2.6, 8, 9.1])
    assert [flag for _, flag in events] == [0, 0, 1, -3, 2, 0, 3]


SENDS = """NEURON {{ POINT_PROCESS P NONSPECIFIC_CURRENT i }}
PARAMETER {{ wait = 1 }}
STATE {{ s }}
ASSIGNED {{ v i }}
BREAKPOINT {{ SOLVE d METHOD cnexp  i = s*v }}
DERIVATIVE d {{ s' = -s }}
NET_RECEIVE(w) {{
    {statement}
}}
"""


@pytest.mark.parametrize(
    ("statement", "line", "says"),
    [
        ("net_send(v, 1)", 8, "depends on the voltage, a state or a free parameter"),
        ("if (s > 1) { net_send(1, 1) }", 8, "depends on the voltage, a state or a free parameter"),
        ("net_send(-wait, 1)", 8, "a delay cannot be negative"),
        ("net_send(0, 1)", 8, "more than 1000 events at 1 ms"),
        ("net_move(3)", 8, "net_move is not translated"),
        ("net_send(3)", 8, "net_send takes 2 arguments, not 1"),
        ("WATCH (v > 3) 2", 8, "WATCH is not translated"),
        ("FOR_NETCONS(w) { s = 1 }", 8, "FOR_NETCONS is not translated"),
        ("v = 3", 7, "NET_RECEIVE assigns v"),
        ("s = 3 VERBATIM return; ENDVERBATIM", 8, "VERBATIM"),
        ("s = undeclared", 8, "undeclared is not declared"),
    ],
)
def test_what_cannot_be_known_beforehand_is_refused_with_its_line(tmp_path, statement, line, says):
    with pytest.raises(MechanismError) as error:
        train(SENDS.format(statement=statement), tmp_path)
    assert f"{tmp_path}/sends.mod, line {line}: " in str(error.value) and says in str(error.value)


def test_net_receive_belongs_to_point_processes(tmp_path):
    with pytest.raises(MechanismError, match=r"line 7: .*only a POINT_PROCESS receives events"):
        train(SENDS.format(statement="s = 1").replace("POINT_PROCESS", "SUFFIX"), tmp_path)
    with pytest.raises(MechanismError, match="line 7: NET_RECEIVE has no argument"):
        train(SENDS.format(statement="s = 1").replace("(w)", "()"), tmp_path)


def test_an_ion_at_the_end_of_a_section_is_refused(cell):
    point = {**NMDA, "site": "tip"}
    with pytest.raises(ConfigError, match=r"stimulus s0: .*ca_ion can't be inserted .* choose a site inside"):
        both(cell(), [[5e-5]], stimuli([point]), 1)
