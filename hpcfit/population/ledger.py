"""The record of a run: one HDF5 file that always holds whole generations, whatever moment the run died at.

A generation is first written as a small file of its own into `journal/` (temporary name, flush, rename).  When the
journal has grown as large as the ledger, or the run ends, a new ledger is made from both and takes the old one's
place.  So each generation is copied a few times in all, not once per generation, and no file is ever changed in place.
The ledger before the last one stays in the journal with the generations since: if `ledger.h5` itself is damaged,
everything is still there.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfit.errors import LedgerError
from hpcfit.population.files import make_folder, replacing, storage_error

SCHEMA = 1
_SMALLEST_MERGE_BYTES = 4 << 20
_MOST_JOURNAL_FILES = 64


@dataclass(frozen=True)
class Header:
    """What does not change in a run."""

    settings: Mapping[str, Any]
    """The settings, as JSON can hold them."""
    inputs: Mapping[str, str]
    """Name of each input -> hash of its content."""
    tables: Mapping[str, Mapping[str, np.ndarray]]
    """Tables by name, columns by name: what the columns of the generations' arrays mean."""
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Generation:
    """One whole generation.  Arrays have one row per individual, except those named survivor_*."""

    number: int
    arrays: Mapping[str, np.ndarray]
    counts: Mapping[str, int] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)


class Ledger:
    """Generations on disk, under one folder.  Exactly one process writes; any number may read."""

    def __init__(self, folder: Path, header: Header, places: dict[int, Path]) -> None:
        self.folder = folder
        self.header = header
        self._places = places

    @classmethod
    def create(cls, folder: Path, header: Header) -> "Ledger":
        """A new ledger without generations.  Raises StorageError."""
        make_folder(folder)
        with replacing(ledger_path(folder)) as temporary:
            temporary.write_bytes(_in_memory(lambda file: _write_base(file, header)))
        # A copy, not a link: what damages one must not damage the other.
        shutil.copyfile(ledger_path(folder), make_folder(_journal(folder)) / "previous.h5")
        return cls(folder, header, {})

    @classmethod
    def open(cls, folder: Path) -> "Ledger":
        """The ledger of a run folder, with every whole generation that can be read.

        Raises
        ------
        LedgerError
            When there is none, it is damaged beyond what the journal can mend, or its schema is newer.
        """
        path = ledger_path(folder)
        damage: OSError | None = None
        for base in (path, _journal(folder) / "previous.h5"):
            if not base.exists():
                continue
            try:
                header, places = _read_base(base)
            except OSError as error:
                damage = damage or error
                continue
            return cls(folder, header, _contiguous(places | _journalled(folder, places)))
        if damage is not None:
            raise LedgerError(f"{path}: damaged ({str(damage).splitlines()[0]}) and journal/ has no copy; move it away")
        raise LedgerError(f"{folder}: no ledger.h5 in this folder; give the folder of a run")

    def __len__(self) -> int:
        return len(self._places)

    def read(self, number: int) -> Generation:
        """One generation.  Raises IndexError when there is no such one, LedgerError when it cannot be read."""
        if number not in self._places:
            raise IndexError(f"{self.folder} holds generations 0 to {len(self) - 1}, not {number}")
        try:
            with h5py.File(self._places[number], "r") as file:
                return _read_generation(file[_group(number)], number)
        except (OSError, KeyError) as error:
            raise LedgerError(f"{self._places[number]}: generation {number} cannot be read: {error}") from error

    def __iter__(self) -> Iterator[Generation]:
        return (self.read(number) for number in range(len(self)))

    def append(self, generation: Generation) -> None:
        """Add the next generation; on return it is on disk.  Raises StorageError, and then nothing has changed."""
        assert generation.number == len(self), (generation.number, len(self))
        path = make_folder(_journal(self.folder)) / f"{generation.number:06d}.h5"
        with replacing(path) as temporary:
            temporary.write_bytes(_in_memory(lambda file: _write_generation(file, generation)))
        self._places[generation.number] = path
        waiting = [place for place in self._places.values() if place != ledger_path(self.folder)]
        size = sum(place.stat().st_size for place in set(waiting))
        limit = max(_SMALLEST_MERGE_BYTES, _size(ledger_path(self.folder)))
        if size > limit or len(waiting) > _MOST_JOURNAL_FILES:
            self.merge()

    def merge(self) -> None:
        """Make one file of everything.  Raises StorageError, and then nothing has changed."""
        path, previous = ledger_path(self.folder), _journal(self.folder) / "previous.h5"
        waiting = {number: place for number, place in self._places.items() if place != path}
        if not waiting:
            return
        with replacing(path) as temporary:
            self._write_merged(temporary, waiting)
            _keep(path, previous)
        self._places = dict.fromkeys(self._places, path)
        _forget(self.folder, previous)

    def _write_merged(self, target: Path, waiting: Mapping[int, Path]) -> None:
        path = ledger_path(self.folder)
        if any(place == path for place in self._places.values()):
            shutil.copyfile(path, target)
        else:
            target.write_bytes(_in_memory(lambda file: _write_base(file, self.header)))
        try:
            with h5py.File(target, "r+") as file:
                for number, place in sorted(waiting.items()):
                    with h5py.File(place, "r") as source:
                        source.copy(_group(number), file["generations"], name=f"{number:06d}")
        except RuntimeError as error:  # what HDF5 makes of a full disk when it closes a file
            raise storage_error(path, OSError(str(error))) from error


