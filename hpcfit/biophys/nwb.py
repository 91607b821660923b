"""How are current-clamp sweeps stored in an NWB 2 file?  Responses in acquisition, what was injected in stimulus.

NWB keeps the two apart.  A response's stimulus is, in this order: the one that the table of intracellular recordings
joins it with; the one of the same electrode and sweep number; the one of the same electrode and starting time; the only
one whose name has the same digits (data_00012_AD0 and data_00012_DA0).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.sweep import Choose, Sweep, checked_sweep, only, uniform_dt_ms
from hpcfit.errors import InputError

_TO_MV = {"volts": 1e3, "volt": 1e3, "v": 1e3, "millivolts": 1.0, "mv": 1.0}
_TO_NA = {"amperes": 1e9, "ampere": 1e9, "amps": 1e9, "a": 1e9, "nanoamperes": 1.0, "na": 1.0, "pa": 1e-3}


def read_nwb(path: Path, choose: Choose) -> list[Sweep]:
    """The chosen current-clamp sweeps.  Raises InputError."""
    with _open(path) as (file, icephys):
        responses = {
            str(name): series
            for name, series in file.acquisition.items()
            if isinstance(series, icephys.CurrentClampSeries)
        }
        if not responses:
            raise InputError(
                f"{path}: has no current-clamp sweeps (CurrentClampSeries in acquisition); it holds "
                f"{', '.join(sorted({type(series).__name__ for series in file.acquisition.values()})) or 'nothing'}"
            )
        stimuli = _stimuli(file, icephys)
        joined = _joined(file)
        return [
            _sweep(name, responses[name], _match(responses[name], stimuli, joined), path)
            for name in choose(list(responses))
        ]


def nwb_current(path: Path, sweep: str | None) -> tuple[np.ndarray, float]:
    """i_nA (time,) and dt_ms of a stimulus series.  Raises InputError."""
    with _open(path) as (file, icephys):
        stimuli = {series.name: series for series in _stimuli(file, icephys)}
        series = stimuli[only(path, list(stimuli), sweep)]
        i_nA = _values(series, _TO_NA, f"{path}: stimulus {series.name}")
        finite = np.flatnonzero(np.isfinite(i_nA))
        return i_nA[: finite[-1] + 1 if len(finite) else 0], _dt_ms(series, f"{path}: stimulus {series.name}")


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    try:
        import pynwb
        from pynwb import icephys
    except ImportError:
        raise InputError(f"{path}: reading NWB files needs pynwb; pip install hpcfit[nwb]") from None
    reader: Any = pynwb.NWBHDF5IO  # its signature is made at import
    try:
        io = reader(str(path), "r", load_namespaces=True)
    except Exception as error:  # h5py and hdmf raise types of their own for what is not HDF5 or not NWB
        raise InputError(f"{path}: cannot be read as NWB ({_first_line(error)}); check the file") from None
    with io:
        try:
            file = io.read()
        except Exception as error:  # as above
            raise InputError(f"{path}: cannot be read as NWB 2 ({_first_line(error)}); check the file") from None
        yield file, icephys


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _sweep(name: str, response: Any, stimulus: Any | None, path: Path) -> Sweep:
    where = f"{path}: sweep {name}"
    v_mV = _values(response, _TO_MV, where)
    dt_ms = _dt_ms(response, where)
    i_nA = None if stimulus is None else _on_grid(stimulus, len(v_mV), dt_ms, f"{path}: stimulus {stimulus.name}")
    finite = np.flatnonzero(np.isfinite(v_mV))
    length = int(finite[-1]) + 1 if len(finite) else 0
    return checked_sweep(name, v_mV[:length], None if i_nA is None else i_nA[:length], dt_ms, path)


def _on_grid(stimulus: Any, samples: int, dt_ms: float, where: str) -> np.ndarray:
    """The injected current at the response's samples, nA: (samples,); NaN after its end."""
    i_nA = _values(stimulus, _TO_NA, where)
    own_dt_ms = _dt_ms(stimulus, where)
    if abs(own_dt_ms - dt_ms) > 1e-6 * dt_ms:
        return np.interp(np.arange(samples) * dt_ms, np.arange(len(i_nA)) * own_dt_ms, i_nA, right=np.nan)
    padded = np.full(samples, np.nan)
    padded[: min(samples, len(i_nA))] = i_nA[:samples]
    return padded


def _values(series: Any, factors: dict[str, float], where: str) -> np.ndarray:
    unit = str(series.unit).lower()
    if unit not in factors:
        raise InputError(f"{where}: unit {series.unit!r} is not understood; accepted: {', '.join(factors)}")
    offset = float(getattr(series, "offset", 0.0) or 0.0)
    values = np.asarray(series.data[()] if hasattr(series.data, "shape") else series.data, dtype=float)
    return (values * float(series.conversion) + offset) * factors[unit]


def _dt_ms(series: Any, where: str) -> float:
    if series.rate is not None:
        if not series.rate > 0:
            raise InputError(f"{where}: rate is {series.rate} Hz; it must be above 0")
        return 1e3 / float(series.rate)
    # NWB times are seconds by definition.
    return uniform_dt_ms(where, 1e3 * np.asarray(series.timestamps[:], dtype=float), lambda sample: f"sample {sample}")


def _stimuli(file: Any, icephys: Any) -> list[Any]:
    return [series for series in file.stimulus.values() if isinstance(series, icephys.CurrentClampStimulusSeries)]


def _joined(file: Any) -> dict[str, str]:
    """Response -> stimulus by name, from the table of intracellular recordings (NWB 2.4 and later)."""
    table = getattr(file, "intracellular_recordings", None)
    if table is None:
        return {}
    pairs = zip(table["responses"]["response"][:], table["stimuli"]["stimulus"][:], strict=True)
    found = {}
    for response, stimulus in pairs:
        if response.timeseries is not None and stimulus.timeseries is not None:
            found[response.timeseries.name] = stimulus.timeseries.name
    return found


def _match(response: Any, stimuli: list[Any], joined: dict[str, str]) -> Any | None:
    def same_electrode(stimulus: Any) -> bool:
        return getattr(stimulus.electrode, "name", None) == getattr(response.electrode, "name", None)

    rules: tuple[Callable[[Any], bool], ...] = (
        lambda stimulus: joined.get(response.name) == stimulus.name,
        lambda stimulus: (
            response.sweep_number is not None
            and response.sweep_number == stimulus.sweep_number
            and same_electrode(stimulus)
        ),
        lambda stimulus: (
            bool(response.starting_time)
            and response.starting_time == stimulus.starting_time
            and same_electrode(stimulus)
        ),
        lambda stimulus: _digits(response.name) == _digits(stimulus.name) != [],
    )
    for rule in rules:
        found = [stimulus for stimulus in stimuli if rule(stimulus)]
        if len(found) == 1:
            return found[0]
    return stimuli[0] if len(stimuli) == 1 and not response.starting_time else None


def _digits(name: str) -> list[str]:
    return re.findall(r"\d+", name)
