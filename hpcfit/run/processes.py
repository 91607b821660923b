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
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import IO, Any

from hpcfit.errors import EngineError, HpcfitError
from hpcfit.population.executor import Factories, Fate, Outcome, Task

_FALSE_STARTS = 3
_LOG_LIMIT_BYTES = 1 << 20
_LAST_WORDS_BYTES = 4096
_LOOK_EVERY_S = 1.0
_EXIT_S = 5.0


class Processes:
    """Worker processes that share out tasks; usable as a context manager."""

    def __init__(
        self,
        factories: Factories,
        workers: int = 0,
        on_done: Callable[[int, int], None] | None = None,
        on_worked: Callable[[int, float, float], None] | None = None,
    ) -> None:
        """`workers` 0: one for each core this process may use.  As tasks end, the thread that called `map` calls
        `on_done(done, of)`, and `on_worked(worker, began_s, seconds)`, began_s by `time.monotonic`.
        """
        self._factories = pickle.dumps(dict(factories))
        self.workers = workers or available_cores()
        self.on_done = on_done
        self.on_worked = on_worked
        self._cancelled = False
        self._pool: list[_Worker] = []
        self._false_starts: Counter[int] = Counter()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        for worker in self._pool:
            worker.kill()
        self._pool = []
        self._cancelled = False

    def cancel(self) -> None:
        """See Executor.cancel."""
        self._cancelled = True
        for worker in list(self._pool):
            worker.end()  # map wakes up

    def map(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes in the order of the tasks.  See Executor.map."""
        self._false_starts.clear()
        try:
            while len(self._pool) < min(self.workers, len(tasks)):
                self._pool.append(_Worker(self._factories))
            outcomes = self._share_out(tasks)
            self._leave_if_cancelled()  # else its workers' end would look like the tasks' own
            return outcomes
        except BaseException:
            self.close()  # workers in the middle of a task have no way back to a known state
            raise

    def _share_out(self, tasks: Sequence[Task]) -> list[Outcome]:
        waiting = list(reversed(range(len(tasks))))
        outcomes: dict[int, Outcome] = {}
        for slot in range(len(self._pool)):
            self._hand_out(slot, tasks, waiting)
        while len(outcomes) < len(tasks):
            self._leave_if_cancelled()
            for slot in self._ready_slots():
                worker = self._pool[slot]
                try:
                    outcome = worker.outcome()
                except _FalseStart as cause:
                    waiting.append(worker.index)
                    self._restart(slot, worker.index, str(cause))
                    self._hand_out(slot, tasks, waiting)
                    continue
                if outcome is None:
                    continue
                outcomes[worker.index] = outcome
                worker.index = -1
                if self.on_worked:
                    self.on_worked(slot, outcome.began_s, outcome.seconds)
                if self.on_done:
                    self.on_done(len(outcomes), len(tasks))
                if outcome.fate in (Fate.DEADLINE, Fate.DIED):
                    self._pool[slot] = _Worker(self._factories)
                self._hand_out(slot, tasks, waiting)
        return [outcomes[index] for index in range(len(tasks))]

    def _hand_out(self, slot: int, tasks: Sequence[Task], waiting: list[int]) -> None:
        while waiting and not self._pool[slot].take(waiting[-1], tasks[waiting[-1]]):
            self._restart(slot, waiting[-1], "gone before they got it")
        if waiting:
            waiting.pop()

    def _leave_if_cancelled(self) -> None:
        if self._cancelled:
            raise EngineError("the work was cancelled")

    def _restart(self, slot: int, index: int, cause: str) -> None:
        """A new process for a task whose process ended before it began; the same task does not wear out many."""
        self._false_starts[index] += 1
        if self._false_starts[index] > _FALSE_STARTS:
            raise EngineError(
                f"worker processes end before they begin a task: {cause}; look at the memory limit"
            ) from None
        self._pool[slot].kill()
        self._pool[slot] = _Worker(self._factories)

    def _ready_slots(self) -> list[int]:
        """Slots with something to read or an overrun deadline; waits for the first of them."""
        busy = {worker.connection: slot for slot, worker in enumerate(self._pool) if worker.index >= 0}
        deadlines = [worker.ends for worker in self._pool if worker.index >= 0 and worker.ends is not None]
        # Simulators may print a line per step when a model diverges: look after the logs now and then.
        timeout = max(0.0, min([*deadlines, time.monotonic() + _LOOK_EVERY_S]) - time.monotonic())
        ready = {busy[connection] for connection in wait(list(busy), timeout)}  # type: ignore[index]
        for slot in busy.values():
            self._pool[slot].shorten_log()
        late = {slot for slot in busy.values() if self._pool[slot].late()}
        return sorted(ready | late)


class _FalseStart(Exception):
    """A process ended before it began its task, so the task may be given to another."""


class _Worker:
    """One process, the connection to it, and the task it has."""

    def __init__(self, factories: bytes) -> None:
        """Raises EngineError when no process can be started."""
        try:
            self._log = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115, closed by kill()
            self.connection, self._process = _started(self._log)
        except OSError as error:
            raise EngineError(f"a worker process cannot be started: {error}; use fewer workers") from error
        self.index = -1
        self.ends: float | None = None
        self._allowed_s: float | None = None
        self._began_s: float | None = None
        # Sent with the first task: the process need not be up before the next one is started.
        self._factories: bytes | None = factories

    def take(self, index: int, task: Task) -> bool:
        """Hand over a task; False when the process is gone."""
        try:
            if self._factories is not None:
                self.connection.send_bytes(self._factories)
            self.connection.send(task)
        except OSError:
            return False
        self._factories = None
        self.index, self.ends, self._allowed_s, self._began_s = index, None, task.deadline_s, None
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
            self._began_s = time.monotonic()
            self.ends = self._began_s + self._allowed_s if self._allowed_s is not None else None
            return None
        if message is None and self.late():
            self.kill()
            assert self._allowed_s is not None and self._began_s is not None
            return Outcome(
                Fate.DEADLINE, None, f"took longer than {self._allowed_s:g} s", self._allowed_s, self._began_s
            )
        return message

    def end(self) -> None:
        """From another thread: end the process, and leave all else to the one that looks after it."""
        with suppress(OSError):
            self._process.kill()

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def shorten_log(self) -> None:
        """Drop what the process printed when it is too much."""
        shorten(self._log)

    def _obituary(self) -> Outcome:
        try:
            code = self._process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            cause = "closed its connection and went on"
        else:
            cause = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        words = last_words(self._log)
        self.kill()
        if self._began_s is None:
            raise _FalseStart(f"the last one {cause}{words}")
        seconds = time.monotonic() - self._began_s
        return Outcome(Fate.DIED, None, f"its process {cause}{words}", seconds, self._began_s)


def _started(log: IO[bytes]) -> tuple[Connection, subprocess.Popen[bytes]]:
    """A fresh interpreter, and the connection to it."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours.detach())
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hpcfit.run.worker", str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"OMP_NUM_THREADS": "1", "NEURON_MODULE_OPTIONS": "-nogui", **os.environ},
        )
    return connection, process


def shorten(log: IO[bytes]) -> None:
    """Drop what a process has printed when it is too much."""
    if os.fstat(log.fileno()).st_size > _LOG_LIMIT_BYTES:
        log.truncate(0)
        log.seek(0)  # for the process too: it writes at the same position


def last_words(log: IO[bytes]) -> str:
    """The last line of what it has printed, to be put behind how it ended."""
    log.seek(max(0, os.fstat(log.fileno()).st_size - _LAST_WORDS_BYTES))
    lines = log.read().decode(errors="replace").strip().splitlines()
    return f"; it last said: {lines[-1].strip()}" if lines else ""


def signal_name(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def available_cores() -> int:
    """Cores that this process may use (an affinity mask of a batch system counts)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
