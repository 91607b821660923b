"""Are features that are read while a cell is simulated those of stored traces, to the last bit, and is no trace kept?

Small cells; features of every name, at two sites with windows and settings of their own.
"""

import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.interface import Status, portions
from hpcfit.biophys.engines.readings import features_of
from hpcfit.biophys.extract import Reading, Reason, extract
from hpcfit.biophys.problem import Evaluator, Problem
from hpcfit.biophys.settings import EngineSettings, ScoreSettings
from hpcfit.biophys.streamed import readings_on_the_way
from hpcfit.errors import ConfigError, EngineError, InputError
from hpcfit.jobs import load_settings
from hpcfit.population.ledger import Ledger, same_numbers

from .random_cells import random_case
from .side_by_side import side_by_side
from .synthetic_traces import chirp_nA
from .test_batched_recording import NAMES, POPULATION, fixed_parts

L5PC = Path(__file__).resolve().parents[2] / "data" / "l5pc" / "fit.toml"
ALL = hpcfit.features.feature_names()
FEW = ("Spikecount", "voltage_base", "AP_amplitude", "time_to_first_spike")
READINGS = (
    Reading("step", "soma", (5, 35), ALL, stimulus_nA=0.8, current=hpcfit.features.CurrentTrace(chirp_nA(2000, 0.025))),
    Reading("step", "dend", (5, 30), ALL[::2], hpcfit.features.ExtractSettings(Threshold=-45.0, interp_step=0.05)),
    Reading("step", "soma", (10, 20), FEW),
    Reading("both", "soma", (2, 22), ALL, hpcfit.features.ExtractSettings(strict_stiminterval=True)),
    Reading("rest", "dend", (3, 500), FEW),
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """engine(**settings): the batched engine of one small cell."""
    cell, stimuli, plan = fixed_parts(tmp_path_factory.mktemp("cell"))

    def make(**settings):
        chosen = EngineSettings.model_validate({"kind": "batched", **settings})
        return BatchedEngine(cell, plan.structure, plan.mechanisms, stimuli, chosen)

    return make


def same_bits(made, values, stimuli, readings):
    """Both ways; how many features are defined."""
    found, stored = made.features(values, stimuli, readings), made.simulate(values, stimuli)
    assert np.array_equal(found.status, stored.status) and found.reasons == stored.reasons
    for number, one in enumerate(readings):
        v_mV = stored.v_mV[stored.stimuli.index(one.stimulus)][:, stored.sites.index(one.site)]
        table = extract(
            v_mV,
            stored.dt_ms,
            one.window_ms,
            one.names,
            one.settings,
            stimulus_nA=one.stimulus_nA,
            i_nA=one.current and one.current.i_nA[: v_mV.shape[1]],
            threads=1,
        )
        for name in ("mean", "count", "reason"):
            ours, theirs = getattr(found, name)[number], getattr(table, name)
            assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes(), (one.stimulus, one.site, name)
    return sum(int(np.sum(np.isfinite(mean))) for mean in found.mean)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_they_are_those_of_stored_traces_to_the_last_bit(engine, precision, workers):
    made = engine(precision=precision, workers=workers)
    # 40 individuals: full blocks, and blocks of all stimuli, the last of them partly empty.
    assert same_bits(made, POPULATION, NAMES, READINGS) > 40 * 100
    random = np.random.default_rng(workers)
    for individuals in (1, 7, 16, 17):
        rows = random.permutation(40)[:individuals]
        order = [NAMES[k] for k in random.permutation(3)]
        assert same_bits(made, POPULATION[rows], order, READINGS) > 100 * individuals


@pytest.mark.parametrize("record_dt_ms", [0.025, 0.2, 1.0])
def test_at_any_sampling(engine, record_dt_ms):
    assert same_bits(engine(record_dt_ms=record_dt_ms), POPULATION[:19], NAMES, READINGS) > 19 * 40


@pytest.mark.parametrize("number", [8, 10])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_on_random_cells(number, precision, tmp_path):
    case = random_case(Random(number), tmp_path)
    with side_by_side(case.cell, case.stimuli, case.engine) as both:
        made = both.batched(precision)
    sites = [site.name for site in case.cell.sites]
    readings = [Reading(one.name, site, one.window, ALL) for one in case.stimuli for site in sites]
    assert same_bits(made, np.tile(case.values, (6, 1)), both.names, readings) > 100


@pytest.mark.parametrize("precision", ["single", "double"])
def test_a_lane_that_diverges_has_none_and_harms_nobody(engine, precision):
    made, names = engine(precision=precision), [*NAMES, "blow"]
    bad = POPULATION[:20].copy()
    bad[[3, 4, 18], 2] = -9e5  # beyond the limit at once
    bad[11, 1] = 0.5  # not a number
    readings = (*READINGS, Reading("blow", "soma", (5, 15), FEW))
    assert same_bits(made, bad, names, readings) > 16 * 100
    found, clean = made.features(bad, names, readings), made.features(POPULATION[:20], NAMES, READINGS)
    failed = found.status[:, 0] == Status.DIVERGED
    assert np.array_equal(np.flatnonzero(failed), [3, 4, 11, 18]) and np.all(found.status[:, 3] == Status.DIVERGED)
    for mean, count, reason, other in zip(found.mean, found.count, found.reason, clean.mean, strict=False):
        assert np.array_equal(mean[~failed], other[~failed], equal_nan=True)
        assert np.all(np.isnan(mean[failed])) and not count[failed].any() and np.all(reason[failed] == 1)
    assert np.all(found.reason[-1] == Reason.NOT_FINITE)


def test_a_block_that_reaches_its_deadline_has_none(engine):
    late = engine(deadline_s=1e-6).features(POPULATION[:3], ["step"], READINGS[:1])
    assert np.all(late.status == Status.DEADLINE) and np.all(np.isnan(late.mean[0]))


def test_a_stimulus_and_a_site_that_nobody_reads_are_simulated_all_the_same(engine):
    made = engine()
    found = made.features(POPULATION, ["long", *NAMES], READINGS[-1:])
    assert found.status.shape == (40, 4) and not found.status.any()
    alone = made.features(POPULATION, ["rest"], READINGS[-1:])
    assert np.array_equal(found.mean[0], alone.mean[0], equal_nan=True)
    assert np.array_equal(found.of("rest", "voltage_base", "dend"), found.mean[0][:, 1])
    with pytest.raises(KeyError, match=r"rest\.soma\.voltage_base was not read"):
        found.of("rest", "voltage_base")
    nothing = made.features(POPULATION, NAMES, [])
    assert nothing.mean == () and not nothing.status.any()


def test_no_trace_is_in_memory_and_what_is_was_stated(engine):
    made, values = engine(workers=2, record_dt_ms=0.025), np.tile(POPULATION, (50, 1))
    stated = made.memory(2000, NAMES, READINGS)
    assert stated.results == 2000 * 13 * sum(len(one.names) for one in READINGS)
    longer = made.memory(2000, ["long", *NAMES], READINGS)
    assert longer.results == stated.results and longer.work > stated.work
    assert made.memory(4000, NAMES, READINGS).work == stated.work
    tracemalloc.start()
    found = made.features(values, NAMES, READINGS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    one_site_one_stimulus = 2000 * 1601 * 4
    assert sum(mean.nbytes for mean in found.mean) < peak < stated.total < one_site_one_stimulus
    small = engine(record_dt_ms=0.025, memory_GiB=stated.total / 2**30)
    with pytest.raises(EngineError, match=r"2000 individuals \(traces\) needs"):
        small.simulate(values, NAMES)
    again = small.features(values, NAMES, READINGS)
    assert np.array_equal(again.mean[0], found.mean[0], equal_nan=True)
    with pytest.raises(EngineError, match=r"4000 individuals \(features\) needs"):
        small.features(np.tile(values, (2, 1)), NAMES, READINGS)
    assert len(portions(small, 4000, NAMES, READINGS)) > 1
    both = features_of(small, np.tile(values, (2, 1)), NAMES, READINGS)
    assert np.array_equal(both.mean[0], np.tile(found.mean[0], (2, 1)), equal_nan=True)


def test_every_simulator_gives_features(tiny):
    problem = hpcfit.load(tiny())
    values = problem.space.random(3, seed=4)

    def by(**engine):
        settings = EngineSettings(**engine)
        return hpcfit.simulate(problem.cell, values, problem.stimuli, settings, record="features", features=FEW)

    batched, neuron = by(kind="batched", precision="double"), by(kind="neuron")
    assert batched.readings == neuron.readings == (Reading("step", "soma", problem.stimuli[0].window_ms, FEW),)
    assert np.array_equal(batched.of("step", "Spikecount"), neuron.of("step", "Spikecount"))
    np.testing.assert_allclose(batched.mean[0], neuron.mean[0], rtol=1e-6)
    assert np.all(np.isfinite(neuron.mean[0][1])), "this one is meant to fire"


def test_what_cannot_be_read_is_one_clear_error(tiny, engine):
    problem = hpcfit.load(tiny())
    values = problem.space.random(1, seed=4)

    def simulate(features, record: Any = "features"):
        return hpcfit.simulate(problem.cell, values, problem.stimuli, "batched", record=record, features=features)

    with pytest.raises(ConfigError, match=r"reading of step at soma: there is no feature 'Spikecuont' .* Spikecount"):
        simulate(["Spikecuont"])
    with pytest.raises(InputError, match=r"readings\[1\]: there is no stimulus 'stp' .* did you mean step\?"):
        simulate([Reading("step", "soma", (1, 2), FEW), Reading("stp", "soma", (1, 2), FEW)])
    with pytest.raises(InputError, match=r"readings\[0\]: there is no site 'axon' .* there are soma"):
        simulate([Reading("step", "axon", (1, 2), FEW)])
    with pytest.raises(InputError, match=r"window_ms = \(3, 2\) ms; it has to end after its start"):
        Reading("step", "soma", (3, 2), FEW)
    for features, record in (([], "features"), (FEW, "traces"), (FEW, "spikes")):
        with pytest.raises(ValueError, match="'features' and features go together"):
            simulate(features, record)
    with pytest.raises(InputError, match="there is no stimulus 'both' in this simulation"):
        engine().features(POPULATION, ["step"], READINGS)


class Calls:
    """Which of the engine's ways a fit takes."""

    def __init__(self, monkeypatch):
        self.made = []
        for name in ("simulate", "features"):
            monkeypatch.setattr(BatchedEngine, name, self._counted(name, getattr(BatchedEngine, name)))

    def _counted(self, name, method):
        def call(engine, parameters, *others):
            self.made.append((name, len(parameters)))
            return method(engine, parameters, *others)

        return call


def test_a_fit_gives_the_same_ledger_with_and_without_traces(tiny, monkeypatch, tmp_path):
    fit, calls = tiny(("workers = 2", 'kind = "batched"\nworkers = 2')), Calls(monkeypatch)
    hpcfit.run(fit, tmp_path / "streamed")
    best = [("simulate", 1)]
    assert calls.made == [("features", 6)] * 3 + best
    calls.made.clear()
    monkeypatch.setattr("hpcfit.jobs.fit.Evaluator", lambda *given: Evaluator(*given, stored=True))
    hpcfit.run(fit, tmp_path / "stored")
    assert calls.made == [("simulate", 6)] * 3 + best
    streamed, stored = (Ledger.open(tmp_path / name) for name in ("streamed", "stored"))
    assert same_numbers(streamed, stored) == [] and len(streamed) == 3
    assert np.all(hpcfit.open_run(tmp_path / "streamed").timings()["score"] > 0)


def test_a_fit_that_efel_reads_keeps_its_traces(tiny, monkeypatch, tmp_path):
    changes = ("[engine]\nworkers = 2", '[features]\nbackend = "efel"\n[engine]\nkind = "batched"\nworkers = 2')
    calls = Calls(monkeypatch)
    hpcfit.run(tiny(changes), tmp_path / "efel", generations=1)
    assert {name for name, _ in calls.made} == {"simulate"}


def test_a_fit_with_features_of_the_current_streams_and_has_efels_numbers(tiny, monkeypatch):
    step = '{ shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.2 }'
    chirp = '{ shape = "chirp", delay_ms = 20, duration_ms = 500, amplitude_nA = 0.02, start_Hz = 1, end_Hz = 80 }'
    names = ("impedance", "current_base", "steady_state_current_stimend", "voltage_base")
    changes = [
        ("duration_ms = 50", "duration_ms = 540\nholding_nA = -0.01"),
        (step, chirp),
        ("Spikecount = [2, 0.5]\nAP_amplitude = [75, 3]\n", "".join(f"{name} = [1, 1]\n" for name in names[:3])),
        ('["Spikecount", "AP_amplitude", "voltage_base"]', str(list(names))),
        ("[engine]", '[engine]\nkind = "batched"'),
    ]
    calls, found = Calls(monkeypatch), []
    for backend, way in (("hpcfit", "features"), ("efel", "simulate")):
        calls.made.clear()
        fit = tiny(*changes, ("[strategy]", f'[features]\nbackend = "{backend}"\n\n[strategy]'))
        hpcfit.run(fit, backend, generations=1)
        assert calls.made[0] == (way, 6)
        found.append(Ledger.open(Path(backend)).read(0).arrays["features"])
    assert np.allclose(*found, rtol=1e-6, atol=1e-9) and np.all(np.isfinite(found[0])) and np.ptp(found[0][:, 0]) > 0


def test_a_current_shorter_than_the_response_is_one_clear_error(engine):
    short = Reading("step", "soma", (5, 35), FEW, current=hpcfit.features.CurrentTrace(np.zeros(3)))
    with pytest.raises(
        InputError, match=r"i_nA has 3 samples and the voltage \d+; give the current where it is sampled"
    ):
        engine().features(POPULATION[:1], NAMES, [short])


def test_a_distance_between_traces_keeps_them(engine):
    made, settings = engine(), load_settings(L5PC)

    def read(*scores):
        problem = Problem.of(settings.model_copy(update={"scores": scores}))
        return readings_on_the_way(problem.feature_factory()(), problem.scored_stimuli, made)

    features = ScoreSettings(features=("Spikecount", "voltage_base"))
    found = read(features)
    assert found is not None and [one.stimulus for one in found] == [one.name for one in settings.stimuli]
    assert read(features, ScoreSettings(trace="rms", stimuli=("low",))) is None
