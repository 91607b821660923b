"""How much faster is the batched engine than CoreNEURON, Arbor, Jaxley, and NEURON's CVODE as BluePyOpt sets it?

    envs/local python benchmarks/peers.py [--quick] [--fit data/l5pc/fit.toml] [--population N] [--rounds N]

Arbor and Jaxley are measured where they are installed (`pip install -e '.[peers]'`); else a line says so.
One core for everybody.  Contestants run in turns, several rounds, and ratios are taken within a round, because a shared
machine's speed drifts; their median is quoted.  Rates are milliseconds of model time x individuals per second.

At equal accuracy with CVODE: the step is halved until single precision moves spikes no more than CVODE does.

Two cells: the fit file's, for NEURON (fixed step; CVODE with atol 1e-3, no minimum step and variable order, BluePyOpt's
defaults), CoreNEURON (16 copies) and Arbor (its catalogue has the same mechanisms, same compartments); and the same
morphology and compartments with hh throughout, for Jaxley, which has no such mechanisms.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
from peer_arbor import ArborPeer
from peer_sections import Section, sections_of

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.coreneuron import CoreNeuronEngine, coreneuron_factory
from hpcfit.biophys.engines.mod_files import compiled
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import EngineSettings, ParameterSettings, StimulusSettings
from hpcfit.jobs import load
from hpcfit.run.processes import Processes

ROOT = Path(__file__).resolve().parents[1]
DT_MS = 0.025
THRESHOLD_MV = -20.0
PEER_COPIES = 16
"""Individuals of a peer: more do not make them faster."""
SERIAL_COPIES = 4
"""Individuals of NEURON: its cost per individual does not depend on how many there are."""

Contestant = Callable[[], float]
"""Simulates and gives milliseconds of model time x individuals per second."""


class Contest:
    """The contestants on one cell, and what they measured."""

    def __init__(self, cell: Cell, values: np.ndarray, step: StimulusSettings, stack: ExitStack) -> None:
        self.cell, self.values, self.step, self._stack = cell, values, step, stack
        self.contestants: dict[str, Contestant] = {}
        self.rates: dict[str, list[float]] = {}
        self.v_mV: dict[str, np.ndarray] = {}

    def add_ours(self) -> None:
        """The batched engine in both precisions."""
        self._builder = self._neuron({})
        for precision in ("single", "double"):
            self.add_batched(precision, precision=precision)

    def add_batched(self, name: str, **changes) -> None:
        """The batched engine."""
        self._builder.settings = _settings({"kind": "batched", **changes})
        self._add(name, BatchedEngine.of(self._builder), self.values)

    def add_neuron(self, name: str, **changes) -> None:
        """NEURON itself."""
        self._add(name, self._neuron(changes), self.values[:SERIAL_COPIES])

    def add_coreneuron(self) -> None:
        """CoreNEURON."""
        self._add("coreneuron", CoreNeuronEngine(self._neuron({"kind": "coreneuron"})), self.values[:PEER_COPIES])

    def add_arbor(self, sections: list[Section]) -> None:
        """Arbor, or a line that says why not."""
        try:
            peer = ArborPeer(self.cell, sections, self.values[:PEER_COPIES], self.step, DT_MS)
        except (ImportError, ValueError) as error:
            print(f"arbor: not measured: {error}")
            return

        def work() -> float:
            rate = self.step.duration_ms * peer.individuals / peer.run()
            self.v_mV["arbor"] = peer.v_mV[None]
            return rate

        self.contestants["arbor"] = work

    def add_jaxley(self, precision: str, sections: list[Section]) -> None:
        """Jaxley in a process of its own, or a line that says why not.  The cell is hh throughout."""
        electrode = self.step.electrodes[0]
        settings = {parameter.variable: parameter.value for parameter in self.cell.parameters}
        task = {
            "precision": precision,
            "sections": [asdict(section) for section in sections],
            "densities": self.values[:PEER_COPIES, 0].tolist(),
            "Ra_ohm_cm": settings["Ra"],
            "v_init_mV": self.cell.settings.v_init_mV,
            "dt_ms": DT_MS,
            "duration_ms": self.step.duration_ms,
            "delay_ms": electrode.delay_ms,
            "step_ms": electrode.duration_ms,
            "amplitude_nA": electrode.amplitude_nA,
        }
        file = Path(self._stack.enter_context(tempfile.TemporaryDirectory())) / "task.json"
        file.write_text(json.dumps(task))
        command = [sys.executable, str(Path(__file__).with_name("peer_jaxley.py")), str(file)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._stack.callback(process.kill)
        first = process.stdout.readline()
        if not first:
            print(f"jaxley: not measured: {process.stderr.read().strip().splitlines()[-1]}")
            return
        about = json.loads(first)
        print(f"jaxley {precision} ({about['dtype']}): built in {about['built_s']:.1f} s, compiled and run in ", end="")
        print(f"{about['compiled_s']:.1f} s")
        self.v_mV[f"jaxley_{precision}"] = np.array(about["v_mV"])[None, :: round(0.1 / DT_MS)]

        def work() -> float:
            process.stdin.write("again\n")
            process.stdin.flush()
            seconds = json.loads(process.stdout.readline())["seconds"]
            return self.step.duration_ms * len(task["densities"]) / seconds

        self.contestants[f"jaxley_{precision}"] = work

    def warm_up(self) -> None:
        """Everybody once, unmeasured: processes start, cells are built."""
        for work in self.contestants.values():
            work()

    def round(self) -> str:
        """Everybody once, in turns; gives the rates as text."""
        for name, work in self.contestants.items():
            self.rates.setdefault(name, []).append(work())
        return "  ".join(f"{name} {values[-1]:.0f}" for name, values in self.rates.items())

    def ratio(self, ours: str, theirs: str) -> float | None:
        """Median over rounds of how many times as fast; None where it was not measured."""
        if theirs not in self.rates:
            return None
        return round(float(np.median(np.array(self.rates[ours]) / np.array(self.rates[theirs]))), 1)

    def _add(self, name: str, engine, values: np.ndarray) -> None:
        def work() -> float:
            start = time.perf_counter()
            responses = engine.simulate(values, [self.step.name])
            seconds = time.perf_counter() - start
            assert not responses.reasons, f"{name}: {responses.reasons}"
            self.v_mV[name] = responses.v_mV[0][:, 0]
            return self.step.duration_ms * len(values) / seconds

        self.contestants[name] = work

    def _neuron(self, changes: dict) -> NeuronEngine:
        settings = _settings(changes)
        factory = neuron_factory(self.cell, [build_stimulus(self.step)], settings)
        service = coreneuron_factory(factory) if settings.kind == "coreneuron" else factory
        executor = self._stack.enter_context(Processes({SERVICE: service}, 1))
        return NeuronEngine(factory, executor)


def _settings(changes: dict) -> EngineSettings:
    common = {"integrator": "fixed", "order": 2, "dt_ms": DT_MS, "workers": 1, "deadline_s": 600}
    return EngineSettings.model_validate({**common, **changes})


def nearest(cell: Cell) -> Cell:
    """The same morphology and segments with hh throughout; its sodium density is free."""
    changes = {"mechanisms": None, "regions": {"all": ("hh",)}, "celsius": 6.3, "v_init_mV": -65.0}
    parameters = (
        ParameterSettings.model_validate({"variable": "Ra", "regions": ["all"], "value": 100.0}),
        ParameterSettings.model_validate({"variable": "gnabar_hh", "regions": ["all"], "bounds": [0.08, 0.2]}),
    )
    sites = tuple(site for site in cell.sites if site.name == "soma")
    return Cell(cell.settings.model_copy(update=changes), parameters, sites)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, 64 individuals, 100 ms")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--population", type=int, default=128, help="individuals of the batched engine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without", nargs="*", default=(), choices=("arbor", "jaxley"), help="peers to leave out")
    parser.add_argument("--duration-ms", type=float, default=200.0)
    parser.add_argument("--amplitude-nA", type=float, default=0.8)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.population, arguments.rounds, arguments.duration_ms = 64, 1, 100.0
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # inherited by every process that is started here
    problem = load(arguments.fit)
    electrode = {"shape": "step", "delay_ms": 20.0, "duration_ms": arguments.duration_ms - 30.0}
    step = StimulusSettings.model_validate(
        {
            "name": "step",
            "duration_ms": arguments.duration_ms,
            "electrodes": [{**electrode, "amplitude_nA": arguments.amplitude_nA}],
        }
    )
    with ExitStack() as stack:
        full = Contest(problem.cell, problem.space.random(arguments.population, seed=1), step, stack)
        other = nearest(problem.cell)
        densities = np.linspace(0.08, 0.2, arguments.population)[:, None]
        hh = Contest(other, densities, step, stack)
        folder = problem.cell.settings.mechanisms
        sections = sections_of(problem.cell, compiled(folder) if folder is not None else None)
        for contest in (full, hh):
            contest.add_ours()
            contest.add_neuron("neuron_fixed")
        full.add_neuron("neuron_cvode", integrator="cvode", cvode_atol=1e-3)
        full.add_coreneuron()
        if "arbor" not in arguments.without:
            full.add_arbor(sections)
        for precision in ("single", "double") if "jaxley" not in arguments.without else ():
            hh.add_jaxley(precision, sections)
        for contest in (full, hh):
            contest.warm_up()
        equal_dt_ms = as_exact_as_cvode(full)
        for number in range(arguments.rounds):
            print(f"round {number}, the fit's cell: {full.round()}")
            print(f"round {number}, hh throughout: {hh.round()}")
        report(full, hh, equal_dt_ms, sum(len(section.lengths_um) for section in sections), arguments)


def as_exact_as_cvode(contest: Contest) -> float | None:
    """The largest step, ms, at which single precision moves spikes no more than CVODE does; None: none of those tried.

    That makes the contestant `single_as_cvode`.  Against NEURON at an eighth of the step, second order.
    """
    contest.add_neuron("limit", dt_ms=DT_MS / 8)
    contest.contestants.pop("limit")()
    allowed = shift_ms(contest, "neuron_cvode")
    for dt_ms in (DT_MS, DT_MS / 2, DT_MS / 4):
        contest.add_batched("single_as_cvode", precision="single", dt_ms=dt_ms)
        contest.contestants["single_as_cvode"]()
        if (shift := shift_ms(contest, "single_as_cvode")) is not None and (allowed is None or shift <= allowed):
            return dt_ms
    del contest.contestants["single_as_cvode"]
    return None


def shift_ms(contest: Contest, name: str) -> float | None:
    """Largest shift of a spike, ms, against `limit`; None where counts differ."""
    reference = [crossings(v_mV) for v_mV in contest.v_mV["limit"]]
    times = [crossings(v_mV) for v_mV in contest.v_mV[name][: len(reference)]]
    if any(len(ours) != len(theirs) for ours, theirs in zip(times, reference, strict=True)):
        return None
    pairs = zip(times, reference, strict=True)
    return round(max(float(np.max(np.abs(a - b), initial=0.0)) for a, b in pairs) * 0.1, 4)


def crossings(v_mV: np.ndarray) -> np.ndarray:
    """Interpolated upward crossings of the threshold, in samples."""
    up = np.flatnonzero((v_mV[1:] > THRESHOLD_MV) & (v_mV[:-1] <= THRESHOLD_MV))
    return up + (THRESHOLD_MV - v_mV[up]) / (v_mV[up + 1] - v_mV[up])


def report(full: Contest, hh: Contest, equal_dt_ms: float | None, compartments: int, arguments) -> None:
    """Spikes of the first individual by everybody, then medians of ratios within rounds as JSON."""
    for name, contest in (("the fit's cell", full), ("hh throughout", hh)):
        counts = {who: len(crossings(v_mV[0])) for who, v_mV in contest.v_mV.items()}
        print(f"spikes of the first individual, {name}: {counts}")
    peers = {name: full.ratio("single", name) for name in ("coreneuron", "arbor")}
    peers |= {name: hh.ratio("single", name) for name in ("jaxley_single", "jaxley_double")}
    measured = [value for value in peers.values() if value is not None]
    figures = {
        "claim": "the batched kernel in single precision against the best of CoreNEURON, Arbor, Jaxley, one core each",
        "ratio": min(measured, default=None),
        "goal": 10,
        "ratio_cvode": full.ratio("single_as_cvode", "neuron_cvode") if equal_dt_ms else None,
        "goal_cvode": 13,
        "dt_ms_as_exact_as_cvode": equal_dt_ms,
        "ratios": {**{name: full.ratio("single", name) for name in ("neuron_fixed", "neuron_cvode")}, **peers},
        "ratios_double": {
            **{name: full.ratio("double", name) for name in ("neuron_fixed", "neuron_cvode", "coreneuron", "arbor")},
            **{name: hh.ratio("double", name) for name in ("jaxley_single", "jaxley_double")},
        },
        "cells": {"jaxley": "hh throughout, same morphology and compartments", "others": arguments.fit.stem},
        "largest_spike_shift_ms": {
            name: shift_ms(full, name) for name in full.contestants if len(full.v_mV[name]) >= SERIAL_COPIES
        },
        "rate_median": {
            name: {who: round(float(np.median(rates))) for who, rates in contest.rates.items()}
            for name, contest in (("fit", full), ("hh", hh))
        },
        "compartments": compartments,
        "population": arguments.population,
        "duration_ms": arguments.duration_ms,
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
