"""How fast does Jaxley simulate a branched cell with its Hodgkin-Huxley channel?  A process of its own, on one core.

    python benchmarks/peer_jaxley.py FILE        (started by peers.py; FILE is JSON)

The channel is the same as NEURON's hh at 6.3 degrees; compartments are NEURON's segments, step and stimulus the same;
compiled by jit, vmapped over parameter sets.  Prints a line of JSON when compiled; then, for every line it reads, one
with the seconds that a simulation of all parameter sets took.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Build, compile, and answer."""
    task = json.loads(Path(sys.argv[1]).read_text())
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_ENABLE_X64"] = "1" if task["precision"] == "double" else "0"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    talk = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what it prints while building is not for the reader of the answers
    import jax
    import jax.numpy as jnp
    import jaxley

    start = time.perf_counter()
    cell = _cell(jaxley, task)
    current = jaxley.step_current(
        task["delay_ms"], task["step_ms"], task["amplitude_nA"], task["dt_ms"], task["duration_ms"]
    )
    cell.branch(0).loc(0.5).stimulate(current)
    cell.branch(0).loc(0.5).record("v")
    cell.make_trainable("HH_gNa")
    built_s = time.perf_counter() - start

    def one(density):
        return jaxley.integrate(cell, params=[{"HH_gNa": density}], delta_t=task["dt_ms"])[0]

    everyone = jax.jit(jax.vmap(one))
    densities = jnp.asarray(task["densities"])[:, None]
    start = time.perf_counter()
    v_mV = jax.block_until_ready(everyone(densities))
    compiled_s = time.perf_counter() - start
    first = [float(value) for value in v_mV[0]]
    about = {"built_s": built_s, "compiled_s": compiled_s, "dtype": str(v_mV.dtype), "v_mV": first}
    print(json.dumps(about), file=talk)
    for _ in sys.stdin:
        start = time.perf_counter()
        jax.block_until_ready(everyone(densities))
        print(json.dumps({"seconds": time.perf_counter() - start}), file=talk)


def _cell(jaxley, task):
    compartment = jaxley.Compartment()
    sections = task["sections"]
    branches = [jaxley.Branch(compartment, ncomp=len(section["lengths_um"])) for section in sections]
    cell = jaxley.Cell(branches, parents=[section["parent"] for section in sections])
    cell.insert(jaxley.channels.HH())
    cell.set("length", np.array([length for section in sections for length in section["lengths_um"]]))
    cell.set("radius", np.array([wide / 2 for section in sections for wide in section["diameters_um"]]))
    cell.set("axial_resistivity", task["Ra_ohm_cm"])
    cell.set("v", task["v_init_mV"])
    cell.init_states()
    return cell


if __name__ == "__main__":
    main()
