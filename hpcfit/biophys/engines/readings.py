"""Features in place of voltages: of a simulator that reads them on the way, or of traces that any other made."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hpcfit.biophys.engines.interface import Engine, Responses, portions
from hpcfit.biophys.extract import FeatureTable, Reason, extract
from hpcfit.biophys.extract.names import INDEX
from hpcfit.biophys.extract.reading import Reading
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.errors import InputError


@dataclass(frozen=True)
class FeatureValues:
    """Features of every individual; no voltage is kept.

    Attributes
    ----------
    readings
        What was read.
    mean, count, reason
        Per reading an array (individuals, features): the mean of a feature's values, NaN where undefined; how many
        there are; why there is no mean, a value of hpcfit.features.Reason.  A failed simulation has no features
        (NOT_FINITE): see status.
    status, reasons
        As in Responses.
    reading_s
        How much of the simulation's time went into reading, s: processor time over threads; 0 for stored traces.
    """

    stimuli: tuple[str, ...]
    readings: tuple[Reading, ...]
    mean: tuple[np.ndarray, ...]
    count: tuple[np.ndarray, ...]
    reason: tuple[np.ndarray, ...]
    status: np.ndarray
    reasons: dict[tuple[int, int], str]
    reading_s: float = 0.0

    def of(self, stimulus: str, name: str, site: str = "soma") -> np.ndarray:
        """The means of one feature, NaN where undefined: (individuals,).  Raises KeyError when it was not read."""
        for reading, mean in zip(self.readings, self.mean, strict=True):
            if (reading.stimulus, reading.site) == (stimulus, site) and name in reading.names:
                return mean[:, reading.names.index(name)]
        raise KeyError(f"{stimulus}.{site}.{name} was not read")


@runtime_checkable
class Streaming(Protocol):
    """A simulator that reads features while it simulates."""

    def features(self, parameters: np.ndarray, stimuli: Sequence[str], readings: Sequence[Reading]) -> FeatureValues:
        """Features of every individual under the named stimuli, of whose voltages none is kept.

        parameters: (individuals, free parameters).

        Raises
        ------
        InputError
            When a reading names a stimulus that is not among those, a site that the cell has not, or a feature of
            IPFX's, which is read of stored traces only.
        EngineError
            When the results would not fit into memory, before anything is simulated.
        """
        ...


def read(responses: Responses, readings: Sequence[Reading], threads: int = 0) -> FeatureValues:
    """Features of stored traces.  threads: 0 for every core.  Raises InputError as Streaming.features."""
    check_readings(readings, responses.stimuli, responses.sites)
    tables = [_table(responses, one, threads) for one in readings]
    mean, count, reason = (tuple(getattr(table, name) for table in tables) for name in ("mean", "count", "reason"))
    return FeatureValues(responses.stimuli, tuple(readings), mean, count, reason, responses.status, responses.reasons)


def _table(responses: Responses, one: Reading, threads: int) -> FeatureTable:
    v_mV = responses.v_mV[responses.stimuli.index(one.stimulus)][:, responses.sites.index(one.site)]
    return extract(
        v_mV,
        responses.dt_ms,
        one.window_ms,
        one.names,
        one.settings,
        stimulus_nA=one.stimulus_nA,
        i_nA=one.current and one.current.first(v_mV.shape[1]).i_nA,
        threads=threads,
    )


def features_of(
    engine: Engine, parameters: np.ndarray, stimuli: Sequence[str], readings: Sequence[Reading]
) -> FeatureValues:
    """Features by any simulator, in as many portions of the population as fit into memory.

    One that cannot read while it simulates keeps the traces of a portion until they are read; so does every one for
    features of IPFX's.  Raises as Streaming.features.
    """
    readings = tuple(readings)
    parts = []
    on_the_way = isinstance(engine, Streaming) and all(name in INDEX for one in readings for name in one.names)
    for rows in portions(engine, len(parameters), stimuli, readings if on_the_way else "traces") or [slice(0, 0)]:
        if on_the_way:
            assert isinstance(engine, Streaming)
            parts.append(engine.features(parameters[rows], stimuli, readings))
        else:
            parts.append(read(engine.simulate(parameters[rows], stimuli), readings, engine.settings.workers))
    return parts[0] if len(parts) == 1 else _together(parts)


def _together(parts: Sequence[FeatureValues]) -> FeatureValues:
    """Portions of a population as one."""
    first, reasons, before = parts[0], {}, 0
    for part in parts:
        reasons |= {(individual + before, stimulus): said for (individual, stimulus), said in part.reasons.items()}
        before += len(part.status)
    mean, count, reason = (
        tuple(np.concatenate(arrays) for arrays in zip(*(getattr(part, name) for part in parts), strict=True))
        for name in ("mean", "count", "reason")
    )
    status = np.concatenate([part.status for part in parts])
    seconds = sum(part.reading_s for part in parts)
    return FeatureValues(first.stimuli, first.readings, mean, count, reason, status, reasons, seconds)


def empty_tables(readings: Sequence[Reading], individuals: int) -> tuple[tuple[np.ndarray, ...], ...]:
    """Means, counts and reasons of simulations that have not ended well, a table for each reading."""
    shapes = [(individuals, len(one.names)) for one in readings]
    return (
        tuple(np.full(shape, np.nan) for shape in shapes),
        tuple(np.zeros(shape, dtype=np.int32) for shape in shapes),
        tuple(np.full(shape, Reason.NOT_FINITE, dtype=np.uint8) for shape in shapes),
    )


def check_readings(readings: Sequence[Reading], stimuli: Sequence[str], sites: Sequence[str]) -> None:
    """Raises InputError when a reading is of another stimulus or site than these."""
    for number, one in enumerate(readings):
        for kind, name, known in (("stimulus", one.stimulus, stimuli), ("site", one.site, sites)):
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise InputError(f"readings[{number}]: there is no {kind} {name!r} in this simulation; {hint}")


def readings_for(
    features: Sequence[str | Reading], stimuli: Sequence[Stimulus], sites: Sequence[str]
) -> tuple[Reading, ...]:
    """Readings as they are; names for every stimulus in its own window, at the first site.

    Raises
    ------
    ConfigError, InputError
        When a feature, or the stimulus or site of a reading, does not exist: the nearest name.
    """
    names = tuple(one for one in features if isinstance(one, str))
    given = [one for one in features if isinstance(one, Reading)]
    check_readings(given, [one.name for one in stimuli], sites)
    return (*(Reading(one.name, sites[0], one.window_ms, names) for one in stimuli if names), *given)
