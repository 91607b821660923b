"""Where does the time of a generation go, and how much of it does overlap hide?  The paper's problem on this machine.

    envs/local python benchmarks/generation.py [--quick] [--fit data/l5pc/fit.toml] [--generations N] [--picture FILE]

Real generations of the fit, 250 individuals: strategy, simulation, scoring and ledger as `hpcfit fit` has them.  Each
generation is evaluated twice, in turn (a stimulus is simulated, then scored) and side by side (scored while the next is
simulated), once the one first and once the other; with our scorer on all cores, and with eFEL by one simulator thread
beside one scoring process, as if each side had a core of its own (--shared: also where both share all cores).  Workers
and kernels are warm.  Our features are read by the simulator's own threads, whose clocks tell how much of their time
that was (score): nothing is left to go on beside it.

hidden = time in which both stages are at work; efficiency = hidden / time of the stage that is at work less.  Where
each side has its own cores, hidden time is saved time; where both share all cores it is not, as both then take longer:
`saved` is what the clock says, time in turn less time side by side, over the shorter side's time in turn.  cpu is the
processor time of all processes, which does not grow when others use the machine, and of that cpu_sim is simulation (in
turn, eFEL's rows; else the two cannot be told apart).  All are medians over generations.  Last line: one JSON object;
`score_evolve_write_share` is the claim's figure with our scorer, in turn, by the clock.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from hpcfit.biophys.engines.interface import Engine, Responses
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.objectives import term_groups
from hpcfit.biophys.problem import SCORER, Evaluator, Problem
from hpcfit.biophys.settings import FitSettings
from hpcfit.evolve.choice import strategy_course
from hpcfit.jobs import folder as run_folder
from hpcfit.jobs import load_settings
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.population.ledger import Ledger
from hpcfit.population.loop import Evaluation, run_generations
from hpcfit.population.pipeline import InTurn
from hpcfit.population.timeline import Timeline, TimelineFile
from hpcfit.report.timeline import write_timeline
from hpcfit.run.pipeline import SideBySide
from hpcfit.run.processes import Processes
from hpcfit.run.processor_time import ProcessorTime

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("simulate", "score", "evolve", "write", "total", "hidden", "cpu", "cpu_sim")
OURS, APART, SHARED = ("hpcfit", 0), ("efel", 1), ("efel", 0)
WARM = 64
Medians = dict[str, float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small population, two generations")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--generations", type=int, default=8, help="with eFEL a quarter of them")
    parser.add_argument("--shared", action="store_true", help="also eFEL with both sides on all cores")
    parser.add_argument("--picture", type=Path, help="PNG of the last generation: eFEL, one thread beside one process")
    arguments = parser.parse_args()

    settings = load_settings(arguments.fit)
    size = {"parents": 8, "offspring": 16} if arguments.quick else {"parents": 125, "offspring": 250, "initial": 250}
    settings = settings.model_copy(update={"strategy": settings.strategy.model_copy(update=size)})
    generations = 2 if arguments.quick else arguments.generations
    print(f"{'scorer':8} {'workers':>7}  {'':12} " + " ".join(f"{name:>9}" for name in PHASES) + "   (s, medians)")
    found = {}
    for scorer, workers in (OURS, APART, SHARED) if arguments.shared else (OURS, APART):
        count = generations if scorer == "hpcfit" else max(1, generations // 4)
        found[scorer, workers] = measured(changed(settings, scorer, workers, count), arguments.picture)
        for name, one in found[scorer, workers].items():
            values = " ".join(f"{one[phase]:9.4f}" for phase in PHASES)
            print(f"{scorer:8} {workers or 'cores':>7}  {name:12} {values}", flush=True)
    print(json.dumps(figures(settings, found, generations)))


def changed(settings: FitSettings, scorer: str, workers: int, generations: int) -> FitSettings:
    """The settings of a case."""
    return settings.model_copy(
        update={
            "engine": settings.engine.model_copy(update={"workers": workers}),
            "features": settings.features.model_copy(update={"backend": scorer}),
            "run": settings.run.model_copy(update={"generations": generations}),
        }
    )


class Metered:
    """An engine whose simulations are metered in processor time of this process, where the batched kernel runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.cpu_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def simulate(self, parameters: np.ndarray, stimuli: Sequence[str]) -> Responses:
        begun_s = time.process_time()  # ProcessorTime, which looks at all processes, takes longer than some stimuli
        responses = self._engine.simulate(parameters, stimuli)
        self.cpu_s += time.process_time() - begun_s
        return responses


