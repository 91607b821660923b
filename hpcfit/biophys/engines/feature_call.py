"""From readings to what the kernel is given, so that it reads features while it simulates."""

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np

from hpcfit.biophys.engines.kernel_call import FeatureOrder, ReadingStructure
from hpcfit.biophys.extract.reading import Reading
from hpcfit.biophys.extract.streaming import numbers, reader, reader_bytes, reading_plan

Tables = tuple[tuple[np.ndarray, ...], ...]
"""Means, counts and reasons: per reading an array (individuals, features) each."""


def feature_order(
    readings: Sequence[Reading],
    stimuli: Sequence[str],
    sites: Sequence[str],
    samples: Sequence[int],
    dt_ms: float,
    tables: Tables,
) -> FeatureOrder:
    """The order for one call.

    samples: (stimuli,) how many a response has, every dt_ms; tables: where the numbers go.

    Raises
    ------
    EngineError
        When there is no C++ compiler.
    """
    read = sites_read(readings, sites)
    listed: list[list[ReadingStructure]] = [[] for _ in stimuli]
    keep: list[object] = [tables]
    for one, mean, count, reason in zip(readings, *tables, strict=True):
        number = list(stimuli).index(one.stimulus)
        plan, wanted = reading_plan(one, samples[number], dt_ms), numbers(one)
        places = (ctypes.addressof(plan.structure), wanted.ctypes.data)
        results = (array.ctypes.data for array in (mean, count, reason))
        site = read.index(sites.index(one.site))
        listed[number].append(ReadingStructure(site, *places, len(wanted), *results))
        keep += [plan, wanted]
    others = [number for number in range(len(sites)) if number not in read]
    arrays = tuple((ReadingStructure * len(some))(*some) for some in listed)
    order = np.array([*read, *others], dtype=np.int64)
    return FeatureOrder(order, len(read), max(samples), reader(), arrays, (keep, arrays))


def sites_read(readings: Sequence[Reading], sites: Sequence[str]) -> list[int]:
    """Which sites are read at, in their order."""
    return sorted({sites.index(one.site) for one in readings})


def table_bytes(readings: Sequence[Reading], individuals: int) -> int:
    """What the results take: float64, int32 and uint8 each."""
    return 13 * individuals * sum(len(one.names) for one in readings)


def extractor_bytes(readings: Sequence[Reading], samples: Mapping[str, int], dt_ms: float) -> int:
    """What the extractor needs for one thread, at most.  samples: of each stimulus."""
    plans = (reading_plan(one, samples[one.stimulus], dt_ms) for one in readings)
    return max((reader_bytes(plan) for plan in plans), default=0)
