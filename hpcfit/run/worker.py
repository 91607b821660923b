"""The other end of run/processes.py: a process that builds services and carries out one task after another."""

import ctypes
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from hpcfit.errors import HpcfitError
from hpcfit.population.executor import Factories, Fate, Outcome, Task

_LOG_LIMIT_BYTES = 1 << 20


def serve(connection: Connection) -> None:
    """Receive factories, then tasks until the other end closes; tell when each task starts, then its outcome."""
    factories: Factories = connection.recv()
    services: dict[str, Any] = {}
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        _shorten_log()
        if task.service not in services:
            try:
                services[task.service] = factories[task.service]()
            except HpcfitError as error:
                connection.send(error)
                continue
        connection.send("started")
        connection.send(carry_out(task, services[task.service]))


def carry_out(task: Task, service: Any) -> Outcome:
    """The outcome of a task that `service` carries out here and now.  An HpcfitError is the user's and passes."""
    start = time.perf_counter()
    try:
        value = getattr(service, task.method)(*task.arguments)
    except HpcfitError:
        raise
    except Exception as error:
        # The boundary between a population and its members: whatever one member raises is data to the others.
        return Outcome(Fate.FAILED, None, f"{type(error).__name__}: {error}", time.perf_counter() - start)
    return Outcome(Fate.DONE, value, "", time.perf_counter() - start)


def _shorten_log() -> None:
    # Simulators print a line per step when a model diverges.
    if os.fstat(2).st_size > _LOG_LIMIT_BYTES:
        os.ftruncate(2, 0)


def _die_with_parent(parent: int) -> None:
    """A parent that is killed takes its workers along, even one that is deep in a simulation (Linux)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Entry point: hpcfit.run.worker SOCKET PARENT_PID."""
    _die_with_parent(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    os.chdir("/")  # NEURON loads compiled mechanisms that lie in the working folder
    with Connection(int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(1)


if __name__ == "__main__":
    main()
