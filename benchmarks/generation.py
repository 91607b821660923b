"""Where does the time of a generation go?  Simulate, score, evolve, write, for the demo's cell on this machine.

    envs/local python benchmarks/generation.py [--quick] [--fit data/l5pc/fit.toml] [--generations N]

Runs real generations of the fit through `hpcfit.run` (workers started before the clock, generation 0 dropped as
warm-up: its members are random and the workers build their cells in it), takes medians over the others, and prints one
JSON object as its last line.  `ratio` is the share of simulation; the goal is the lower end of what is published for
NEURON and eFEL on one machine (BluePyOpt on the L5 cell: 91.6 % simulation, 8.4 % features).
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path

import numpy as np

import hpcfit
from hpcfit.jobs import load_settings

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("simulate", "score", "evolve", "write")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small population, three generations")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--generations", type=int, default=6)
    arguments = parser.parse_args()

    settings = load_settings(arguments.fit)
    size = {"parents": 4, "offspring": 8} if arguments.quick else {}
    settings = settings.model_copy(update={"strategy": settings.strategy.model_copy(update=size)})
    generations = 3 if arguments.quick else arguments.generations
    with tempfile.TemporaryDirectory() as folder:
        view = hpcfit.run(settings, Path(folder) / "run", generations=generations)
        timings, counts = view.timings(), view.counts()
    report(settings.name, settings.strategy.offspring, timings, counts)


def report(name: str, population: int, timings: dict[str, np.ndarray], counts: dict[str, np.ndarray]) -> None:
    """Print every timing, then the medians as JSON."""
    print(f"{'generation':>10} " + " ".join(f"{phase:>10}" for phase in (*PHASES, "total")) + "   (s)")
    for number in timings["generation"]:
        values = " ".join(f"{timings[phase][number]:10.4f}" for phase in (*PHASES, "total"))
        print(f"{number:>10} {values}" + ("   warm-up" if number == 0 else ""))
    median = {phase: float(np.median(timings[phase][1:])) for phase in (*PHASES, "total")}
    figures = {
        "claim": "a generation with NEURON and eFEL is simulation; scoring, evolution and writing are the rest",
        "ratio": round(median["simulate"] / median["total"], 4),
        "goal": 0.9,
        "workload": name,
        "population": population,
        "generations_counted": len(timings["generation"]) - 1,
        "seconds_median": {phase: round(value, 5) for phase, value in median.items()},
        "microseconds_per_individual": {
            phase: round(1e6 * median[phase] / population, 1) for phase in ("evolve", "write")
        },
        "undefined_features": int(np.sum(counts["undefined_features"])),
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
