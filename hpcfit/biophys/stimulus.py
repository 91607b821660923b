"""What is injected where and when: piecewise linear currents, gated by delay and duration, alike in all engines."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Injection:
    """A current into one site from `delay_ms` on for `duration_ms`, linear between its points.

    t_ms and i_nA: (points,); t_ms counts from the start of the simulation.
    """

    site: str
    delay_ms: float
    duration_ms: float
    t_ms: np.ndarray
    i_nA: np.ndarray

    @property
    def constant(self) -> bool:
        """Is it a plain step?"""
        return bool(np.all(self.i_nA == self.i_nA[0]))

    def at(self, t_ms: np.ndarray) -> np.ndarray:
        """The current at these times, nA."""
        inside = (t_ms >= self.delay_ms) & (t_ms < self.delay_ms + self.duration_ms)
        return np.where(inside, np.interp(t_ms, self.t_ms, self.i_nA), 0.0)


@dataclass(frozen=True)
class PointProcess:
    """A POINT_PROCESS at a site, with the events that reach it.

    parameters: those that differ from the mechanism's own; times_ms: (events,), None where it is sent no events;
    weight: of every event, in the mechanism's unit; name: what free parameters call it.
    """

    mechanism: str
    site: str
    parameters: Mapping[str, float]
    times_ms: np.ndarray | None = None
    weight: float = 0.0
    name: str = ""


@dataclass(frozen=True)
class Stimulus:
    """What a simulator needs to know of a protocol."""

    name: str
    duration_ms: float
    window_ms: tuple[float, float]
    injections: tuple[Injection, ...]
    point_processes: tuple[PointProcess, ...] = ()

    def current_nA(self, t_ms: np.ndarray, site: str = "soma") -> np.ndarray:
        """The sum of what is injected into a site at these times."""
        return np.sum([np.zeros_like(t_ms)] + [one.at(t_ms) for one in self.injections if one.site == site], axis=0)
