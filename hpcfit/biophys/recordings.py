"""Which sweeps does a recording file hold, what current was injected, and what is the cell's rheobase?"""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from hpcfit.biophys.recordings_csv import csv_current, read_csv
from hpcfit.biophys.settings import RheobaseSettings
from hpcfit.biophys.step import Step, step_of
from hpcfit.biophys.sweep import Choose, Sweep, check_dt_ms, checked_sweep, chooser, only
from hpcfit.errors import InputError

__all__ = ["Step", "Sweep", "read_sweeps", "rheobase_nA", "step_of", "waveform"]

_SPIKE_THRESHOLD_MV = -20.0
_HDF5 = (".h5", ".hdf5", ".hdf")


def read_sweeps(path: Path, patterns: Sequence[str] = ("*",)) -> tuple[Sweep, ...]:
    """The sweeps whose names match any of the shell patterns, sorted by name.

    HDF5: groups at any depth with `voltage_mV`, perhaps `current_nA`, and the attribute `dt_ms`; a sweep's name is the
    path of its group.  CSV: see `recordings_csv`.  NWB 2: current-clamp series, by their names.

    Raises
    ------
    InputError
        When the file is missing or malformed, a pattern matches no sweep, or values cannot be in mV, nA and ms.
    """
    kind = _kind(path)
    choose = chooser(path, patterns)
    if kind == "csv":
        return tuple(read_csv(path, choose))
    if kind == "nwb":
        from hpcfit.biophys.nwb import read_nwb

        return tuple(read_nwb(path, choose))
    return tuple(_read_hdf5(path, choose))


def waveform(path: Path, sweep: str | None = None) -> tuple[np.ndarray, float]:
    """A stimulus from a file: i_nA (time,) and its sampling interval in ms.

    CSV: the columns time_ms and current_nA (or current_nA.SWEEP); HDF5: current_nA of that sweep; NWB: a current-clamp
    stimulus series, by its name.  `sweep` may be left out where the file has only one.

    Raises
    ------
    InputError
        When the file or the sweep does not exist, or has no current.
    """
    kind = _kind(path)
    if kind == "csv":
        i_nA, dt_ms = csv_current(path, sweep)
    elif kind == "nwb":
        from hpcfit.biophys.nwb import nwb_current

        i_nA, dt_ms = nwb_current(path, sweep)
    else:
        i_nA, dt_ms = _hdf5_current(path, sweep)
    where = f"{path}: current of {sweep or 'its only sweep'}"
    check_dt_ms(where, dt_ms)
    if len(i_nA) < 2 or not np.all(np.isfinite(i_nA)):
        raise InputError(f"{where}: needs at least 2 samples, all finite; got {len(i_nA)}, mend the file")
    return i_nA, dt_ms


def rheobase_nA(settings: RheobaseSettings, threshold_mV: float = _SPIKE_THRESHOLD_MV) -> float:
    """The rheobase, nA: given, or the smallest depolarising step, less holding, during which the cell fires.

    This is the "absolute" strategy of BluePyEfe (bluepyefe/rheobase.py, `compute_rheobase_absolute`: at least one
    spike within the stimulus), which BluePyEModel uses by default.  A spike is an upward crossing of `threshold_mV`.

    Raises
    ------
    InputError
        When no sweep has a step with a spike.
    """
    if settings.value_nA is not None:
        return settings.value_nA
    assert settings.recordings is not None
    sweeps = read_sweeps(settings.recordings, settings.sweeps)
    steps = [(sweep, step) for sweep in sweeps if (step := step_of(sweep)) is not None and step.amplitude_nA > 0]
    firing = [step.amplitude_nA for sweep, step in steps if _fires(sweep, step, threshold_mV)]
    if not firing:
        largest = max((step.amplitude_nA for _, step in steps), default=None)
        found = f"the largest of {len(steps)} steps is {largest:.4g} nA" if steps else "none has a depolarising step"
        raise InputError(
            f"{settings.recordings}: none of the {len(sweeps)} sweeps of [rheobase] fires above {threshold_mV:g} mV "
            f"({found}); choose other sweeps or give rheobase.value_nA"
        )
    return float(min(firing))


def _fires(sweep: Sweep, step: Step, threshold_mV: float) -> bool:
    first, last = round(step.start_ms / sweep.dt_ms), round(step.end_ms / sweep.dt_ms)
    above = sweep.v_mV[first:last] > threshold_mV
    return bool(np.any(above[1:] & ~above[:-1]))


def _kind(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: no such recording; paths in a settings file are relative to that file")
    suffix = path.suffix.lower()
    if suffix in _HDF5:
        return "hdf5"
    if suffix in (".csv", ".nwb"):
        return suffix[1:]
    raise InputError(f"{path}: recordings of type {suffix or '(none)'}; accepted: {', '.join(_HDF5)}, .csv, .nwb")


def _read_hdf5(path: Path, choose: Choose) -> list[Sweep]:
    with _open(path) as file:
        groups = _groups(file, "voltage_mV")
        if not groups:
            raise InputError(f"{path}: has no group with a dataset voltage_mV; expected PROTOCOL/NUMBER/voltage_mV")
        return [_sweep(name, groups[name], path) for name in choose(list(groups))]


def _sweep(name: str, group: h5py.Group, path: Path) -> Sweep:
    v_mV = _array(group, "voltage_mV")
    i_nA = _array(group, "current_nA") if isinstance(group.get("current_nA"), h5py.Dataset) else None
    return checked_sweep(name, v_mV, i_nA, _dt_ms(name, group, path), path)


def _hdf5_current(path: Path, sweep: str | None) -> tuple[np.ndarray, float]:
    with _open(path) as file:
        groups = _groups(file, "current_nA")
        name = only(path, list(groups), sweep)
        return _array(groups[name], "current_nA"), _dt_ms(name, groups[name], path)


def _array(group: h5py.Group, name: str) -> np.ndarray:
    dataset = group[name]
    assert isinstance(dataset, h5py.Dataset)
    return np.asarray(dataset[()], dtype=float)


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5 ({str(error).splitlines()[0]}); copy it again") from None


def _groups(file: h5py.File, dataset: str) -> dict[str, h5py.Group]:
    found: dict[str, h5py.Group] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Group) and isinstance(item.get(dataset), h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return found


def _dt_ms(name: str, group: h5py.Group, path: Path) -> float:
    try:
        return float(np.asarray(group.attrs["dt_ms"], dtype=float))
    except KeyError:
        raise InputError(
            f"{path}: sweep {name}: the attribute dt_ms (sampling interval, ms) is missing; add it"
        ) from None
    except (TypeError, ValueError):
        raise InputError(f"{path}: sweep {name}: dt_ms = {group.attrs['dt_ms']!r} is not a number") from None
