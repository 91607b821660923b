"""Does a simulation's result depend on nothing but itself, and is what is kept of it what was asked for?

One small cell of the project's own currents, three stimuli of different lengths and electrodes.
"""

import os
import signal
import threading
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.interface import Status, portions, spike_times
from hpcfit.biophys.engines.memory import available_bytes, group_bytes
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.biophys.engines.packing import EMPTY, pack
from hpcfit.biophys.problem import SCORER, Evaluator
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.biophys.streamed import readings_on_the_way
from hpcfit.errors import EngineError
from hpcfit.run.processes import Processes

MECHANISMS = Path(__file__).resolve().parents[2] / "data" / "l5pc" / "mechanisms"
SWC = """\
1 1 0 0 0 10 -1
2 1 0 -10 0 10 1
3 1 0 10 0 10 1
4 4 0 10 0 1.5 1
5 4 0 310 0 0.5 4
"""
PARAMETERS = [
    {"variable": "g_pas", "regions": ["all"], "value": 5e-5},
    {"variable": "ena", "regions": ["somatic"], "value": 50.0},
    {"variable": "ek", "regions": ["somatic"], "value": -85.0},
    {"variable": "gSKv3_1bar_SKv3_1", "regions": ["somatic"], "value": 0.3},
    {"variable": "gNaTs2_tbar_NaTs2_t", "regions": ["somatic"], "bounds": [0.3, 0.9]},
    # 0/0 at exactly 0.5 and nowhere else: a parameter that is not a number.
    {"variable": "cm", "regions": ["apical"], "bounds": [0.4, 2.5], "distribution": "value * (value-0.5)/(value-0.5)"},
    {"variable": "e_pas", "regions": ["all"], "bounds": [-1e6, 0]},
]
STEP = {"shape": "step", "delay_ms": 5, "duration_ms": 30, "amplitude_nA": 0.8}
RAMP = {"shape": "ramp", "site": "dend", "delay_ms": 2, "duration_ms": 20, "end_nA": 0.9}
BLOW = {"shape": "step", "delay_ms": 10, "duration_ms": 1, "amplitude_nA": 1e4}
STIMULI = {
    "step": (40, [STEP]),
    "both": (25.2, [RAMP, STEP, {**STEP, "site": "dend", "amplitude_nA": 0.1}]),
    "rest": (33, []),
    "blow": (20, [BLOW]),
    "long": (4000, []),
}
NAMES = ["step", "both", "rest"]
POPULATION = np.random.default_rng(7).uniform([0.3, 0.6, -80], [0.9, 2.5, -70], (40, 3))


@cache
def fixed_parts(folder):
    """Cell, stimuli, and what the batched engine reads from NEURON."""
    (folder / "cell.swc").write_text(SWC)
    regions = {"all": ["pas"], "somatic": ["NaTs2_t", "SKv3_1"]}
    cell = Cell(
        CellSettings.model_validate({"morphology": folder / "cell.swc", "mechanisms": MECHANISMS, "regions": regions}),
        tuple(ParameterSettings.model_validate(one) for one in PARAMETERS),
        (SiteSettings(name="soma"), SiteSettings(name="dend", region="apical", distance_um=200.0, threshold_mV=-45.0)),
    )
    described = [
        {"name": name, "duration_ms": duration_ms, "window_ms": [0, 10], "electrodes": electrodes}
        for name, (duration_ms, electrodes) in STIMULI.items()
    ]
    stimuli = tuple(build_stimulus(StimulusSettings.model_validate(one)) for one in described)
    factory = neuron_factory(cell, stimuli, EngineSettings(kind="batched"))
    with Processes({SERVICE: factory}, 1) as executor:
        engine = BatchedEngine.of(NeuronEngine(factory, executor))
    return cell, stimuli, engine.plan


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """engine(**settings): the cell's batched engine."""
    cell, stimuli, plan = fixed_parts(tmp_path_factory.mktemp("cell"))

    def make(**settings):
        chosen = EngineSettings.model_validate({"kind": "batched", **settings})
        return BatchedEngine(cell, plan.structure, plan.mechanisms, stimuli, chosen)

    return make


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("individuals", [1, 7, 16, 17, 40])
def test_every_pair_has_one_lane_and_hardly_any_lane_is_empty(individuals, lanes):
    steps = [100, 300, 200, 300, 50]
    packing = pack(individuals, steps, lanes)
    filled = packing.stimulus != EMPTY
    pairs = set(zip(packing.individual[filled].tolist(), packing.stimulus[filled].tolist(), strict=True))
    assert len(pairs) == filled.sum() == individuals * len(steps)
    assert packing.empty < lanes
    length = np.where(filled, np.array(steps)[packing.stimulus], 0).max(axis=1)
    assert np.all(np.diff(length) <= 0), "the longest blocks come first"


def test_eight_stimuli_of_forty_individuals_fill_twenty_blocks():
    packing = pack(40, [1200] * 6 + [400, 720], 16)
    assert packing.stimulus.shape == (20, 16) and packing.empty == 0


