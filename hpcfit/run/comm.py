"""How do the processes of one job talk?  Messages of a small JSON head and arrays; nothing is ever pickled.

`Link` is what sharing work needs: rank 0 and the others, who may come late and leave early (run/team/, run/ray.py).
`Comm` is more: all ranks are there from the start to the end, and any two may talk.  Three forms of it: alone (here),
N pretended ranks as threads of one process (here, for tests and rehearsal), and MPI (run/mpi.py).
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from hpcfit.run.processes import available_cores

T = TypeVar("T")
Arrays = Mapping[str, np.ndarray]
NO_ARRAYS: Arrays = {}
_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True)
class Message:
    """What a rank was sent, and by whom: `head` is JSON, `arrays` belong to the receiver."""

    source: int
    head: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class Link(Protocol):
    """Rank 0 and the others, as one of them sees them.  Only the thread that made it may use it.

    Messages between two ranks arrive in the order they were sent.  Rank 0 of a link whose ranks come and go receives
    `{"kind": "left", "why": ..., "blame": ...}` in the name of one that is gone, at once when that is known, and from
    then on nothing of it; one that comes in its place begins anew, by its first message.  blame: it may have died of
    its work, not by the hand of whoever ran it.
    """

    rank: int
    size: int
    cores: int
    """Cores for this rank: those it may use, shared evenly with other ranks that may use them."""
    neighbours: int
    """Ranks on this machine, this one among them."""
    notice_s: float
    """When a rank dies, rank 0 knows after so long, s; 0 where it knows at once, or ends with it."""

    def send(self, to: int, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """Send a message; never waits for the receiver.  The caller leaves the arrays as they are from here on.

        To a rank that is not there (now), it is lost.

        Raises
        ------
        TypeError
            When the head is not JSON or an array holds Python objects.
        ValueError
            When there is no such rank.
        """
        ...

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """The next message from anyone, or None when none comes in time."""
        ...

    def begin(self) -> None:
        """Rank 0: call the other ranks, if they are not there anyway.  Raises EngineError when they cannot be."""
        ...

    def present(self) -> Sequence[int]:
        """The other ranks that messages reach now."""
        ...

    def awaited(self) -> int:
        """How many ranks are not there and may still come."""
        ...


class Comm(Link, Protocol):
    """The ranks of a job that begins and ends with all of them; a rank may also send to itself."""

    def barrier(self) -> None:
        """Wait until all ranks are here; what they sent may still be on its way."""
        ...

    def abort(self, code: int = 1) -> None:
        """End the job, all ranks of it, now."""
        ...


def encoded(head: Mapping[str, Any], arrays: Arrays) -> tuple[bytes, list[np.ndarray]]:
    """A head as it travels, which tells names, types and shapes of the arrays; and these, contiguous."""
    sent = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in sent.items():
        if array.dtype.hasobject or array.dtype.names is not None:
            raise TypeError(f"array {name!r} of type {array.dtype} cannot be sent; numbers only")
    forms = [(name, array.dtype.str, array.shape) for name, array in sent.items()]
    return json.dumps([head, forms]).encode(), list(sent.values())


def decoded(text: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The head, and arrays to be filled."""
    head, forms = json.loads(text)
    return head, {name: np.empty(tuple(shape), np.dtype(kind)) for name, kind, shape in forms}


def check_rank(to: int, size: int) -> None:
    """Raises ValueError when there is no such rank."""
    if not 0 <= to < size:
        raise ValueError(f"there is no rank {to} among {size}")


class Aborted(BaseException):
    """A pretended rank has aborted the job: what ends the others.  No `except Exception` may hold it up."""


class _Mailbox:
    """What pretended ranks share."""

    def __init__(self, size: int) -> None:
        self.queues: list[queue.SimpleQueue[Message]] = [queue.SimpleQueue() for _ in range(size)]
        self.gate = threading.Barrier(size)
        self.aborted = threading.Event()


class DryRunComm:
    """One of several pretended ranks; they share nothing but messages, whose arrays are copied."""

    notice_s = 0.0

    def __init__(self, rank: int, shared: _Mailbox) -> None:
        self.rank, self.size = rank, len(shared.queues)
        self.cores, self.neighbours = max(1, available_cores() // self.size), self.size
        self._shared = shared

    def send(self, to: int, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Comm.send."""
        check_rank(to, self.size)
        self._leave_if_aborted()
        text, sent = encoded(head, arrays)
        arrived, places = decoded(text)
        for place, array in zip(places.values(), sent, strict=True):
            place[...] = array
        self._shared.queues[to].put(Message(self.rank, arrived, places))

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Comm.receive."""
        ends = time.monotonic() + timeout_s
        while True:
            self._leave_if_aborted()
            left = ends - time.monotonic()
            try:
                return self._shared.queues[self.rank].get(left > 0, min(max(left, 0.0), _LOOK_AGAIN_S))
            except queue.Empty:
                if left <= 0:
                    return None

    def begin(self) -> None:
        """They are there.  See Link.begin."""

    def present(self) -> Sequence[int]:
        """See Link.present."""
        return [rank for rank in range(self.size) if rank != self.rank]

    def awaited(self) -> int:
        """None.  See Link.awaited."""
        return 0

    def barrier(self) -> None:
        """See Comm.barrier."""
        try:
            self._shared.gate.wait()
        except threading.BrokenBarrierError:
            raise Aborted from None

    def abort(self, code: int = 1) -> None:
        """See Comm.abort.  Here: every rank leaves by `Aborted` the next time it uses its comm, this one at once."""
        self._shared.aborted.set()
        self._shared.gate.abort()
        raise Aborted(code)

    def _leave_if_aborted(self) -> None:
        if self._shared.aborted.is_set():
            raise Aborted


class SerialComm(DryRunComm):
    """The only rank: for what is written for many and runs on one."""

    def __init__(self) -> None:
        super().__init__(0, _Mailbox(1))


def dry_run(size: int, main: Callable[[Comm], T]) -> list[T]:
    """What `main(comm)` gives on each of so many pretended ranks, each a thread; rank 0 is the calling thread.

    What a rank raises aborts the others, and is raised here: the first that was.
    """
    shared = _Mailbox(size)
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def one(rank: int) -> None:
        try:
            results[rank] = main(DryRunComm(rank, shared))
        except BaseException as error:
            errors.append(error)
            shared.aborted.set()
            shared.gate.abort()

    threads = [threading.Thread(target=one, args=(rank,), name=f"rank {rank}") for rank in range(1, size)]
    for thread in threads:
        thread.start()
    one(0)
    for thread in threads:
        thread.join()
    if errors:
        raise next((error for error in errors if not isinstance(error, Aborted)), errors[0])
    return results
