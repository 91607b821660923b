"""What does each part of a generation cost here?  The calibration of a fit, measured with its own code."""

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np

from hpcfit.biophys.engines.interface import Engine
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.objectives import term_groups
from hpcfit.biophys.problem import SCORER, Evaluator, Measured, Problem
from hpcfit.evolve.choice import strategy_course
from hpcfit.jobs.load import load_settings
from hpcfit.jobs.signals import left_to_rank_0
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.jobs.words import naming
from hpcfit.population.ledger import Generation, Header, Ledger
from hpcfit.population.loop import Evaluation
from hpcfit.population.timeline import Timeline
from hpcfit.run.comm import Comm
from hpcfit.run.driver import serve
from hpcfit.run.hand import Answer, Work
from hpcfit.run.prediction.calibration import (
    SCHEMA,
    Calibration,
    KernelCosts,
    NetworkCosts,
    RankZeroCosts,
    SizesOfRows,
    WriterCosts,
    write_calibration,
)
from hpcfit.run.prediction.messages import dealing_cost, message_costs
from hpcfit.run.processes import Processes, available_cores
from hpcfit.run.serial import Serial
from hpcfit.settings import AnyStrategySettings

__all__ = ["calibrate", "help_to_calibrate", "write_calibration"]

_MANY = 16_000
"""Individuals that rank 0's own work is measured on: one thread makes as many offspring."""
_KERNEL_S = 8.0
_REPEATS = 5
_ASSUMED_NETWORK = "network: latency 2 us and 10 GB/s between nodes are assumed; the two ranks shared a machine"
_ASSUMED_MESSAGES = "rank_0.send_s, receive_s, byte_s: no MPI here; figures of MPICH on one machine"
_NO_WORK = Work(lambda rows: Answer({}), lambda: None)
_MESSAGES = {"send_s": 6e-6, "receive_s": 1e-5, "byte_s": 1e-10}


def calibrate(
    file: str | Path,
    comm: Comm | None = None,
    workers: int | None = None,
    say: Callable[[str], Any] = lambda line: None,
) -> Calibration:
    """Measure this machine with a fit: kernel, scores, strategy, ledger, dealing and messages; 20 s or so.

    comm: two ranks or more, where a launcher has started them: messages between the first two are then measured, over
    whatever network is between them; else those of two processes that are started here, where there is an mpiexec.
    workers: of a rank of the machine to be predicted; default: the cores here.

    Raises
    ------
    ConfigError, InputError, MechanismError, EngineError
        As `hpcfit.run`.
    """
    settings = load_settings(file)
    with naming(file):
        problem = Problem.of(settings)
    threads = settings.engine.workers or available_cores()
    engaged = settings.model_copy(update={"engine": settings.engine.model_copy(update={"workers": threads})})
    problem = Problem(engaged, problem.cell, problem.stimuli, problem.space, problem.targets)
    assumed: list[str] = []
    say("messages")
    messages, network = _messages(comm, assumed)
    with naming(file):
        factory = simulator_factory(problem.cell, problem.stimuli, problem.settings.engine)
    services = {SERVICE: factory, SCORER: problem.feature_factory()}
    with Processes({SERVICE: factory}, threads) as simulators:
        with naming(file):
            engine = choose_simulator(NeuronEngine(factory, simulators)).engine
        say("kernel")
        kernel, found = _kernel(problem, engine, Evaluator(problem, engine, Serial(services), timeline=Timeline()))
    kernel = kernel.model_copy(update={"workers": workers or threads})
    say("scores, strategy and ledger")
    rows = _many(found)
    score_s = _median(lambda: rows.scored(problem, problem.targets.terms))
    ask_s, tell_s, generation = _evolution(problem, rows)
    writer = _writer(generation)
    say("dealing")
    block_s, byte_s = _dealing(kernel, rows)
    rank_0 = RankZeroCosts(
        ask_row_s=ask_s / _MANY,
        tell_row_s=tell_s / _MANY,
        score_row_s=score_s / _MANY,
        block_s=block_s,
        send_s=messages["send_s"],
        receive_s=messages["receive_s"],
        byte_s=messages["byte_s"] + byte_s,
    )
    terms = len(problem.targets.terms)
    sizes = {"features_B": 8 * terms + len(problem.scored_stimuli), "contributions_B": 8 * terms}
    return Calibration(
        schema=SCHEMA,
        fit=settings.name,
        machine=f"{platform.machine()}, {available_cores()} cores, {platform.node()}",
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        kernel=kernel,
        rank_0=rank_0,
        network=network,
        writer=writer,
        sizes=SizesOfRows(sent_B=8 * len(problem.space.names), **sizes),
        assumed=tuple(assumed),
    )


def help_to_calibrate(comm: Comm) -> None:
    """What every rank but 0 does: the first answers messages, and all wait to be dismissed."""
    message_costs(comm)
    with left_to_rank_0(False, lambda number: None) as leave:
        serve(comm, lambda plan: nullcontext(_NO_WORK), leave)


