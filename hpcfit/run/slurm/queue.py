"""How are many jobs followed without troubling the scheduler?  One question at a time, ever more seldom."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from hpcfit.errors import SchedulerError
from hpcfit.run.slurm.commands import JobState, states

_FIRST_S, _LONGEST_S = 2.0, 60.0
_PATIENCE_S = 600.0
"""So long the controller may be away; clusters restart theirs while jobs run on."""
_LAG_S = 60.0
"""So long a job may be unknown to both controller and accounting before it counts as lost."""
_UNKNOWN = JobState("UNKNOWN", None, "SLURM has not listed it yet")
LOST = JobState("LOST", None, "cancelled before it began, or SLURM has forgotten it")


class Queue:
    """Remembers what was seen: a question that fails, or a job not listed for a moment, does not undo it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, JobState] = {}
        self._times_over: Counter[str] = Counter()
        self._missed_s: dict[str, float] = {}
        self._failing_s: float | None = None

    def states(self, tasks: Iterable[str]) -> dict[str, JobState]:
        """Where jobs, or tasks of arrays (ARRAY_INDEX), stand; every one of them is in the answer.

        Raises
        ------
        SchedulerError
            When SLURM has not answered for ten minutes.
        """
        tasks = list(tasks)
        now = self._clock()
        try:
            found = states(task for task in tasks if not self.over(task))
            self._failing_s = None
        except SchedulerError:
            self._failing_s = now if self._failing_s is None else self._failing_s
            if now - self._failing_s >= _PATIENCE_S:
                raise
            return {task: self._seen.get(task, _UNKNOWN) for task in tasks}
        for task in tasks:
            self._note(task, found, now)
        return {task: self._seen[task] for task in tasks}

    def over(self, task: str) -> bool:
        """Has it ended, and not to be requeued?  Two answers must say so."""
        return self._times_over[task] >= 2 or self._seen.get(task) is LOST

    def _note(self, task: str, found: Mapping[str, JobState], now: float) -> None:
        if task in found:
            self._missed_s.pop(task, None)
            self._seen[task] = found[task]
        elif not self._seen.get(task, _UNKNOWN).over and now - self._missed_s.setdefault(task, now) >= _LAG_S:
            self._seen[task] = LOST
        else:
            self._seen.setdefault(task, _UNKNOWN)
        self._times_over[task] = self._times_over[task] + 1 if self._seen[task].over else 0


def pauses(changed: Callable[[], bool] = lambda: False) -> Iterator[float]:
    """Seconds to wait before each next question: 2, 4, 8 ... 60; shorter again by half after a change."""
    pause = _FIRST_S
    while True:
        yield pause
        pause = max(_FIRST_S, pause / 2) if changed() else min(2 * pause, _LONGEST_S)
