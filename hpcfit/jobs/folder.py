"""A run's folder: who may write it, whether it belongs to these settings, and how far it is."""

import fcntl
import hashlib
import json
import os
import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.electrodes import Waveform
from hpcfit.biophys.problem import Problem
from hpcfit.biophys.settings import FitSettings
from hpcfit.config import Settings, validate
from hpcfit.errors import ConfigError, LedgerError, StorageError
from hpcfit.population.files import make_folder, remove_leftovers, storage_error, write_text
from hpcfit.population.ledger import Generation, Header, Ledger, ledger_path
from hpcfit.population.loop import Standing
from hpcfit.report.log import log_line

_MAY_CHANGE = (
    "run.generations",
    "run.evaluations",
    "run.wall_clock_s",
    "run.target_score",
    "run.stop",
    "run.timeline",
    "engine.workers",
    "engine.deadline_s",
    "engine.fallback",
)
"""Settings that a resumed run may have otherwise than the run it goes on with: they do not touch its numbers."""

INPUTS_FOLDER = "inputs_folder"
"""In a ledger's environment: the folder that its relative paths start at, so that an analysis can read them again."""


def header(problem: Problem, base: Path) -> Header:
    """What a ledger of this problem starts with; paths are kept relative to `base`, contents as hashes."""
    settings = problem.settings
    inputs = {_relative(path, base): _hash(path) for path in _input_files(settings)}
    tables = {"parameters": problem.space.table(), "terms": problem.targets.table()}
    return Header(json_settings(settings, base), inputs, tables, {**environment(), INPUTS_FOLDER: str(base.resolve())})


def simulated_by(wanted: Header, text: str) -> Header:
    """The header, and in its environment what simulates: for the ledger and the report."""
    return replace(wanted, environment={**wanted.environment, "simulator": text})


def check(folder: Path, wanted: Header, base: Path) -> None:
    """Can this run go into, or go on in, that folder?  base: where the paths of its settings start.

    Raises
    ------
    LedgerError
        When it holds a run of other settings or inputs, a newer schema, or something that is no run.
    """
    if not _holds_run(folder):
        return
    there = Ledger.open(folder).header
    difference = _first_difference(_as_today(there.settings, base), wanted.settings, "")
    if difference:
        key, old, new = difference
        raise LedgerError(
            f"{folder}: its run was started with {key} = {_short(old)}, the fit file now has {_short(new)}; "
            "undo the change, or choose another folder with --run"
        )
    changed = sorted(
        name for name in set(there.inputs) | set(wanted.inputs) if there.inputs.get(name) != wanted.inputs.get(name)
    )
    if changed:
        raise LedgerError(
            f"{folder}: its run was started with another content of {changed[0]}; "
            "restore that file, or choose another folder with --run"
        )


@contextmanager
def opened(folder: Path, wanted: Header) -> Iterator[Ledger]:
    """The ledger, new or gone on with; this process alone may write it until the block ends.

    Raises
    ------
    LedgerError
        When another process is running it.
    StorageError
        When it cannot be written.
    """
    make_folder(folder)
    with sole_writer(folder):
        remove_leftovers(folder)
        if _holds_run(folder):
            yield Ledger.open(folder)
        else:
            yield Ledger.create(folder, wanted)


