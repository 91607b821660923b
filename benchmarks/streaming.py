"""What does it cost to read features while simulating, and how much memory does it take?

    envs/local python benchmarks/streaming.py [--quick] [--fit FILE] [--only speed | --only memory]

One thread simulates the fit's cell under its stimuli, in turns recording spikes only, reading the fit's features while
it simulates, and keeping traces that the same extractor reads afterwards; processor time, medians over rounds.  Before
that, features are compared: to the last bit.  Then a process of its own reads those of 10,000 individuals under all
stimuli, and its peak resident memory is set beside what is stated and what traces would take.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.biophys.engines.readings import FeatureValues, read
from hpcfit.biophys.extract import Reading
from hpcfit.biophys.problem import Problem
from hpcfit.biophys.streamed import readings_on_the_way
from hpcfit.jobs import load
from hpcfit.run.processes import Processes

FIT = Path(__file__).resolve().parents[1] / "data" / "l5pc" / "fit.toml"
GOAL = 1.03


@dataclass(frozen=True)
class Bench:
    """An engine, what it simulates and what it reads."""

    problem: Problem
    engine: BatchedEngine
    stimuli: tuple[str, ...]
    readings: tuple[Reading, ...]

    @classmethod
    def of(cls, file: Path, workers: int, longest_ms: float) -> "Bench":
        """Of a fit file, with stimuli cut to `longest_ms`."""
        problem = load(file)
        stimuli = [replace(one, duration_ms=min(one.duration_ms, longest_ms)) for one in problem.stimuli]
        changes = {"kind": "batched", "integrator": "fixed", "workers": workers}
        factory = neuron_factory(problem.cell, stimuli, problem.settings.engine.model_copy(update=changes))
        with Processes({SERVICE: factory}, 1) as executor:
            engine = BatchedEngine.of(NeuronEngine(factory, executor))
        readings = readings_on_the_way(problem.feature_factory()(), problem.scored_stimuli, engine)
        if readings is None:
            raise SystemExit(f"{file}: it has scores that need traces (eFEL's features or trace distances)")
        return cls(problem, engine, problem.scored_stimuli, readings)


def main() -> None:
    """Compare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="32 individuals in 3 rounds; 2,000 under 20 ms")
    parser.add_argument("--fit", type=Path, default=FIT)
    parser.add_argument("--only", choices=("speed", "memory"))
    arguments = parser.parse_args()
    individuals, rounds, population = (32, 3, 2_000) if arguments.quick else (128, 11, 10_000)
    figures: dict[str, object] = {"claim": "simulating with features / with spikes only (processor time, one thread)"}
    if arguments.only == "memory":
        longest_ms = 20.0 if arguments.quick else float("inf")
        figures = {"claim": "peak memory with features / with the traces of one stimulus", "goal": 1}
        used = memory(Bench.of(arguments.fit, 0, longest_ms), population)
        figures |= {"ratio": round((used["peak_MiB"] - used["peak_before_MiB"]) / used["one_stimulus_traces_MiB"], 4)}
        figures |= used
    else:
        figures |= measured(Bench.of(arguments.fit, 1, float("inf")), individuals, rounds)
    if arguments.only is None:
        figures["memory"] = in_a_child(arguments.fit, arguments.quick)
    print(json.dumps({**figures, "machine": platform.machine()}))


def in_a_child(fit: Path, quick: bool) -> dict[str, object]:
    """What a process of its own prints about memory."""
    command = [sys.executable, __file__, "--fit", str(fit), "--only", "memory", *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"memory was not measured: {done.stderr.strip().splitlines()[-1]}")
    used = json.loads(done.stdout.splitlines()[-1])
    print(f"memory: {used}")
    return used


def measured(bench: Bench, individuals: int, rounds: int) -> dict[str, object]:
    """Medians of the ratios of neighbours in time."""
    engine, stimuli, readings = bench.engine, bench.stimuli, bench.readings
    values = bench.problem.space.random(individuals, seed=1)
    compared = check_same(engine.features(values, stimuli, readings), stored(bench, values))
    runs: dict[str, Callable[[], object]] = {
        "spikes": lambda: engine.spikes(values, stimuli),
        "streaming": lambda: engine.features(values, stimuli, readings),
        "stored": lambda: stored(bench, values),
    }
    seconds, reading = {name: [] for name in runs}, []
    for number in range(rounds):
        for name in sorted(runs, reverse=number % 2 == 1):
            begun = time.process_time()
            result = runs[name]()
            seconds[name].append(time.process_time() - begun)
            if isinstance(result, FeatureValues) and result.reading_s:
                reading.append(result.reading_s / seconds[name][-1])
    took = {name: np.array(each) for name, each in seconds.items()}
    for name, each in took.items():
        print(f"{name:10} {np.median(each):8.4f} s, least {each.min():.4f}")
    against_spikes, against_stored = took["streaming"] / took["spikes"], took["streaming"] / took["stored"]
    return {
        "ratio": round(float(np.median(against_spikes)), 4),
        "goal": GOAL,
        "added_percent": round(100 * float(np.median(against_spikes) - 1), 2),
        "quartiles": [round(float(q), 4) for q in np.quantile(against_spikes, (0.25, 0.75))],
        "ratio_to_stored": round(float(np.median(against_stored)), 4),
        "reading_share_percent": round(100 * float(np.median(reading)), 2),
        "least_s": {name: round(float(each.min()), 4) for name, each in took.items()},
        "individuals": individuals,
        "stimuli": len(stimuli),
        "features": sum(len(one.names) for one in readings),
        "rounds": rounds,
        "compared_to_the_bit": compared,
    }


def stored(bench: Bench, values: np.ndarray) -> FeatureValues:
    """Traces first, features then."""
    return read(bench.engine.simulate(values, bench.stimuli), bench.readings, threads=1)


def check_same(ours: FeatureValues, theirs: FeatureValues) -> int:
    """How many numbers are the same to the last bit; raises when one is not."""
    for name in ("mean", "count", "reason"):
        for one, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            if one.tobytes() != other.tobytes():
                raise SystemExit("features differ from those of stored traces: nothing is measured")
    return sum(mean.size for mean in ours.mean)


def memory(bench: Bench, population: int) -> dict[str, float]:
    """Peak memory of this process before and after reading, what was stated, and what traces would have taken."""
    engine, stimuli, readings = bench.engine, bench.stimuli, bench.readings
    values = bench.problem.space.random(population, seed=1)
    engine.features(values[:64], stimuli, readings)
    before, begun = peak_MiB(), time.perf_counter()
    found = engine.features(values, stimuli, readings)
    return {
        "population": population,
        "stimuli": len(stimuli),
        "model_ms": sum(engine.stimuli[name].duration_ms for name in stimuli),
        "threads": engine.threads,
        "peak_MiB": peak_MiB(),
        "peak_before_MiB": before,
        "stated_MiB": mebibytes(engine.memory(population, stimuli, readings).total),
        "one_stimulus_traces_MiB": max(mebibytes(engine.memory(population, [one]).results) for one in stimuli),
        "all_traces_MiB": mebibytes(engine.memory(population, stimuli).results),
        "defined": int(sum(np.isfinite(mean).sum() for mean in found.mean)),
        "failed": int(np.count_nonzero(found.status)),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def peak_MiB() -> float:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return mebibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def mebibytes(size: float) -> float:
    """Rounded."""
    return round(size / 2**20, 1)


if __name__ == "__main__":
    main()
