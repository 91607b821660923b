"""A training's folder: what it belongs to, checkpoints, epochs.csv, status.json; the newest checkpoint counts."""

import csv
import hashlib
import io
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.errors import LedgerError, StorageError
from hpcfit.jobs.folder import INPUTS_FOLDER, sole_writer
from hpcfit.population.files import make_folder, remove_leftovers, storage_error, write_text

SCHEMA = 1
_MAY_CHANGE = (
    "training.epochs",
    "training.patience",
    "training.learning_rate_least",
    "training.wall_clock_s",
    "training.keep_checkpoints",
    "training.device",
    "training.kernels",
    "posterior.samples",
    "posterior.generator_states",
    "posterior.at_end",
)
"""Settings that a training may go on with otherwise: ends, where it is computed, and what is made of it."""


class TrainingFolder:
    """The one writer of a training's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._csv = folder / "epochs.csv"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest smoothed validation loss."""
        return self.path / "best.safetensors"

    def checkpoints(self) -> list[Path]:
        """Those there are, newest first."""
        return sorted((self.path / "checkpoints").glob("epoch_*.safetensors"), reverse=True)

    def checkpoint(self, epochs: int) -> Path:
        """Where the one after so many epochs is."""
        return make_folder(self.path / "checkpoints") / f"epoch_{epochs:06d}.safetensors"

    def forget_old(self, keep: int) -> None:
        """Remove all checkpoints but the newest."""
        for path in self.checkpoints()[keep:]:
            path.unlink(missing_ok=True)

    def rows(self) -> list[dict[str, str]]:
        """What epochs.csv holds, whole lines only."""
        try:
            text = self._csv.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))

    def cut_rows(self, epochs: int) -> None:
        """Leave the rows of so many epochs: those after them are done again."""
        rows = self.rows()
        if len(rows) > epochs:
            write_text(self._csv, _csv_text(list(rows[0]), rows[:epochs]))

    def append(self, row: Mapping[str, Any]) -> None:
        """One epoch more.  Raises StorageError."""
        text = _csv_text(list(row), [row])
        try:
            new = not self._csv.exists() or self._csv.stat().st_size == 0
            with open(self._csv, "a", encoding="utf-8") as file:
                file.write(text if new else text.partition("\n")[2])
        except OSError as error:
            raise storage_error(self._csv, error) from error

    def status(self, state: str, reason: str, **more: Any) -> None:
        """Write status.json."""
        said = {"kind": "training", "state": state, "reason": reason, "updated": _now(), "pid": os.getpid()}
        said |= {"host": socket.gethostname(), **more}
        with suppress(StorageError):
            write_text(self.path / "status.json", json.dumps(said, indent=1) + "\n")


@contextmanager
def opened(folder: Path, settings: Mapping[str, Any], data_hash: str, base: Path) -> Iterator[TrainingFolder]:
    """The folder, new or gone on with; this process alone writes it until the block ends.

    base: the folder that relative paths of the settings start at.

    Raises
    ------
    LedgerError
        When it holds a training of other settings or data, or another process writes it.
    """
    make_folder(folder)
    with sole_writer(folder, "training there"):
        remove_leftovers(folder)
        head = folder / "training.json"
        wanted = {"schema": SCHEMA, "settings": settings, "data": data_hash, INPUTS_FOLDER: str(base)}
        if head.exists():
            _check_same(folder, json.loads(head.read_text(encoding="utf-8")), json.loads(json.dumps(wanted)))
        write_text(head, json.dumps(wanted, indent=1) + "\n")
        yield TrainingFolder(folder)


def hash_of(arrays: Sequence[Any]) -> str:
    """Of the contents of arrays, with their shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_same(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if there.get("schema", 0) > SCHEMA:
        raise LedgerError(f"{folder}: written by a newer hpcfit; update hpcfit")
    old, new = _flat(there["settings"]), _flat(wanted["settings"])
    for key in sorted(set(old) | set(new)):
        if key not in _MAY_CHANGE and old.get(key) != new.get(key):
            raise LedgerError(
                f"{folder}: its training was started with {key} = {old.get(key)}, the file has {new.get(key)}; undo "
                "the change, or choose another folder with --run"
            )
    if there["data"] != wanted["data"]:
        raise LedgerError(f"{folder}: its training was started with other data; restore them, or choose another --run")


def _flat(table: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{place}.{name}" if place else name
        flat |= _flat(value, key) if isinstance(value, Mapping) else {key: value}
    return flat


def _csv_text(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