class StatusWriter:
    """Keeps status.json and log.txt of a run."""

    def __init__(self, folder: Path, ledger: Ledger, generations: int, note: str = "") -> None:
        """`note`: what the reader of the run must know; the first line of log.txt, and in status.json."""
        self._folder = folder
        self._note = note
        self._standing = Standing()
        for generation in ledger:
            self._standing = self._standing.after(generation)
        self._generations = generations
        self.reason = ""
        self._started = _now()
        self._mend_log(ledger)
        self._write("running", "")

    def generation(self, generation: Generation, standing: Standing) -> None:
        """One generation more."""
        self._standing = standing
        line = f"{log_line(generation, standing.best)}\n"
        try:
            with open(self._folder / "log.txt", "a", encoding="utf-8") as log:
                log.write(line)
        except OSError as error:
            raise StorageError(f"{self._folder / 'log.txt'}: cannot be written: {error.strerror}") from error
        self._write("running", "")

    def _mend_log(self, ledger: Ledger) -> None:
        """One line for each generation of the ledger: a run that was killed may have left one out, or half of one."""
        path, standing = self._folder / "log.txt", Standing()
        lines = [f"# {self._note}\n"] if self._note else []
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        there = [line for line in text.splitlines(keepends=True) if line.endswith("\n") and " " in line]
        whole = {line.split()[1]: line for line in there}
        for generation in ledger:
            standing = standing.after(generation)
            line = f"{log_line(generation, standing.best)}\n"
            lines.append(whole.get(line.split()[1], line))
        if "".join(lines) != text:
            write_text(path, "".join(lines))

    def ended(self, state: str, reason: str) -> None:
        """The run is over: finished, or stopped.  A status that cannot be written must not hide why."""
        with suppress(StorageError):
            self._write(state, reason)

    def _write(self, state: str, reason: str) -> None:
        standing = self._standing
        status = {
            "state": state,
            "reason": reason,
            "note": self._note,
            "generation": standing.generations - 1,
            "generations": self._generations,
            "evaluations": standing.evaluations,
            "best_score": standing.best if np.isfinite(standing.best) else None,
            "started": self._started,
            "updated": _now(),
            "slowest_generation_s": standing.slowest_s,
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        write_text(self._folder / "status.json", json.dumps(status, indent=1) + "\n")


def environment() -> dict[str, Any]:
    """Versions and machine, for the ledger."""
    packages = ("hpcfit", "numpy", "h5py", "neuron", "efel")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "host": socket.gethostname(),
        "started": _now(),
        "packages": {name: _version(name) for name in packages},
    }


def _holds_run(folder: Path) -> bool:
    return ledger_path(folder).exists() or (folder / "journal" / "previous.h5").exists()


@contextmanager
def sole_writer(folder: Path, what: str = "running this fit", option: str = "--run") -> Iterator[None]:
    """Nobody else until the block ends.  Raises LedgerError when another process is `what`; StorageError."""
    try:
        file = open(folder / "lock", "a")  # noqa: SIM115
    except OSError as error:
        raise storage_error(folder / "lock", error) from error
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(f"{folder}: another process is {what}; wait for it, or choose {option}") from None
        except OSError:
            pass  # some network file systems have no locks; the user has been told to start a run once
        yield


def _input_files(settings: FitSettings) -> list[Path]:
    cell = settings.cell
    files = [cell.morphology]
    if cell.mechanisms is not None:
        files += sorted(cell.mechanisms.glob("*.mod"))
    files += [target.recordings for target in settings.targets.values() if target.recordings is not None]
    electrodes = [electrode for stimulus in settings.stimuli for electrode in stimulus.electrodes]
    files += [electrode.path for electrode in electrodes if isinstance(electrode, Waveform)]
    if settings.rheobase is not None and settings.rheobase.recordings is not None:
        files.append(settings.rheobase.recordings)
    return sorted({file for file in files if file.is_file()})


def json_settings(settings: Settings, base: Path) -> dict[str, Any]:
    """Settings as JSON, paths relative to `base`."""

    def relative(value: Any) -> Any:
        if isinstance(value, Path):
            return _relative(value, base)
        if isinstance(value, Mapping):
            return {str(key): relative(child) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [relative(child) for child in value]
        return value

    return relative(settings.model_dump(by_alias=True))


def _relative(path: Path, base: Path) -> str:
    return os.path.relpath(path, base)


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_today(settings: Mapping[str, Any], base: Path) -> Mapping[str, Any]:
    """Settings of an older ledger as this version writes them: keys that it did not have have their defaults."""
    with suppress(ConfigError):
        return json.loads(json.dumps(json_settings(validate(FitSettings, dict(settings), base, base), base)))
    return settings


def _first_difference(old: Any, new: Any, key: str) -> tuple[str, Any, Any] | None:
    if key in _MAY_CHANGE:
        return None
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = [(f"{key}.{name}" if key else name, old.get(name), new.get(name)) for name in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{key}[{index}]", *pair) for index, pair in enumerate(zip(old, new, strict=True))]
    else:
        return None if old == new else (key, old, new)
    found = (_first_difference(before, after, name) for name, before, after in pairs)
    return next((difference for difference in found if difference), None)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
