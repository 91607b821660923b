"""One call of a compiled kernel: every individual under every stimulus; traces, spikes or features out."""

import ctypes
import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from hpcfit.biophys.codegen.schedule import Schedule
from hpcfit.biophys.codegen.structure import Structure
from hpcfit.biophys.engines.packing import pack
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.errors import EngineError

_MOST_SPIKES_PER_MS = 1.0
"""Spikes that are made room for, in the mean over all simulations: no neuron fires at 1 kHz."""


class _Stimulus(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "injections")),
        *((name, ctypes.c_void_p) for name in ("injected", "current", "out")),
        *((name, ctypes.c_void_p) for name in ("active", "first_event", "event_step", "event_ms", "event_flag")),
        ("readings", ctypes.c_int64),
        ("reading", ctypes.c_void_p),
    )


class _Arguments(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("blocks", "every", "sites", "stimuli_count", "threads", "record", "most_spikes")
        ),
        *((name, ctypes.c_double) for name in ("sample_ms", "limit_mV", "deadline_s")),
        *((name, ctypes.c_void_p) for name in ("parameters", "stimuli", "site", "threshold_mV")),
        *((name, ctypes.c_void_p) for name in ("individual", "stimulus", "status", "stopped")),
        *((name, ctypes.c_void_p) for name in ("spikes", "first_spike", "cancel", "spike_ms")),
        *((name, ctypes.c_int64) for name in ("spike_count", "recorded", "samples")),
        ("read", ctypes.c_void_p),
        ("reading_s", ctypes.c_double),
    )


class ReadingStructure(ctypes.Structure):
    """recorders.hpp's Reading, field by field."""

    _fields_ = (
        ("site", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("plan", "wanted")),
        ("features", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("mean", "count", "reason")),
    )


class _Kind(IntEnum):
    """What is recorded; harness.hpp has the same."""

    TRACES = 0
    SPIKES = 1
    FEATURES = 2


class _Failure(IntEnum):
    """What the kernel returns; harness.hpp has the same."""

    FINE = 0
    NO_MEMORY = 1
    TOO_MANY_SPIKES = 2
    CANCELLED = 3


@dataclass(frozen=True)
class Ends:
    """How simulations ended: status and the time, ms, (individuals, stimuli) each."""

    status: np.ndarray
    stopped_ms: np.ndarray


@dataclass(frozen=True)
class Input:
    """What one stimulus is to the kernel.

    steps: how many; injected: (injections,) nodes; current: (injections, steps), mA/cm2 of the node, at the middle of
    each step, where NEURON evaluates it.
    """

    steps: int
    samples: int
    injected: np.ndarray
    current: np.ndarray
    events: Schedule

    @property
    def nbytes(self) -> int:
        """Its arrays' size."""
        return sum(array.nbytes for array in (self.injected, self.current, *self.events.arrays()))


@dataclass(frozen=True)
class FeatureOrder:
    """What the kernel is to read while it simulates.

    sites: (sites,) the order they are put in, those that are read first; recorded: how many these are; samples: of the
    longest stimulus; reader: address of the extractor's function; readings: an array of ReadingStructure per stimulus;
    keep: what these point to.
    """

    sites: np.ndarray
    recorded: int
    samples: int
    reader: int
    readings: tuple[ctypes.Array, ...]
    keep: tuple[Any, ...]


@dataclass(frozen=True)
class _Record:
    """What a call records, and the fields of _Arguments and _Stimulus that this takes."""

    kind: _Kind
    sites: np.ndarray
    fields: Mapping[str, int]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    out: Sequence[np.ndarray] | None = None
    readings: Sequence[ctypes.Array] | None = None


def kernel_input(
    stimulus: Stimulus, structure: Structure, settings: EngineSettings, real: np.dtype, events: Schedule
) -> Input:
    """A stimulus as the kernel reads it."""
    samples = samples_of(stimulus, settings)
    steps = (samples - 1) * round(settings.record_dt_ms / settings.dt_ms)
    middle = (np.arange(steps) + 0.5) * settings.dt_ms
    injected = np.array([structure.sites[one.site] for one in stimulus.injections], dtype=np.int64)
    current = np.empty((len(injected), steps), dtype=real)
    for row, one in zip(current, stimulus.injections, strict=True):
        # nA over um2 is 100 mA/cm2.
        row[:] = one.at(middle) * 100.0 / structure.area_um2[structure.sites[one.site]]
    return Input(steps, samples, injected, current, events)