def ledger_path(folder: Path) -> Path:
    """The ledger's file in a run folder."""
    return folder / "ledger.h5"


def same_numbers(first: Ledger, second: Ledger) -> list[str]:
    """Where two runs differ, bit for bit, in anything but times and environment; empty when they do not."""
    differences = [] if len(first) == len(second) else [f"{len(first)} generations against {len(second)}"]
    for one, other in zip(first, second, strict=False):
        if set(one.arrays) != set(other.arrays):
            differences.append(f"generation {one.number}: arrays {sorted(set(one.arrays) ^ set(other.arrays))}")
        differences += [
            f"generation {one.number}: {name}"
            for name in sorted(set(one.arrays) & set(other.arrays))
            if one.arrays[name].tobytes() != other.arrays[name].tobytes()
        ]
        if dict(one.counts) != dict(other.counts):
            differences.append(f"generation {one.number}: counts")
    return differences


def _journal(folder: Path) -> Path:
    return folder / "journal"


def _group(number: int) -> str:
    return f"generations/{number:06d}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _contiguous(places: dict[int, Path]) -> dict[int, Path]:
    count = next(number for number in range(len(places) + 1) if number not in places)
    return {number: places[number] for number in range(count)}


def _journalled(folder: Path, known: Mapping[int, Path]) -> dict[int, Path]:
    places = {}
    for path in sorted(_journal(folder).glob("[0-9]*.h5")):
        number = int(path.stem)
        if number in known:
            continue
        try:
            with h5py.File(path, "r") as file:
                _read_generation(file[_group(number)], number)
        except (OSError, KeyError):
            continue  # damaged: the run goes on from the generation before it, and computes it again
        places[number] = path
    return places


def _keep(path: Path, copy: Path) -> None:
    """Keep today's ledger under another name (a link costs nothing; some file systems have none)."""
    if not path.exists():
        return
    make_folder(copy.parent)
    temporary = copy.with_suffix(".link")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        shutil.copyfile(path, temporary)
    os.replace(temporary, copy)


def _forget(folder: Path, previous: Path) -> None:
    """Drop the journal's files that the previous ledger holds too."""
    try:
        with h5py.File(previous, "r") as file:
            kept = {int(name) for name in file["generations"]}
    except (OSError, KeyError):
        return
    for path in _journal(folder).glob("[0-9]*.h5"):
        if int(path.stem) in kept:
            path.unlink(missing_ok=True)


def _in_memory(write: Callable[[h5py.File], None]) -> bytes:
    """The bytes of a small HDF5 file: written by plain I/O, whose errors are clear where HDF5's are not."""
    with h5py.File("in-memory", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        write(file)
        file.flush()
        return file.id.get_file_image()


def _write_base(file: h5py.File, header: Header) -> None:
    file.attrs["schema"] = SCHEMA
    for name in ("settings", "inputs", "environment"):
        file[name] = json.dumps(getattr(header, name), sort_keys=True, default=str)
    for table, columns in header.tables.items():
        for column, values in columns.items():
            file[f"tables/{table}/{column}"] = _storable(values)
    file.require_group("tables")
    file.create_group("generations")


def _read_base(path: Path) -> tuple[Header, dict[int, Path]]:
    with h5py.File(path, "r") as file:
        schema = int(file.attrs.get("schema", -1))
        if schema > SCHEMA:
            raise LedgerError(f"{path}: schema {schema}, this hpcfit reads up to {SCHEMA}; use a newer hpcfit")
        if schema < 1:
            raise LedgerError(f"{path}: no schema number, so it is not a ledger of hpcfit; give another folder")
        texts = {name: json.loads(file[name].asstr()[()]) for name in ("settings", "inputs", "environment")}
        tables = {
            table: {column: _loaded(values) for column, values in columns.items()}
            for table, columns in file["tables"].items()
        }
        return Header(tables=tables, **texts), {int(name): path for name in file["generations"]}


def _write_generation(file: h5py.File, generation: Generation) -> None:
    group = file.create_group(_group(generation.number))
    for name, values in generation.arrays.items():
        group[name] = _storable(values)
    for kind in ("counts", "timings_s"):
        attributes = group.create_group(kind).attrs
        for name, value in getattr(generation, kind).items():
            attributes[name] = value


def _read_generation(group: Any, number: int) -> Generation:
    arrays = {name: _loaded(values) for name, values in group.items() if isinstance(values, h5py.Dataset)}
    counts = {name: int(value) for name, value in group["counts"].attrs.items()}
    timings = {name: float(value) for name, value in group["timings_s"].attrs.items()}
    return Generation(number, arrays, counts, timings)


def _storable(values: Any) -> Any:
    array = np.asarray(values)
    return array.astype(h5py.string_dtype()) if array.dtype.kind in "UO" else array


def _loaded(dataset: Any) -> np.ndarray:
    return np.asarray(dataset.asstr()[...], dtype=str) if h5py.check_string_dtype(dataset.dtype) else dataset[...]
