"""How do the ranks of a job share the work of one?  Rank 0 deals blocks of rows and gathers answers; it works too.

A block's answer depends on its rows alone, and answers are put where their rows are: neither the number of ranks nor
who did what and when shows in the result.  A rank that is slow gets less; one that no longer answers delays the
generation by twice what its block should take (run/dealing.py).  A rank may come at any time: it says hello, is sent
the plan, builds its work and says that it is ready; what one had that is gone is dealt again at once.
"""

import socket
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from importlib.metadata import version
from typing import Any

import numpy as np

import hpcfit.errors
from hpcfit.errors import EngineError, HpcfitError
from hpcfit.run.comm import Link, Message
from hpcfit.run.dealing import Block, Dealing, Pace
from hpcfit.run.hand import Answer, Hand, Result, Work

_LISTEN_S = 1e-3
"""Rank 0 looks for messages at least so often while its own hand works."""
_GOODBYE_S = 20.0
_MOST_CUTS = 64
"""So many blocks of a generation may be cut because ranks died of them: some individuals, not all."""
_NAMED = 6
OnDone = Callable[[int, int], Any]
OnWorked = Callable[[int, float, Answer], Any]
Plan = Mapping[str, Any]
"""JSON from which a rank builds its work."""
Builder = Callable[[Plan], AbstractContextManager[Work]]


