"""How much faster than NEURON is the batched engine, and what does single precision do to the spikes?

    envs/local python benchmarks/engine.py [--quick] [--fit data/l5pc/fit.toml] [--population N]

One core for each side, fixed step, second order, the same individuals and stimuli.  The two run in turns (NEURON, then
the kernel in single and in double precision, several rounds), because a shared machine's speed drifts; ratios are taken
within a round and their median is quoted.  NEURON simulates a small part of the population per round, since its cost
per individual does not depend on how many there are.  Rates are milliseconds of model time x individuals per second.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.jobs import load
from hpcfit.run.processes import Processes

ROOT = Path(__file__).resolve().parents[1]
THRESHOLD_MV = -20.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, 32 individuals, one stimulus")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--population", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--segment-length", type=float, help="um; in place of the fit file's")
    arguments = parser.parse_args()
    population, rounds = (32, 1) if arguments.quick else (arguments.population, arguments.rounds)

    problem = load(arguments.fit)
    cell = problem.cell
    if arguments.segment_length:
        changed = cell.settings.model_copy(update={"segment_length_um": arguments.segment_length})
        cell = type(cell)(changed, cell.parameters, cell.sites)
    stimuli = [stimulus for stimulus in problem.stimuli if not arguments.quick or stimulus.name == "high"]
    names = [stimulus.name for stimulus in stimuli]
    model_ms = sum(stimulus.duration_ms for stimulus in stimuli)
    values = problem.space.random(population, seed=1)
    settings = problem.settings.engine.model_copy(
        update={"kind": "neuron", "precision": None, "integrator": "fixed", "order": 2, "dt_ms": 0.025, "workers": 1}
    )
    factory = neuron_factory(cell, stimuli, settings)
    with Processes({SERVICE: factory}, 1) as executor:
        neuron = NeuronEngine(factory, executor)
        segments = neuron.describe().segments
        engines, first_use_s = batched_engines(neuron)
        few = values[: 1 if arguments.quick else 4]
        rates: dict[str, list[float]] = {"neuron": [], "single": [], "double": []}
        for _ in range(rounds):
            reference, seconds = timed(lambda: neuron.simulate(few, names))
            rates["neuron"].append(model_ms * len(few) / seconds)
            responses = {}
            for precision, engine in engines.items():
                responses[precision], seconds = timed(lambda engine=engine: engine.simulate(values, names))
                rates[precision].append(model_ms * population / seconds)
    accuracy = (*spike_shift(responses["single"], reference, len(few)), difference(responses["double"], reference))
    report(rates, first_use_s, segments, population, names, accuracy)


def batched_engines(neuron: NeuronEngine) -> tuple[dict[str, BatchedEngine], dict[str, float]]:
    """The same cell in both precisions, and what reading, generating and compiling took (or finding it compiled)."""
    engines, first_use_s, settings = {}, {}, neuron.settings
    for precision in ("single", "double"):
        neuron.settings = settings.model_copy(update={"kind": "batched", "precision": precision})
        engines[precision], first_use_s[precision] = timed(lambda: BatchedEngine.of(neuron))
    neuron.settings = settings
    return engines, first_use_s


def difference(responses, reference) -> float:
    """Largest difference of voltages, mV, over the individuals that both have."""
    pairs = zip(responses.v_mV, reference.v_mV, strict=True)
    return max(float(np.max(np.abs(ours[: len(theirs)] - theirs))) for ours, theirs in pairs)


def timed(work):
    """What `work` gives, and the seconds it took."""
    start = time.perf_counter()
    value = work()
    return value, time.perf_counter() - start


def spike_shift(responses, reference, individuals: int) -> tuple[float, bool]:
    """Largest shift of a spike against the reference, ms, and whether all counts are equal."""
    largest, equal = 0.0, True
    for ours, theirs in zip(responses.v_mV, reference.v_mV, strict=True):
        for one, other in zip(ours[:individuals, 0], theirs[:, 0], strict=True):
            times, expected = crossings(one), crossings(other)
            equal &= len(times) == len(expected)
            if len(times) == len(expected):
                largest = max(largest, float(np.max(np.abs(times - expected), initial=0.0)) * reference.dt_ms)
    return largest, bool(equal)


def crossings(v_mV: np.ndarray) -> np.ndarray:
    """Interpolated upward crossings of the threshold, in samples."""
    up = np.flatnonzero((v_mV[1:] > THRESHOLD_MV) & (v_mV[:-1] <= THRESHOLD_MV))
    return up + (THRESHOLD_MV - v_mV[up]) / (v_mV[up + 1] - v_mV[up])


def report(rates, first_use_s, segments, population, names, accuracy) -> None:
    """Every round, then medians of ratios within rounds as JSON."""
    for number in range(len(rates["neuron"])):
        print(f"round {number}: " + "  ".join(f"{name} {values[number]:.0f}" for name, values in rates.items()))
    ratio = {name: float(np.median(np.array(rates[name]) / np.array(rates["neuron"]))) for name in ("single", "double")}
    shift_ms, counts_equal, volt_mV = accuracy
    figures = {
        "claim": "the batched kernel in single precision against NEURON at the same fixed step, one core each",
        "ratio": round(ratio["single"], 1),
        "goal": 65,
        "ratio_double": round(ratio["double"], 1),
        "goal_double": 18,
        "rate_median": {name: round(float(np.median(values))) for name, values in rates.items()},
        "first_use_s": {name: round(value, 2) for name, value in first_use_s.items()},
        "segments": segments,
        "population": population,
        "stimuli": names,
        "single_largest_spike_shift_ms": round(shift_ms, 5),
        "single_spike_counts_equal": counts_equal,
        "double_largest_difference_mV": volt_mV,
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