def samples_of(stimulus: Stimulus, settings: EngineSettings) -> int:
    """Samples of a response to it."""
    return 1 + math.floor(stimulus.duration_ms / settings.record_dt_ms + 1e-9)


def most_spikes(individuals: int, stimuli: Sequence[Stimulus], sites: int) -> int:
    """Spikes that are made room for."""
    return math.ceil(_MOST_SPIKES_PER_MS * individuals * sites * sum(stimulus.duration_ms for stimulus in stimuli))


class KernelCall:
    """A compiled kernel with everything that stays the same between calls."""

    def __init__(self, library: ctypes.CDLL, structure: Structure, settings: EngineSettings, sites: Sequence[str]):
        self._run, self._library = library.hpcfit_run, library
        library.hpcfit_row.restype = library.hpcfit_work.restype = ctypes.c_int64
        library.hpcfit_work.argtypes = (ctypes.c_int64,) * 4
        self._settings = settings
        self._cancel = np.zeros(1, dtype=np.int32)
        self._places = len(set(structure.sites.values()))  # electrodes are at sites
        self._site = np.array([structure.sites[name] for name in sites], dtype=np.int64)

    def cancel(self) -> None:
        """From another thread: the call at work leaves, by an EngineError."""
        self._cancel[0] = 1

    @property
    def row_length(self) -> int:
        """Numbers of an individual that the kernel reads."""
        return self._library.hpcfit_row()

    @property
    def work_bytes(self) -> int:
        """What one thread needs."""
        return self.feature_work_bytes(0, 0)

    def feature_work_bytes(self, sites: int, samples: int) -> int:
        """What one thread needs where features are read at so many sites, the extractor's own work apart.

        samples: of the longest stimulus.
        """
        return self._library.hpcfit_work(len(self._site), self._places, sites, samples)

    def traces(self, table: np.ndarray, inputs: Sequence[Input], lanes: int, threads: int) -> tuple[list, Ends]:
        """Voltage (individuals, sites, time) of each stimulus, mV; NaN where the simulation failed."""
        shapes = [(len(table), len(self._site), one.samples) for one in inputs]
        out = [np.empty(shape, dtype=table.dtype) for shape in shapes]
        record = _Record(_Kind.TRACES, self._site, {"recorded": len(self._site)}, out=out)
        ends, _ = self._call(table, inputs, lanes, threads, record)
        for number, v_mV in enumerate(out):
            v_mV[ends.status[:, number] != 0] = np.nan
        return out, ends

    def spikes(
        self, table: np.ndarray, inputs: Sequence[Input], lanes: int, threads: int, threshold_mV: np.ndarray, most: int
    ) -> tuple[np.ndarray, np.ndarray, Ends]:
        """Counts (individuals, stimuli, sites), times in their order, ms, and how simulations ended."""
        shape = (len(table), len(inputs), len(self._site))
        counts, first = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        found = np.empty(most)  # pages that no spike is written to take no memory
        arrays = {"threshold_mV": threshold_mV, "spikes": counts, "first_spike": first, "spike_ms": found}
        record = _Record(_Kind.SPIKES, self._site, {"most_spikes": len(found)}, arrays)
        ends, arguments = self._call(table, inputs, lanes, threads, record)
        total = arguments.spike_count
        # Blocks end in any order.
        starts = np.cumsum(counts.ravel()) - counts.ravel()
        times = found[np.repeat(first.ravel() - starts, counts.ravel()) + np.arange(total)]
        return counts, times, ends

    def features(
        self, table: np.ndarray, inputs: Sequence[Input], lanes: int, threads: int, order: FeatureOrder
    ) -> tuple[Ends, float]:
        """Fills the tables that the readings point to; how simulations ended, and the seconds that reading took.

        These are processor time, divided by the threads that had work.
        """
        fields = {"recorded": order.recorded, "samples": order.samples, "read": order.reader}
        record = _Record(_Kind.FEATURES, self._site[order.sites], fields, readings=order.readings)
        ends, arguments = self._call(table, inputs, lanes, threads, record, order.keep)
        return ends, arguments.reading_s / max(1, min(arguments.threads, arguments.blocks))

    def _call(
        self,
        table: np.ndarray,
        inputs: Sequence[Input],
        lanes: int,
        threads: int,
        record: _Record,
        keep: tuple[Any, ...] = (),
    ) -> tuple[Ends, _Arguments]:
        settings = self._settings
        # Events reach all lanes of a block.
        apart = any(len(one.events.active) for one in inputs)
        packing = pack(len(table), [one.steps for one in inputs], lanes, apart)
        ends = Ends(np.zeros((len(table), len(inputs)), np.int8), np.zeros((len(table), len(inputs)), np.int64))
        stimuli = _stimuli(inputs, record)
        self._cancel = cancel = np.zeros(1, dtype=np.int32)
        arrays = {"parameters": table, "site": record.sites, "individual": packing.individual, **record.arrays}
        arrays |= {"stimulus": packing.stimulus, "status": ends.status, "stopped": ends.stopped_ms, "cancel": cancel}
        arguments = _Arguments(
            blocks=len(packing.individual),
            every=round(settings.record_dt_ms / settings.dt_ms),
            sites=len(self._site),
            stimuli_count=len(inputs),
            threads=threads,
            record=record.kind,
            sample_ms=settings.record_dt_ms,
            limit_mV=settings.voltage_limit_mV,
            deadline_s=settings.deadline_s,
            stimuli=ctypes.addressof(stimuli),
            **record.fields,
            **{name: array.ctypes.data for name, array in arrays.items()},
        )
        used = (table, inputs, stimuli, arrays, packing, record, keep)
        _succeed(_Failure(self._interruptible(arguments, cancel, used)))
        return Ends(ends.status, ends.stopped_ms * settings.record_dt_ms), arguments

    def _interruptible(self, arguments: Any, cancel: np.ndarray, used: tuple[Any, ...]) -> int:
        """The kernel's own result.  It runs beside this thread, which Ctrl-C reaches; the kernel then leaves off.

        used: what the arguments point to.  The kernel's thread holds it: an interrupt may come before this thread
        knows that the other one has started.
        """
        result: list[int] = []

        def work() -> None:
            result.append(self._run(ctypes.byref(arguments)))
            del used_[:]

        used_ = [arguments, cancel, *used]
        thread = threading.Thread(target=work, name="hpcfit kernel")
        try:
            thread.start()
            thread.join()
        except BaseException:
            cancel[0] = 1
            with suppress(RuntimeError):  # it has not started
                thread.join()
            raise
        return result[0]


