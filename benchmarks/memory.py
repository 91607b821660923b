"""How much memory does a population of 10,000 take when only spikes are recorded?

    envs/local python benchmarks/memory.py [--quick] [--fit FILE ...] [--population N] [--duration-ms T]

Each fit file's cell is simulated by the batched engine in a process of its own, whose peak resident memory is read at
the end; the bytes that the engine states before it allocates (Engine.memory) stand beside it.  Stimuli are cut to
--duration-ms, because only the room for spikes and the injected currents grow with it: what is stated for whole stimuli
is given too.  Default cells: the demo's, and the real reconstruction where its files are there.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.jobs import load
from hpcfit.run.processes import Processes

ROOT = Path(__file__).resolve().parents[1]
CELLS = (ROOT / "data" / "l5pc" / "fit.toml", ROOT / "tests" / "real" / "c060114a7.toml")
GOAL_GIB = 8.0


def main() -> None:
    """Measure each cell in a child and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the demo's cell, 1,000 individuals, 5 ms")
    parser.add_argument("--fit", type=Path, action="append", help="in place of the default cells; may be repeated")
    parser.add_argument("--population", type=int, default=10_000)
    parser.add_argument("--duration-ms", type=float, default=50.0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    population, duration_ms = (1_000, 5.0) if arguments.quick else (arguments.population, arguments.duration_ms)
    files = arguments.fit or CELLS[: 1 if arguments.quick else None]
    if arguments.child:
        print(json.dumps(measured(files[0], population, duration_ms)))
        return
    cells = {}
    for file in files:
        command = [sys.executable, __file__, "--child", "--fit", str(file), "--population", str(population)]
        done = subprocess.run([*command, "--duration-ms", str(duration_ms)], capture_output=True, text=True)
        if done.returncode:
            print(f"{file}: not measured: {done.stderr.strip().splitlines()[-1]}")
            continue
        cells[file.stem] = json.loads(done.stdout.splitlines()[-1])
        print(f"{file.stem}: {cells[file.stem]}")
    peak = max((cell["peak_GiB"] for cell in cells.values()), default=float("nan"))
    figures = {
        "claim": f"spikes of {population} individuals take less than {GOAL_GIB:g} GiB (peak resident memory / that)",
        "ratio": round(peak / GOAL_GIB, 4),
        "goal": 1,
        "population": population,
        "cells": cells,
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


def measured(file: Path, population: int, duration_ms: float) -> dict[str, object]:
    """Peak memory of this process, before and after simulating, and what was stated."""
    problem = load(file)
    engines, stated = {}, {}
    for kind in ("cut", "whole"):
        length = duration_ms if kind == "cut" else float("inf")
        stimuli = [replace(one, duration_ms=min(one.duration_ms, length)) for one in problem.stimuli]
        settings = problem.settings.engine.model_copy(update={"kind": "batched", "integrator": "fixed"})
        factory = neuron_factory(problem.cell, stimuli, settings)
        with Processes({SERVICE: factory}, 1) as executor:
            neuron = NeuronEngine(factory, executor)
            segments = neuron.describe().segments
            engines[kind] = BatchedEngine.of(neuron)
        names = [stimulus.name for stimulus in stimuli]
        stated[kind] = gibibytes(engines[kind].memory(population, names, "spikes").total)
    values = problem.space.random(population, seed=1)
    before = peak_GiB()
    begun = time.perf_counter()
    spikes = engines["cut"].spikes(values, names)
    return {
        "segments": segments,
        "stimuli": len(names),
        "duration_ms": duration_ms,
        "peak_GiB": peak_GiB(),
        "peak_before_GiB": before,
        "stated_GiB": stated["cut"],
        "stated_whole_stimuli_GiB": stated["whole"],
        "spikes": int(spikes.counts.sum()),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def peak_GiB() -> float:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return gibibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def gibibytes(size: float) -> float:
    """Rounded."""
    return round(size / 2**30, 3)


if __name__ == "__main__":
    main()
