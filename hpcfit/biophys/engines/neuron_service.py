"""One simulation in NEURON: parameters in, voltage at the sites out.  Runs in a worker process."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.codegen.structure import Structure
from hpcfit.biophys.engines.hoc import hoc_text
from hpcfit.biophys.engines.interface import Status, spike_times
from hpcfit.biophys.engines.neuron_cell import Description, NeuronCell, tabulating
from hpcfit.biophys.engines.point_processes import PointProcesses
from hpcfit.biophys.engines.structure import read_structure
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.stimulus import Injection, Stimulus

_CHECK_EVERY_MS = 20.0


@dataclass(frozen=True)
class NeuronFactory:
    """What a worker process needs to build the cell: sent to it once."""

    cell: Cell
    stimuli: tuple[Stimulus, ...]
    settings: EngineSettings
    library: Path | None

    def __call__(self) -> "NeuronService":
        return NeuronService(self)


class NeuronService:
    """The cell in this process, and what to do with it."""

    def __init__(self, factory: NeuronFactory) -> None:
        self.settings = factory.settings
        self.stimuli = {stimulus.name: stimulus for stimulus in factory.stimuli}
        self.cell = NeuronCell(factory.cell, factory.library)
        self.h = self.cell.h
        for name in tabulating(self.h):
            setattr(self.h, f"usetable_{name}", float(factory.settings.tables_honoured))
        self.points = PointProcesses(self.cell, factory.stimuli)
        self.cvode = self.h.CVode()
        self.context = self.h.ParallelContext()
        self.context.set_maxstep(_CHECK_EVERY_MS)

    def describe(self) -> Description:
        """What was built."""
        return self.cell.describe()

    def structure(self, values: np.ndarray) -> Structure:
        """The discretised cell, as another engine needs it."""
        return self.points.added_to(read_structure(self.cell, values))

    def hoc(self, values: np.ndarray) -> str:
        """The cell with these parameters as a hoc file."""
        return hoc_text(self.cell, values, self.points, self.settings)

    def simulate(self, values: np.ndarray, name: str) -> tuple[int, str, np.ndarray | None]:
        """Status, reason and voltage (sites, time), mV, of one individual under one stimulus."""
        stimulus = self.stimuli[name]
        self.cell.set_parameters(values)
        holders = [inject(self.cell, injection) for injection in stimulus.injections]
        holders += self.points.placed(stimulus)
        recorded = [self._record(place) for place in self.cell.places.values()]
        self._prepare(stimulus)
        try:
            diverged_ms = self._integrate(stimulus.duration_ms)
        except RuntimeError as error:
            return Status.ERROR, f"NEURON: {error}", None
        finally:
            holders.clear()
        v_mV = sampled(recorded, stimulus.duration_ms, self.settings)
        if diverged_ms is None and not np.all(np.abs(v_mV) <= self.settings.voltage_limit_mV):
            diverged_ms = stimulus.duration_ms
        if diverged_ms is not None:
            return Status.DIVERGED, f"voltage beyond {self.settings.voltage_limit_mV:g} mV by {diverged_ms:g} ms", None
        return Status.OK, "", v_mV

    def spikes(self, values: np.ndarray, name: str, threshold_mV: np.ndarray) -> tuple[int, str, Any]:
        """As `simulate`, but with each site's spike times, ms, in place of voltages.  threshold_mV: (sites,)."""
        status, reason, v_mV = self.simulate(values, name)
        if v_mV is None:
            return status, reason, None
        dt_ms = self.settings.record_dt_ms
        return status, reason, [spike_times(one, dt_ms, at) for one, at in zip(v_mV, threshold_mV, strict=True)]

    def _record(self, place: Any) -> Any:
        vector = self.h.Vector()
        if self.settings.integrator == "cvode":
            return vector.record(place._ref_v, self.settings.record_dt_ms)
        return vector.record(place._ref_v)

    def _prepare(self, stimulus: Stimulus) -> None:
        settings, h = self.settings, self.h
        h.secondorder = 2 if settings.order == 2 and settings.integrator == "fixed" else 0
        self.cvode.active(settings.integrator == "cvode")
        if settings.integrator == "cvode":
            self.cvode.atol(settings.cvode_atol)
        else:
            h.dt, h.steps_per_ms = settings.dt_ms, 1.0 / settings.dt_ms
        h.t, h.tstop = 0.0, stimulus.duration_ms
        h.finitialize(self.cell.v_init_mV)

    def _integrate(self, duration_ms: float) -> float | None:
        """Integrate to the end, or to the time at which the voltage is seen to have left all bounds."""
        soma, limit = self.cell.object.soma[0](0.5), self.settings.voltage_limit_mV
        if self.settings.integrator == "cvode":
            duration_ms += self.settings.record_dt_ms  # the sample at the very end is taken by a step beyond it
        for index in range(1, math.ceil(duration_ms / _CHECK_EVERY_MS) + 1):
            self.context.psolve(min(index * _CHECK_EVERY_MS, duration_ms))
            if not abs(soma.v) <= limit:
                return self.h.t
        return None


def inject(cell: NeuronCell, injection: Injection) -> tuple[Any, ...]:
    """Put the electrode in; it stays for as long as what is returned is held."""
    clamp = cell.h.IClamp(cell.places[injection.site])
    clamp.delay, clamp.dur = injection.delay_ms, injection.duration_ms
    if injection.constant:
        clamp.amp = float(injection.i_nA[0])
        return (clamp,)
    times, values = cell.h.Vector(injection.t_ms), cell.h.Vector(injection.i_nA)
    values.play(clamp._ref_amp, times, 1)
    return clamp, times, values


def sampled(recorded: Sequence[Any], duration_ms: float, settings: EngineSettings) -> np.ndarray:
    """(sites, time): as many samples as the duration has, at multiples of record_dt_ms."""
    count = 1 + math.floor(duration_ms / settings.record_dt_ms + 1e-9)
    every = 1 if settings.integrator == "cvode" else round(settings.record_dt_ms / settings.dt_ms)
    v_mV = np.full((len(recorded), count), np.nan)
    for row, vector in zip(v_mV, recorded, strict=True):
        samples = vector.as_numpy()[::every][:count]
        row[: len(samples)] = samples
    return v_mV
