"""A recording as an NWB 2 file: units, trial table, time series; above all those of the Neural Latents Benchmark.

The benchmark's additions to NWB: a column `heldout` of the units, a column `split` of the trials.  Written files have
the same layout, so that what is read back is what was written.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.errors import InputError
from hpcfit.lfads.data.recording import Recording, Signal
from hpcfit.population.files import replacing


def read_nwb(path: Path, signals: tuple[str, ...] | None = None) -> Recording:
    """The recording; signals: the names of those to read (None: none; names of a container's are CONTAINER_NAME).

    Trials' columns that hold more than one value a trial are left out; stop_time is also there as end_time.

    Raises
    ------
    InputError
        When the file is no NWB file, has no units or lacks a signal.
    """
    with _opened(path) as file:
        if file.units is None or not len(file.units):
            raise InputError(f"{path}: has no units; spikes must be sorted, or thresholded, into a units table")
        table = file.units
        if "spike_times" not in table.colnames:
            raise InputError(f"{path}: its units have no spike_times; they have {', '.join(table.colnames)}")
        number = len(table)
        spikes = tuple(np.asarray(table.get_unit_spike_times(unit), float) for unit in range(number))
        held_out = np.asarray(table["heldout"][:], bool) if "heldout" in table.colnames else np.zeros(number, bool)
        observed = _observed(table, number)
        trials = {} if file.trials is None else _columns(file.trials)
        series = dict(_series(file))
        found = {}
        for name in signals or ():
            if name not in series:
                raise InputError(f"{path}: has no signal {name}; it has {', '.join(sorted(series)) or 'none'}")
            found[name] = _signal(series[name])
        stop = _stop(spikes, observed, trials)
        units = tuple(str(unit) for unit in table.id[:])
    return Recording(path.stem, spikes, units, held_out, 0.0, stop, observed, trials, found)


def signal_names(path: Path) -> list[str]:
    """Names of the file's time series.  Raises InputError."""
    with _opened(path) as file:
        return sorted(name for name, _ in _series(file))


def write_nwb(path: Path, recording: Recording) -> None:
    """Write what `read_nwb` reads; signals go into the processing module `behavior`.

    Raises
    ------
    InputError, StorageError
        When pynwb is not there; when the file cannot be written.
    """
    pynwb = _pynwb(path)
    file = pynwb.NWBFile(
        session_description=f"written by hpcfit: {recording.name}",
        identifier=recording.name,
        session_start_time=datetime(2000, 1, 1, tzinfo=UTC),  # a fixed one: the same recording gives the same file
    )
    file.add_unit_column("heldout", "whether the unit is held out")
    observed = recording.observed
    if observed is None:
        observed = np.asarray([[recording.start_s, recording.stop_s]])
    for number, times in enumerate(recording.spikes):
        name = recording.units[number]
        unit = int(name) if name.isdigit() else number
        file.add_unit(spike_times=times, obs_intervals=observed, heldout=bool(recording.held_out[number]), id=unit)
    columns = {name: values for name, values in recording.trials.items() if name not in ("stop_time", "end_time")}
    begin = columns.pop("start_time", np.zeros(0))
    end = recording.trials.get("stop_time", recording.trials.get("end_time", begin))
    for name in columns:
        file.add_trial_column(name, name)
    for row in range(len(begin)):
        values = {name: _plain(column[row]) for name, column in columns.items()}
        file.add_trial(start_time=float(begin[row]), stop_time=float(end[row]), **values)
    if recording.signals:
        module = file.create_processing_module("behavior", "signals")
        for name, signal in recording.signals.items():
            data = pynwb.H5DataIO(signal.values.astype(np.float32), compression="gzip", shuffle=True)
            times = pynwb.H5DataIO(signal.times_s, compression="gzip", shuffle=True)
            module.add(pynwb.TimeSeries(name=name, data=data, timestamps=times, unit="unknown"))
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not end in")  # that is the temporary name
        with pynwb.NWBHDF5IO(str(temporary), "w") as io:
            io.write(file)


class _Pynwb:
    """The parts of pynwb that are used, imported when they are."""

    def __init__(self) -> None:
        import pynwb
        from hdmf.backends.hdf5 import H5DataIO

        self.NWBFile: Any = pynwb.NWBFile
        self.NWBHDF5IO: Any = pynwb.NWBHDF5IO
        self.TimeSeries: Any = pynwb.TimeSeries
        self.H5DataIO: Any = H5DataIO


def _pynwb(path: Path) -> _Pynwb:
    try:
        return _Pynwb()
    except ImportError:
        raise InputError(f"{path}: NWB files need pynwb; pip install hpcfit[nwb]") from None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    pynwb = _pynwb(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        io = pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True)
    except Exception as error:  # h5py and hdmf raise types of their own for what is not HDF5 or not NWB
        raise InputError(f"{path}: cannot be read as NWB ({_first_line(error)}); check the file") from None
    with io:
        try:
            file = io.read()
        except Exception as error:  # as above
            raise InputError(f"{path}: cannot be read as NWB 2 ({_first_line(error)}); check the file") from None
        yield file


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _observed(table: Any, number: int) -> np.ndarray | None:
    """(intervals, 2), when all units were watched; None: the file does not say."""
    if "obs_intervals" not in table.colnames:
        return None
    every = [np.asarray(table.get_unit_obs_intervals(unit), float).reshape(-1, 2) for unit in range(number)]
    common = every[0]
    for other in every[1:]:
        if other.shape != common.shape or not np.array_equal(other, common):
            common = _both(common, other)
    return common


def _both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intervals that lie in both; each is sorted."""
    pairs, place, other = [], 0, 0
    while place < len(first) and other < len(second):
        begin, end = max(first[place, 0], second[other, 0]), min(first[place, 1], second[other, 1])
        if end > begin:
            pairs.append((begin, end))
        if first[place, 1] < second[other, 1]:
            place += 1
        else:
            other += 1
    return np.asarray(pairs, float).reshape(-1, 2)


def _columns(table: Any) -> dict[str, np.ndarray]:
    """The columns that hold one number, truth value or text for each trial."""
    found = {}
    for name in table.colnames:
        column = table[name]
        if not hasattr(column, "data") or type(column).__name__ != "VectorData":
            continue  # an index into a ragged column, or references
        values = np.asarray(column.data[:])
        if values.ndim == 1 and values.dtype.kind in "biufSUO" and not _holds_objects(values):
            found[name] = _text(values)
    if "stop_time" in found:
        found["end_time"] = found["stop_time"]
    return found


def _holds_objects(values: np.ndarray) -> bool:
    return values.dtype.kind == "O" and any(not isinstance(value, str | bytes) for value in values)


def _text(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "SUO":
        return values
    return np.asarray([value.decode() if isinstance(value, bytes) else str(value) for value in values], object)


def _series(file: Any) -> Iterator[tuple[str, Any]]:
    """Time series of acquisition, stimulus and processing, by name; those in a container as CONTAINER_NAME."""
    import pynwb

    modules = [module.data_interfaces for module in file.processing.values()]
    for holder in (file.acquisition, file.stimulus, *modules):
        for item in holder.values():
            if isinstance(item, pynwb.TimeSeries):
                yield str(item.name), item
            else:
                parts = [child for child in item.children if isinstance(child, pynwb.TimeSeries)]
                yield from ((f"{item.name}_{part.name}", part) for part in parts)


def _signal(series: Any) -> Signal:
    values = np.asarray(series.data[:], float) * float(series.conversion) + float(series.offset or 0.0)
    if series.timestamps is not None:
        times = np.asarray(series.timestamps[:], float)
    else:
        times = float(series.starting_time or 0.0) + np.arange(len(values)) / float(series.rate)
    return Signal(times, values[:, None] if values.ndim == 1 else values)


def _stop(spikes: tuple[np.ndarray, ...], observed: np.ndarray | None, trials: dict[str, np.ndarray]) -> float:
    """The recording's end: that of the watched intervals or of the last trial; else of the last spike."""
    ends = [] if observed is None else [float(end) for end in observed[:, 1]]
    ends += [float(end) for end in trials.get("stop_time", []) if np.isfinite(end)]
    return max(ends) if ends else max((float(times[-1]) for times in spikes if len(times)), default=0.0) + 1e-9


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
