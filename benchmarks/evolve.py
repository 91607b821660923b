"""What does a strategy cost, the simulations apart?  Selection, variation and ledger, with DEAP beside.

    envs/local python benchmarks/evolve.py [--quick] [--repeats N]

Each strategy is driven by `hpcfit.population.loop` itself with made-up scores (20 terms, 15 parameters) and a ledger on
disk; times are those that the loop writes down: `evolve` (ask and tell, with reading what it remembers) and `write`
(the generation into the ledger).  Medians over the generations after the first.  DEAP runs its own `varOr` with the
same operators and `selBest`, and `selNSGA2`; IBEA is compared with its definition computed a row of pairs at a time, as
BluePyOpt does.  DEAP's sorting takes minutes at the full size: it is timed on a fifth, times 25 (`scaled`: its cost
grows with the square).  The last line is one JSON object.

Processor seconds are given beside seconds on the clock: on a shared machine the clock counts what others do.
"""

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from hpcfit.evolve.choice import strategy_course
from hpcfit.evolve.indicator import ibea_fitness
from hpcfit.evolve.pareto import nsga2_selection
from hpcfit.population.ledger import Generation, Header, Ledger
from hpcfit.population.loop import Evaluation, run_generations
from hpcfit.settings import AnyStrategySettings, RunSettings

P, TERMS = 15, 20


class Clocked:
    """A course whose processor seconds are kept."""

    def __init__(self, course: Any) -> None:
        self._course, self.seconds = course, []

    def offspring(self, last: Any) -> Any:
        """Ask, on the clock."""
        begun = time.process_time()
        made = self._course.offspring(last)
        self.seconds.append(time.process_time() - begun)
        return made

    def survivors(self, last: Any, offspring: Any, evaluation: Evaluation) -> Any:
        """Tell, on the clock."""
        begun = time.process_time()
        left = self._course.survivors(last, offspring, evaluation)
        self.seconds[-1] += time.process_time() - begun
        return left


def evaluate(vectors: np.ndarray) -> Evaluation:
    """Twenty terms that pull to different places, and the arrays that a fit keeps in its ledger."""
    centres = np.random.default_rng(0).random((TERMS, P))
    parts = np.stack([np.abs(vectors - centre).sum(axis=1) for centre in centres], axis=1)
    arrays = {"parameters": vectors * 2.0, "features": parts * 3.0, "contributions": parts}
    return Evaluation(parts.sum(axis=1), arrays)


def generation(table: dict, generations: int) -> dict[str, float]:
    """Median seconds of a generation: evolve, write, and what the processor did of each."""
    settings = TypeAdapter(AnyStrategySettings).validate_python(table)
    course = Clocked(strategy_course(settings, P, 1, lambda arrays: arrays["contributions"]))
    with tempfile.TemporaryDirectory() as folder:
        ledger, writing = Ledger.create(Path(folder), Header({}, {}, {})), []
        append = ledger.append

        def clocked(one: Generation) -> None:
            begun = time.process_time()
            append(one)
            writing.append(time.process_time() - begun)

        ledger.append = clocked
        # One generation more: the writing of each is written down by the next.
        run_generations(course, evaluate, ledger, RunSettings(generations=generations + 2))
        timings = [one.timings_s for one in ledger]
    evolve = statistics.median(timing["evolve"] for timing in timings[1:])
    write = statistics.median(timing["write"] for timing in timings[2:])
    processor, write_processor = statistics.median(course.seconds[1:]), statistics.median(writing[1:])
    return {"evolve": evolve, "write": write, "processor": processor, "write_processor": write_processor}


def seconds(action: Callable[[], Any], repeats: int) -> float:
    """Least processor seconds of an action."""
    least = float("inf")
    for _ in range(repeats):
        begun = time.process_time()
        action()
        least = min(least, time.process_time() - begun)
    return least


def deap_generation(n: int) -> float:
    """Processor seconds of one (mu + lambda) generation of DEAP, mu = lambda = n, without evaluation."""
    from deap import algorithms, base, tools

    one = _individual()
    toolbox = base.Toolbox()
    toolbox.register("clone", lambda other: one(other, other.fitness.values))
    toolbox.register("mate", tools.cxSimulatedBinaryBounded, eta=20.0, low=0.0, up=1.0)
    toolbox.register("mutate", tools.mutPolynomialBounded, eta=20.0, low=0.0, up=1.0, indpb=0.5)
    rng = np.random.default_rng(1)
    population = [one(row, (float(row.sum()),)) for row in rng.random((n, P))]

    def step() -> None:
        random.seed(1)
        born = algorithms.varOr(population, toolbox, n, 0.5, 0.5)
        for child in born:
            child.fitness.values = (1.0,)
        tools.selBest(population + born, n)

    return seconds(step, 1)


def _individual(objectives: int = 1) -> Callable[..., Any]:
    from deap import base

    fitness = type("Minimum", (base.Fitness,), {"weights": (-1.0,) * objectives})

    def make(vector: Any, values: tuple[float, ...]) -> Any:
        one = _List(map(float, vector))
        one.fitness = fitness(values)
        return one

    return make