@pytest.mark.parametrize("precision", ["single", "double"])
def test_a_result_does_not_depend_on_lane_block_or_thread(engine, precision):
    one, two = engine(precision=precision, workers=1), engine(precision=precision, workers=2)
    whole, spikes = two.simulate(POPULATION, NAMES), two.spikes(POPULATION, NAMES)
    assert whole.v_mV[0].dtype == (np.float32 if precision == "single" else np.float64)
    assert not whole.status.any() and spikes.counts[:, 0, 0].max() > 1
    random = np.random.default_rng(3)
    for number in range(1, 41):
        rows = random.permutation(40)[:number]
        names = [NAMES[k] for k in random.permutation(3)[: 1 + number % 3]]
        part = (one if number % 2 else two).simulate(POPULATION[rows], names)
        for name, v_mV in zip(names, part.v_mV, strict=True):
            assert np.array_equal(v_mV, whole.v_mV[NAMES.index(name)][rows]), (number, name)
        if number % 5 == 0:
            some = one.spikes(POPULATION[rows], names)
            for k, row in enumerate(rows):
                for name in names:
                    assert np.array_equal(some.of(k, name, "dend"), spikes.of(row, name, "dend"))


@pytest.mark.parametrize("precision", ["single", "double"])
def test_spikes_on_the_fly_are_those_of_the_traces(engine, precision):
    made = engine(precision=precision)
    traces, spikes = made.simulate(POPULATION, NAMES), made.spikes(POPULATION, NAMES, threshold_mV=-20.1)
    assert spikes.threshold_mV.tolist() == [-20.1, -45.0], "a site's own threshold goes before the general one"
    assert spikes.counts.sum() == len(spikes.times_ms) > 40
    for row in range(40):
        for name in NAMES:
            for site, threshold in (("soma", -20.1), ("dend", -45.0)):
                expected = spike_times(traces.trace(row, name, site), traces.dt_ms, threshold)
                np.testing.assert_allclose(spikes.of(row, name, site), expected, rtol=0, atol=1e-9)


def test_spike_times_are_neurons(engine):
    made, few = engine(precision="double", workers=1), POPULATION[:3]
    stimuli = [made.stimuli[name] for name in NAMES]
    neuron = hpcfit.simulate(made.cell, few, stimuli, EngineSettings(workers=1), record="spikes")
    batched = made.spikes(few, NAMES)
    assert np.array_equal(batched.counts, neuron.counts) and neuron.counts.sum() > 3
    np.testing.assert_allclose(batched.times_ms, neuron.times_ms, rtol=0, atol=1e-6)


def test_a_spike_is_a_sample_above_the_threshold_after_one_that_is_not():
    assert spike_times(np.array([-70.0, -20, -20, 0, 10, -30, -10, 5]), 0.1, -20.0) == pytest.approx([0.2, 0.55])
    assert len(spike_times(np.array([0.0, 10, -30]), 0.1, -20.0)) == 0
    assert len(spike_times(np.array([1.0]), 0.1, -20.0)) == 0


@pytest.mark.parametrize("precision", ["single", "double"])
def test_a_lane_that_diverges_is_stopped_named_and_harms_nobody(engine, precision):
    made, names = engine(precision=precision), [*NAMES, "blow"]
    good = POPULATION[:20]
    bad = good.copy()
    bad[3, 2] = -9e5  # beyond the limit at once
    bad[11, 1] = 0.5  # not a number
    clean, mixed, spikes = made.simulate(good, names), made.simulate(bad, names), made.spikes(bad, names)
    expected = np.zeros((20, 4), dtype=np.int8)
    expected[[3, 11]] = Status.DIVERGED
    expected[:, 3] = Status.DIVERGED
    assert np.array_equal(mixed.status, expected) and np.array_equal(spikes.status, expected)
    assert mixed.reasons == spikes.reasons and set(mixed.reasons) == set(zip(*np.nonzero(expected), strict=True))
    rest = np.setdiff1d(np.arange(20), [3, 11])
    for k in range(3):
        assert np.array_equal(mixed.v_mV[k][rest], clean.v_mV[k][rest])
        assert np.all(np.isnan(mixed.v_mV[k][[3, 11]]))
    assert np.all(spikes.counts[expected != 0] == 0)
    # It says when: the first sample beyond the limit, which an engine without a limit shows.
    unlimited = engine(precision=precision, voltage_limit_mV=1e30).simulate(good[:1], ["blow"]).v_mV[0][0]
    first = np.flatnonzero(np.any(np.abs(unlimited) > 500, axis=0))[0] * 0.1
    assert 10 < first < 11 and f"500 mV by {first:g} ms" in mixed.reasons[0, 3]


