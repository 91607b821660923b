"""Executor on the cores of one machine: worker processes, late binding, a deadline for every task.

A worker that overruns is killed, one that dies is replaced; either way the task has an outcome and the others go on.
Workers are started as fresh interpreters, not forked and not by multiprocessing: no state of the caller leaks into a
simulation, and a script or notebook needs no `if __name__ == "__main__"`.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from hpcfit.errors import EngineError, HpcfitError
from hpcfit.population.executor import Factories, Fate, Outcome, Task

_FALSE_STARTS = 3


class Processes:
    """Worker processes that share out tasks; usable as a context manager."""

    def __init__(
        self, factories: Factories, workers: int = 0, on_done: Callable[[int, int], None] | None = None
    ) -> None:
        """`workers` 0: one for each core this process may use.  `on_done(done, of)` is called as tasks end."""
        self._factories = pickle.dumps(dict(factories))
        self.workers = workers or available_cores()
        self.on_done = on_done
        self._pool: list[_Worker] = []
        self._false_starts = 0

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        for worker in self._pool:
            worker.kill()
        self._pool = []

    def map(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes in the order of the tasks.  See Executor.map."""
        while len(self._pool) < min(self.workers, len(tasks)):
            self._pool.append(_Worker(self._factories))
        try:
            return self._share_out(tasks)
        except BaseException:
            self.close()  # workers in the middle of a task have no way back to a known state
            raise

    def _share_out(self, tasks: Sequence[Task]) -> list[Outcome]:
        waiting = list(reversed(range(len(tasks))))
        outcomes: dict[int, Outcome] = {}
        for slot in range(len(self._pool)):
            self._hand_out(slot, tasks, waiting)
        while len(outcomes) < len(tasks):
            for slot in self._ready_slots():
                worker = self._pool[slot]
                try:
                    outcome = worker.outcome()
                except _FalseStart as cause:
                    waiting.append(worker.index)
                    self._restart(slot, str(cause))
                    self._hand_out(slot, tasks, waiting)
                    continue
                if outcome is None:
                    continue
                outcomes[worker.index] = outcome
                worker.index, self._false_starts = -1, 0
                if self.on_done:
                    self.on_done(len(outcomes), len(tasks))
                if outcome.fate in (Fate.DEADLINE, Fate.DIED):
                    self._pool[slot] = _Worker(self._factories)
                self._hand_out(slot, tasks, waiting)
        return [outcomes[index] for index in range(len(tasks))]

    def _hand_out(self, slot: int, tasks: Sequence[Task], waiting: list[int]) -> None:
        while waiting and not self._pool[slot].take(waiting[-1], tasks[waiting[-1]]):
            self._restart(slot, "gone before it got a task")
        if waiting:
            waiting.pop()

    def _restart(self, slot: int, cause: str) -> None:
        self._false_starts += 1
        if self._false_starts > _FALSE_STARTS:
            raise EngineError(
                f"worker processes end before they begin a task: {cause}; look at the memory limit"
            ) from None
        self._pool[slot].kill()
        self._pool[slot] = _Worker(self._factories)

    def _ready_slots(self) -> list[int]:
        """Slots with something to read or an overrun deadline; waits for the first of them."""
        busy = {worker.connection: slot for slot, worker in enumerate(self._pool) if worker.index >= 0}
        deadlines = [worker.ends for worker in self._pool if worker.index >= 0 and worker.ends is not None]
        timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        ready = {busy[connection] for connection in wait(list(busy), timeout)}  # type: ignore[index]
        late = {slot for slot in busy.values() if self._pool[slot].late()}
        return sorted(ready | late)


class _FalseStart(Exception):
    """A process ended before it began its task, so the task may be given to another."""


class _Worker:
    """One process, the connection to it, and the task it has."""

    def __init__(self, factories: bytes) -> None:
        ours, theirs = socket.socketpair()
        self._log = tempfile.TemporaryFile()
        environment = {"OMP_NUM_THREADS": "1", "NEURON_MODULE_OPTIONS": "-nogui", **os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hpcfit.run.worker", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=environment,
            )
        self.connection = Connection(ours.detach())
        self.index = -1
        self.ends: float | None = None
        self._allowed_s: float | None = None
        self._started = False
        with suppress(OSError):
            self.connection.send_bytes(factories)

    def take(self, index: int, task: Task) -> bool:
        """Hand over a task; False when the process is gone."""
        try:
            self.connection.send(task)
        except OSError:
            return False
        self.index, self.ends, self._allowed_s, self._started = index, None, task.deadline_s, False
        return True

    def late(self) -> bool:
        """Is the task at hand past its deadline?"""
        return self.ends is not None and time.monotonic() >= self.ends

    def outcome(self) -> Outcome | None:
        """What became of the task, if that is known by now."""
        try:
            message: Any = self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError):
            return self._obituary()
        if isinstance(message, HpcfitError):
            raise message
        if message == "started":
            # The deadline is the task's own: building the cell before the first one does not count.
            self._started = True
            self.ends = time.monotonic() + self._allowed_s if self._allowed_s is not None else None
            return None
        if message is None and self.late():
            self.kill()
            assert self._allowed_s is not None
            return Outcome(Fate.DEADLINE, None, f"took longer than {self._allowed_s:g} s", self._allowed_s)
        return message

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _obituary(self) -> Outcome:
        code = self._process.wait()
        cause = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = self._last_words()
        self.kill()
        if not self._started:
            raise _FalseStart(f"{cause}{words}")
        return Outcome(Fate.DIED, None, f"its process was {cause}{words}")

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"; it last said: {lines[-1].strip()}" if lines else ""


def available_cores() -> int:
    """Cores that this process may use (an affinity mask of a batch system counts)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
