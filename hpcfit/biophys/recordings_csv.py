"""How are sweeps written in a CSV file?  A header, then one sample a line.

    time_ms, voltage_mV, current_nA                       one sweep, named like the file
    time_ms, voltage_mV.NAME, current_nA.NAME, ...        several; a plain current_nA serves those without their own

Times are evenly spaced and start at 0; a cell may be empty only in a sweep's tail.
"""

import csv
from pathlib import Path

import numpy as np

from hpcfit.biophys.sweep import Choose, Sweep, checked_sweep, only, uniform_dt_ms
from hpcfit.errors import InputError

_VOLTAGE, _CURRENT, _TIME = "voltage_mV", "current_nA", "time_ms"


def read_csv(path: Path, choose: Choose) -> list[Sweep]:
    """The chosen sweeps.  Raises InputError."""
    columns, dt_ms = _read(path)
    voltages = _named(columns, _VOLTAGE, path)
    if not voltages:
        raise InputError(f"{path}: has no column {_VOLTAGE} or {_VOLTAGE}.NAME; the header is {', '.join(columns)}")
    currents = _named(columns, _CURRENT, path)
    shared = columns.get(_CURRENT)
    return [
        checked_sweep(name, *_trimmed(voltages[name], currents.get(name, shared)), dt_ms, path)
        for name in choose(list(voltages))
    ]


def csv_current(path: Path, sweep: str | None) -> tuple[np.ndarray, float]:
    """i_nA (time,) and dt_ms of a sweep, or of the only one.  Raises InputError."""
    columns, dt_ms = _read(path)
    currents = _named(columns, _CURRENT, path)
    i_nA = currents[only(path, list(currents), sweep)]
    return i_nA[: _length(i_nA)], dt_ms


def _named(columns: dict[str, np.ndarray], quantity: str, path: Path) -> dict[str, np.ndarray]:
    prefix = f"{quantity}."
    named = {name.removeprefix(prefix): values for name, values in columns.items() if name.startswith(prefix)}
    if quantity in columns and not named:
        named[path.stem] = columns[quantity]
    return named


def _trimmed(v_mV: np.ndarray, i_nA: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    # A shared current may go on when a shorter sweep has ended.
    length = _length(v_mV)
    return v_mV[:length], None if i_nA is None else i_nA[:length]


def _length(values: np.ndarray) -> int:
    finite = np.flatnonzero(np.isfinite(values))
    return int(finite[-1]) + 1 if len(finite) else 0


def _read(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """Column -> values, and the sampling interval in ms."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            lines, rows = _rows(path, reader, len(header))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); save it as UTF-8 CSV") from None
    table = np.array(rows, dtype=float).reshape(len(rows), len(header))
    columns = dict(zip(header, table.T, strict=True))
    time_ms = columns[_TIME]
    dt_ms = uniform_dt_ms(str(path), time_ms, lambda sample: f"line {lines[sample]}")
    if abs(time_ms[0]) > 1.5 * dt_ms:
        raise InputError(f"{path}: {_TIME} starts at {time_ms[0]:g} ms in line {lines[0]}; shift it to start at 0")
    return columns, dt_ms


def _check_header(path: Path, header: list[str]) -> None:
    if _TIME not in header:
        hint = f"; {header[0]!r} stands first, convert it to ms" if header and header[0].lower().startswith("t") else ""
        raise InputError(
            f"{path}: line 1 must name the columns, {_TIME} among them; got {', '.join(header)[:80]!r}{hint}"
        )
    for name in header:
        if header.count(name) > 1:
            raise InputError(f"{path}: line 1 names the column {name!r} {header.count(name)} times; names must differ")


def _rows(path: Path, reader, width: int) -> tuple[list[int], list[list[float]]]:
    lines: list[int] = []
    rows: list[list[float]] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != width:
            raise InputError(
                f"{path}: line {reader.line_num} has {len(cells)} cells, the header {width}; mend the line"
            )
        try:
            rows.append([float(cell) if cell.strip() else np.nan for cell in cells])
        except ValueError as error:
            raise InputError(f"{path}: line {reader.line_num}: {error}; every cell must be a number") from None
        lines.append(reader.line_num)
    return lines, rows