def test_a_block_whose_lanes_have_all_diverged_ends(engine):
    made, seconds = engine(workers=1), []
    for e_pas in (-75.0, -9e5):
        values = POPULATION[:16].copy()
        values[:, 2] = e_pas
        begun = time.process_time()
        status = made.spikes(values, ["long"]).status
        seconds.append(time.process_time() - begun)
        assert np.all(status == (Status.OK if e_pas == -75.0 else Status.DIVERGED))
    assert seconds[1] < 0.3 * seconds[0]


def test_a_deadline_ends_a_block_and_says_so(engine):
    late = engine(deadline_s=1e-6).simulate(POPULATION[:3], ["step"])
    assert np.all(late.status == Status.DEADLINE) and np.all(np.isnan(late.v_mV[0]))
    assert "engine.deadline_s = 1e-06 s" in late.reasons[2, 0]


def test_ctrl_c_ends_a_simulation_at_once(engine):
    made, begun = engine(), time.process_time()
    interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        made.spikes(np.tile(POPULATION, (100, 1)), ["long"])
    assert time.process_time() - begun < 5.0, "the whole would take minutes"
    assert not made.spikes(POPULATION, NAMES).status.any()


def test_memory_is_stated_and_bounds_what_is_made(engine):
    made = engine(workers=2)
    for population in (1, 40, 1000):
        stated = made.memory(population, NAMES)
        assert stated.results == population * 2 * (401 + 253 + 331) * 4
        assert stated.total == stated.parameters + stated.results + stated.work > stated.results
    assert sum(v_mV.nbytes for v_mV in made.simulate(POPULATION, NAMES).v_mV) == made.memory(40, NAMES).results
    assert made.memory(10**6, NAMES, "spikes").results < made.memory(10**6, NAMES).results
    assert engine(workers=4).memory(1, NAMES).work == 2 * made.memory(1, NAMES).work


def test_what_does_not_fit_is_refused_before_it_is_made(engine):
    small = engine(memory_GiB=0.01)
    with pytest.raises(EngineError, match=r"5000 individuals \(traces\) needs .* 10.2 MiB may be used; .*memory_GiB"):
        small.simulate(np.tile(POPULATION, (125, 1)), NAMES)
    with pytest.raises(EngineError, match="one individual needs"):
        portions(engine(memory_GiB=1e-6), 40, NAMES)
    parts = portions(small, 5000, NAMES)
    assert len(parts) > 1 and [row for part in parts for row in range(*part.indices(5000))] == list(range(5000))
    assert small.memory(parts[0].stop, NAMES).total <= 0.01 * 2**30
    assert portions(engine(), 40, NAMES) == [slice(0, 40)]


def test_a_control_groups_limit_counts(tmp_path):
    job = tmp_path / "root" / "slurm" / "job"
    job.mkdir(parents=True)
    (tmp_path / "membership").write_text("0::/slurm/job\n")
    (job / "memory.max").write_text("max\n")
    assert group_bytes(tmp_path / "root", tmp_path / "membership") == 2**62
    for name, text in (("memory.max", "1000"), ("memory.current", "700"), ("memory.stat", "anon 1\ninactive_file 200")):
        (job.parent / name).write_text(text)
    assert group_bytes(tmp_path / "root", tmp_path / "membership") == 500
    assert 0 < available_bytes() < 2**62


@pytest.mark.parametrize("stored", [True, False])
def test_portions_of_a_population_get_the_same_scores(tiny, stored):
    problem = hpcfit.load(tiny(("workers = 2", 'kind = "batched"\nworkers = 2')))
    factory = neuron_factory(problem.cell, problem.stimuli, problem.settings.engine)
    with Processes({SERVICE: factory, SCORER: problem.feature_factory()}, 2) as executor:
        made = BatchedEngine.of(NeuronEngine(factory, executor))
        evaluate = Evaluator(problem, made, executor, stored=stored)
        readings = readings_on_the_way(problem.feature_factory()(), problem.scored_stimuli, made)
        record = "traces" if stored or readings is None else readings
        vectors = np.random.default_rng(2).uniform(size=(21, len(problem.space.names)))
        whole = evaluate(vectors)
        limit = made.memory(5, problem.scored_stimuli, record).total
        made.settings = made.settings.model_copy(update={"memory_GiB": limit / 2**30})
        assert len(portions(made, 21, problem.scored_stimuli, record)) == 5
        split = evaluate(vectors)
    assert np.array_equal(split.scores, whole.scores) and np.all(np.isfinite(whole.scores))
    assert all(np.array_equal(split.arrays[name], whole.arrays[name], equal_nan=True) for name in whole.arrays)


def test_a_population_that_diverges_as_a_whole_is_an_error_with_its_cure(tiny):
    changes = [("value = -65", "value = 1e7"), ("workers = 2", 'kind = "batched"\nworkers = 2\ndt_ms = 0.1')]
    with pytest.raises(EngineError, match=r"all 6 simulations diverged .*beyond 500 mV by .* lower engine.dt_ms = 0.1"):
        hpcfit.run(tiny(*changes), "run", generations=1)
