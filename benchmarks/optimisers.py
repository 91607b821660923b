"""Which strategy gets how far on the demo's cell, at equal evaluations?

    envs/local python benchmarks/optimisers.py [--quick] [--evaluations N] [--seeds K] [--population N] [--fit FILE]

Every strategy fits the same targets (data/l5pc/fit_small.toml, simulated by the batched engine) with the same number of
evaluations and as many in a generation (CMA-ES also with its own default), from the seeds 1 to K.  Printed: the median
over the seeds of the best score after a quarter, half and all of the evaluations, the spread (least and greatest) at
the end, in units of sd summed over the score functions, and beside it a random search.  The last line is one JSON
object.  A score is a sum of weight * |feature - mean| / sd: 0 would be the means of the recordings.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.objectives import term_groups
from hpcfit.biophys.problem import SCORER, Evaluator, Problem
from hpcfit.biophys.settings import EngineSettings
from hpcfit.evolve.choice import strategy_course
from hpcfit.jobs import load_settings
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.population.ledger import Header, Ledger
from hpcfit.population.loop import Evaluation, run_generations
from hpcfit.run.processes import Processes
from hpcfit.settings import GROUPINGS, AnyStrategySettings, RunSettings

ROOT = Path(__file__).resolve().parents[1]
RANDOM = "random search"
Score = Callable[[np.ndarray], Evaluation]


def strategies(population: int, demo: dict) -> dict[str, dict]:
    """Name -> [strategy] table; `demo` is that of the fit file.  Each evaluates `population` in a generation."""
    breeding = {name: demo[name] for name in ("crossover", "mutation")}
    whole = {"parents": population, "offspring": population}
    return {
        "mu_plus_lambda (the file's)": {**demo, "parents": 3 * population // 4, "offspring": population},
        "mu_plus_lambda (defaults)": {"parents": population // 2, "offspring": population},
        **{
            f"{kind}, {grouping}": {"kind": kind, "objectives": grouping, **whole, **breeding}
            for kind in ("ibea", "nsga2")
            for grouping in GROUPINGS
        },
        "cma_es": {"kind": "cma_es", "population": population},
        "cma_es (default size)": {"kind": "cma_es"},
        "particle_swarm": {"kind": "particle_swarm", "population": population},
        "particle_swarm, ring": {"kind": "particle_swarm", "population": population, "neighbours": "ring"},
        "differential_evolution": {"kind": "differential_evolution", "population": population},
        "differential_evolution, best_1": {
            "kind": "differential_evolution",
            "population": population,
            "variant": "best_1",
        },
        RANDOM: {"parents": 2, "offspring": population, "mutation": {"kind": "uniform", "rate": 1, "gene_rate": 1}}
        | {"crossover": {"rate": 0}},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="240 evaluations, 2 seeds")
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--population", type=int, default=40)
    parser.add_argument("--only", default="", help="strategies whose names contain one of these, separated by ;")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit_small.toml")
    arguments = parser.parse_args()
    evaluations, seeds = (240, 2) if arguments.quick else (arguments.evaluations, arguments.seeds)

    settings = load_settings(arguments.fit)
    engine = EngineSettings(kind="batched", order=settings.engine.order, dt_ms=settings.engine.dt_ms)
    problem = Problem.of(settings.model_copy(update={"engine": engine}))
    tables = strategies(arguments.population, settings.strategy.model_dump())
    wanted = [name for name in tables if any(part in name for part in arguments.only.split(";"))]
    factory = simulator_factory(problem.cell, problem.stimuli, engine)
    begun, curves = time.monotonic(), {name: [] for name in wanted}
    with Processes({SERVICE: factory, SCORER: problem.feature_factory()}, engine.workers) as executor:
        evaluate = Evaluator(problem, choose_simulator(NeuronEngine(factory, executor)).engine, executor)
        for seed in range(1, seeds + 1):
            for name in wanted:
                curve = best_so_far(tables[name], problem, evaluate, evaluations, seed)
                curves[name].append(curve)
                line = f"# seed {seed}, {name}: {curve[-1]:.4g} after {len(curve)}"
                print(f"{line} ({time.monotonic() - begun:.0f} s)", flush=True)
    report(settings.name, curves, evaluations, seeds, arguments.population)


def best_so_far(table: dict, problem: Problem, evaluate: Score, evaluations: int, seed: int) -> np.ndarray:
    """(evaluations done,) best score after each evaluation of one run."""
    settings = TypeAdapter(AnyStrategySettings).validate_python(table)
    objectives = term_groups(problem.targets.terms, getattr(settings, "objectives", "terms"))
    course = strategy_course(settings, len(problem.space.names), seed, objectives)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.create(Path(folder), Header({}, {}, {}))
        run_generations(course, evaluate, ledger, RunSettings(generations=evaluations, evaluations=evaluations))
        scores = np.concatenate([generation.arrays["scores"] for generation in ledger])
    return np.minimum.accumulate(scores)


def report(name: str, curves: dict[str, list], evaluations: int, seeds: int, population: int) -> None:
    """Print the table, best first, then its figures as JSON."""
    rows = {}
    for strategy, runs in curves.items():
        at = {part: [float(run[min(int(part * evaluations), len(run)) - 1]) for run in runs] for part in (0.25, 0.5, 1)}
        rows[strategy] = {
            "median_quarter": float(np.median(at[0.25])),
            "median_half": float(np.median(at[0.5])),
            "median": float(np.median(at[1])),
            "least": min(at[1]),
            "greatest": max(at[1]),
            "evaluations": min(len(run) for run in runs),
        }
    order = sorted(rows, key=lambda strategy: rows[strategy]["median"])
    heads = ("strategy", "at 1/4", "at 1/2", "median", "least", "greatest", "evaluations")
    print(f"{heads[0]:<32}" + "".join(f"{head:>12}" for head in heads[1:]))
    for strategy in order:
        print(f"{strategy:<32}" + "".join(f"{value:12.4g}" for value in rows[strategy].values()))
    figures = {
        "claim": "best score of each strategy at equal evaluations on the demo problem",
        "workload": name,
        "evaluations": evaluations,
        "seeds": seeds,
        "population": population,
        "best": order[0],
        "strategies": {strategy: {k: round(v, 4) for k, v in rows[strategy].items()} for strategy in order},
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
