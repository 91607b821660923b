"""What a training's posterior.h5 holds, read with h5py alone: array by array, and only when asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfit.errors import LedgerError

FILE = "posterior.h5"
SCHEMA = 1


class PosteriorView:
    """An open posterior.h5; arrays are (trials, ...), time from the first modelled bin on."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.path = path
        self._file = file
        self.attributes: dict[str, Any] = {
            name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()
        }

    @property
    def first_bin(self) -> int:
        """How many bins of the data come before the first that is modelled."""
        return int(self.attributes["first_bin"])

    @property
    def seen(self) -> tuple[int, int]:
        """How many modelled bins, and neurons, the model sees: the first ones; it predicts the rest."""
        return int(self.attributes["seen_bins"]) - self.first_bin, int(self.attributes["seen_neurons"])

    @property
    def parts(self) -> tuple[str, ...]:
        """Splits: train, valid, perhaps test."""
        return tuple(self._file)

    def array(self, part: str, name: str, rows: slice | np.ndarray = slice(None)) -> np.ndarray | None:
        """One array, or some of its trials (rising numbers); None where there is none of that name."""
        item = self._file.get(f"{part}/{name}")
        return np.asarray(item[rows]) if isinstance(item, h5py.Dataset) else None

    def needed(self, part: str, name: str, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """One array that must be there.  Raises LedgerError."""
        array = self.array(part, name, rows)
        if array is None:
            raise LedgerError(f"{self.path}: has no {part}/{name}; `hpcfit infer` writes it again")
        return array

    def behaviour(self, part: str) -> tuple[str, ...]:
        """Names of the signals that go along with a split."""
        group = self._file.get(f"{part}/behaviour")
        return tuple(group) if isinstance(group, h5py.Group) else ()


@contextmanager
def open_posterior(path: Path) -> Iterator[PosteriorView]:
    """The posterior of a training, open until the block ends.

    Raises
    ------
    LedgerError
        When there is none, or it cannot be read, or is of a newer version.
    """
    try:
        file = h5py.File(path)
    except FileNotFoundError:
        raise LedgerError(f"{path}: there is none yet; training writes it at its end, `hpcfit infer` now") from None
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read as HDF5: {error}; `hpcfit infer` writes it again") from None
    with file:
        schema = file.attrs.get("schema")
        if file.attrs.get("kind") != "posterior" or schema is None:
            raise LedgerError(f"{path}: is no posterior of hpcfit; `hpcfit infer` writes one")
        if int(np.asarray(schema)) > SCHEMA:
            raise LedgerError(f"{path}: written by a newer hpcfit (schema {schema}); update hpcfit")
        yield PosteriorView(file, path)
