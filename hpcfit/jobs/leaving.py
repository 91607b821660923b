"""When does a run leave its job, to go on in another?  Whole generations are kept, so a generation is all it can lose.

Before each generation: when the job's time would not suffice for it.  Within one: when its time is up, or a signal has
come and what is left of the generation would not end in time.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from hpcfit.errors import HpcfitError, Unfinished
from hpcfit.jobs.signals import Heard
from hpcfit.population.loop import Evaluation
from hpcfit.run.comm import Link, Message
from hpcfit.run.slurm.environment import Job

SAFETY = 1.3
"""A generation may take so many times what the slowest one of this start took."""
RESERVE_S = 30.0
"""To leave: other ranks end within 20 s (run/driver.py), the job script queues the next start."""
RESERVE_PART = 0.1
"""... but no more of the job's time than this."""
_SHARE = 0.1
"""Of a generation done, before its own pace says when it will end."""
_LOOK_S = 0.05
SIGNAL = "signal"
"""Kind of the message by which a rank passes a signal on."""

Evaluate = Callable[[np.ndarray], Evaluation]


class Departure:
    """Whether to leave, judged by signals, the job's end and the pace; `look` from any thread, the rest from one."""

    def __init__(
        self,
        heard: Heard,
        job: Job | None = None,
        most_restarts: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """most_restarts: of what one person's submission starts; None: any number.  clock: seconds since 1970."""
        self.heard, self.job, self.most_restarts, self._clock = heard, job, most_restarts, clock
        self.began_s = clock()
        self.ends_s = None if job is None else job.ends_s if job.ends_s is not None else job.ask_end()
        self.planned_s = self.ends_s
        self._reserve_s = self._reserve()
        self._slowest_s = 0.0
        self._since_s: float | None = None
        self._share = 0.0
        self._asked = 0
        self._finishing = False
        self._lock = threading.Lock()

    @property
    def time_s(self) -> float | None:
        """What the job had when this start began; None where it has no limit, or nobody says it."""
        return None if self.planned_s is None else self.planned_s - self.began_s

    @property
    def had_its_time(self) -> bool:
        """Has it been here for most of its time?  Else it leaves for something outside: preemption, a person."""
        if self.planned_s is None or self.time_s is None:
            return False
        return not self._brought_forward and self._clock() - self.began_s > 0.5 * self.time_s

    @property
    def _brought_forward(self) -> bool:
        """Is the job's end earlier than it was: preemption, or cancelled?"""
        return self.planned_s is not None and self.ends_s is not None and self.planned_s - self.ends_s > RESERVE_S

    def generation(self) -> None:
        """One begins.  Raises Unfinished when there is no time for it: the first of a start is always tried."""
        now_s = self._clock()
        if self._since_s is not None:
            self._slowest_s = max(self._slowest_s, now_s - self._since_s)
        self._since_s, self._share = now_s, 0.0
        self._hear()
        if self.heard.count:
            raise Unfinished(f"told to leave by {self.heard.last}")
        if self._slowest_s and self._left_s() < SAFETY * self._slowest_s:
            raise Unfinished(
                f"the job ends in {max(0.0, self._left_s() + self._reserve_s):.0f} s; "
                f"another generation may take {SAFETY * self._slowest_s:.0f} s"
            )

    def telling(self, tell: Callable[[int, int], Any] | None) -> Callable[[int, int], None]:
        """Who else is told how much is done."""

        def both(done: int, of: int) -> None:
            self._share = done / of if of else 0.0
            if tell:
                tell(done, of)

        return both

    def look(self) -> None:
        """Raises Unfinished when the generation in hand is to be dropped now."""
        if self._since_s is None:
            return
        with self._lock:
            self._hear()
        if self._left_s() <= 0:
            raise Unfinished("the job's time is up; the generation in hand was dropped")
        if self.heard.count and not self._finishing:
            raise Unfinished(f"told to leave by {self.heard.last}; the generation in hand was dropped")

    def _hear(self) -> None:
        """What a signal means is decided once for each: whether the generation in hand can be finished."""
        if self.job is not None and (self.heard.continued or self.heard.count > self._asked):
            self.heard.continued = False
            asked_s = self.job.ask_end()
            if asked_s is not None:
                self.ends_s = asked_s
                self._reserve_s = self._reserve()
            if self.heard.count > self._asked:
                # Without an answer there may be seconds; and when SIGTERM comes but the job is not to end, a rank was
                # killed, and its step is being ended.
                lasts = asked_s is not None and (self.heard.last != "SIGTERM" or self._brought_forward)
                self._finishing = self.heard.count == 1 and lasts and SAFETY * self._to_do_s() < self._left_s()
        elif self.heard.count > self._asked:
            self._finishing = self.heard.count == 1
        self._asked = self.heard.count

    def _to_do_s(self) -> float:
        """What the generation in hand still takes: by its own pace, else by that of the slowest before it."""
        assert self._since_s is not None
        gone_s = self._clock() - self._since_s
        if self._share > _SHARE:
            return gone_s * (1 - self._share) / self._share
        return max(0.0, self._slowest_s - gone_s) if self._slowest_s else np.inf

    def _left_s(self) -> float:
        return np.inf if self.ends_s is None else self.ends_s - self._reserve_s - self._clock()

    def _reserve(self) -> float:
        return 0.0 if self.ends_s is None else min(RESERVE_S, max(0.0, RESERVE_PART * (self.ends_s - self._clock())))


class _Listening:
    """A comm whose owner looks, whenever he looks for a message, whether to leave; and hears what other ranks heard."""

    def __init__(self, comm: Link, departure: Departure) -> None:
        self._comm, self._departure = comm, departure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Comm.receive.  Raises Unfinished when the generation in hand is to be dropped."""
        self._departure.look()
        message = self._comm.receive(timeout_s)
        if message is not None and message.head["kind"] == SIGNAL:
            self._departure.heard.note_of_another(message.head["number"])
            return None
        return message


def listening(comm: Link, departure: Departure) -> Link:
    """The comm, for one who may have to leave whatever he waits for: `receive` raises Unfinished."""
    return cast(Link, _Listening(comm, departure))


@contextmanager
def left_in_time(departure: Departure, cancel: Callable[[], None] | None, evaluate: Evaluate) -> Iterator[Evaluate]:
    """The evaluator of a run that leaves when it is time, by Unfinished.

    cancel: called from another thread, until it leaves by any error; None: `evaluate` looks itself.
    """
    if cancel is None:

        def plain(vectors: np.ndarray) -> Evaluation:
            departure.generation()
            return evaluate(vectors)

        yield plain
        return
    leaving: list[Unfinished] = []
    at_work, over = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_S):
            if not at_work.is_set():
                continue
            try:
                departure.look()
            except Unfinished as reason:
                leaving.append(reason)
                cancel()  # again and again: it may come just before the work begins

    def watched(vectors: np.ndarray) -> Evaluation:
        departure.generation()
        at_work.set()
        try:
            return evaluate(vectors)
        except HpcfitError:
            if leaving:
                raise leaving[0] from None
            raise
        finally:
            at_work.clear()

    thread = threading.Thread(target=watch, name="hpcfit clock", daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        over.set()
        thread.join()
