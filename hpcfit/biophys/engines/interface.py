"""The interface of every simulator: a parameter matrix and stimuli in, responses and statuses out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np


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
        Per stimulus an array (individuals, sites, time); rows of failed simulations are NaN.
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


class Engine(Protocol):
    """A simulator of one cell."""

    def simulate(self, parameters: np.ndarray, stimuli: Sequence[str]) -> Responses:
        """Responses of every individual to the named stimuli.

        parameters: (individuals, free parameters), in the order and units of the cell's free parameters.
        """
        ...