class _List(list):
    """A list with room for a fitness."""

    fitness: Any


def deap_nsga2(objectives: np.ndarray) -> float:
    """Processor seconds of DEAP's selection of half of these."""
    from deap import tools

    one = _individual(objectives.shape[1])
    population = [one([0.0], tuple(row)) for row in objectives.tolist()]
    return seconds(lambda: tools.selNSGA2(population, len(population) // 2), 1)


def ibea_by_rows(objectives: np.ndarray, kappa: float = 0.05) -> np.ndarray:
    """Fitness by the definition, a row of the matrix of pairs at a time, all of it in memory."""
    n = len(objectives)
    extent = np.ptp(objectives, axis=0)
    indicator = np.empty((n, n))
    for i in range(n):
        indicator[i] = np.max((objectives - objectives[i]) / extent, axis=1)
    loss = np.exp(-indicator.T / (kappa * np.abs(indicator).max()))
    return loss.sum(axis=0) - 1.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    parser.add_argument("--repeats", type=int, default=7, help="generations")
    arguments = parser.parse_args()
    large, several, repeats = (1000, 500, 3) if arguments.quick else (10_000, 5_000, arguments.repeats)

    tables = {
        "mu_plus_lambda": {"parents": large, "offspring": large},
        "mu_plus_lambda, 10 islands": {"parents": large, "offspring": large, "islands": {"count": 10}},
        "particle_swarm": {"kind": "particle_swarm", "population": large},
        "differential_evolution": {"kind": "differential_evolution", "population": large},
        "cma_es": {"kind": "cma_es", "population": large},
        # So many that survivors and offspring together are `several`, and then mu = lambda = `several`.
        "ibea": {"kind": "ibea", "parents": several // 2, "offspring": several // 2},
        "nsga2": {"kind": "nsga2", "parents": several // 2, "offspring": several // 2},
        "ibea, mu = lambda": {"kind": "ibea", "parents": several, "offspring": several},
        "nsga2, mu = lambda": {"kind": "nsga2", "parents": several, "offspring": several},
    }
    heads = ("offspring", "evolve s", "write s", "us each", "cpu evolve", "cpu write", "cpu us each")
    print(f"{'strategy':<28}" + "".join(f"{head:>12}" for head in heads))
    rows = {}
    for name, table in tables.items():
        timing = generation(table, repeats)
        n = table.get("offspring", table.get("population"))
        each = 1e6 * (timing["evolve"] + timing["write"]) / n
        processor = 1e6 * (timing["processor"] + timing["write_processor"]) / n
        rows[name] = {key: round(value, 5) for key, value in timing.items()}
        rows[name] |= {"us_each": round(each, 2), "processor_us_each": round(processor, 2)}
        values = (timing["evolve"], timing["write"], each, timing["processor"], timing["write_processor"], processor)
        print(f"{name:<28}{n:12d}" + "".join(f"{value:12.4f}" for value in values), flush=True)
    report(rows, peers(large, several, arguments.quick), large, several)


def peers(large: int, several: int, quick: bool) -> dict[str, float]:
    """Processor seconds of DEAP and of the definition, and of ours at the same task."""
    objectives = np.random.default_rng(2).random((several, TERMS))
    part = several if quick else several // 5
    found = {
        "deap_mu_plus_lambda": deap_generation(large),
        "ibea_by_rows": seconds(lambda: ibea_by_rows(objectives), 1),
        "ibea_ours": seconds(lambda: ibea_fitness(objectives), 3),
        "deap_nsga2_scaled": deap_nsga2(objectives[:part]) * (several / part) ** 2,
        "nsga2_ours": seconds(lambda: nsga2_selection(objectives, several // 2), 3),
    }
    for name, value in found.items():
        print(f"{name:<24}{value:12.4f} processor s")
    return found


def report(rows: dict[str, dict], beside: dict[str, float], large: int, several: int) -> None:
    """The figures as JSON."""
    figures = {
        "claim": "a generation of the genetic algorithm, ledger included, takes under 5 us per individual",
        "microseconds_per_individual": rows["mu_plus_lambda"]["us_each"],
        "processor_microseconds_per_individual": rows["mu_plus_lambda"]["processor_us_each"],
        "goal": 5.0,
        "ibea_seconds": rows["ibea"]["evolve"],
        "ibea_processor_seconds": rows["ibea"]["processor"],
        "ibea_goal": 0.2,
        "population": large,
        "population_several_objectives": several,
        "strategies": rows,
        "processor_seconds": {name: round(value, 4) for name, value in beside.items()},
        "times_faster": {
            "mu_plus_lambda": round(beside["deap_mu_plus_lambda"] / rows["mu_plus_lambda"]["processor"], 1),
            "ibea": round(beside["ibea_by_rows"] / beside["ibea_ours"], 1),
            "nsga2": round(beside["deap_nsga2_scaled"] / beside["nsga2_ours"], 1),
        },
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