class Driver:
    """Rank 0's side.  A context manager around all its work; `serve` is the other ranks' side."""

    def __init__(self, comm: Link, work: Work, plan: Plan, on_worked: OnWorked | None = None) -> None:
        """work: of this rank; plan: from which the others build theirs, told to whoever comes.

        on_worked(rank, began_s, answer): called for every block that counts.
        """
        assert comm.rank == 0, comm.rank
        self._comm, self._work, self._on_worked = comm, work, on_worked
        self._plan = {"kind": "plan", "plan": dict(plan)}
        self._hand = Hand(work)
        self._pace = Pace()
        self._quantum = work.quantum
        self._dealing = Dealing(0, comm.size, self._quantum, self._pace)
        self._first_ticket = self._ticket = 0
        self._called = False
        self._idle: set[int] = {0}
        self._out: dict[int, tuple[int, Block]] = {}
        """Ticket -> rank and block; of earlier generations too, until its rank has left it."""
        self._there: set[int] = set()
        """Ranks but 0 that have been ready, and are not gone."""
        self._told: dict[str, np.ndarray] = {}

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

        on_done(done, of): called as rows are answered.  The first call is what calls the other ranks (Link.begin).

        Raises
        ------
        HpcfitError
            What went wrong on any rank, as that rank raised it; EngineError when ranks die of rows again and again,
            or cannot be had.
        """
        if not self._called:
            self._called = True
            self._comm.begin()
        for message in iter(self._comm.receive, None):  # who has come, gone or become idle since the last generation
            self._of_message(message)
        dealing = self._dealing = Dealing(len(rows), self._comm.size, self._quantum, self._pace)
        answers: dict[int, Answer] = {}
        self._first_ticket = self._ticket
        while not dealing.done:
            self._deal(rows)
            message = self._comm.receive()
            result = self._hand.wait(0.0 if message is not None else _LISTEN_S)
            for rank, ticket, answer in (*self._of_hand(result), *self._of_message(message)):
                _, block = self._out.pop(ticket, (0, None))
                if ticket < self._first_ticket or answer is None or block is None:
                    continue  # of an earlier generation, or left because another rank was first
                if dealing.answer(block.number, rank, now_s := time.monotonic()):
                    answers[block.number] = answer
                    self._counts(rank, answer, now_s)
                    self._drop_others(block)
                    on_done(dealing.done_rows, len(rows))
            if dealing.given_up:
                self._give_up(rows, answers)
                on_done(dealing.done_rows, len(rows))
        if 0 not in self._idle:  # with what another rank was first to answer
            if not self._hand.idle():
                raise EngineError("rank 0 does not leave work that another rank has done")
            self._idle.add(0)
            self._out = {ticket: one for ticket, one in self._out.items() if one[0] != 0}
        return _together(len(rows), dealing.blocks, answers)

    def _deal(self, rows: np.ndarray) -> None:
        if not self._dealing.anything(time.monotonic()):
            return
        for rank in sorted(self._idle, reverse=True):  # this rank last: the others' work takes its way first
            block = self._next(rank)
            if block is None:  # an idle rank has nothing, so there is nothing for the others either
                break
            ticket, self._ticket = self._ticket, self._ticket + 1
            self._idle.remove(rank)
            self._out[ticket] = (rank, block)
            if rank == 0:
                self._hand.give(ticket, rows[block.rows])
            else:
                self._comm.send(rank, {"kind": "rows", "ticket": ticket}, {"rows": rows[block.rows]})

    def _next(self, rank: int) -> Block | None:
        """What an idle rank is to do.  Rank 0 may not die, for nobody could go on."""
        dealing, now_s = self._dealing, time.monotonic()
        if rank:
            return dealing.take(rank, now_s)
        returned = dealing.returned()
        alone = bool(returned) and not self._comm.present() and not self._comm.awaited()
        block = dealing.take(rank, now_s, bold=False, last=alone, notice_s=self._comm.notice_s)
        if block is None and alone:
            raise EngineError(f"{_named(returned)}: ranks have died of them, and no other rank is left to try them on")
        return block

    def _give_up(self, rows: np.ndarray, answers: dict[int, Answer]) -> None:
        """Rows that ranks die of get an answer that says so, where the work has one."""
        dealing = self._dealing
        given_up, dealing.given_up = dealing.given_up, []
        for block in given_up:
            reason = f"{block.deaths} ranks died while they had it"
            if self._work.failed is None:
                raise EngineError(f"{_named([block])}: {reason}")
            answers[block.number] = self._work.failed(rows[block.rows], reason)
            dealing.settle(block)
            self._drop_others(block)

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
        head, rank, kind = message.head, message.source, message.head["kind"]
        if kind == "error":
            raise _error(rank, head)
        if kind == "hello":
            _check_version(rank, head)
            self._comm.send(rank, self._plan)
            return []
        if kind in ("left", "goodbye"):
            self._gone(rank, head.get("blame", False))
            return []
        self._idle.add(rank)
        if kind == "ready":
            self._quantum = max(self._quantum, head["quantum"])
            self._there.add(rank)
            if self._told:
                self._comm.send(rank, {"kind": "told"}, self._told)
            return []
        answer = Answer(message.arrays, head["head"], head["seconds"]) if kind == "answer" else None
        return [(rank, head["ticket"], answer)]

    def _gone(self, rank: int, blame: bool) -> None:
        """Others do what it had."""
        self._idle.discard(rank)
        self._there.discard(rank)
        for ticket in [ticket for ticket, (who, _) in self._out.items() if who == rank]:
            _, block = self._out.pop(ticket)
            if ticket >= self._first_ticket:
                self._dealing.lost(block.number, rank, blame)
                if block.cut:
                    self._drop_others(block)
        if self._dealing.cuts > _MOST_CUTS:
            raise EngineError(
                f"{_named(self._dealing.returned())}: ranks die again and again of them and of others; look at the "
                "memory limit and at the ranks' logs"
            )

    def _counts(self, rank: int, answer: Answer, now_s: float) -> None:
        if self._on_worked:  # clocks of machines differ: by this one's it ended now
            self._on_worked(rank, now_s - answer.seconds, answer)


def dismiss(comm: Link, patience_s: float = _GOODBYE_S) -> bool:
    """End the other ranks' `serve`; False when one has not said goodbye after a while: deep in work, or gone."""
    waiting = set(comm.present())
    for rank in waiting:
        comm.send(rank, {"kind": "stop"})
    ends = time.monotonic() + patience_s
    while waiting and time.monotonic() < ends:
        message = comm.receive(0.1)
        if message is not None and message.head["kind"] in ("goodbye", "left"):
            waiting.discard(message.source)
    return not waiting


