"""Are two threads of the batched kernel twice as fast as one?

    envs/local python benchmarks/threads.py [--quick] [--fit data/l5pc/fit.toml] [--population N]

The same population and stimuli with one thread and with two, in turns; ratios within a round, their median quoted.
Wall time: on a machine where others compute, it says nothing.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.jobs import load
from hpcfit.run.processes import Processes

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds, 64 individuals")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--population", type=int, default=256)
    arguments = parser.parse_args()
    population, rounds = (64, 2) if arguments.quick else (arguments.population, 7)
    problem = load(arguments.fit)
    names = [stimulus.name for stimulus in problem.stimuli]
    values = problem.space.random(population, seed=1)
    engines = {}
    for threads in (1, 2):
        settings = problem.settings.engine.model_copy(update={"kind": "batched", "workers": threads})
        factory = neuron_factory(problem.cell, problem.stimuli, settings)
        with Processes({SERVICE: factory}, 1) as executor:
            engines[threads] = BatchedEngine.of(NeuronEngine(factory, executor))
    ratios = []
    for number in range(rounds):
        seconds = {}
        for threads, engine in engines.items():
            start = time.perf_counter()
            engine.simulate(values, names)
            seconds[threads] = time.perf_counter() - start
        ratios.append(seconds[1] / seconds[2])
        print(f"round {number}: one thread {seconds[1]:.3f} s, two {seconds[2]:.3f} s, ratio {ratios[-1]:.3f}")
    figures = {
        "claim": "two threads are at least 1.9 times as fast as one",
        "ratio": round(statistics.median(ratios), 3),
        "goal": 1.9,
        "population": population,
        "stimuli": names,
        "load_average": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
