"""The other end of run/processes.py: a process that builds services and carries out one task after another."""

import ctypes
import os
import pickle
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from hpcfit.errors import EngineError, HpcfitError
from hpcfit.population.executor import Factories, Fate, Outcome, Task

# A batch system may send these to every process of a job; only the parent knows what they ask for.
_SIGNALS_FOR_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def serve(connection: Connection) -> None:
    """Receive factories, then tasks until the other end closes; tell when each task starts, then its outcome."""
    factories: Factories = connection.recv()
    services: dict[str, Any] = {}
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        try:
            if task.service not in services:
                services[task.service] = build(factories, task.service)
            connection.send("started")
            outcome = carry_out(task, services[task.service])
        except HpcfitError as error:
            connection.send(error)
            continue
        connection.send_bytes(_portable(outcome))


def build(factories: Factories, service: str) -> Any:
    """The service, built here and now.  Raises its HpcfitError, or EngineError for whatever else it raises."""
    try:
        return factories[service]()
    except HpcfitError:
        raise
    except Exception as error:
        raise EngineError(f"service {service} cannot be built: {type(error).__name__}: {error}") from error


def carry_out(task: Task, service: Any) -> Outcome:
    """The outcome of a task that `service` carries out here and now.  An HpcfitError is the user's and passes."""
    start = time.monotonic()
    try:
        value = getattr(service, task.method)(*task.arguments)
    except HpcfitError:
        raise
    except Exception as error:
        # The boundary between a population and its members: whatever one member raises is data to the others.
        return Outcome(Fate.FAILED, None, f"{type(error).__name__}: {error}", time.monotonic() - start, start)
    return Outcome(Fate.DONE, value, "", time.monotonic() - start, start)


def _portable(outcome: Outcome) -> bytes:
    """The outcome as it travels; one whose value cannot is one that failed."""
    try:
        return pickle.dumps(outcome)
    except Exception as error:
        reason = f"its value cannot be sent: {type(error).__name__}: {error}"
        return pickle.dumps(Outcome(Fate.FAILED, None, reason, outcome.seconds, outcome.began_s))


def die_with_parent(parent: int) -> None:
    """A parent that is killed takes its workers along, even one that is deep in a simulation (Linux)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Entry point: hpcfit.run.worker SOCKET PARENT_PID."""
    die_with_parent(int(sys.argv[2]))
    for number in _SIGNALS_FOR_PARENT:
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")  # NEURON loads compiled mechanisms that lie in the working folder
    os.set_inheritable(int(sys.argv[1]), False)  # what a service starts must not keep the connection open
    with Connection(int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            os._exit(1)


if __name__ == "__main__":
    main()