def serve(comm: Link, build: Builder, leave: Callable[[], bool] = lambda: False) -> bool:
    """The side of every rank but 0: builds its work when the plan comes, does blocks, until it is dismissed.

    build(plan): its work, and what to end after it; leave(): asked now and then, true to go although rank 0 has not
    said so.  False when it has gone so.
    """
    comm.send(0, {"kind": "hello", "version": _version(), "host": socket.gethostname()})
    with ExitStack() as stack:
        hand: Hand | None = None
        while True:
            working = hand is not None and hand.busy
            message = comm.receive(0.0 if working else 0.2)
            if leave():
                comm.send(0, {"kind": "goodbye"})  # first of all: others can do what this one has
                return False
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
            elif kind in ("stop", "left"):  # rank 0 says so, or is gone
                break
    comm.send(0, {"kind": "goodbye"})
    return True


def _begun(comm: Link, build: Builder, plan: Plan, stack: ExitStack) -> Hand | None:
    try:
        work = stack.enter_context(build(plan))
    except Exception as error:
        _say_error(comm, error)
        return None
    comm.send(0, {"kind": "ready", "quantum": work.quantum})
    return stack.enter_context(Hand(work))


def _report(comm: Link, result: Result) -> None:
    if result.error is not None:
        _say_error(comm, result.error)
    elif result.answer is None:
        comm.send(0, {"kind": "dropped", "ticket": result.ticket})
    else:
        told = {"head": result.answer.head, "seconds": result.answer.seconds}
        comm.send(0, {"kind": "answer", "ticket": result.ticket, **told}, result.answer.arrays)


def _say_error(comm: Link, error: BaseException) -> None:
    """A user's error goes to rank 0, which alone speaks to the user; any other one ends this rank, and the job."""
    if not isinstance(error, HpcfitError):
        raise error
    comm.send(0, {"kind": "error", "type": type(error).__name__, "text": str(error), "host": socket.gethostname()})


def mistake(error: BaseException) -> dict[str, Any]:
    """What a rank that cannot end the job says of an error that is no user's; rank 0 raises it as RuntimeError."""
    text = "".join(traceback.format_exception(error))
    return {"kind": "error", "type": "mistake", "text": text, "host": socket.gethostname()}


def _error(rank: int, head: Mapping[str, Any]) -> Exception:
    where = f"rank {rank} on {head['host']}"
    if head["type"] == "mistake":
        return RuntimeError(f"{where}: {head['text']}")
    kind = getattr(hpcfit.errors, head["type"], EngineError)
    return kind(f"{head['text']} ({where})")


def _version() -> str:
    return version("hpcfit")


def _check_version(rank: int, head: Mapping[str, Any]) -> None:
    """Raises EngineError when a rank would compute by another hpcfit."""
    if head["version"] != _version():
        raise EngineError(
            f"rank {rank} on {head['host']} has hpcfit {head['version']}, rank 0 has {_version()}; start all ranks "
            "from one environment that every node sees"
        )


def _named(blocks: list[Block]) -> str:
    """Rows of the generation, for people."""
    rows = sorted((block.rows.start, block.rows.stop - 1) for block in blocks)
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in rows[:_NAMED]]
    return f"individuals {', '.join(texts)}{' ...' if len(rows) > _NAMED else ''} of the generation, counted from 0"


def _together(rows: int, blocks: list[Block], answers: Mapping[int, Answer]) -> tuple[dict[str, np.ndarray], list[Any]]:
    whole: dict[str, np.ndarray] = {}
    answered = sorted((block for block in blocks if block.answered), key=lambda block: block.rows.start)
    for block in answered:
        for name, part in answers[block.number].arrays.items():
            if name not in whole:
                whole[name] = np.empty((rows, *part.shape[1:]), part.dtype)
            whole[name][block.rows] = part
    return whole, [answers[block.number].head for block in answered]
