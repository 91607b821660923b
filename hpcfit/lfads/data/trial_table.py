"""What does a recording's trial table say?  Columns by name, which trials to keep, whose condition each is."""

from pathlib import Path

import numpy as np

from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.settings import Value

Table = dict[str, np.ndarray]


def column_of(table: Table, name: str, where: str | Path, key: str) -> np.ndarray:
    """A column; `key` is the setting that names it.  Raises ConfigError."""
    if name not in table:
        raise ConfigError(f"{where}: data.{key}: the trial table has no column {name}; it has {', '.join(table)}")
    return table[name]


def numbers_of(table: Table, name: str, where: str | Path, key: str) -> np.ndarray:
    """A column of numbers, float64.  Raises ConfigError, InputError."""
    column = column_of(table, name, where, key)
    try:
        return column.astype(float)
    except (TypeError, ValueError):
        raise InputError(
            f"{where}: column {name} of the trial table (data.{key}) holds {column[0]!r}; it must hold numbers"
        ) from None


def kept_rows(table: Table, keep: dict[str, Value | tuple[Value, ...]], where: str | Path) -> np.ndarray:
    """Rows whose columns have the wanted values.

    Raises
    ------
    ConfigError, InputError
        When a column does not exist, or no row is left.
    """
    rows = np.ones(len(next(iter(table.values()))), bool)
    for name, wanted in keep.items():
        column = column_of(table, name, where, f"trials.keep.{name}")
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        rows &= np.asarray([any(_equal(value, one) for one in values) for value in column])
        if not rows.any():
            held = ", ".join(map(str, list(dict.fromkeys(column.tolist()))[:8]))
            raise InputError(
                f"{where}: no trial is left that has {' or '.join(map(str, values))} in column {name} "
                f"(data.trials.keep); it has {held}"
            )
    return np.flatnonzero(rows)


def conditions_of(
    table: Table, names: tuple[str, ...], rows: np.ndarray, where: str | Path
) -> tuple[np.ndarray, np.ndarray]:
    """Of these rows (trials,) numbers of conditions, -1 where a value is missing; and labels, sorted by value.

    Raises
    ------
    ConfigError
        When a column does not exist.
    """
    columns = [column_of(table, name, where, "trials.conditions")[rows] for name in names]
    values = list(zip(*(column.tolist() for column in columns), strict=True))
    found = sorted({value for value in values if not any(map(_missing, value))})
    number = {value: index for index, value in enumerate(found)}
    labels = [" ".join(f"{name}={part}" for name, part in zip(names, value, strict=True)) for value in found]
    return np.asarray([number.get(value, -1) for value in values], int), np.asarray(labels, "S")


def _equal(value: object, wanted: Value) -> bool:
    return str(value) == wanted if isinstance(wanted, str) else bool(value == wanted)


def _missing(value: object) -> bool:
    return (isinstance(value, float) and np.isnan(value)) or value == ""