def _stimuli(inputs: Sequence[Input], record: _Record) -> ctypes.Array:
    stimuli = (_Stimulus * len(inputs))()
    for number, one in enumerate(inputs):
        place = None if record.out is None else record.out[number].ctypes.data
        electrodes = (one.injected.ctypes.data, one.current.ctypes.data)
        events = (array.ctypes.data for array in one.events.arrays())
        readings = () if record.readings is None else record.readings[number]
        reading = (len(readings), ctypes.addressof(readings) if readings else None)
        stimuli[number] = _Stimulus(one.steps, len(one.injected), *electrodes, place, *events, *reading)
    return stimuli


def _succeed(failure: _Failure) -> None:
    """Raises EngineError."""
    if failure is _Failure.NO_MEMORY:
        raise EngineError("the batched kernel found no memory for its threads; lower engine.workers")
    if failure is _Failure.TOO_MANY_SPIKES:
        raise EngineError(
            f"more than {_MOST_SPIKES_PER_MS:g} spike per ms in the mean over all simulations: these are no spikes of "
            "a neuron; lower engine.dt_ms, or mend the threshold or the bounds of the parameters"
        )
    if failure is _Failure.CANCELLED:
        raise EngineError("the simulation was cancelled")
    assert failure is _Failure.FINE, failure
