"""Which strategy gets how far on the demo's cell, at equal evaluations?

    envs/local python benchmarks/optimisers.py [--only NAMES] [--seeds 1,2,3,4,5] [--evaluations N] [--within SECONDS]
    envs/local python benchmarks/optimisers.py --report [--runs FILE]

Every strategy fits the same targets (data/l5pc/fit.toml: 8 stimuli, batched engine, one thread) with the same number of
evaluations, from each of the seeds; its sizes and operators are those of its published form or of the library that
fits are done with (the table STRATEGIES says whose).  Those with several objectives see the sums that `objectives`
names; all are compared by the score, a sum of weight * |feature - mean| / sd.  Every run is one line of JSON in the
file of runs, and a run that is there is not done again: stop and go on at will (--within: start no run that may not
end within so many seconds).

--report prints, best first, over the seeds: the median of the best score after a quarter, half and all of the
evaluations; the spread (least and greatest) at the end; the median of the evaluations that it took to reach some scores
("-" where most runs did not); and how far the best member lies from the parameters that made the targets, median of the
root mean square over the parameters in units of a parameter's range.  The last line is one JSON object.
"""

import argparse
import json
import platform
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.objectives import term_groups
from hpcfit.biophys.problem import SCORER, Evaluator, Problem
from hpcfit.evolve.choice import strategy_course
from hpcfit.jobs import load_settings
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.population.ledger import Header, Ledger
from hpcfit.population.loop import Evaluation, run_generations
from hpcfit.run.processes import Processes
from hpcfit.settings import AnyStrategySettings, RunSettings

ROOT = Path(__file__).resolve().parents[1]
Score = Callable[[np.ndarray], Evaluation]
FILE = {
    "tournament": 3,
    "distinct": 0.02,
    "crossover": {"kind": "simulated_binary", "rate": 0.8, "eta": 1, "gene_rate": 0.9},
    "mutation": {"kind": "gaussian", "rate": 0.2, "sigma": 0.05, "gene_rate": 0.2},
}
"""The operators of data/l5pc/fit.toml, found by hand for this cell."""
HUNDRED = {"parents": 100, "offspring": 100}
"""BluePyOpt's examples, and the setting of Neuroptimus (Mohacsi et al. 2024) for those with a population."""
REACHED = (150, 100, 75)
"""Scores to reach: the hidden parameters themselves have 149, since the targets are means of five noisy repeats."""
STRATEGIES = {
    "mu_plus_lambda, the file's": {"parents": 128, "offspring": 256, **FILE},
    "mu_plus_lambda, the file's, 50 + 100": {"parents": 50, "offspring": 100, **FILE},
    "mu_plus_lambda, DEAP's": {"parents": 50, "offspring": 100},
    "ibea, terms": {"kind": "ibea", "objectives": "terms", **HUNDRED},
    "ibea, families": {"kind": "ibea", "objectives": "families", **HUNDRED},
    "ibea, stimuli": {"kind": "ibea", "objectives": "stimuli", **HUNDRED},
    "nsga2, families": {"kind": "nsga2", "objectives": "families", **HUNDRED},
    "cma_es": {"kind": "cma_es"},  # 4 + 3 ln P samples: Hansen
    "cma_es, 48": {"kind": "cma_es", "population": 48},
    "particle_swarm": {"kind": "particle_swarm", "population": 40},  # standard PSO 2011
    "differential_evolution": {"kind": "differential_evolution", "population": 100},  # JADE
    "cma_es, 4 islands": {"kind": "cma_es", "islands": {"migrants": 1}},
    "particle_swarm, 4 islands": {"kind": "particle_swarm", "population": 80, "islands": {}},
    "random search": {"parents": 2, "offspring": 128, "crossover": {"rate": 0}}
    | {"mutation": {"kind": "uniform", "rate": 1, "gene_rate": 1}},
}


