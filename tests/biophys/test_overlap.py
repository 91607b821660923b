"""Are the numbers the same, bit for bit, whether scoring waits for simulation or goes on beside it?"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.problem import SCORER, Evaluator, Problem
from hpcfit.biophys.settings import FeatureSettings
from hpcfit.biophys.units import units
from hpcfit.errors import EngineError
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.population.progress import Progress
from hpcfit.population.timeline import Timeline
from hpcfit.run.pipeline import SideBySide
from hpcfit.run.processes import Processes

STEPS = """\
[[stimuli]]
name = "long"
duration_ms = 70
electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 50, amplitude_nA = 0.1 }]

[[stimuli]]
name = "short"
duration_ms = 30
electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 15, amplitude_nA = 0.3 }]

[targets.long.statistics.soma]
Spikecount = [1, 0.5]
AP_amplitude = [75, 3]

[targets.short.statistics.soma]
Spikecount = [1, 0.5]
time_to_first_spike = [3, 1]

[targets.step.statistics.soma]
"""
CHANGES = (
    ("[targets.step.statistics.soma]\n", STEPS),
    ('features = ["Spikecount", "AP_amplitude", "voltage_base"]', ""),
)
EFEL = '[features]\nbackend = "efel"\n\n[strategy]'
INDIVIDUALS = 70


def problem_of(tiny, kind: str, backend: str, workers: int) -> Problem:
    changes = [*CHANGES, ("workers = 2", f'kind = "{kind}"\nworkers = {workers}')]
    if backend == "efel":
        changes.append(("[strategy]", EFEL))
    return hpcfit.load(tiny(*changes))


@contextmanager
def evaluator(problem: Problem, pipeline, **more) -> Iterator[tuple[Evaluator, Processes]]:
    """As a fit has it: simulators and scorers in processes of their own."""
    workers = problem.settings.engine.workers
    factory = simulator_factory(problem.cell, problem.stimuli, problem.settings.engine)
    with (
        Processes({SERVICE: factory}, workers) as simulators,
        Processes({SCORER: problem.feature_factory()}, workers) as scorers,
    ):
        engine = choose_simulator(NeuronEngine(factory, simulators)).engine
        yield Evaluator(problem, engine, scorers, pipeline, **more), scorers


def vectors(problem: Problem) -> np.ndarray:
    return np.random.default_rng(5).uniform(size=(INDIVIDUALS, len(problem.space.names)))


def bits(evaluation) -> dict[str, bytes]:
    return {"scores": evaluation.scores.tobytes()} | {k: v.tobytes() for k, v in evaluation.arrays.items()}


@pytest.mark.parametrize("kind", ["batched", "neuron", "coreneuron"])
def test_the_same_bits_in_turn_and_side_by_side_whoever_scores(tiny, kind):
    problem = problem_of(tiny, kind, "hpcfit", 1)
    by_efel = replace(
        problem, settings=problem.settings.model_copy(update={"features": FeatureSettings(backend="efel")})
    )
    factory = simulator_factory(problem.cell, problem.stimuli, problem.settings.engine)
    with (
        Processes({SERVICE: factory}, 2) as simulators,
        Processes({SCORER: by_efel.feature_factory()}, 1) as one,
        Processes({SCORER: by_efel.feature_factory()}, 3) as three,
    ):
        engine = choose_simulator(NeuronEngine(factory, simulators)).engine
        assert len(units(engine, INDIVIDUALS, problem.scored_stimuli, 3)) == 3
        for scored, pools in ((problem, [one]), (by_efel, [one, three])):
            whole = bits(Evaluator(scored, engine, one)(vectors(problem)))
            for number, pool in enumerate(pools, start=1):
                beside = Evaluator(scored, engine, pool, SideBySide(number))
                # The order of the second generation comes from the times of the first.
                for evaluation in (beside(vectors(problem)), beside(vectors(problem))):
                    assert bits(evaluation) == whole
                    assert evaluation.counts["unread_traces"] == 0 and np.all(np.isfinite(evaluation.scores))


def test_the_same_bits_with_any_threads(tiny):
    found = []
    for workers in (1, 2, 3):
        problem = problem_of(tiny, "batched", "hpcfit", workers)
        with evaluator(problem, SideBySide()) as (evaluate, _):
            found.append(bits(evaluate(vectors(problem))))
    assert found[0] == found[1] == found[2]


def test_a_unit_is_scored_while_the_next_is_simulated(tiny):
    problem, timeline = problem_of(tiny, "batched", "efel", 1), Timeline()
    with evaluator(problem, SideBySide(), timeline=timeline) as (evaluate, _):
        evaluate(np.tile(vectors(problem), (3, 1)))  # workers start, mechanisms compile
        timeline.taken()
        evaluation = evaluate(np.tile(vectors(problem), (3, 1)))
    events = timeline.taken()
    stages = {(event.who, event.what): event for event in events}
    names = {"long", "short", "step"}
    assert {what for who, what in stages if who == "simulator"} == names
    assert {what for who, what in stages if who == "scorer"} == names
    for name in names:
        assert stages["scorer", name].began_s >= stages["simulator", name].ended_s
    order = sorted(names, key=lambda name: stages["simulator", name].began_s)
    assert all(
        stages["simulator", later].began_s < stages["scorer", former].ended_s for former, later in pairwise(order)
    )
    timings = evaluation.timings_s
    assert 0 < timings["score_hidden"] <= timings["simulate"] and timings["score"] > 0


class Killer:
    """Kills one of the scorers as it is at work, once."""

    def __init__(self, scorers: Processes, find: Callable[[Processes], int | None]) -> None:
        self.scorers, self.find, self.killed = scorers, find, 0
        self.thread = threading.Thread(target=self.kill)

    def kill(self) -> None:
        ends = time.monotonic() + 30
        while time.monotonic() < ends and not self.killed:
            if (pid := self.find(self.scorers)) is not None:
                os.kill(pid, signal.SIGKILL)
                self.killed = pid
            time.sleep(0.0005)


def at_work(scorers: Processes) -> int | None:
    """A process whose task has begun."""
    for worker in list(scorers._pool):
        if worker.index >= 0 and worker._began_s is not None:
            return worker._process.pid
    return None


def test_a_scoring_worker_that_is_killed_costs_nothing(tiny):
    problem = problem_of(tiny, "batched", "efel", 2)
    population = np.tile(vectors(problem), (3, 1))
    with evaluator(problem, SideBySide()) as (evaluate, scorers):
        whole = evaluate(population)
        killer = Killer(scorers, at_work)
        killer.thread.start()
        hurt = evaluate(population)
        killer.thread.join()
        assert killer.killed
        assert bits(hurt) == bits(whole) and hurt.counts["unread_traces"] == 0


def test_scorers_that_cannot_be_started_are_one_error_and_nothing_hangs(tiny, monkeypatch):
    problem = problem_of(tiny, "neuron", "efel", 2)
    with evaluator(problem, SideBySide()) as (evaluate, scorers):
        monkeypatch.setattr(scorers, "_factories", b"not a pickle")
        start = time.monotonic()
        with pytest.raises(EngineError, match="worker processes end before they begin a task"):
            evaluate(vectors(problem))
        assert time.monotonic() - start < 60
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("hpcfit")]


def test_no_more_traces_than_memory_has_room_for(tiny):
    problem = problem_of(tiny, "batched", "efel", 1)
    with evaluator(problem, SideBySide()) as (evaluate, _):
        engine = evaluate._engine
        whole = evaluate(vectors(problem))
        limit = engine.memory(25, problem.scored_stimuli).total
        engine.settings = engine.settings.model_copy(update={"memory_GiB": limit / 2**30})
        most = watch_traces(evaluate)
        split = evaluate(vectors(problem))
    assert bits(split) == bits(whole)
    assert most[0] <= limit


def watch_traces(evaluate: Evaluator) -> list[int]:
    """The most bytes of voltage that have been simulated and not yet scored, as they come to be."""
    lock, now, most = threading.Lock(), [0], [0]
    engine: Any = evaluate._engine
    simulate, features = engine.simulate, evaluate.features

    def counted(*arguments):
        responses = simulate(*arguments)
        with lock:
            now[0] += sum(v_mV.nbytes for v_mV in responses.v_mV)
            most[0] = max(most[0], now[0])
        return responses

    def scored(responses):
        found = features(responses)
        with lock:
            now[0] -= sum(v_mV.nbytes for v_mV in responses.v_mV)
        return found

    engine.simulate, evaluate.features = counted, scored
    return most


@pytest.mark.parametrize("kind", ["batched", "neuron"])
def test_progress_reaches_the_end(tiny, kind):
    problem, told = problem_of(tiny, kind, "hpcfit", 2), []
    progress = Progress(lambda done, of: told.append((done, of)))
    with evaluator(problem, SideBySide(), progress=progress) as (evaluate, _):
        evaluate(vectors(problem))
    done = [one for one, _ in told]
    assert done == sorted(set(done)) and told[-1] == (INDIVIDUALS * 3, INDIVIDUALS * 3)
