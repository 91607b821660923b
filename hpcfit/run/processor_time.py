"""How much processor time did a piece of work take, in this process and in those it started?

Unlike the clock on the wall, it hardly changes when others use the same cores.
"""

import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PROC = Path("/proc")


class ProcessorTime:
    """`with ProcessorTime() as taken: work()`, then `taken.seconds`; where /proc is not, seconds by the clock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> "ProcessorTime":
        self._others = _others_s()
        self._own = time.process_time()
        self._clock = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        own, clock = time.process_time() - self._own, time.perf_counter() - self._clock
        others = _others_s()
        self.seconds = clock if others is None or self._others is None else own + others - self._others


def _others_s() -> float | None:
    """Of all processes that this one started, and theirs: those that live, and those that have ended."""
    if not (_PROC / "self" / "schedstat").exists():
        return None
    parents: dict[int, int] = {}
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError):  # it ended while we looked
            # The name, in brackets, may hold blanks and brackets; state and parent follow it.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(map(_one_s, ours - {os.getpid()}))


def _one_s(pid: int) -> float:
    """Over all its threads; the first number is nanoseconds on a processor."""
    total = 0.0
    for task in (_PROC / str(pid) / "task").glob("*/schedstat"):
        with suppress(OSError):
            total += int(task.read_text().split()[0]) * 1e-9
    return total