def _kernel(problem: Problem, engine: Engine, evaluator: Evaluator) -> tuple[KernelCosts, Measured]:
    """Blocks that fill all workers once, and four times, in turns: slope, intercept and spread of their times.

    All workers are busy, as they are in a run: one that is alone on a machine is quicker.
    """
    workers, stimuli = problem.settings.engine.workers, len(problem.scored_stimuli)
    few = engine.at_once * -(-workers // stimuli)
    many = 4 * few
    rows = problem.space.random(many, seed=1)
    found = evaluator.measured(rows)  # builds what is built once
    times: dict[int, list[float]] = {few: [], many: []}
    ends = time.monotonic() + _KERNEL_S
    while len(times[many]) < 3 or (time.monotonic() < ends and len(times[many]) < 40):
        for count in (few, many):
            begun = time.perf_counter()
            evaluator.measured(rows[:count])
            times[count].append(time.perf_counter() - begun)
    row_s = float(np.median(times[many]) - np.median(times[few])) / (many - few)
    row_s = row_s if row_s > 0 else float(np.median(times[many])) / many
    costs = KernelCosts(
        row_s=row_s * workers,
        at_once=engine.at_once,
        stimuli=stimuli,
        block_s=max(0.0, float(np.median(times[few])) - few * row_s),
        block_spread=float(np.std(np.log(times[many]))),
    )
    return costs, found


def _many(found: Measured) -> Measured:
    """The same individuals again and again: what scoring them costs does not depend on who they are."""
    index = np.arange(_MANY) % len(found.features)
    return Measured(found.features[index], found.statuses[index])


def _evolution(problem: Problem, rows: Measured) -> tuple[float, float, Generation]:
    """Seconds of asking (vectors made into parameters too) and of telling, medians; and a generation to be written."""
    strategy, terms = _sized(problem.settings.strategy), problem.targets.terms
    objectives = term_groups(terms, getattr(strategy, "objectives", "terms"))
    course = strategy_course(strategy, len(problem.space.names), 1, objectives)
    scored = rows.scored(problem, terms)
    assert scored.contributions is not None
    last, asks, tells = None, [], []
    for number in range(_REPEATS + 1):
        begun = time.perf_counter()
        offspring = course.offspring(last)
        parameters = problem.space.physical(offspring["vectors"])
        asks.append((time.perf_counter() - begun) * _MANY / len(parameters))
        index = (np.arange(len(parameters)) + number) % _MANY
        parts = scored.contributions[index] * (1.0 + offspring["vectors"][:, :1])
        arrays = {"parameters": parameters, "features": scored.features[index], "contributions": parts}
        evaluation = Evaluation(parts.sum(axis=1), {**arrays, "statuses": scored.statuses[index]})
        begun = time.perf_counter()
        survivors = course.survivors(last, offspring, evaluation)
        tells.append((time.perf_counter() - begun) * _MANY / len(parameters))
        arrays = {**offspring, **evaluation.arrays, "scores": evaluation.scores, **survivors}
        last = Generation(number, arrays, {}, {})
    assert last is not None
    return float(np.median(asks[1:])), float(np.median(tells[1:])), last


def _sized(strategy: AnyStrategySettings) -> AnyStrategySettings:
    """The strategy for as many individuals: its own proportions where it has parents and offspring."""
    names = [name for name in ("parents", "offspring", "initial", "population") if getattr(strategy, name, None)]
    counts = {name: getattr(strategy, name) for name in names}
    whole = counts.get("offspring") or counts.get("population")
    if not whole:
        return strategy
    return strategy.model_copy(update={name: max(2, round(count * _MANY / whole)) for name, count in counts.items()})


def _writer(generation: Generation) -> WriterCosts:
    """From small and large generations, in the folder for temporary files."""
    rows = len(generation.arrays["scores"])

    def median(part: int) -> float:
        arrays = {name: array[: max(1, len(array) // part)] for name, array in generation.arrays.items()}
        took = []
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            ledger = Ledger.create(Path(folder) / "run", Header({}, {}, {}))
            for number in range(_REPEATS):
                begun = time.perf_counter()
                ledger.append(Generation(number, arrays, {}, {}))
                took.append(time.perf_counter() - begun)
        return float(np.mean(took))  # mean: what merges the journal comes now and then

    small, large = median(64), median(1)
    row_s = max(0.0, large - small) / (rows - rows // 64)
    return WriterCosts(generation_s=max(0.0, small - row_s * (rows // 64)), row_s=row_s)


def _dealing(kernel: KernelCosts, rows: Measured) -> tuple[float, float]:
    """Of rank 0, s of a block and s of a byte: a thousand ranks, answers of few bytes and of as many as there are."""
    few = {"features": np.zeros(1)}
    many = {"features": np.zeros(2 * rows.features.shape[1]), "statuses": np.zeros(rows.statuses.shape[1], np.int8)}
    ranks, per_rank = 1000, 4 * kernel.at_once
    (least_s, blocks), (most_s, _) = (dealing_cost(ranks, per_rank, kernel.at_once, answer) for answer in (few, many))
    more_B = ranks * per_rank * (sum(array.nbytes for array in many.values()) - 8)
    return least_s / max(blocks, 1), max(0.0, most_s - least_s) / more_B


def _messages(comm: Comm | None, assumed: list[str]) -> tuple[dict[str, float], NetworkCosts]:
    if comm is not None:
        costs = message_costs(comm)
        assert costs is not None
        network = NetworkCosts(latency_s=costs["latency_s"], bandwidth_B_s=min(1e12, 1 / max(costs["byte_s"], 1e-12)))
        return costs, network if comm.neighbours == 1 else _assumed_network(assumed)
    beside = str(Path(sys.executable).parent)
    mpiexec = which("mpiexec", path=beside) or which("mpiexec")
    if mpiexec is not None:
        command = [mpiexec, "-n", "2", sys.executable, "-m", "hpcfit.run.prediction.messages"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1]), _assumed_network(assumed)
    assumed.append(_ASSUMED_MESSAGES)
    return dict(_MESSAGES), _assumed_network(assumed)


def _assumed_network(assumed: list[str]) -> NetworkCosts:
    assumed.append(_ASSUMED_NETWORK)
    return NetworkCosts()


def _median(work: Callable[[], Any], repeats: int = _REPEATS) -> float:
    took: list[float] = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return float(np.median(took))
