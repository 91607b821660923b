"""What do messages cost, and what does dealing cost rank 0?  Measured with the very code that sends and deals.

`mpiexec -n 2 python -m hpcfit.run.prediction.messages` prints JSON; on a cluster srun it, a rank on each of two nodes.
"""

import json
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from hpcfit.run.comm import NO_ARRAYS, Arrays, Comm, Message, SerialComm
from hpcfit.run.driver import Driver
from hpcfit.run.hand import Answer, Work
from hpcfit.run.mpi import world

_ROUNDS = 200
_LARGE_B = 4 << 20
_SETTLE_S = 0.3


def message_costs(comm: Comm) -> dict[str, float] | None:
    """Rank 0: send_s, receive_s (of one message with rows, or features and statuses, s of this core), byte_s and
    latency_s, one way beyond those; rank 1 answers, others do nothing and get None.
    """
    small = {"rows": np.zeros((16, 15))}
    large = {"rows": np.zeros(_LARGE_B // 8)}
    if comm.rank > 1:
        return None
    other = 1 - comm.rank
    return _asked(comm, other, small, large) if comm.rank == 0 else _answered(comm, other, small, large)


def _asked(comm: Comm, other: int, small: Arrays, large: Arrays) -> dict[str, float]:
    trips, sends, receives, bytes_ = [], [], [], []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        comm.send(other, {"kind": "ping"}, small)
        sent = time.perf_counter()
        while comm.receive() is None:
            pass
        trips.append(time.perf_counter() - begun)
        sends.append(sent - begun)
    comm.send(other, {"kind": "many"})
    time.sleep(_SETTLE_S)  # all that was sent is here
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        while comm.receive() is None:
            pass
        receives.append(time.perf_counter() - begun)
    for _ in range(12):
        begun = time.perf_counter()
        comm.send(other, {"kind": "ping"}, large)
        while comm.receive() is None:
            pass
        bytes_.append(time.perf_counter() - begun)
    comm.send(other, {"kind": "end"})
    send_s, receive_s, trip_s = (float(np.median(times)) for times in (sends, receives, trips))
    large_s = float(np.median(bytes_)) - trip_s
    return {
        "send_s": send_s,
        "receive_s": receive_s,
        "byte_s": max(0.0, large_s) / (2 * _LARGE_B),
        "latency_s": max(0.0, trip_s / 2 - send_s - receive_s),
    }


def _answered(comm: Comm, other: int, small: Arrays, large: Arrays) -> None:
    answer = {"features": np.zeros((16, 20)), "statuses": np.zeros((16, 8), np.int8)}
    while True:
        message = comm.receive()
        if message is None:
            continue
        if message.head["kind"] == "end":
            return
        if message.head["kind"] == "many":
            for _ in range(_ROUNDS):
                comm.send(other, {"kind": "answer", "ticket": 1, "head": {}, "seconds": 0.0}, answer)
            continue
        comm.send(other, {"kind": "answer"}, large if message.arrays["rows"].nbytes == _LARGE_B else answer)


class EchoComm(SerialComm):
    """Rank 0's view of so many ranks that answer at once, of no network: what is left is what rank 0 does itself."""

    def __init__(self, size: int, quantum: int, answer: Mapping[str, np.ndarray]) -> None:
        """answer: of one row each, (columns,)."""
        super().__init__()
        self.size = size
        self.blocks = 0
        self._answer = answer
        self._ready: dict[int, dict[str, np.ndarray]] = {}
        self._inbox = deque(Message(rank, {"kind": "ready", "quantum": quantum}) for rank in range(1, size))

    def send(self, to: int, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Comm.send."""
        if head["kind"] != "rows":
            return
        self.blocks += 1
        rows = len(arrays["rows"])
        if rows not in self._ready:
            self._ready[rows] = {name: np.tile(one, (rows, 1)) for name, one in self._answer.items()}
        told = {"kind": "answer", "ticket": head["ticket"], "seconds": 0.01, "head": {}}
        self._inbox.append(Message(to, told, self._ready[rows]))

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Comm.receive."""
        return self._inbox.popleft() if self._inbox else None


def dealing_cost(ranks: int, per_rank: int, quantum: int, answer: Mapping[str, np.ndarray]) -> tuple[float, int]:
    """What a generation costs rank 0 beside messages, s, the least of three: dealing, gathering; and its blocks."""
    comm = EchoComm(ranks, quantum, answer)

    def hand(rows: np.ndarray) -> Answer:
        return Answer({name: np.tile(one, (len(rows), 1)) for name, one in answer.items()})

    rows, took = np.zeros((ranks * per_rank, 15)), []
    with Driver(comm, Work(hand, lambda: None, quantum), {}) as driver:
        driver.map(rows[: quantum * ranks])  # all have become ready
        for _ in range(3):
            comm.blocks, begun = 0, time.perf_counter()
            driver.map(rows)
            took.append(time.perf_counter() - begun)
    return min(took), comm.blocks


def main() -> None:
    """Print what messages between the first two ranks cost, as JSON."""
    comm = world()
    if (costs := message_costs(comm)) is not None:
        print(json.dumps(costs), flush=True)
    comm.barrier()


if __name__ == "__main__":
    main()
