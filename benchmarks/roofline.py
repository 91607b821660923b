"""What does a step of the batched kernel consist of, what share of this core's peaks is that, what holds its speed?

    envs/local python benchmarks/roofline.py [--quick] [--fit data/l5pc/fit.toml]

Counts come from the disassembled kernel, times the plan's nodes; peaks are timed in the same run; the bound of each
resource is what the step would take if that alone limited it.  Variants of the kernel then run in turns with it, so
that their ratios hold on a shared machine.  Processor seconds of one thread, one block of lanes.  Needs x86-64 with
AVX-512, and objdump.
"""

import argparse
import ctypes
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from roofline_machine import Counts, functions, peaks, per_node

from hpcfit.biophys.codegen import plan as plan_module
from hpcfit.biophys.codegen.build import library, vector_bytes
from hpcfit.biophys.codegen.events import with_instances
from hpcfit.biophys.codegen.gates import Gates, Grid, fit_gates, grid_for, voltage_gates
from hpcfit.biophys.codegen.ir import Call
from hpcfit.biophys.codegen.kernel import kernel_source
from hpcfit.biophys.codegen.plan import NodeClass, fixed_values, make_plan
from hpcfit.biophys.codegen.schedule import make_schedule
from hpcfit.biophys.engines.batched import read_mechanisms
from hpcfit.biophys.engines.kernel_call import KernelCall, kernel_input
from hpcfit.biophys.engines.lane_inputs import parameter_table
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.errors import EngineError
from hpcfit.jobs import load
from hpcfit.run.processes import Processes

ROOT = Path(__file__).resolve().parents[1]
DT_MS = 0.025
STORES_BESIDE_STATES = 4  # of Block::eliminate: two sums of the parent, two numbers of the node


@dataclass(frozen=True)
class Variant:
    """How a kernel differs from the engine's own."""

    precision: str = "single"
    target: str = "native"
    grid: Grid | None = None
    tables: bool = True
    depth_first: bool = False
    edit: Callable[[str], str] = str


class Kernel:
    """A kernel of the cell, compiled afresh, with one block of individuals."""

    def __init__(self, workload: "Workload", variant: Variant, steps: int, folder: Path) -> None:
        self.real = np.dtype("f4" if variant.precision == "single" else "f8")
        self.lanes, self.steps = vector_bytes(variant.target) // self.real.itemsize, steps
        structure = workload.structure
        kept = (
            (lambda parent, classes: np.arange(len(parent))) if variant.depth_first else plan_module.elimination_order
        )
        with mock.patch.object(plan_module, "elimination_order", kept):
            self.plan = make_plan(structure, with_instances(structure, workload.mechanisms))
        self.gates = self._gates(variant.grid or grid_for(self.real, self.lanes)) if variant.tables else None
        real = "float" if variant.precision == "single" else "double"
        source = variant.edit(kernel_source(self.plan, 2, DT_MS, real, self.lanes, self.gates))
        before = os.times()
        compiled = library(source, folder, variant.target)
        after = os.times()
        self.compile_s = after.children_user + after.children_system - before.children_user - before.children_system
        self.library, self.file = compiled, compiled._name
        settings, problem = workload.settings, workload.problem
        self._call = KernelCall(compiled, self.plan.structure, settings, [site.name for site in problem.cell.sites])
        self.block_bytes = self._call.work_bytes
        stimulus = replace(workload.stimulus, duration_ms=steps * DT_MS)
        events = make_schedule(self.plan, workload.mechanisms, stimulus, DT_MS)
        self._inputs = [kernel_input(stimulus, self.plan.structure, settings, self.real, events)]
        values = problem.cell.matrix(problem.space.random(self.lanes, seed=1))
        self._table = parameter_table(self.plan, values, self.real)
        self.us: list[float] = []

    def _gates(self, grid: Grid) -> Gates:
        values = {name: fixed_values(self.plan, one, DT_MS) for name, one in self.plan.mechanisms.items()}
        chosen = [one for name, one in self.plan.mechanisms.items() if voltage_gates(one, values[name])]
        return fit_gates(chosen, values, grid)

    def run(self) -> None:
        """One more timing: microseconds of a step."""
        start = time.process_time()
        self._call.traces(self._table, self._inputs, self.lanes, 1)
        self.us.append(1e6 * (time.process_time() - start) / self.steps)

    @property
    def best_us(self) -> float:
        """Of a step, in the least disturbed run."""
        return min(self.us)


