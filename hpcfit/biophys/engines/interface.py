"""The interface of every simulator: a parameter matrix and stimuli in, responses and statuses out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Protocol

import numpy as np

from hpcfit.biophys.engines.memory import Memory, Record, memory_limit
from hpcfit.biophys.settings import EngineSettings, FeatureSettings, SiteSettings

SPIKE_MV: float = FeatureSettings().threshold_mV
"""Threshold of a spike where nobody says otherwise."""
AIM = 0.75
"""Portions are made for so much of the memory that a simulation may take."""


class Status(IntEnum):
    """How the simulation of one individual and one stimulus ended."""

    OK = 0
    DIVERGED = 1
    """Voltage not finite or beyond the limit."""
    DEADLINE = 2
    """Took longer than the deadline and was ended."""
    CRASHED = 3
    """The simulator's process died."""
    ERROR = 4
    """The simulator reported an error."""


@dataclass(frozen=True)
class Responses:
    """Voltage at every site, for every individual and stimulus.

    Attributes
    ----------
    v_mV
        Per stimulus an array (individuals, sites, time), float64, or float32 from a simulator in single precision;
        rows of failed simulations are NaN.
    dt_ms
        Sampling interval; sample i is at i * dt_ms.
    status
        (individuals, stimuli) int8, values of Status.
    reasons
        (individual, stimulus) -> what happened, for those that are not OK.
    """

    stimuli: tuple[str, ...]
    sites: tuple[str, ...]
    dt_ms: float
    v_mV: tuple[np.ndarray, ...]
    status: np.ndarray
    reasons: dict[tuple[int, int], str]

    def trace(self, individual: int, stimulus: str, site: str = "soma") -> np.ndarray:
        """One voltage trace, mV: (time,)."""
        return self.v_mV[self.stimuli.index(stimulus)][individual, self.sites.index(site)]

    def time_ms(self, stimulus: str) -> np.ndarray:
        """The times of that stimulus' samples, ms: (time,)."""
        return np.arange(self.v_mV[self.stimuli.index(stimulus)].shape[-1]) * self.dt_ms


@dataclass(frozen=True)
class SpikeTimes:
    """When the voltage rose through a site's threshold, for every individual and stimulus; no voltage is kept.

    A spike is a sample above the threshold after one that is not; its time is interpolated linearly between the two.

    Attributes
    ----------
    counts
        (individuals, stimuli, sites) int64; 0 where the simulation failed: see status.
    times_ms
        (spikes,) float64: those of individual 0, stimulus 0, site 0, then of its next site, and so on.
    threshold_mV
        (sites,) float64.
    status, reasons
        As in Responses.
    """

    stimuli: tuple[str, ...]
    sites: tuple[str, ...]
    counts: np.ndarray
    times_ms: np.ndarray
    threshold_mV: np.ndarray
    status: np.ndarray
    reasons: dict[tuple[int, int], str]

    @cached_property
    def offsets(self) -> np.ndarray:
        """(individuals * stimuli * sites + 1,) int64: where each one's spikes start in times_ms."""
        return np.concatenate(([0], np.cumsum(self.counts.ravel())))

    def of(self, individual: int, stimulus: str, site: str = "soma") -> np.ndarray:
        """One site's spike times, ms: (spikes,)."""
        place = (individual, self.stimuli.index(stimulus), self.sites.index(site))
        number = int(np.ravel_multi_index(place, self.counts.shape))
        return self.times_ms[self.offsets[number] : self.offsets[number + 1]]


def spike_times(v_mV: np.ndarray, dt_ms: float, threshold_mV: float) -> np.ndarray:
    """Times at which a trace rises through a threshold, ms, float64: (spikes,).  v_mV: (time,)."""
    v_mV = np.asarray(v_mV, dtype=float)
    before = np.flatnonzero((v_mV[1:] > threshold_mV) & (v_mV[:-1] <= threshold_mV))
    low, high = v_mV[before], v_mV[before + 1]
    return (before + (threshold_mV - low) / (high - low)) * dt_ms


def site_thresholds(sites: Sequence[SiteSettings], threshold_mV: float) -> np.ndarray:
    """(sites,) mV: each site's own threshold, or this one."""
    own = [site.threshold_mV for site in sites]
    return np.array([threshold_mV if value is None else value for value in own], dtype=float)


class Engine(Protocol):
    """A simulator of one cell."""

    settings: EngineSettings
    at_once: int
    """Pairs of an individual and a stimulus that one of its processes or threads takes at a time."""

    def simulate(self, parameters: np.ndarray, stimuli: Sequence[str]) -> Responses:
        """Responses of every individual to the named stimuli.

        parameters: (individuals, free parameters), in the order and units of the cell's free parameters.

        Raises
        ------
        EngineError
            When the responses would not fit into memory, before anything is simulated.
        """
        ...

    def spikes(self, parameters: np.ndarray, stimuli: Sequence[str], threshold_mV: float = SPIKE_MV) -> SpikeTimes:
        """Spike times of every individual under the named stimuli; voltages are not kept.

        threshold_mV: of sites that have none of their own.  Raises as `simulate`.
        """
        ...

    def memory(self, population: int, stimuli: Sequence[str], record: Record = "traces") -> Memory:
        """Bytes that `simulate` (traces), `spikes` or, given readings, reading features take for a population."""
        ...

    def cancel(self) -> None:
        """From another thread: the call at work leaves early, by an EngineError."""
        ...


def cores(settings: EngineSettings) -> int:
    """Processes or threads that simulate: what the settings say, else one for every core this process may use."""
    return settings.workers or len(os.sched_getaffinity(0))


def portions(engine: Engine, population: int, stimuli: Sequence[str], record: Record = "traces") -> list[slice]:
    """The population in as few portions of one size as have results (record: which) that fit into memory.

    Raises
    ------
    EngineError
        When not even one individual's do.
    """
    limit = memory_limit(engine.settings.memory_GiB)
    engine.memory(1, stimuli, record).check(limit, "one individual")
    # What is free changes until the last portion is simulated.
    aim = limit if engine.settings.memory_GiB is not None else AIM * limit
    number = 1
    while number < population and engine.memory(-(-population // number), stimuli, record).total > aim:
        number += 1
    size = -(-population // number)
    return [slice(start, start + size) for start in range(0, population, size)]
