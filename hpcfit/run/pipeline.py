"""How do stages of work go on side by side?  A thread for each stage, bounded queues between them.

A stage that is slow makes those before it wait (back pressure), so that no more than `in_flight` items exist at once.
What a stage does inside (threads of a kernel, worker processes) is its own matter.
"""

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hpcfit.population.pipeline import Stage


class SideBySide:
    """Pipeline whose stages all work at the same time, each on another item.  See population/pipeline.py."""

    def __init__(self, waiting: int = 1) -> None:
        """`waiting`: items that may wait before each stage but the first."""
        assert waiting >= 1, waiting
        self.waiting = waiting

    def in_flight(self, stages: int) -> int:
        """One in each stage, and those that wait.  See Pipeline.in_flight."""
        return stages + self.waiting * (stages - 1)

    def run(self, items: Sequence[Any], stages: Sequence[Stage]) -> list[Any]:
        """See Pipeline.run."""
        return _Run(items, stages, self.waiting).results()


class _Stopped(Exception):
    """Another stage has failed: leave."""


class _Run:
    """One run of a pipeline: queue n lies before stage n; the first holds all items, one more takes the results."""

    def __init__(self, items: Sequence[Any], stages: Sequence[Stage], waiting: int) -> None:
        self._stages, self._count = stages, len(items)
        self._queues: list[deque[Any]] = [deque(items), *(deque() for _ in stages)]
        self._room = [waiting] * len(stages) + [len(items)]
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    def results(self) -> list[Any]:
        threads = [
            threading.Thread(target=self._guarded, args=(number,), name=f"hpcfit {stage.name}")
            for number, stage in enumerate(self._stages[1:], start=1)
        ]
        try:
            for thread in threads:
                thread.start()
            self._work(0)
            for thread in threads:
                thread.join()
        except BaseException as error:  # Ctrl-C among them
            self._stop(error)
        for thread in threads:
            with suppress(RuntimeError):  # it has not started
                thread.join()
        if self._error is not None:
            raise self._error
        return list(self._queues[-1])

    def _guarded(self, number: int) -> None:
        try:
            self._work(number)
        except BaseException as error:
            self._stop(error)

    def _work(self, number: int) -> None:
        """Each item of one stage.  No name here holds an item or a result longer than it is at work."""
        work = self._stages[number].work
        for _ in range(self._count):
            self._put(number + 1, [work(self._take(number))])

    def _take(self, number: int) -> Any:
        queue = self._queues[number]
        with self._changed:
            self._changed.wait_for(lambda: queue or self._error is not None)
            self._leave_if_stopped()
            self._changed.notify_all()
            return queue.popleft()

    def _put(self, number: int, held: list[Any]) -> None:
        queue, room = self._queues[number], self._room[number]
        with self._changed:
            self._changed.wait_for(lambda: len(queue) < room or self._error is not None)
            self._leave_if_stopped()
            queue.append(held.pop())
            self._changed.notify_all()

    def _leave_if_stopped(self) -> None:
        if self._error is not None:
            raise _Stopped

    def _stop(self, error: BaseException) -> None:
        """The first error counts; what the others raise, because they are told to leave, does not."""
        with self._changed:
            if self._error is not None:
                return
            self._error = error
            self._changed.notify_all()
        for stage in self._stages:
            stage.cancel()