class Workload:
    """What all kernels simulate: a fit's cell under the start of its shortest stimulus."""

    def __init__(self, fit: Path) -> None:
        self.problem = load(fit)
        own = self.problem.settings.engine.model_copy(
            update={
                "kind": "neuron",
                "precision": None,
                "integrator": "fixed",
                "order": 2,
                "dt_ms": DT_MS,
                "workers": 1,
            }
        )
        factory = neuron_factory(self.problem.cell, self.problem.stimuli, own)
        with Processes({SERVICE: factory}, 1) as executor:
            self.structure = NeuronEngine(factory, executor).structure()
        self.settings = own.model_copy(update={"kind": "batched"})
        self.stimulus = min(self.problem.stimuli, key=lambda one: one.duration_ms)
        self.mechanisms = read_mechanisms(
            self.problem.cell.settings.mechanisms, dict.fromkeys(self.structure.mechanisms)
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two short rounds, no variants")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    arguments = parser.parse_args()
    workload = Workload(arguments.fit)
    nodes = len(workload.structure.parent)
    steps, rounds = max(1000, 2_000_000 // nodes), 8
    if arguments.quick:
        steps, rounds = steps // 5, 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kernels = {"as it is": Kernel(workload, Variant(), steps, folder)}
        for what, variant in () if arguments.quick else variants():
            kernels[what] = Kernel(workload, variant, steps, folder)
        timed = Kernel(workload, Variant(edit=clocked), steps, folder)
        machine = peaks("float", folder)
        for _ in range(rounds):
            for kernel in kernels.values():
                kernel.run()
        own = kernels["as it is"]
        parts, whole = counts(own)
        figures = {
            "claim": "share of this core's peaks that a step of the single precision kernel reaches",
            "workload": workload.problem.settings.name,
            **roofline(own, whole, machine),
            "cycles_per_node": cycles_per_node(timed, machine["GHz"], rounds),
            "exponentials": exponentials(own),
            "block_KiB": round(own.block_bytes / 1024, 1),
        }
        print_counts(own, parts, whole)
        print_variants(kernels)
    figures["variants_x"] = {
        what: round(ratio(kernel, own), 3) for what, kernel in kernels.items() if kernel is not own
    }
    figures["compile_s"] = {what: round(kernel.compile_s, 2) for what, kernel in kernels.items()}
    figures["peaks"] = {what: round(value, 3) for what, value in machine.items()}
    print(json.dumps(figures))


def variants() -> Iterator[tuple[str, Variant]]:
    """What the kernel's speed could rest on, each taken away."""
    yield "one node at a time", Variant(edit=one_at_a_time)
    yield "gates by statements", Variant(tables=False)
    yield "32 segments of 6 mV", Variant(grid=Grid(32, 6.0, 1e-5, 7))
    yield "gates to 1e-4", Variant(grid=Grid(16, 12.0, 1e-4, 9))
    yield "depth first", Variant(depth_first=True)
    yield "double", Variant(precision="double")
    yield "x86-64-v3", Variant(target="x86-64-v3")
    yield "x86-64", Variant(target="x86-64")


def one_at_a_time(source: str) -> str:
    """The kernel without its loops over two nodes."""
    changed, count = re.subn(r"for \(; k \+ 1 < end; k \+= 2.*\n.*Two\(.*\n", "", source)
    assert count, "the generated loop over two nodes has changed"
    return changed


def clocked(source: str) -> str:
    """The kernel with a clock around its parts: each class, nodes without membrane, the pass towards the leaves."""
    clock = """#include "harness.hpp"
static unsigned long long spent[32];
struct Clocked {
    int part; unsigned long long start;
    Clocked(int p) : part(p), start(__builtin_ia32_rdtsc()) {}
    ~Clocked() { spent[part] += __builtin_ia32_rdtsc() - start; }
};
"""
    head, tail = clock.split("\n", 1)
    source = source.replace('#include "block.hpp"', f'{tail}#include "block.hpp"')
    source = re.sub(r"^(step(\d+)<FIRST>\(.*)$", r"{ Clocked now(\2); \1 }", source, flags=re.MULTILINE)
    source = re.sub(r"^(for \(int node = .*)$", r"{ Clocked now(30); \1 }", source, flags=re.MULTILINE)
    source = source.replace(head, "#define towards_leaves(b) (Clocked(31), towards_leaves(b))\n" + head)
    # The macro must not meet the function's own definition.
    source = source.replace(
        "#define towards_leaves", '#include "recorders.hpp"\n#include "solver.hpp"\n#define towards_leaves'
    )
    read = "for (int i = 0; i < 32; ++i) out[i] = spent[i]; out[32] = __builtin_ia32_rdtsc();"
    return source + f'extern "C" void parts_spent(unsigned long long* out) {{ {read} }}\n'


def cycles_per_node(kernel: Kernel, GHz: float, rounds: int) -> dict[str, float]:
    """Measured, in the least disturbed round, by class and for the other parts."""
    read = kernel.library.parts_spent
    best = np.full(33, np.inf)
    now, began = np.zeros(33, np.uint64), time.perf_counter()
    read(ctypes.c_void_p(now.ctypes.data))
    first = before = now.astype(float)
    for _ in range(rounds):
        kernel.run()
        read(ctypes.c_void_p(now.ctypes.data))
        best = np.minimum(best, now.astype(float) - before)
        before = now.astype(float)
    ticks_per_ns = (before[32] - first[32]) / (1e9 * (time.perf_counter() - began))
    cycles = best / ticks_per_ns * GHz / kernel.steps
    bare = sum(count for index, count in kernel.plan.runs if index < 0)
    found = {label(group): cycles[k] / len(group.nodes) for k, group in enumerate(kernel.plan.classes)}
    found |= {
        "no membrane": cycles[30] / max(1, bare),
        "towards leaves": cycles[31] / len(kernel.plan.structure.parent),
    }
    return {name: round(float(value), 1) for name, value in found.items()}


def label(group: NodeClass) -> str:
    """A class by its size and how many mechanisms it has."""
    return f"{len(group.nodes)} nodes, {len(group.states)} states"


def counts(kernel: Kernel) -> tuple[dict[str, tuple[int, Counts]], Counts]:
    """(nodes, counts of a node) by part, and the sum over a step."""
    code = functions(kernel.file)
    parts = {}
    for index, group in enumerate(kernel.plan.classes):
        stores = len(group.states) + STORES_BESIDE_STATES
        parts[label(group)] = (len(group.nodes), per_node(code[f"step{index}<false>"], stores))
    bare = sum(count for index, count in kernel.plan.runs if index < 0)
    parts["no membrane"] = (bare, per_node(code["towards_root<false>"], STORES_BESIDE_STATES))
    parts["towards leaves"] = (len(kernel.plan.structure.parent), per_node(code["towards_leaves"], 3))
    whole = Counts()
    for nodes, one in parts.values():
        whole = whole.plus(one.times(nodes))
    return parts, whole


def exponentials(kernel: Kernel) -> dict[str, int]:
    """Calls of exp, expm1, log and pow in a step: those that tables stand for, and those that are left."""
    assert kernel.gates
    found = {"avoided": 0, "left": 0}
    for group in kernel.plan.classes:
        for mechanism in group.mechanisms:
            kind = "avoided" if mechanism.name in kernel.gates.mechanisms else "left"
            found[kind] += len(group.nodes) * _calls(mechanism.advance)
            found["left"] += len(group.nodes) * _calls(mechanism.current)
    return found


def _calls(tree: Any) -> int:
    if isinstance(tree, tuple):
        return sum(map(_calls, tree))
    own = isinstance(tree, Call) and tree.function in ("exp", "expm1", "exprelr", "log", "pow")
    return own + sum(map(_calls, vars(tree).values())) if hasattr(tree, "__dict__") else 0


def expected_fma(kernel: Kernel, group: NodeClass) -> int:
    """Of the gates of a node, from their tables: Horner's steps, and m + (B - A m)."""
    assert kernel.gates
    tables = [
        table
        for one in group.mechanisms
        if one.name in kernel.gates.mechanisms
        for table in kernel.gates.mechanisms[one.name].tables.values()
    ]
    return sum(len(table.a) - 1 + len(table.b) - 1 + 1 for table in tables)


def roofline(kernel: Kernel, whole: Counts, machine: dict[str, float]) -> dict[str, Any]:
    """Print the table; bounds in microseconds of a step and the share of the time that each explains."""
    depth = np.zeros(len(kernel.plan.structure.parent), dtype=int)
    for node, parent in enumerate(kernel.plan.structure.parent):
        depth[node] = depth[parent] + 1 if parent >= 0 else 0
    levels, width = int(depth.max()), kernel.lanes * kernel.real.itemsize
    assert kernel.gates
    one_register = kernel.gates.grid.segments == kernel.lanes
    pair = machine["fma_and_permute1" if one_register else "fma_and_permute2"]
    cycles = {
        "fma issue": whole.fma * machine["fma"],
        "fma and permutation issue": (whole.fma + whole.permute) * pair / 2,
        "all vector arithmetic (4 pipes)": whole.arithmetic * machine["add"] / 2,
        "instructions (8 in a cycle)": whole.instructions / 8,
        "loads from L1": width * whole.loads / machine["L1_load_B"],
        "state of the block through L2": 2 * kernel.block_bytes / machine["L2_load_store_B"],
        "tree levels": levels * (machine["elimination_level"] + machine["substitution_level"]),
    }
    bounds = {name: value / machine["GHz"] / 1e3 for name, value in cycles.items()}
    measured = kernel.best_us
    flops = whole.flops * kernel.lanes
    peak = 2 * kernel.lanes * machine["GHz"] / machine["fma"]
    reached = flops / measured / 1e3
    print(f"{measured:.3f} us of a step of {kernel.lanes} lanes, {len(depth)} nodes, {levels} levels")
    print(f"{flops:.0f} flops: {reached:.1f} GFLOP/s of {peak:.1f}, {100 * reached / peak:.1f} %")
    print(f"{'bound':34} {'us':>8} {'share of the time':>18}")
    for name, value in bounds.items():
        print(f"{name:34} {value:8.3f} {100 * value / measured:17.1f} %")
    return {
        "us_per_step": round(measured, 3),
        "flops_per_step_and_lane": round(whole.flops),
        "share_of_peak_flops": round(reached / peak, 3),
        "bounds_us": {name: round(value, 3) for name, value in bounds.items()},
        "divisions_per_step": round(whole.divide),
        "permutations_per_step": round(whole.permute),
    }


def print_counts(kernel: Kernel, parts: dict[str, tuple[int, Counts]], whole: Counts) -> None:
    """Vector instructions of a node by part, and of a step."""
    names = list(vars(whole))
    print(f"\n{'of a node':24}" + "".join(f"{name[:8]:>9}" for name in (*names, "flops", "gate fma")))
    expected = {label(group): expected_fma(kernel, group) for group in kernel.plan.classes}
    for part, (_, one) in parts.items():
        values = (*vars(one).values(), one.flops)
        print(f"{part:24}" + "".join(f"{value:9.1f}" for value in values) + f"{expected.get(part, 0):9}")
    print(f"{'a step':24}" + "".join(f"{value:9.0f}" for value in (*vars(whole).values(), whole.flops)))
    print(
        "gate fma: as many as the degrees of the tables ask for; those of the elimination and the currents come on top"
    )


def ratio(kernel: Kernel, own: Kernel) -> float:
    """Time of a step and lane over the engine's own, median over rounds."""
    return float(np.median(np.array(kernel.us) / np.array(own.us))) * own.lanes / kernel.lanes


def print_variants(kernels: dict[str, Kernel]) -> None:
    """Times and ratios."""
    own = kernels["as it is"]
    print(
        f"\n{'variant':24}{'us a step':>10}{'lanes':>7}{'ns a lane':>11}{'x time':>8}{'compile s':>11}{'block KiB':>11}"
    )
    for what, kernel in kernels.items():
        per_lane = 1e3 * kernel.best_us / kernel.lanes
        line = f"{what:24}{kernel.best_us:10.3f}{kernel.lanes:7}{per_lane:11.1f}{ratio(kernel, own):8.2f}"
        print(f"{line}{kernel.compile_s:11.2f}{kernel.block_bytes / 1024:11.1f}")


if __name__ == "__main__":
    try:
        main()
    except EngineError as error:
        raise SystemExit(str(error)) from None
