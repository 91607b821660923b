"""How does a rank compute and listen at the same time?  A thread of its own does one piece of work after another.

The main thread, which alone talks to other ranks and hears Ctrl-C, gives it work, asks for results, and may make it
leave work whose result is no longer wanted.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Answer:
    """What came of rows (n, P): arrays with n rows, and JSON beside them."""

    arrays: dict[str, np.ndarray]
    head: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    """What it took, by the clock of the rank that did it."""


@dataclass(frozen=True)
class Work:
    """What a rank does with rows, and how it is made to leave early, by any exception.

    cancel: called from another thread, perhaps more than once, and perhaps just as `do` ends: the next `do` must not
    suffer from it.  quantum: rows that it can do at once without leaving part of the rank idle.  failed(rows, why):
    what stands for rows (n, P) of which ranks have died.  told: hears what all ranks are to know from now on, perhaps
    while `do` is at work.
    """

    do: Callable[[np.ndarray], Answer]
    cancel: Callable[[], None]
    quantum: int = 1
    failed: Callable[[np.ndarray, str], Answer] | None = None
    told: Callable[[Mapping[str, np.ndarray]], None] = lambda arrays: None


@dataclass(frozen=True)
class Result:
    """How a piece of work ended: with an answer, by an error, or dropped (neither)."""

    ticket: int
    answer: Answer | None = None
    error: BaseException | None = None


_TELL_AGAIN_S = 0.05


class Hand:
    """One thread; a context manager that ends it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._todo: tuple[int, np.ndarray] | None = None
        self._result: Result | None = None
        self._ticket = -1
        self._dropped = self._ended = False
        self._told_s = 0.0
        # A daemon: work that does not leave when it is cancelled must not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name="hpcfit hand", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Hand":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def busy(self) -> bool:
        """Has it work, or a result that was not taken?"""
        return self._ticket >= 0

    def told(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Passed on to the work at once, whether it is busy or not."""
        self._work.told(arrays)

    def give(self, ticket: int, rows: np.ndarray) -> None:
        """Begin; it must not be busy."""
        with self._changed:
            assert not self.busy, self._ticket
            self._ticket, self._dropped, self._todo = ticket, False, (ticket, rows)
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> Result | None:
        """The result, once it is there; None when it is not in time."""
        with self._changed:
            if self._dropped and self._result is None and time.monotonic() - self._told_s > _TELL_AGAIN_S:
                self._cancel()  # the first time may have been too early
            self._changed.wait_for(lambda: self._result is not None, timeout_s)
            result, self._result = self._result, None
            if result is not None:
                self._ticket = -1
            return result

    def drop(self, ticket: int) -> None:
        """Leave that piece of work, if it is at hand."""
        with self._changed:
            if self.busy and self._ticket == ticket and self._result is None and not self._dropped:
                self._dropped = True
                self._cancel()

    def idle(self, most_s: float = 60.0) -> bool:
        """Drop what is at hand, and wait until it is left; False when it does not leave in time."""
        for _ in range(round(most_s / (2 * _TELL_AGAIN_S))):
            if not self.busy:
                return True
            self.drop(self._ticket)
            self.wait(2 * _TELL_AGAIN_S)
        return not self.busy

    def close(self) -> None:
        """End the thread, if its work can be left."""
        if self.idle(10.0):
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._todo is not None or self._ended)
                if self._todo is None:
                    return
                (ticket, rows), self._todo = self._todo, None
            result = self._done(ticket, rows)
            with self._changed:
                self._result = Result(ticket) if self._dropped else result
                self._changed.notify_all()

    def _done(self, ticket: int, rows: np.ndarray) -> Result:
        begun = time.monotonic()
        try:
            answer = self._work.do(rows)
        except BaseException as error:  # handed to the thread that speaks for this rank
            return Result(ticket, error=error)
        return Result(ticket, replace(answer, seconds=time.monotonic() - begun))

    def _cancel(self) -> None:
        self._told_s = time.monotonic()
        self._work.cancel()
