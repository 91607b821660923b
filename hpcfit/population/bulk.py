"""How are large arrays put into an HDF5 file beside other work?  HDF5 makes the room, plain I/O fills it.

HDF5 copies what it writes, and holds Python's lock meanwhile: rank 0 would neither deal nor listen while a generation
of some hundred MB is written.  Here a file is made whose arrays have their places and no content, and the bytes are
then written to these places by the operating system, which holds no lock and whose errors are clear.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SMALL_BYTES = 1 << 16
"""Arrays below this are left to HDF5."""
_PART_BYTES = 1 << 24
_CACHE_BYTES = 1 << 18


def open_to_extend(path: Path) -> Any:
    """An HDF5 file that is there, to be added to, without locks.

    What HDF5 remembers of it is kept small: else it grows with the groups in the file, and the process with the number
    of generations of a run.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_file_locking(False, False)
    cache = access.get_mdc_config()
    cache.set_initial_size, cache.initial_size = True, _CACHE_BYTES
    cache.min_size, cache.max_size = _CACHE_BYTES // 4, _CACHE_BYTES
    access.set_mdc_config(cache)
    return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR, access))


class Room:
    """Places in an HDF5 file that is being made; `fill` puts the content there once it is closed."""

    def __init__(self) -> None:
        self._arrays: list[tuple[int, np.ndarray]] = []

    def make(self, group: h5py.Group, name: str, values: np.ndarray) -> None:
        """A dataset for the array.  A small one is written at once."""
        if values.nbytes < SMALL_BYTES or values.dtype.hasobject:
            group[name] = values
            return
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        created.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(values.shape)
        dataset = h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(values.dtype), space, created)
        self._arrays.append((dataset.get_offset(), np.ascontiguousarray(values)))

    def fill(self, path: Path) -> None:
        """Raises OSError."""
        handle = os.open(path, os.O_WRONLY)
        try:
            for offset, array in self._arrays:
                for start, part in _parts(array):
                    _written(handle, part, offset + start)
        finally:
            os.close(handle)


def _parts(array: np.ndarray) -> Iterator[tuple[int, Any]]:
    flat = array.reshape(-1).view(np.uint8).data
    return ((start, flat[start : start + _PART_BYTES]) for start in range(0, len(flat), _PART_BYTES))


def _written(handle: int, part: Any, offset: int) -> None:
    while len(part):
        count = os.pwrite(handle, part, offset)
        part, offset = part[count:], offset + count
