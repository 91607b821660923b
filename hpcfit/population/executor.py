"""What carries out a population's work: tasks in, outcomes out in the same order, whoever did them and when."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol


class Fate(IntEnum):
    """How a task ended."""

    DONE = 0
    DEADLINE = 1
    """Took longer than allowed and was ended."""
    DIED = 2
    """The process that did it died."""
    FAILED = 3
    """It raised."""


@dataclass(frozen=True)
class Task:
    """A call of a service: `service` names an entry of the executor's factories."""

    service: str
    method: str
    arguments: tuple[Any, ...]
    deadline_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a task: `value` when done, else the reason in words."""

    fate: Fate
    value: Any = None
    reason: str = ""
    seconds: float = 0.0
    began_s: float = 0.0
    """By `time.monotonic`, which the processes of a machine share."""


Factories = Mapping[str, Callable[[], Any]]
"""Service name -> a picklable callable that builds it, once, in each process that needs it."""


class Executor(Protocol):
    """Carries out tasks; results do not depend on how many workers there are or on the order they finish."""

    def map(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The outcomes, in the order of the tasks.

        Raises
        ------
        HpcfitError
            When a service cannot be built: the user's error, as the factory raised it.
        """
        ...

    def cancel(self) -> None:
        """From another thread: the map at work, or else the next one, leaves by an EngineError; its workers end."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...
