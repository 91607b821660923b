"""How do the ranks of a job share the work of one?  Rank 0 deals blocks of rows and gathers answers; it works too.

A block's answer depends on its rows alone, and answers are put where their rows are: neither the number of ranks nor
who did what and when shows in the result.  A rank that is slow gets less; one that no longer answers delays the
generation by twice what its block should take (run/dealing.py).
"""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import numpy as np

import hpcfit.errors
from hpcfit.errors import EngineError, HpcfitError
from hpcfit.run.comm import Comm, Message
from hpcfit.run.dealing import Block, Dealing, Pace
from hpcfit.run.hand import Answer, Hand, Result, Work

_LISTEN_S = 1e-3
"""Rank 0 looks for messages at least so often while its own hand works."""
_GOODBYE_S = 20.0
OnDone = Callable[[int, int], Any]
OnWorked = Callable[[int, float, float], Any]
Plan = Mapping[str, Any]
"""JSON from which a rank builds its work."""
Builder = Callable[[Plan], AbstractContextManager[Work]]


class Driver:
    """Rank 0's side.  A context manager around all its work; `serve` is the other ranks' side."""

    def __init__(self, comm: Comm, work: Work, plan: Plan, on_worked: OnWorked | None = None) -> None:
        """work: of this rank; plan: from which the others build theirs, told at once; they join in as they are ready.

        on_worked(rank, began_s, seconds): called for every block that counts.
        """
        assert comm.rank == 0, comm.rank
        self._comm, self._work, self._on_worked = comm, work, on_worked
        self._hand = Hand(work)
        self._pace = Pace()
        self._quantum = work.quantum
        self._idle: set[int] = {0}
        self._out: dict[int, tuple[int, Block]] = {}
        """Ticket -> rank and block; of earlier generations too, until its rank has left it."""
        self._ticket = 0
        self._there: set[int] = set()
        """Ranks but 0 that have been ready."""
        self._told: dict[str, np.ndarray] = {}
        for rank in range(1, comm.size):
            comm.send(rank, {"kind": "plan", "plan": dict(plan)})

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        self._hand.close()

    def tell(self, arrays: Mapping[str, np.ndarray]) -> None:
        """What every rank's work is to know for the rows that it gets from now on, also one that joins later."""
        self._told = dict(arrays)
        self._work.told(self._told)
        for rank in sorted(self._there):
            self._comm.send(rank, {"kind": "told"}, self._told)

    def map(self, rows: np.ndarray, on_done: OnDone = lambda done, of: None) -> tuple[dict[str, np.ndarray], list[Any]]:
        """Arrays with as many rows as `rows` (n, P), and the answers' heads, in the order of the rows.

        on_done(done, of): called as rows are answered.

        Raises
        ------
        HpcfitError
            What went wrong on any rank, as that rank raised it.
        """
        dealing = Dealing(len(rows), self._comm.size, self._quantum, self._pace)
        answers: dict[int, Answer] = {}
        first_ticket = self._ticket
        for message in iter(self._comm.receive, None):  # who has become ready or idle since the last generation
            for _, ticket, _ in self._of_message(message):
                self._out.pop(ticket)
        while not dealing.done:
            self._deal(dealing, rows)
            message = self._comm.receive()
            result = self._hand.wait(0.0 if message is not None else _LISTEN_S)
            for rank, ticket, answer in (*self._of_hand(result), *self._of_message(message)):
                _, block = self._out.pop(ticket)
                if ticket < first_ticket or answer is None:
                    continue  # of an earlier generation, or left because another rank was first
                if dealing.answer(block.number, rank, now_s := time.monotonic()):
                    answers[block.number] = answer
                    self._counts(rank, answer, now_s)
                    self._drop_others(block)
                    on_done(dealing.done_rows, len(rows))
        if 0 not in self._idle:  # with what another rank was first to answer
            if not self._hand.idle():
                raise EngineError("rank 0 does not leave work that another rank has done")
            self._idle.add(0)
            self._out = {ticket: one for ticket, one in self._out.items() if one[0] != 0}
        return _together(len(rows), dealing.blocks, answers)

    def _deal(self, dealing: Dealing, rows: np.ndarray) -> None:
        if not dealing.anything(time.monotonic()):
            return
        for rank in sorted(self._idle, reverse=True):  # this rank last: the others' work takes its way first
            block = dealing.take(rank, time.monotonic())
            if block is None:  # an idle rank has nothing, so there is nothing for the others either
                break
            ticket, self._ticket = self._ticket, self._ticket + 1
            self._idle.remove(rank)
            self._out[ticket] = (rank, block)
            if rank == 0:
                self._hand.give(ticket, rows[block.rows])
            else:
                self._comm.send(rank, {"kind": "rows", "ticket": ticket}, {"rows": rows[block.rows]})

    def _drop_others(self, block: Block) -> None:
        """Whoever else has the block may leave it."""
        if block.tried == 1:
            return
        for ticket, (rank, other) in self._out.items():
            if other is block and rank:
                self._comm.send(rank, {"kind": "drop", "ticket": ticket})
            elif other is block:
                self._hand.drop(ticket)

    def _of_hand(self, result: Result | None) -> list[tuple[int, int, Answer | None]]:
        if result is None:
            return []
        if result.error is not None:
            raise result.error
        self._idle.add(0)
        return [(0, result.ticket, result.answer)]

    def _of_message(self, message: Message | None) -> list[tuple[int, int, Answer | None]]:
        if message is None:
            return []
        head, rank = message.head, message.source
        if head["kind"] == "error":
            raise _error(rank, head)
        self._idle.add(rank)
        if head["kind"] == "ready":
            self._quantum = max(self._quantum, head["quantum"])
            self._there.add(rank)
            if self._told:
                self._comm.send(rank, {"kind": "told"}, self._told)
            return []
        answer = Answer(message.arrays, head["head"], head["seconds"]) if head["kind"] == "answer" else None
        return [(rank, head["ticket"], answer)]

    def _counts(self, rank: int, answer: Answer, now_s: float) -> None:
        if self._on_worked:  # clocks of machines differ: by this one's it ended now
            self._on_worked(rank, now_s - answer.seconds, answer.seconds)


