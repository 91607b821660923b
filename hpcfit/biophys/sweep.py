"""What is a recorded sweep, and can the numbers in a file be one?  Shared by the readers of every format."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from hpcfit.errors import InputError

_SHORTEST_DT_MS = 0.0015
"""Nobody samples a membrane faster than this; seconds taken for milliseconds look like it."""

Choose = Callable[[Sequence[str]], list[str]]
"""Picks names of sweeps: readers load only those."""


@dataclass(frozen=True)
class Sweep:
    """One recorded sweep.

    Attributes
    ----------
    name
        GROUP/NUMBER of an HDF5 file, a column of a CSV file, or a series of an NWB file.
    v_mV, i_nA
        (time,) float64; i_nA is None where no current was stored.
    dt_ms
        Sampling interval; sample i is at i * dt_ms.
    source
        The file it came from.
    """

    name: str
    v_mV: np.ndarray
    i_nA: np.ndarray | None
    dt_ms: float
    source: Path

    @property
    def duration_ms(self) -> float:
        """From the first sample to the end of the last one's interval."""
        return len(self.v_mV) * self.dt_ms

    @property
    def where(self) -> str:
        """File and sweep, as errors name them."""
        return f"{self.source}: sweep {self.name}"


def chooser(path: Path, patterns: Sequence[str]) -> Choose:
    """Picks the names that match any of the shell patterns, sorted; an error when a pattern matches none."""

    def choose(names: Sequence[str]) -> list[str]:
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise InputError(f"{path}: no sweep matches {pattern!r}; it has {listed(names)}")
        return sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))

    return choose


def only(path: Path, names: Sequence[str], wanted: str | None) -> str:
    """`wanted` when it is among the names, or the only name when none is wanted.  Raises InputError."""
    if wanted is None:
        if len(names) == 1:
            return names[0]
        raise InputError(f"{path}: give sweep, the file has {len(names)}: {listed(names)}")
    if wanted not in names:
        raise InputError(f"{path}: no sweep {wanted!r} with a current; it has {listed(names)}")
    return wanted


def listed(names: Sequence[str], most: int = 8) -> str:
    """The names in an error message, not more than a line can hold."""
    if not names:
        return "no sweeps"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(list(names)[:most]) + more


def checked_sweep(name: str, v_mV: np.ndarray, i_nA: np.ndarray | None, dt_ms: float, source: Path) -> Sweep:
    """A sweep without its NaN tail (how some formats mark a recording that was stopped early).

    Raises
    ------
    InputError
        When the arrays differ in length, hold values that are not finite, or can only be in other units.
    """
    where = f"{source}: sweep {name}"
    check_dt_ms(where, dt_ms)
    v_mV = np.asarray(v_mV, dtype=float)
    arrays = [v_mV] if i_nA is None else [v_mV, np.asarray(i_nA, dtype=float)]
    if len({array.shape for array in arrays}) > 1 or v_mV.ndim != 1:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise InputError(f"{where}: voltage and current have shapes {shapes}; give one value of each per sample")
    length = min(_finite_length(array) for array in arrays)
    if length == 0:
        raise InputError(f"{where}: holds no finite voltage; leave it out with the sweeps patterns")
    arrays = [np.ascontiguousarray(array[:length]) for array in arrays]
    for quantity, array in zip(("voltage_mV", "current_nA"), arrays, strict=False):
        if not np.all(np.isfinite(array)):
            first = int(np.flatnonzero(~np.isfinite(array))[0])
            raise InputError(f"{where}: {quantity} is not finite at sample {first}; only the tail may be missing")
    _check_units(where, arrays)
    return Sweep(name, arrays[0], arrays[1] if len(arrays) > 1 else None, float(dt_ms), source)


def check_dt_ms(where: str, dt_ms: float) -> None:
    """Raises InputError unless this can be a sampling interval in ms."""
    if not (math.isfinite(dt_ms) and dt_ms > 0):
        raise InputError(f"{where}: sampling interval is {dt_ms} ms; it must be above 0")
    if dt_ms < _SHORTEST_DT_MS:
        raise InputError(f"{where}: sampling interval is {dt_ms:g} ms, which looks like seconds; give milliseconds")


def uniform_dt_ms(where: str, time_ms: np.ndarray, place: Callable[[int], str]) -> float:
    """The interval of evenly spaced times; `place` says where sample i is in the file, for the error.

    Rounding of printed times is forgiven: half an interval off the even grid, but no sample may be missing.
    """
    if len(time_ms) < 2:
        raise InputError(f"{where}: has {len(time_ms)} samples; a sweep needs at least 2")
    if not np.all(np.isfinite(time_ms)):
        first = int(np.flatnonzero(~np.isfinite(time_ms))[0])
        raise InputError(f"{where}: time is missing at {place(first)}; every sample needs one")
    dt_ms = float(time_ms[-1] - time_ms[0]) / (len(time_ms) - 1)
    grid = time_ms[0] + dt_ms * np.arange(len(time_ms))
    steps = np.diff(time_ms)
    if dt_ms <= 0 or np.max(np.abs(time_ms - grid)) > 0.5 * dt_ms or np.max(np.abs(steps - dt_ms)) > 0.6 * dt_ms:
        worst = 1 + int(np.argmax(np.abs(steps - np.median(steps))))
        raise InputError(
            f"{where}: time is not evenly spaced at {place(worst)} (a step of {steps[worst - 1]:g} where others are "
            f"{np.median(steps):g}); resample the recording"
        )
    check_dt_ms(where, dt_ms)
    return dt_ms


def _finite_length(array: np.ndarray) -> int:
    finite = np.flatnonzero(np.isfinite(array))
    return int(finite[-1]) + 1 if len(finite) else 0


def _check_units(where: str, arrays: list[np.ndarray]) -> None:
    voltage = float(np.max(np.abs(arrays[0])))
    if voltage > 1000.0 or 0.0 < voltage < 1.0:
        raise InputError(
            f"{where}: voltage reaches {voltage:g} mV, which cannot be mV; convert it (or mend its factor)"
        )
    if len(arrays) > 1 and (current := float(np.max(np.abs(arrays[1])))) > 100.0:
        raise InputError(f"{where}: current reaches {current:g} nA, which looks like pA; convert it to nA")