class Both:
    """Evaluates with either pipeline, in changing order, and keeps what each took."""

    def __init__(self, evaluators: dict[str, Evaluator], meter: Metered) -> None:
        self.evaluators, self._meter = evaluators, meter
        self.took: dict[str, list[Medians]] = defaultdict(list)
        self._calls = 0

    def __call__(self, vectors: np.ndarray) -> Evaluation:
        self._calls += 1
        found = {name: self._one(name, vectors) for name in list(self.evaluators)[:: 1 if self._calls % 2 else -1]}
        turn, beside = found["in turn"], found["side by side"]
        assert np.array_equal(turn.scores, beside.scores), "what goes on beside what must not change results"
        return beside

    def _one(self, name: str, vectors: np.ndarray) -> Evaluation:
        begun, self._meter.cpu_s = time.monotonic(), 0.0
        with ProcessorTime() as cpu:
            evaluation = self.evaluators[name](vectors)
        total, timings = time.monotonic() - begun, evaluation.timings_s
        hidden = timings["score_hidden"]
        took = {"simulate": timings["simulate"], "score": timings["score"] + hidden, "hidden": hidden}
        self.took[name].append({**took, "total": total, "cpu": cpu.seconds, "cpu_sim": self._meter.cpu_s})
        return evaluation


def measured(settings: FitSettings, picture: Path | None) -> dict[str, Medians]:
    """Of each pipeline, medians over generations, s; `score` is all of it, hidden or not."""
    problem, timeline = Problem.of(settings), Timeline()
    factory = simulator_factory(problem.cell, problem.stimuli, settings.engine)
    workers, last = settings.engine.workers, (settings.features.backend, settings.engine.workers) == APART
    with (
        tempfile.TemporaryDirectory() as place,
        Processes({SERVICE: factory}, workers) as simulators,
        Processes({SCORER: problem.feature_factory()}, workers, on_worked=timeline.worked) as scorers,
    ):
        engine = choose_simulator(NeuronEngine(factory, simulators)).engine
        meter = Metered(engine)
        evaluators = {
            "in turn": Evaluator(problem, cast(Engine, meter), scorers, InTurn()),
            "side by side": Evaluator(problem, engine, scorers, SideBySide(), timeline),
        }
        both = Both(evaluators, meter)
        both(np.random.default_rng(0).uniform(size=(WARM, len(problem.space.names))))
        both.took.clear()
        timeline.taken()
        objectives = term_groups(problem.targets.terms, getattr(settings.strategy, "objectives", "terms"))
        course = strategy_course(settings.strategy, len(problem.space.names), settings.run.seed, objectives)
        ledger = Ledger.create(Path(place), run_folder.header(problem, Path(place)))
        run_generations(course, both, ledger, settings.run, timeline=timeline)
        evolve_s = [generation.timings_s["evolve"] for generation in ledger]
        write_s = [event.ended_s - event.began_s for event in timeline.events() if event.phase == "write"]
        if last:
            drawn(timeline, Path(place), picture)
    rest = {"evolve": float(np.median(evolve_s)), "write": float(np.median(write_s))}
    return {name: medians(took, rest) for name, took in both.took.items()}


def medians(took: list[Medians], rest: Medians) -> Medians:
    """Of one pipeline; evolve and write are the same for both."""
    found = {phase: float(np.median([one[phase] for one in took])) for phase in took[0]}
    efficiency = [one["hidden"] / min(one["simulate"], one["score"]) for one in took]
    total = found["total"] + sum(rest.values())
    return {**found, **rest, "total": total, "efficiency": float(np.median(efficiency))}


def drawn(timeline: Timeline, place: Path, picture: Path | None) -> None:
    """Print the timeline of the last generation, and keep its picture."""
    # Without evolution and writing, between which the evaluation in turn lies.
    TimelineFile(place, 0).append([event for event in timeline.taken() if event.who != "main"])
    path, summary = write_timeline(place)
    print(summary)
    if picture is not None:
        picture.write_bytes(path.read_bytes())


def figures(settings: FitSettings, found: dict[tuple[str, int], dict[str, Medians]], generations: int) -> dict:
    """What the JSON line says."""
    ours, apart = found[OURS]["in turn"], found[APART]["side by side"]
    rest = ours["score"] + ours["evolve"] + ours["write"]
    population = settings.strategy.largest_generation(len(settings.parameters))

    def saved(case: tuple[str, int]) -> float:
        turn, beside = found[case]["in turn"], found[case]["side by side"]
        return round((turn["total"] - beside["total"]) / min(turn["simulate"], turn["score"]), 3)

    return {
        "claim": "scoring, evolution and writing take under 2 %; with eFEL overlap hides 80 % of the shorter side",
        "score_evolve_write_share": round(rest / ours["total"], 4),
        "goal_share": 0.02,
        "efel_overlap_efficiency": round(apart["efficiency"], 3),
        "goal_efficiency": 0.8,
        "saved": {f"{case[0]}, {case[1] or 'all'} workers": saved(case) for case in found if case != OURS},
        "workload": settings.name,
        "population": population,
        "generations": {"hpcfit": generations, "efel": max(1, generations // 4)},
        "cores": len(os.sched_getaffinity(0)),
        "seconds_median": {
            f"{scorer}, {workers or 'all'} workers, {name}": {phase: round(value, 5) for phase, value in one.items()}
            for (scorer, workers), both in found.items()
            for name, one in both.items()
        },
        "microseconds_per_individual": {
            phase: round(1e6 * ours[phase] / population, 1) for phase in ("score", "evolve", "write")
        },
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    main()