def main() -> None:
    """Run what is missing, or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=2560)
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--only", default="", help="strategies of these names, separated by semicolons")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--runs", type=Path, default=Path("optimisers.jsonl"))
    parser.add_argument("--within", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    runs = [json.loads(line) for line in arguments.runs.read_text().splitlines()] if arguments.runs.exists() else []
    if arguments.report:
        report([run for run in runs if run["evaluations"] >= arguments.evaluations], arguments.evaluations)
        return
    names = [name.strip() for name in arguments.only.split(";")] if arguments.only else list(STRATEGIES)
    done = {(run["strategy"], run["seed"], run["evaluations"]) for run in runs}
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    missing = [(name, seed) for seed in seeds for name in names if (name, seed, arguments.evaluations) not in done]
    if missing:
        run_all(missing, arguments)


def run_all(wanted: list[tuple[str, int]], arguments: argparse.Namespace) -> None:
    """Append a line for each (strategy, seed)."""
    start, slowest, fit, evaluations = time.monotonic(), 0.0, arguments.fit, arguments.evaluations
    settings = load_settings(fit)
    engine = settings.engine.model_copy(update={"workers": 1})
    problem = Problem.of(settings.model_copy(update={"engine": engine}))
    hidden = tomllib.loads((fit.parent / "hidden.toml").read_text())
    truth = problem.space.unit(np.array([hidden[name] for name in problem.space.names]))
    factory = simulator_factory(problem.cell, problem.stimuli, engine)
    with Processes({SERVICE: factory, SCORER: problem.feature_factory()}, 1) as executor:
        evaluate = Evaluator(problem, choose_simulator(NeuronEngine(factory, executor)).engine, executor)
        at_truth = float(evaluate(truth[None]).scores[0])
        for name, seed in wanted:
            if time.monotonic() - start + slowest > arguments.within:
                break
            begun, processor = time.monotonic(), time.process_time()
            scores, vectors = run_one(STRATEGIES[name], problem, evaluate, evaluations, seed)
            distance = np.sqrt(np.mean((vectors - truth) ** 2, axis=1))
            so_far = np.fmin.accumulate(scores)
            steps = np.flatnonzero(np.diff(so_far, prepend=np.inf) < 0)
            line = {
                "strategy": name,
                "seed": seed,
                "evaluations": evaluations,
                "done": len(scores),
                "settings": STRATEGIES[name],
                "improvements": [[int(n) + 1, round(float(so_far[n]), 4), round(float(distance[n]), 4)] for n in steps],
                "at_truth": round(at_truth, 4),
                "seconds": round(time.monotonic() - begun, 1),
                "processor_seconds": round(time.process_time() - processor, 1),
            }
            slowest = max(slowest, line["seconds"])
            with open(arguments.runs, "a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{name}, seed {seed}: {so_far[-1]:.2f} after {len(scores)}, {line['seconds']} s", flush=True)


def run_one(
    table: dict, problem: Problem, evaluate: Score, evaluations: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) scores and (n, P) vectors of all members of one run."""
    settings = TypeAdapter(AnyStrategySettings).validate_python(table)
    objectives = term_groups(problem.targets.terms, getattr(settings, "objectives", "terms"))
    course = strategy_course(settings, len(problem.space.names), seed, objectives)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.create(Path(folder), Header({}, {}, {}))
        run_generations(course, evaluate, ledger, RunSettings(generations=evaluations, evaluations=evaluations))
        members = [(generation.arrays["scores"], generation.arrays["vectors"]) for generation in ledger]
    return np.concatenate([scores for scores, _ in members]), np.concatenate([vectors for _, vectors in members])


def report(runs: list[dict], evaluations: int) -> None:
    """Print the table of runs of at least so many evaluations, cut there; best first."""
    rows = {}
    for name in dict.fromkeys(run["strategy"] for run in runs):
        mine = [run for run in runs if run["strategy"] == name]
        mine = list({run["seed"]: run for run in mine}.values())
        end = [best_at(run, evaluations) for run in mine]
        rows[name] = {
            "seeds": len(mine),
            "quarter": median([best_at(run, evaluations // 4)[1] for run in mine]),
            "half": median([best_at(run, evaluations // 2)[1] for run in mine]),
            "median": median([one[1] for one in end]),
            "least": min(one[1] for one in end),
            "greatest": max(one[1] for one in end),
            **{f"to {score}": median([evaluations_to(run, score, evaluations) for run in mine]) for score in REACHED},
            "distance": median([one[2] for one in end if one[2] is not None] or [np.inf]),
        }
    order = sorted(rows, key=lambda name: rows[name]["median"])
    print(f"{'strategy':<40}" + "".join(f"{head:>10}" for head in rows[order[0]]))
    for name in order:
        values = rows[name].values()
        print(f"{name:<40}" + "".join("         -" if np.isinf(value) else f"{value:10.4g}" for value in values))
    figures = {
        "claim": "best score of each strategy at equal evaluations on the demo problem",
        "workload": "l5pc",
        "evaluations": evaluations,
        "score_at_truth": runs[0]["at_truth"],
        "best": order[0],
        "strategies": {name: {k: v if np.isfinite(v) else None for k, v in rows[name].items()} for name in order},
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


def best_at(run: dict, evaluations: int) -> list[float]:
    """Evaluations, score and distance of the best member among the first so many."""
    return [step for step in run["improvements"] if step[0] <= evaluations][-1]


def evaluations_to(run: dict, score: float, most: int) -> float:
    """How many evaluations a run took to a score; infinite where `most` are too few."""
    return next((step[0] for step in run["improvements"] if step[1] <= score and step[0] <= most), np.inf)


def median(values: list[float]) -> float:
    """Also where some are infinite: of the two in the middle then the greater."""
    finite = bool(np.all(np.isfinite(values)))
    return round(float(np.quantile(values, 0.5, method="linear" if finite else "higher")), 4)


if __name__ == "__main__":
    main()
