"""A recording as spike times in an HDF5 or CSV file, laid out as the settings say."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.csv_table import column, read_csv
from hpcfit.lfads.data.recording import Recording, Signal
from hpcfit.lfads.data.settings import SignalSettings, SpikeTimesSettings

_HDF5 = (".h5", ".hdf5", ".hdf", ".he5", ".mat", ".nwb")


def read_spike_times(settings: SpikeTimesSettings, time_columns: tuple[str, ...] = (), stop: str = "") -> Recording:
    """The recording; time_columns: columns of the trial table that are times, `stop` the one where trials end.

    Raises
    ------
    ConfigError, InputError
        When a file cannot be read or lacks what the settings name, with what it has.
    """
    path = settings.path
    if path.suffix.lower() in _HDF5:
        with _opened(path) as file:
            units = _units_hdf5(file, settings)
            trials = {} if settings.trials is None else _trials_hdf5(file, settings.trials, path)
            signals = {name: _signal(file, one, settings, name) for name, one in settings.signals.items()}
    else:
        _no_hdf5_options(settings)
        units = _units_csv(settings)
        trials = {}
        signals = {name: _signal(None, one, settings, name) for name, one in settings.signals.items()}
    if settings.trials_csv is not None:
        trials = read_csv(settings.trials_csv)
    for name in {*time_columns, stop} & trials.keys():
        if trials[name].dtype.kind in "uif":
            trials[name] = trials[name] * settings.time_unit_s
    names = tuple(sorted(units, key=_natural))
    spikes = tuple(units[name] for name in names)
    start_s, stop_s = _span(settings, spikes, signals, trials.get(stop))
    return Recording(
        path.stem, spikes, names, np.zeros(len(names), bool), start_s, stop_s, trials=trials, signals=signals
    )


def _span(
    settings: SpikeTimesSettings, spikes: tuple[np.ndarray, ...], signals: dict[str, Signal], stops: np.ndarray | None
) -> tuple[float, float]:
    """When the recording begins and ends, s."""
    first = next(iter(signals.values()), None)
    start, stop = settings.start_s, settings.stop_s
    if start is None:
        start = 0.0 if first is None else float(first.times_s[0])
    if stop is None and first is not None:
        stop = float(first.times_s[-1])
    if stop is None:
        stop = max((float(times.max()) for times in spikes if len(times)), default=start) + 1e-9
        if stops is not None and stops.dtype.kind in "uif" and np.isfinite(stops).any():
            stop = max(stop, float(np.nanmax(stops)))
    if not start < stop:
        raise InputError(
            f"{settings.path}: the recording would last from {start:g} to {stop:g} s; give start_s and stop_s"
        )
    return start, stop


def _units_hdf5(file: h5py.File, settings: SpikeTimesSettings) -> dict[str, np.ndarray]:
    place = settings.units or "units"
    if settings.times is not None:
        raise ConfigError(f"{settings.path}: data.spike_times.times is for CSV files; remove it")
    item = _item(file, place, settings.path, "units")
    whose = settings.unit_of_spike
    if isinstance(item, h5py.Group):
        if whose is not None:
            raise ConfigError(
                f"{settings.path}: data.spike_times.unit_of_spike goes with one data set of all spikes, but {place} is "
                "a group with a data set for each unit; remove it"
            )
        units = {name: np.asarray(part) for name, part in item.items() if isinstance(part, h5py.Dataset)}
    elif whose is None:
        raise ConfigError(
            f"{settings.path}: {place} is one data set of all spikes; say in data.spike_times.unit_of_spike which data "
            "set tells whose each is"
        )
    else:
        labels = np.asarray(_item(file, whose, settings.path, "unit_of_spike"))
        units = _by_unit(labels, np.asarray(item), settings.path)
    if not units:
        raise InputError(f"{settings.path}: {place} holds no units; it holds {', '.join(item) or 'nothing'}")
    return {
        name: _times(times, f"{settings.path}: unit {name}") * settings.time_unit_s for name, times in units.items()
    }


def _units_csv(settings: SpikeTimesSettings) -> dict[str, np.ndarray]:
    table = read_csv(settings.path)
    labels = column(table, settings.units or "unit", settings.path, "data.spike_times.units")
    times = column(table, settings.times or "time", settings.path, "data.spike_times.times")
    if not len(times):
        raise InputError(f"{settings.path}: has no spikes")
    units = _by_unit(labels, times, settings.path)
    return {
        name: _times(found, f"{settings.path}: unit {name}") * settings.time_unit_s for name, found in units.items()
    }


def _by_unit(labels: np.ndarray, times: np.ndarray, path: Path) -> dict[str, np.ndarray]:
    if labels.shape != times.shape or labels.ndim != 1:
        raise InputError(f"{path}: {labels.shape} units for {times.shape} spike times; give one for each")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or not np.array_equal(labels, np.rint(labels)):
            raise InputError(f"{path}: the units of spikes must be whole numbers or names")
        labels = labels.astype(np.int64)
    found, places = np.unique(labels, return_inverse=True)
    order = np.argsort(places, kind="stable")
    parts = np.split(times[order], np.cumsum(np.bincount(places))[:-1])
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in found]
    return dict(zip(names, parts, strict=True))


def _times(times: np.ndarray, where: str) -> np.ndarray:
    if times.ndim != 1 or times.dtype.kind not in "uif":
        raise InputError(
            f"{where}: spike times have shape {times.shape} and type {times.dtype}; give numbers (spikes,)"
        )
    times = times.astype(float)
    if not np.isfinite(times).all():
        raise InputError(f"{where}: {(~np.isfinite(times)).sum()} spike times are not finite; remove them")
    return times


def _trials_hdf5(file: h5py.File, place: str, path: Path) -> dict[str, np.ndarray]:
    group = _item(file, place, path, "trials")
    if not isinstance(group, h5py.Group):
        raise InputError(f"{path}: {place} is no group; it must hold a data set for each column of the trial table")
    table = {name: np.asarray(part) for name, part in group.items() if isinstance(part, h5py.Dataset)}
    table = {name: values for name, values in table.items() if values.ndim == 1}
    lengths = {name: len(values) for name, values in table.items()}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "no column"
        raise InputError(f"{path}: columns of {place} must have one entry for each trial; got {listed}")
    return {name: _text(values) for name, values in table.items()}


def _text(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "SO":
        return values
    return np.asarray([one.decode() if isinstance(one, bytes) else str(one) for one in values], object)


def _signal(file: h5py.File | None, one: SignalSettings, settings: SpikeTimesSettings, name: str) -> Signal:
    key = f"data.spike_times.signals.{name}"
    names = one.values if isinstance(one.values, tuple) else (one.values,)
    if one.path is not None:
        path, table = one.path, read_csv(one.path)
        columns = [column(table, value, path, f"{key}.values") for value in names]
        times = None if one.times is None else column(table, one.times, path, f"{key}.times")
    elif file is None:
        raise ConfigError(f"{settings.path}: {key} needs path, a CSV file: the spikes' own has no place for signals")
    else:
        path = settings.path
        columns = [np.asarray(_item(file, value, path, f"signals.{name}.values")) for value in names]
        times = None if one.times is None else np.asarray(_item(file, one.times, path, f"signals.{name}.times"))
    lengths = {len(values) for values in columns}
    if len(lengths) != 1 or (times is not None and len(times) != lengths.pop()):
        raise InputError(
            f"{path}: {key}: {', '.join(map(str, names))} have {[len(values) for values in columns]} samples"
            f"{'' if times is None else f', {one.times} {len(times)}'}; they must have as many"
        )
    try:
        values = np.concatenate([part.astype(float).reshape(len(part), -1) for part in columns], 1)
        if times is None:
            times = (one.start_s or 0.0) + np.arange(len(values)) / (one.rate_Hz or 1.0)
        else:
            times = times.astype(float) * settings.time_unit_s
    except (TypeError, ValueError):
        raise InputError(f"{path}: {key}: samples and their times must be numbers") from None
    back = np.flatnonzero(~(np.diff(times) >= 0))
    if not len(times) or len(back):
        what = (
            f"sample {back[0] + 1}, at {times[back[0] + 1]:g} s, is earlier than the one before it"
            if len(back)
            else "there are none"
        )
        raise InputError(f"{path}: {key}: samples must follow each other in time; {what}")
    first = np.concatenate([[True], np.diff(times) > 0])  # of samples at one time, as cameras give now and then
    return Signal(times[first], values[first])


def _item(file: h5py.File, place: str, path: Path, key: str) -> Any:
    if place not in file:
        held: list[str] = []
        file.visit(held.append)
        raise InputError(
            f"{path}: has no {place} (data.spike_times.{key}); it has {', '.join(held[:12]) or 'nothing'}"
            f"{' ...' if len(held) > 12 else ''}"
        )
    return file[place]


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5: {error}") from None
    with file:
        yield file


def _no_hdf5_options(settings: SpikeTimesSettings) -> None:
    for name in ("unit_of_spike", "trials"):
        if getattr(settings, name) is not None:
            other = "; give trials_csv" if name == "trials" else ""
            raise ConfigError(f"{settings.path}: data.spike_times.{name} is for HDF5 files{other}; remove it")


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts unit 10 after unit 9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]
