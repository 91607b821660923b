"""What do signals ask of a run?  Their handlers only note them; jobs/leaving.py asks what was noted."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hpcfit.errors import HpcfitError, Unfinished

_GRACE_S = 10.0
_ONE_EVENT_S = 1.0
"""A launcher and a batch system may both pass the same signal on."""


class Heard:
    """The signals that this process was sent.  `count`: events that ask to leave; `last`: the name of the latest."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""
        self.continued = False
        """Was this process stopped and goes on, or is the job about to be preempted?  Its end may have moved."""
        self._latest_s = -_ONE_EVENT_S

    def note(self, number: int, frame: Any = None) -> None:
        """A handler."""
        if number == signal.SIGCONT:
            self.continued = True
            return
        now_s = time.monotonic()
        self.count += now_s - self._latest_s >= _ONE_EVENT_S
        self.last, self._latest_s = signal.Signals(number).name, now_s

    def note_of_another(self, number: int) -> None:
        """Another rank has heard it; usually all have."""
        if not self.count:
            self.note(number)


@contextmanager
def heard(in_job: bool) -> Iterator[Heard]:
    """Listen to SIGUSR1, and in a job of a batch system to SIGTERM and SIGCONT; elsewhere SIGTERM is like Ctrl-C.

    A signal may also kill what this process has started, a compiler for one.  So whatever a run stumbles over once it
    was told to leave is no error of the user's: he meets it again, if it is one, when the run goes on.
    """
    ears = Heard()
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield ears
        return
    handlers = {signal.SIGUSR1: ears.note, signal.SIGTERM: ears.note if in_job else signal.default_int_handler}
    if in_job:
        handlers[signal.SIGCONT] = ears.note
    with _handled(handlers):
        try:
            yield ears
        except Unfinished:
            raise
        except HpcfitError as error:
            if ears.count:
                raise Unfinished(f"told to leave by {ears.last}, and met this on the way: {error}") from error
            raise


@contextmanager
def left_to_rank_0(in_job: bool, tell: Callable[[int], Any]) -> Iterator[Callable[[], bool]]:
    """A launcher sends signals to all ranks: rank 0 ends the run, and with it the others, in good order.

    tell(number): passes on to rank 0 what only this rank may have heard.  Gives a question, to be asked now and then:
    has a signal come that ends the run, and rank 0 not ended it in the seconds since?  In a job of a batch system
    SIGTERM is no such signal: rank 0 may have time to finish its generation, and who does not leave is killed.
    """
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield lambda: False
        return
    came_s: list[float] = []
    passed: list[int] = []

    def end(number: int, frame: Any) -> None:
        came_s.append(time.monotonic())

    def leave() -> bool:
        while passed:
            tell(passed.pop())
        return bool(came_s) and time.monotonic() - came_s[0] > _GRACE_S

    def forward(number: int, frame: Any) -> None:
        passed.append(number)

    ending = {signal.SIGINT: end, signal.SIGUSR1: forward, signal.SIGTERM: forward if in_job else end}
    with _handled(ending):
        yield leave


@contextmanager
def _handled(handlers: dict[Any, Any]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
