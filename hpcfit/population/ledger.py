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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfit.errors import LedgerError, StorageError
from hpcfit.population.bulk import Room, open_to_extend
from hpcfit.population.files import make_folder, replacing, storage_error

SCHEMA = 1
_SMALLEST_MERGE_BYTES = 4 << 20
_MOST_JOURNAL_FILES = 64
_LARGE_FILE_BYTES = 32 << 20
_LARGE_BYTES = 4 << 20
"""Of a generation: HDF5 in memory would hold up other threads for milliseconds, and copy it twice."""
# What reading a damaged HDF5 file raises, according to where the damage is.
_UNREADABLE = (OSError, KeyError, RuntimeError, ValueError)


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
        make_folder(_journal(folder))
        empty = _in_memory(lambda file: _write_base(file, header))
        with replacing(ledger_path(folder)) as temporary:
            _journal_file(folder, 0).unlink(missing_ok=True)  # of a run whose ledger was taken away
            temporary.write_bytes(empty)
        # A copy, not a link: what damages one must not damage the other.
        with replacing(_previous(folder)) as temporary:
            temporary.write_bytes(empty)
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
        damage: Exception | None = None
        for base in (path, _previous(folder)):
            if not base.exists():
                continue
            try:
                return cls(folder, *_read_folder(folder, base))
            except _UNREADABLE as error:
                damage = damage or error
        if damage is not None:
            why = str(damage).partition("\n")[0]
            raise LedgerError(f"{path}: damaged ({why}) and journal/ has no copy; move the folder away")
        raise LedgerError(f"{folder}: no ledger.h5 in this folder; give the folder of a run")

    def __len__(self) -> int:
        return len(self._places)

    def read(self, number: int) -> Generation:
        """One generation.  Raises IndexError when there is no such one, LedgerError when it cannot be read."""
        if number not in self._places:
            raise IndexError(f"{self.folder} holds generations 0 to {len(self) - 1}, not {number}")
        with suppress(*_UNREADABLE):
            return _read_generation(self._places[number], number)
        # The writer may have merged its journal since, and the generation is in another file now.
        self._places |= {known: place for known, place in Ledger.open(self.folder)._places.items() if known < len(self)}
        try:
            return _read_generation(self._places[number], number)
        except _UNREADABLE as error:
            raise LedgerError(f"{self._places[number]}: generation {number} cannot be read: {error}") from error

    def __iter__(self) -> Iterator[Generation]:
        return (self.read(number) for number in range(len(self)))

    def append(self, generation: Generation) -> None:
        """Add the next generation; on return it is on disk.  Raises StorageError, and then nothing has changed."""
        assert generation.number == len(self), (generation.number, len(self))
        path = _journal_file(self.folder, generation.number)
        make_folder(path.parent)
        with replacing(path) as temporary:
            # One that was left beyond a damaged file does not follow from the generation written here.
            _journal_file(self.folder, generation.number + 1).unlink(missing_ok=True)
            if sum(array.nbytes for array in generation.arrays.values()) < _LARGE_BYTES:
                temporary.write_bytes(_in_memory(lambda file: _write_generation(file, generation)))
            else:
                _write_large(temporary, generation)
        self._places[generation.number] = path
        if self._journal_is_large():
            # The generation is on disk.  A merge needs far more space than it: where there is none, try again later.
            with suppress(StorageError):
                self.merge()

    def merge(self) -> None:
        """Make one file of everything.  Raises StorageError, and then nothing has changed."""
        path = ledger_path(self.folder)
        waiting = {number: place for number, place in self._places.items() if place != path}
        if not waiting:
            return
        with replacing(path) as temporary:
            self._write_merged(temporary, waiting)
            if len(waiting) < len(self._places):  # else the one there holds no generation, or is damaged
                _keep(path, _previous(self.folder))
        self._places = dict.fromkeys(self._places, path)
        _forget(self.folder)

    def _journal_is_large(self) -> bool:
        """Has it grown as the ledger has?  Both limits grow with it, so that a long run does not copy ever more.

        Files that are large each stay until the run ends: few they are anyway, and copying them again and again would
        take longer than writing them.
        """
        path = ledger_path(self.folder)
        waiting = [place for place in self._places.values() if place != path]
        merged = len(self._places) - len(waiting)
        size = sum(_size(place) for place in set(waiting))
        if size > len(waiting) * _LARGE_FILE_BYTES:
            return False
        return size > max(_SMALLEST_MERGE_BYTES, _size(path)) or len(waiting) > max(_MOST_JOURNAL_FILES, merged // 8)

    def _write_merged(self, target: Path, waiting: Mapping[int, Path]) -> None:
        path = ledger_path(self.folder)
        if len(waiting) < len(self._places):
            shutil.copyfile(path, target)
        else:
            target.write_bytes(_in_memory(lambda file: _write_base(file, self.header)))
        try:
            with open_to_extend(target) as file:
                # Some are there if an earlier merge took its place but failed to flush the folder.
                there = {int(name) for name in file["generations"]}
                for number in sorted(set(waiting) - there):
                    with _hdf5(waiting[number]) as source:
                        source.copy(_group(number), file["generations"], name=f"{number:06d}")
        except RuntimeError as error:  # what HDF5 makes of a full disk when it closes a file
            raise storage_error(path, OSError(str(error))) from error


def ledger_path(folder: Path) -> Path:
    """The ledger's file in a run folder."""
    return folder / "ledger.h5"


def same_numbers(first: Ledger, second: Ledger) -> list[str]:
    """Where the numbers of two runs differ, bit for bit: tables, arrays, counts, not times; empty when they do not."""
    differences = [] if len(first) == len(second) else [f"{len(first)} generations against {len(second)}"]
    tables, others = first.header.tables, second.header.tables
    for table in sorted(set(tables) | set(others)):
        differences += [f"table {table}: {name}" for name in _different(tables.get(table, {}), others.get(table, {}))]
    for one, other in zip(first, second, strict=False):
        differences += [f"generation {one.number}: {name}" for name in _different(one.arrays, other.arrays)]
        if dict(one.counts) != dict(other.counts):
            differences.append(f"generation {one.number}: counts")
    return differences


def _different(ones: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> list[str]:
    """Names of arrays that only one side has, or that differ in type, shape or any bit (NaN equals the same NaN)."""

    def content(array: np.ndarray) -> tuple[Any, ...]:
        return array.dtype, array.shape, array.tobytes()

    both = set(ones) & set(others)
    unequal = {name for name in both if content(ones[name]) != content(others[name])}
    return sorted((set(ones) ^ set(others)) | unequal)


def _journal(folder: Path) -> Path:
    return folder / "journal"


def _journal_file(folder: Path, number: int) -> Path:
    return _journal(folder) / f"{number:06d}.h5"


def _journal_files(folder: Path) -> dict[int, Path]:
    paths = sorted(_journal(folder).glob("*.h5"))
    return {int(path.stem): path for path in paths if path.stem.isdecimal()}


def _previous(folder: Path) -> Path:
    return _journal(folder) / "previous.h5"


def _group(number: int) -> str:
    return f"generations/{number:06d}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _contiguous(places: dict[int, Path]) -> dict[int, Path]:
    count = next(number for number in range(len(places) + 1) if number not in places)
    return {number: places[number] for number in range(count)}


def _journalled(folder: Path, known: Mapping[int, Path]) -> dict[int, Path]:
    places = {}
    for number, path in _journal_files(folder).items():
        if number in known:
            continue
        # One that is damaged is not there: the run goes on from the generation before it, and computes it again.
        with suppress(*_UNREADABLE):
            _read_generation(path, number)
            places[number] = path
    return places


def _keep(path: Path, copy: Path) -> None:
    """Keep today's ledger under another name (a link costs nothing; some file systems have none)."""
    with replacing(copy) as temporary:
        temporary.unlink()
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def _forget(folder: Path) -> None:
    """Drop the journal's files that the previous ledger holds too."""
    try:
        _, kept = _read_base(_previous(folder))
    except _UNREADABLE:
        return
    for number, path in _journal_files(folder).items():
        if number in kept:
            path.unlink(missing_ok=True)


def _hdf5(path: Path) -> Any:
    """Without HDF5's locks: no file is ever changed in place, and some file systems have no locks to give."""
    return h5py.File(path, locking=False)


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


def _read_folder(folder: Path, base: Path) -> tuple[Header, dict[int, Path]]:
    """Header, and the file of each generation."""
    while True:
        before = _identity(base)
        header, places = _read_base(base)
        places |= _journalled(folder, places)
        # Merged meanwhile, the journal may lack generations that only the new base holds.
        if _identity(base) == before:
            return header, _contiguous(places)


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_base(path: Path) -> tuple[Header, dict[int, Path]]:
    with _hdf5(path) as file:
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


def _write_large(path: Path, generation: Generation) -> None:
    room = Room()
    try:
        with h5py.File(path, "w", locking=False, libver=("v110", "v110")) as file:
            _write_generation(file, generation, room.make)
    except RuntimeError as error:  # what HDF5 makes of a full disk when it closes a file
        raise OSError(str(error)) from error
    room.fill(path)


def _write_generation(
    file: h5py.File, generation: Generation, make: Callable[[h5py.Group, str, Any], None] = h5py.Group.__setitem__
) -> None:
    group = file.create_group(_group(generation.number))
    for name, values in generation.arrays.items():
        make(group, name, _storable(values))
    for kind in ("counts", "timings_s"):
        attributes = group.create_group(kind).attrs
        for name, value in getattr(generation, kind).items():
            attributes[name] = value


def _read_generation(path: Path, number: int) -> Generation:
    with _hdf5(path) as file:
        group = file[_group(number)]
        arrays = {name: _loaded(values) for name, values in group.items() if isinstance(values, h5py.Dataset)}
        counts = {name: int(value) for name, value in group["counts"].attrs.items()}
        timings = {name: float(value) for name, value in group["timings_s"].attrs.items()}
    return Generation(number, arrays, counts, timings)


def _storable(values: Any) -> Any:
    array = np.asarray(values)
    return array.astype(h5py.string_dtype()) if array.dtype.kind in "UO" else array


def _loaded(dataset: Any) -> np.ndarray:
    return np.asarray(dataset.asstr()[...], dtype=str) if dataset.dtype.kind == "O" else dataset[...]
