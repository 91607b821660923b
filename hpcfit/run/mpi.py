"""MPI as a Comm; run/mpi_library.py imports mpi4py, and only when a job asks for it.

Heads go as one message, arrays after it as buffers of their own, so nothing is pickled and nothing copied.  Only the
main thread calls MPI (MPI.THREAD_FUNNELED), also while kernels work in others.
"""

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpcfit.errors import EngineError
from hpcfit.run.comm import NO_ARRAYS, Arrays, Comm, Message, check_rank, decoded, encoded
from hpcfit.run.mpi_library import initialised
from hpcfit.run.slurm.environment import step_tasks

_HEAD, _ARRAY = 1, 2
_MOST_BYTES = 1 << 30
"""Of one MPI message: counts are 32 bits wide before MPI-4."""
_MOST_CORES = 1 << 13
"""Of one machine."""
_OTHERS_LEAVE_S = 1.0
_SMALL_OUTBOX = 64
_LAUNCHERS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
_SHORTEST_S, _LONGEST_S = 2e-5, 1e-3
"""Between two looks for a message: MPI's own waiting would take a whole core from the kernels."""


def launched_ranks(environment: Mapping[str, str] = os.environ) -> int:
    """How many ranks the launcher of this process says it started; 1 without one.  Imports nothing.

    mpiexec inside a batch job says it more truly than the job, which may hold more tasks than it starts.
    """
    for name in _LAUNCHERS:
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return step_tasks(environment)


class MpiComm:
    """The ranks of MPI's world."""

    notice_s = 0.0

    def __init__(self, mpi: Any) -> None:
        """`mpi`: the module mpi4py.MPI."""
        self._mpi = mpi
        self._comm = mpi.COMM_WORLD.Dup()  # messages of NEURON or a user's code in MPI's world cannot meet ours
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        node = self._comm.Split_type(mpi.COMM_TYPE_SHARED)
        self.neighbours = node.Get_size()
        self.cores = _even_share(node, mpi)
        node.Free()
        self._outbox: deque[tuple[Any, Any]] = deque()
        self._sweep_at = _SMALL_OUTBOX

    def send(self, to: int, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Comm.send."""
        check_rank(to, self.size)
        text, sent = encoded(head, arrays)
        self._post(to, _HEAD, np.frombuffer(text, np.uint8))
        for array in sent:
            for part in _parts(array):
                self._post(to, _ARRAY, part)
        self._forget_arrived()

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Comm.receive."""
        ends, pause_s = time.monotonic() + timeout_s, _SHORTEST_S
        while True:
            self._forget_arrived()
            status = self._mpi.Status()
            found = self._comm.Improbe(self._mpi.ANY_SOURCE, _HEAD, status)
            if found is not None:
                return self._message(found, status)
            left = ends - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(pause_s, left))
            pause_s = min(2 * pause_s, _LONGEST_S)

    def begin(self) -> None:
        """They are there.  See Link.begin."""

    def present(self) -> Sequence[int]:
        """See Link.present."""
        return [rank for rank in range(self.size) if rank != self.rank]

    def awaited(self) -> int:
        """None: when a rank dies the job ends.  See Link.awaited."""
        return 0

    def barrier(self) -> None:
        """See Comm.barrier."""
        reached, pause_s = self._comm.Ibarrier(), _SHORTEST_S
        while not reached.Test():
            self._forget_arrived()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_S)

    def abort(self, code: int = 1) -> None:
        """See Comm.abort.  Does not return."""
        self._comm.Abort(code)

    def end(self) -> None:
        """MPI is over for this rank once it is for all of them; nothing of it may be used after that."""
        self._mpi.Finalize()

    def _message(self, found: Any, status: Any) -> Message:
        source, text = status.Get_source(), np.empty(status.Get_count(self._mpi.BYTE), np.uint8)
        found.Recv([text, self._mpi.BYTE])
        head, arrays = decoded(text.tobytes())
        for array in arrays.values():
            for part in _parts(array):
                self._comm.Recv([part, self._mpi.BYTE], source, _ARRAY)
        return Message(source, head, arrays)

    def _post(self, to: int, tag: int, buffer: np.ndarray) -> None:
        self._outbox.append((self._comm.Isend([buffer, self._mpi.BYTE], to, tag), buffer))

    def _forget_arrived(self) -> None:
        """Buffers live until MPI has read them; asking is also what moves large ones on.

        All are asked only where they have become twice as many: with a thousand on their way, asking each at every
        message would take longer than the messages.
        """
        while self._outbox and self._outbox[0][0].Test():
            self._outbox.popleft()
        if len(self._outbox) > self._sweep_at:
            self._outbox = deque(one for one in self._outbox if not one[0].Test())
            self._sweep_at = max(_SMALL_OUTBOX, 2 * len(self._outbox))


def world() -> MpiComm:
    """The ranks that the launcher started; initialises MPI.

    Raises
    ------
    EngineError
        When mpi4py or an MPI library is missing; when the launcher started several ranks that do not know of each
        other, each a world of its own: they would all run the same fit and write the same folder.
    """
    mpi = initialised()
    ranks = launched_ranks()
    size = mpi.COMM_WORLD.Get_size()
    if size == 1 and ranks > 1:
        library = mpi.Get_library_version().strip("\0\n ").splitlines()[0].strip()
        raise EngineError(
            f"the launcher started {ranks} tasks, but for MPI each is alone: its library ({library}) does not "
            "understand this launcher.  Under SLURM start MPICH by srun --mpi=pmi2 and Open MPI by srun --mpi=pmix, "
            "or use the mpiexec of that library; to run on one task all the same, say --no-mpi"
        )
    if mpi.Query_thread() < mpi.THREAD_FUNNELED:
        raise EngineError("this MPI library allows no threads (MPI.THREAD_FUNNELED); use one that was built with them")
    return MpiComm(mpi)


def leave_last(comm: Comm) -> None:
    """Rank 0 ends MPI, and gives the others time to be gone before it reports by its exit code what has happened.

    A launcher that ends a job when one rank fails (srun --kill-on-bad-exit) kills those that are still on their way
    out, and then says that they were killed in place of rank 0's code.
    """
    if isinstance(comm, MpiComm) and comm.size > 1:
        comm.end()
        time.sleep(_OTHERS_LEAVE_S)


def _parts(array: np.ndarray) -> list[np.ndarray]:
    """Views of the bytes of a contiguous array; none when it is empty."""
    flat = array.reshape(-1).view(np.uint8)
    return [flat[start : start + _MOST_BYTES] for start in range(0, len(flat), _MOST_BYTES)]


def _even_share(node: Any, mpi: Any) -> int:
    """Cores for this rank: its own, and no more than its part of those that all ranks of the machine may use."""
    mine = np.zeros(_MOST_CORES, np.uint8)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    mine[[core for core in allowed if core < len(mine)]] = 1
    together = np.zeros_like(mine)
    node.Allreduce(mine, together, mpi.MAX)
    return max(1, min(int(mine.sum()), int(together.sum()) // node.Get_size()))
