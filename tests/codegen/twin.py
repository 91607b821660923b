"""A mechanism read by hpcfit and carried out by the twin, beside the same one compiled by NEURON."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from hpcfit.biophys.codegen.lookup import lookups
from hpcfit.biophys.engines.nmodl import read_mechanism, run

VOLTAGES = [*np.linspace(-120.0, 60.0, 37).tolist(), -38.0, -32.0, -66.0, -60.0, -154.9, -27.0, -17.0, -64.4, -40.0]
DT = 0.025


def job_of(mechanism, steps=50, celsius=23.0, **more):
    ions = sorted({n for ion in mechanism.ions for n in (*ion.reads, *ion.writes)})
    names = [*mechanism.states, *(c.variable for c in mechanism.currents if c.variable not in ions)]
    return {
        "name": mechanism.name,
        "kind": mechanism.kind,
        "names": names,
        "ion_names": ions,
        "voltages": VOLTAGES,
        "then": VOLTAGES[::-1],
        "steps": steps,
        "dt": DT,
        "celsius": celsius,
        **more,
    }


def ask_neuron(library: Path, jobs: list) -> list:
    program = Path(__file__).with_name("nmodl_reference.py")
    request = json.dumps({"library": str(library), "jobs": jobs})
    done = subprocess.run([sys.executable, program], input=request, capture_output=True, text=True, timeout=120)
    assert "ANSWER" in done.stdout, done.stderr
    return json.loads(done.stdout.split("ANSWER", 1)[1])


def differences(mechanism, job, answer) -> dict[str, float]:
    """Largest relative difference of each variable, after INITIAL, after each step and of the currents at the end."""
    shots = [{n: np.array(x) for n, x in shot.items()} for shot in answer["snapshots"]]
    own = {*mechanism.states, *(w for ion in mechanism.ions for w in ion.writes)}
    currents = [c.variable for c in mechanism.currents]
    given = [n for ion in mechanism.ions for n in (*ion.reads, *ion.writes) if n not in currents]
    variables = {**mechanism.parameters, **mechanism.constants, **job.get("parameters", {}), "celsius": job["celsius"]}
    variables |= {n: 0.0 for n in mechanism.assigned if n not in variables}
    variables |= {"area": answer["area"], "diam": job.get("diam", 10), "dt": job["dt"], "t": 0.0, "v": shots[0]["v"]}
    variables |= {n: shots[0][n] for n in given}
    # A mechanism that reads the current it writes finds the sum that NEURON kept from the last evaluation.
    read_currents = [n for ion in mechanism.ions for n in ion.reads if n in currents]
    variables |= dict.fromkeys(read_currents, 0.0)
    variables |= lookups(
        mechanism, {n: x for n, x in variables.items() if n in {*mechanism.constants, "celsius", "dt"}}
    )
    worst: dict[str, float] = {}

    def compare(label, names, shot):
        for n in names:
            if n in shot:
                # Where a state is 1000 times smaller than elsewhere, 1 - exp(dt a) keeps fewer digits of it.
                scale = np.maximum(np.abs(shot[n]), np.abs(shot[n]).max() * 1e-3 + 1e-300)
                error = np.max(np.abs(np.broadcast_to(variables[n], shot[n].shape) - shot[n]) / scale)
                key = f"{n} {label}"
                worst[key] = max(worst.get(key, 0.0), float(np.nan_to_num(error, nan=np.inf)))

    run(mechanism.initial, variables)
    compare("initially", own - set(currents), shots[0])
    for count, shot in enumerate(shots[1:-1], start=1):
        variables |= {n: shot[n] for n in [*(g for g in given if g not in own), *read_currents]}
        variables |= {"t": count * job["dt"], "v": shot["v"]}
        run(mechanism.advance, variables)
        compare("after a step" if count == 1 else "later", own - set(currents), shot)
    before = dict(variables)
    run(mechanism.current, variables)
    compare("at the end", currents, shots[-1])
    _check_conductance(mechanism, before, variables, worst)
    return worst


def _check_conductance(mechanism, before, after, worst) -> None:
    """Conductances equal NEURON's difference quotient."""
    from hpcfit.biophys.codegen.interpret import evaluate

    near = {**before, "v": before["v"] + 0.001}
    run(mechanism.current, near)
    for current in mechanism.currents:
        if current.conductance is not None:
            quotient = (near[current.variable] - after[current.variable]) / 0.001
            g = evaluate(current.conductance, after)
            scale = np.abs(after[current.variable]) / 0.001 * 1e-9 + np.abs(g) * 1e-6 + 1e-300
            assert np.all(np.abs(quotient - g) <= scale), f"conductance of {current.variable}"


def read(path: Path):
    return read_mechanism(path)
