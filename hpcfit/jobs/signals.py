"""What do SIGTERM and Ctrl-C ask of a run?"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_GRACE_S = 10.0


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: the generation in hand is dropped, everything before it is on disk."""
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def left_to_rank_0() -> Iterator[Callable[[], bool]]:
    """A launcher sends signals to all ranks: rank 0 ends the run, and with it the others, in good order.

    Gives a question: has a signal come, and rank 0 not ended the run in the seconds since?
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came_s: list[float] = []

    def note(number: int, frame: Any) -> None:
        came_s.append(time.monotonic())

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came_s) and time.monotonic() - came_s[0] > _GRACE_S
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
