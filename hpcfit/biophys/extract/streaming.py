"""What does a simulator need to read features of the traces that it has in hand, and what does that take?"""

import ctypes

import numpy as np

from hpcfit.biophys.extract.kernel import compiled
from hpcfit.biophys.extract.names import INDEX
from hpcfit.biophys.extract.plan import Plan, uniform_plan
from hpcfit.biophys.extract.reading import Reading
from hpcfit.errors import InputError

_WORK_BYTES = 128
"""For each sample: more than what a thread of the extractor takes for the grid, bounds and landmarks (about 50)."""


def reader() -> int:
    """The address of the extractor's hpcfit_read, which stays where it is as long as the process lives.

    Raises EngineError when there is no C++ compiler.
    """
    return ctypes.cast(compiled().hpcfit_read, ctypes.c_void_p).value or 0


def reading_plan(reading: Reading, samples: int, dt_ms: float) -> Plan:
    """What hpcfit_read is given for traces of so many samples; the very plan that `extract` makes.

    Raises InputError when the current has fewer samples.
    """
    current = reading.current and reading.current.first(samples)
    return uniform_plan(samples, float(dt_ms), reading.window_ms, reading.settings, reading.stimulus_nA, current)


def numbers(reading: Reading) -> np.ndarray:
    """The features' numbers in the extractor: (names,) int32.  Raises InputError for what it cannot read on the way."""
    if other := [name for name in reading.names if name not in INDEX]:
        raise InputError(f"{other[0]} is read of stored traces only; record = 'traces', then hpcfit.features.extract")
    return np.array([INDEX[name] for name in reading.names], dtype=np.int32)


def reader_bytes(plan: Plan) -> int:
    """What one thread needs to read a trace, at most."""
    return _WORK_BYTES * (plan.structure.count + plan.structure.raw_count + 64)
