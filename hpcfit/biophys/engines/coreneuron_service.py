"""Sixteen copies of the cell in one process, advanced together by CoreNEURON.  Runs in a worker process.

CoreNEURON (Kumbhar et al. 2019) takes the whole model of a NEURON process over, in memory, after NEURON has initialised
it; copies of the cell, each with its own parameters and electrodes, are that model.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.engines.neuron_cell import Description, NeuronCell
from hpcfit.biophys.engines.neuron_service import NeuronFactory, NeuronService, inject, sampled
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.errors import EngineError

COPIES = 16
"""Always so many: as fast per copy as any number up to 32 and twice as fast as one, and because the count never
changes, neither does the place of a copy in the vector registers: its numbers depend on no neighbour."""


@dataclass(frozen=True)
class CoreNeuronFactory:
    """What a worker process needs: NEURON's part, and CoreNEURON's library of the mechanisms."""

    neuron: NeuronFactory
    library: Path | None

    @property
    def cell(self) -> Cell:
        return self.neuron.cell

    @property
    def stimuli(self) -> tuple[Stimulus, ...]:
        return self.neuron.stimuli

    @property
    def settings(self) -> EngineSettings:
        return self.neuron.settings

    def __call__(self) -> "CoreNeuronService":
        return CoreNeuronService(self)


class CoreNeuronService:
    """The copies in this process, and what to do with them."""

    def __init__(self, factory: CoreNeuronFactory) -> None:
        """Build the copies and let CoreNEURON advance them by one step.

        Raises
        ------
        EngineError
            When this NEURON has no CoreNEURON, or none for the GPU, or CoreNEURON refuses the model.
        """
        self.settings = factory.settings
        os.environ.pop("CORENEURONLIB", None)  # a cell of NEURON's own mechanisms uses CoreNEURON's own library
        if factory.library is not None:
            os.environ["CORENEURONLIB"] = str(factory.library)
        self._neuron = NeuronService(factory.neuron)
        _check_build(self.settings)
        self._description = self._neuron.describe()  # now: NEURON measures distances in the cell that came last
        others = (NeuronCell(factory.cell, None) for _ in range(COPIES - 1))
        self._cells = [self._neuron.cell, *others]
        for cell in self._cells:
            cell.afresh = False  # CoreNEURON diverges with a calcium pool that was taken out and put in again
        self._try(factory.cell)

    def describe(self) -> Description:
        """What was built: one of the copies."""
        return self._description

    def hoc(self, values: np.ndarray) -> str:
        """The cell with these parameters as a hoc file."""
        return self._neuron.hoc(values)

    def simulate_block(self, values: np.ndarray, names: Sequence[str]) -> list[tuple[int, str, np.ndarray | None]]:
        """Status, reason and voltage (sites, time), mV, of each individual under its stimulus.

        values: (at most COPIES, free parameters), of one temperature; names: of the stimulus of each, all of one
        duration.  Copies that are left over repeat the last.
        """
        stimuli = [self._neuron.stimuli[name] for name in names]
        held, recorded = [], []
        for number, cell in enumerate(self._cells):
            chosen = min(number, len(names) - 1)
            cell.set_parameters(values[chosen])
            held += [inject(cell, injection) for injection in stimuli[chosen].injections]
            if number < len(names):
                recorded.append([cell.h.Vector().record(place._ref_v) for place in cell.places.values()])
        self._advance(stimuli[0].duration_ms)
        held.clear()
        return [self._outcome(sampled(vectors, stimuli[0].duration_ms, self.settings)) for vectors in recorded]

    def _outcome(self, v_mV: np.ndarray) -> tuple[int, str, np.ndarray | None]:
        limit = self.settings.voltage_limit_mV
        bad = ~np.all(np.abs(v_mV) <= limit, axis=0)
        if not np.any(bad):
            return Status.OK, "", v_mV
        by_ms = int(np.argmax(bad)) * self.settings.record_dt_ms
        return Status.DIVERGED, f"voltage beyond {limit:g} mV by {by_ms:g} ms", None

    def _advance(self, duration_ms: float) -> None:
        settings, h = self.settings, self._neuron.h
        h.secondorder = 2 if settings.order == 2 else 0
        h.dt, h.steps_per_ms, h.t = settings.dt_ms, 1.0 / settings.dt_ms, 0.0
        for cell in self._cells:
            for section in cell.sections("all"):
                for segment in section.allseg():  # with the ends, which an individual's own v_init concerns too
                    segment.v = cell.v_init_mV
        h.finitialize()
        with _enabled(settings.gpu):
            self._neuron.context.psolve(duration_ms)

    def _try(self, cell: Cell) -> None:
        """One step in the middle of the bounds: what CoreNEURON cannot take at all shows before the first task.

        With the fixed GLOBALs set: CoreNEURON reads them at its first step in a process and never again.
        """
        middle = np.array([parameter.bounds for parameter in cell.free], dtype=float).reshape(-1, 2).mean(axis=1)
        for one in self._cells:
            one.set_parameters(middle)
        try:
            self._advance(self.settings.dt_ms)
        except RuntimeError as error:
            raise EngineError(f"CoreNEURON cannot simulate this cell: {error}; use engine.kind = 'neuron'") from error


def _check_build(settings: EngineSettings) -> None:
    from neuron import config

    built: dict[str, Any] = config.arguments
    if not built.get("NRN_ENABLE_CORENEURON"):
        raise EngineError(
            "engine.kind = 'coreneuron', but this NEURON was built without CoreNEURON; install NEURON's own wheel "
            "(pip install neuron), or use engine.kind = 'neuron'"
        )
    if settings.gpu and not built.get("CORENRN_ENABLE_GPU"):
        raise EngineError(
            "engine.gpu = true, but this NEURON's CoreNEURON was built without GPU support (pip's is); build NEURON "
            "with -DNRN_ENABLE_CORENEURON=ON -DCORENRN_ENABLE_GPU=ON, or remove engine.gpu"
        )


@contextmanager
def _enabled(gpu: bool) -> Iterator[None]:
    """In here, psolve runs CoreNEURON, silently."""
    from neuron import coreneuron as module

    coreneuron: Any = module  # in truth an object, whose settings a type checker cannot see
    coreneuron.enable, coreneuron.verbose, coreneuron.gpu = True, 0, gpu
    try:
        yield
    finally:
        coreneuron.enable = False
