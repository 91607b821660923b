"""Reading a table from a CSV file: columns by their name in the header."""

import csv
from pathlib import Path

import numpy as np

from hpcfit.errors import InputError

_BOOLEANS = {"true": True, "false": False}


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """Columns: float64 (empty: NaN) where all entries are numbers, bool where all are true or false, else text.

    Raises
    ------
    InputError
        When the file cannot be read, has no header, or a row has another number of entries.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV: {error}") from None
    if not rows or not any(name.strip() for name in rows[0]):
        raise InputError(f"{path}: is empty; its first line must name the columns")
    names = [name.strip() for name in rows[0]]
    body = [(line, row) for line, row in enumerate(rows[1:], 2) if row]
    for line, row in body:
        if len(row) != len(names):
            raise InputError(f"{path}, line {line}: {len(row)} entries, but the header names {len(names)} columns")
    return {name: _typed([row[place].strip() for _, row in body]) for place, name in enumerate(names)}


def column(table: dict[str, np.ndarray], name: str, path: Path, key: str) -> np.ndarray:
    """One of the columns; `key` is the setting that names it.  Raises InputError."""
    if name not in table:
        raise InputError(f"{path}: has no column {name} ({key}); it has {', '.join(table)}")
    return table[name]


def _typed(entries: list[str]) -> np.ndarray:
    if entries and all(entry.lower() in _BOOLEANS for entry in entries):
        return np.asarray([_BOOLEANS[entry.lower()] for entry in entries])
    try:
        return np.asarray([float(entry) if entry else np.nan for entry in entries], float)
    except ValueError:
        return np.asarray(entries, object)