def dismiss(comm: Comm) -> bool:
    """End the other ranks' `serve`; False when one has not said goodbye after a while: deep in work, or gone."""
    waiting = set(range(1, comm.size))
    for rank in waiting:
        comm.send(rank, {"kind": "stop"})
    ends = time.monotonic() + _GOODBYE_S
    while waiting and time.monotonic() < ends:
        message = comm.receive(0.1)
        if message is not None and message.head["kind"] == "goodbye":
            waiting.discard(message.source)
    return not waiting


def serve(comm: Comm, build: Builder, leave: Callable[[], bool] = lambda: False) -> None:
    """The side of every rank but 0: builds its work when the plan comes, does blocks, until it is dismissed.

    build(plan): its work, and what to end after it; leave(): asked now and then, true to go although rank 0 has not
    said so, by KeyboardInterrupt.
    """
    with ExitStack() as stack:
        hand: Hand | None = None
        while True:
            working = hand is not None and hand.busy
            message = comm.receive(0.0 if working else 0.2)
            if leave():
                raise KeyboardInterrupt
            if hand is not None and working and (result := hand.wait(0.0 if message else _LISTEN_S)) is not None:
                _report(comm, result)
            if message is None:
                continue
            kind = message.head["kind"]
            if kind == "plan":
                hand = _begun(comm, build, message.head["plan"], stack)
            elif kind == "told" and hand is not None:
                hand.told(message.arrays)
            elif kind == "rows" and hand is not None:
                hand.give(message.head["ticket"], message.arrays["rows"])
            elif kind == "drop" and hand is not None:
                hand.drop(message.head["ticket"])
            elif kind == "stop":
                break
    comm.send(0, {"kind": "goodbye"})


def _begun(comm: Comm, build: Builder, plan: Plan, stack: ExitStack) -> Hand | None:
    try:
        work = stack.enter_context(build(plan))
    except Exception as error:
        _say_error(comm, error)
        return None
    comm.send(0, {"kind": "ready", "quantum": work.quantum})
    return stack.enter_context(Hand(work))


def _report(comm: Comm, result: Result) -> None:
    if result.error is not None:
        _say_error(comm, result.error)
    elif result.answer is None:
        comm.send(0, {"kind": "dropped", "ticket": result.ticket})
    else:
        told = {"head": result.answer.head, "seconds": result.answer.seconds}
        comm.send(0, {"kind": "answer", "ticket": result.ticket, **told}, result.answer.arrays)


def _say_error(comm: Comm, error: BaseException) -> None:
    """A user's error goes to rank 0, which alone speaks to the user; any other one ends this rank, and the job."""
    if not isinstance(error, HpcfitError):
        raise error
    comm.send(0, {"kind": "error", "type": type(error).__name__, "text": str(error), "host": socket.gethostname()})


def _error(rank: int, head: Mapping[str, Any]) -> HpcfitError:
    kind = getattr(hpcfit.errors, head["type"], EngineError)
    return kind(f"{head['text']} (rank {rank} on {head['host']})")


def _together(rows: int, blocks: list[Block], answers: Mapping[int, Answer]) -> tuple[dict[str, np.ndarray], list[Any]]:
    whole: dict[str, np.ndarray] = {}
    for block in blocks:
        for name, part in answers[block.number].arrays.items():
            if name not in whole:
                whole[name] = np.empty((rows, *part.shape[1:]), part.dtype)
            whole[name][block.rows] = part
    return whole, [answers[block.number].head for block in blocks]
