"""Does the batched engine in double precision compute what NEURON computes, up to rounding and chaos?

    envs/local python benchmarks/equality.py [--quick] [--fit data/l5pc/fit.toml] [--models 16] [--order 2]

Random models of a fit file under its stimuli, and under a step of 3 s where it has none as long; both engines with the
same fixed step, every sample kept.  For each stimulus: shift of the first spike, largest difference of voltages before
it, spike counts over the whole response.

Rounding is the seed of every difference, and a cell that fires may amplify it until spikes move.  Whether it does is a
property of the model, not of the engine: for every response whose last spike is more than 1e-6 ms apart, NEURON itself
simulates the model again with one density changed by 1e-14 of its value.  Where NEURON's own last spike then moves by
more than 10,000 times what its first one does (counted as 1e-12 ms at least), the response is chaotic and is listed;
where it does not, the difference is unexplained.  An e-fold is the time in which shifts of spikes grow by a factor e.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.interface import Responses, Status, spike_times
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import EngineSettings, StimulusSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.jobs import load
from hpcfit.run.processes import Processes

ROOT = Path(__file__).resolve().parents[1]
THRESHOLD_MV = -20.0
LONG_MS = 3000.0
BOUND_MV, BOUND_MS = 1e-6, 1e-6
PERTURBED = 1e-14
CHAOTIC = 1e4
"""Amplification from the first spike to the last above which rounding is no longer small."""
FLOOR_MS, SATURATED_MS = 1e-12, 1e-3
"""Shifts below are the grid of rounding; above, they no longer grow."""


@dataclass(frozen=True)
class Apart:
    """Two responses of one model to one stimulus: how far apart they are at the soma; shifts in ms.

    shifts: of every spike; empty where counts differ.  e_fold_ms: None where there is no growth to measure.
    """

    before_mV: float
    all_mV: float
    counts: tuple[int, int]
    first_ms: float
    last_ms: float
    amplification: float
    e_fold_ms: float | None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 models, one stimulus of the file, no long step")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--order", type=int, choices=(1, 2), default=2)
    parser.add_argument("--stimuli", default="", help="names, with commas; default: all")
    parser.add_argument("--perturb", default="gNaTs2_tbar_NaTs2_t.somatic", help="the density that is changed by 1e-14")
    arguments = parser.parse_args()
    problem = load(arguments.fit)
    chosen = [name for name in arguments.stimuli.split(",") if name] or list(problem.scored_stimuli)
    stimuli = [one for one in problem.stimuli if one.name in chosen]
    if arguments.quick:
        stimuli = [max(stimuli, key=lambda one: one.name == "high")]
    elif max(one.duration_ms for one in stimuli) < LONG_MS:
        stimuli += long_steps(problem.settings.stimuli)
    values = problem.space.random(2 if arguments.quick else arguments.models, seed=arguments.seed)
    free = [parameter.name for parameter in problem.cell.free]
    changed = values.copy()
    changed[:, free.index(arguments.perturb)] *= 1.0 + PERTURBED

    settings = EngineSettings(order=arguments.order, record_dt_ms=0.025, workers=1, deadline_s=600)
    factory = neuron_factory(problem.cell, stimuli, settings)
    with Processes({SERVICE: factory}, 1) as executor:
        neuron = NeuronEngine(factory, executor)
        batched = double_of(neuron)
        rows, chaos = {}, []
        for stimulus in stimuli:
            reference = neuron.simulate(values, [stimulus.name])
            ours = batched.simulate(values, [stimulus.name])
            assert np.array_equal(ours.status, reference.status), (ours.reasons, reference.reasons)
            rows[stimulus.name] = dict(responses_apart(ours, reference))
            far = [number for number, one in rows[stimulus.name].items() if not one.last_ms <= BOUND_MS]
            if far:
                again = neuron.simulate(changed[far], [stimulus.name])
                own = batched.simulate(changed[far], [stimulus.name])
                chaos += list(amplified(stimulus.name, far, rows[stimulus.name], (reference, again), (ours, own)))
    report(rows, chaos, arguments, stimuli)


def long_steps(given: tuple[StimulusSettings, ...]) -> list[Stimulus]:
    """The file's strongest step of 200 ms or more, kept on until 3 s."""
    steps = [
        (electrode.amplitude_nA or 0.0, electrode)
        for one in given
        for electrode in one.electrodes
        if electrode.shape == "step" and electrode.duration_ms >= 200
    ]
    amplitude, electrode = max(steps, key=lambda pair: pair[0])
    duration_ms = LONG_MS - 2 * electrode.delay_ms
    longer = {"shape": "step", "delay_ms": electrode.delay_ms, "duration_ms": duration_ms, "amplitude_nA": amplitude}
    text = {"name": "step_3s", "duration_ms": LONG_MS, "electrodes": [longer]}
    return [build_stimulus(StimulusSettings.model_validate(text))]


def double_of(neuron: NeuronEngine) -> BatchedEngine:
    """The same cell, stimuli and step in the kernel, in double precision."""
    settings = neuron.settings
    neuron.settings = settings.model_copy(update={"kind": "batched", "precision": "double"})
    batched = BatchedEngine.of(neuron)
    neuron.settings = settings
    return batched


def responses_apart(ours: Responses, reference: Responses) -> Iterator[tuple[int, Apart]]:
    """(model, how far apart) at the soma, of those that ended well."""
    for number in np.flatnonzero(reference.status[:, 0] == Status.OK).tolist():
        yield number, apart(ours.v_mV[0][number, 0], reference.v_mV[0][number, 0], reference.dt_ms)


