"""What a model is trained on: binned trials for training and validation, and what is known of them."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Trials:
    """Trials of one session.

    Attributes
    ----------
    encod
        (trials, encoded time, encoded neurons) float32: what the model sees.
    recon
        (trials, time, neurons) float32: what it explains.  The encoded part comes first in time and neurons; more
        neurons are held out, more time is to be predicted.
    truth
        Rates per bin behind recon, where they are known.
    lengths
        (trials,) bins that are there; None: all.
    conditions
        (trials,) whose condition; None or -1: unknown.
    inds
        (trials,) which trial of the recording each is.
    starts
        (trials,) the recording's bin that each begins with, counted from its first: `chop.merge` needs it.
    behaviour
        By name: (trials, encoded time, dimensions) of a signal, NaN where it is not known; or (trials,), a value each.
    """

    encod: np.ndarray
    recon: np.ndarray
    truth: np.ndarray | None = None
    lengths: np.ndarray | None = None
    conditions: np.ndarray | None = None
    inds: np.ndarray | None = None
    starts: np.ndarray | None = None
    behaviour: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.encod)

    def rows(self, chosen: np.ndarray) -> "Trials":
        """Some of the trials: their numbers, or a mask."""
        arrays = {name: getattr(self, name) for name in PER_TRIAL}
        some: dict[str, Any] = {name: None if array is None else array[chosen] for name, array in arrays.items()}
        return Trials(**some, behaviour={name: array[chosen] for name, array in self.behaviour.items()})


PER_TRIAL = tuple(spec.name for spec in fields(Trials) if spec.name != "behaviour")
"""Trials' arrays, by name; each has a row for every trial."""


@dataclass(frozen=True)
class Session:
    """Training and validation trials that one population of neurons gave."""

    train: Trials
    valid: Trials
    name: str = "session"
    bin_s: float | None = None
    more: dict[str, np.ndarray] = field(default_factory=dict)
    """Other arrays of the file or recording, by name."""
    units: tuple[str, ...] = ()
    """Names of recon's units, where they have any."""
    notes: tuple[str, ...] = ()
    """What was done to the data that a person should know."""

    @property
    def neurons(self) -> tuple[int, int]:
        """How many are seen, and how many explained."""
        return self.train.encod.shape[2], self.train.recon.shape[2]

    @property
    def steps(self) -> tuple[int, int]:
        """How many bins are seen, and how many explained."""
        return self.train.encod.shape[1], self.train.recon.shape[1]


def compact(array: np.ndarray) -> np.ndarray:
    """Counts as bytes where all fit: a quarter of the memory; else the array itself."""
    if array.dtype == np.uint8 or not array.size:
        return array
    if not (array.min() >= 0 and array.max() <= 255):
        return array
    small = array.astype(np.uint8)
    return small if np.array_equal(small, array) else array


def one_array(trials: Trials) -> bool:
    """Whether what is seen is a part of what is explained in memory too, and need not be kept twice."""
    return bool(np.may_share_memory(trials.encod, trials.recon))


def joined(first: Trials, second: Trials) -> Trials:
    """The trials of both; arrays that one of them lacks are lost."""
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in PER_TRIAL}
    arrays: dict[str, Any] = {
        name: None if a is None or b is None else np.concatenate([a, b]) for name, (a, b) in pairs.items()
    }
    common = first.behaviour.keys() & second.behaviour.keys()
    both = {name: np.concatenate([first.behaviour[name], second.behaviour[name]]) for name in sorted(common)}
    return Trials(**arrays, behaviour=both)