def apart(ours: np.ndarray, reference: np.ndarray, dt_ms: float) -> Apart:
    """ours, reference: (time,), mV."""
    times, expected = (spike_times(one, dt_ms, THRESHOLD_MV) for one in (ours, reference))
    difference = np.abs(ours - reference)
    until = int(min(times[0], expected[0]) / dt_ms) + 1 if len(times) and len(expected) else len(reference)
    same = len(times) == len(expected)
    shifts = np.abs(times - expected) if same else np.zeros(0)
    first = abs(times[0] - expected[0]) if len(times) and len(expected) else 0.0
    last = float(shifts[-1]) if len(shifts) else 0.0 if same else np.inf
    return Apart(
        before_mV=float(np.max(difference[:until])),
        all_mV=float(np.max(difference)),
        counts=(len(times), len(expected)),
        first_ms=float(first),
        last_ms=last,
        amplification=last / max(float(first), FLOOR_MS),
        e_fold_ms=e_fold_ms(expected, shifts) if same else None,
    )


def e_fold_ms(times_ms: np.ndarray, shifts_ms: np.ndarray) -> float | None:
    """Of the growth of spikes' shifts until they are as large as they get."""
    saturated = np.flatnonzero(shifts_ms > SATURATED_MS)
    growing = slice(0, saturated[0] if len(saturated) else None)
    kept = shifts_ms[growing] > FLOOR_MS
    x, y = times_ms[growing][kept], np.log(shifts_ms[growing][kept])
    slope = np.polyfit(x, y, 1)[0] if len(x) > 2 else 0.0
    return float(1.0 / slope) if slope > 0 else None


def amplified(
    name: str,
    far: list[int],
    between: dict[int, Apart],
    neuron: tuple[Responses, Responses],
    batched: tuple[Responses, Responses],
) -> Iterator[dict]:
    """What a change of 1e-14 does inside each engine, beside what differs between them.

    neuron, batched: responses of all models, and those of the models `far` after the change.
    """
    for row, number in enumerate(far):
        inside = [
            apart(after.v_mV[0][row, 0], before.v_mV[0][number, 0], before.dt_ms) for before, after in (neuron, batched)
        ]
        yield {
            "case": f"model {number} {name}",
            "chaotic": inside[0].amplification > CHAOTIC,
            "between": asdict(between[number]),
            "neuron_changed": asdict(inside[0]),
            "batched_changed": asdict(inside[1]),
        }


def report(rows: dict[str, dict[int, Apart]], chaos: list[dict], arguments, stimuli) -> None:
    """One line for a stimulus, one for a response that rounding moves, and the figures as JSON."""
    durations = {one.name: one.duration_ms for one in stimuli}
    print(f"{'stimulus':12} {'ms':>6} {'models':>6} {'spikes':>6}  before first, mV   first spike, ms   counts differ")
    for name, found in rows.items():
        before, first = max(one.before_mV for one in found.values()), max(one.first_ms for one in found.values())
        spikes = sum(one.counts[1] for one in found.values())
        unequal = sum(one.counts[0] != one.counts[1] for one in found.values())
        print(f"{name:12} {durations[name]:6g} {len(found):6} {spikes:6}  {before:16.2g} {first:17.2g} {unequal:15}")
    print("responses whose last spike is more than 1e-6 ms apart; beside it, each engine against itself after 1e-14:")
    for case in chaos:
        print(f"  {case['case']}: {'chaotic' if case['chaotic'] else 'UNEXPLAINED'}")
        for key in ("between", "neuron_changed", "batched_changed"):
            one = case[key]
            fold = "-" if one["e_fold_ms"] is None else f"{one['e_fold_ms']:.0f} ms"
            print(
                f"    {key:16} spikes {one['counts'][0]}/{one['counts'][1]}  first {one['first_ms']:.1e} ms  last "
                f"{one['last_ms']:.1e} ms  largest difference {one['all_mV']:.1e} mV  e-fold {fold}"
            )
    everything = [(name, number, one) for name, found in rows.items() for number, one in found.items()]
    chaotic = {case["case"] for case in chaos if case["chaotic"]}
    unequal = [f"model {number} {name}" for name, number, one in everything if one.counts[0] != one.counts[1]]
    figures = {
        "claim": "double precision against NEURON: before the first spike below 1e-6 mV, first spikes within 1e-6 ms, "
        "spike counts equal but for chaotic responses",
        "holds": all(one.before_mV < BOUND_MV and one.first_ms < BOUND_MS for *_, one in everything)
        and set(unequal) <= chaotic
        and len(chaotic) == len(chaos),
        "before_first_spike_mV": max(one.before_mV for *_, one in everything),
        "first_spike_ms": max(one.first_ms for *_, one in everything),
        "responses": len(everything),
        "spikes": sum(one.counts[1] for *_, one in everything),
        "counts_differ": unequal,
        "chaotic": sorted(chaotic),
        "unexplained": sorted({case["case"] for case in chaos} - chaotic),
        "largest_difference_not_chaotic_mV": max(
            (one.all_mV for name, number, one in everything if f"model {number} {name}" not in chaotic), default=0.0
        ),
        "models": len({number for _, number, _ in everything}),
        "order": arguments.order,
        "fit": arguments.fit.name,
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
