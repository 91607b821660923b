"""How do items pass through stages of work?  What a pipeline promises, and the plain one: each item in its turn.

run/pipeline.py has the one whose stages work side by side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


def _finish() -> None:
    """What cannot be cancelled is finished."""


@dataclass(frozen=True)
class Stage:
    """One kind of work: what the stage before made of an item in, what the next one needs of it out.

    cancel: called from another thread when the result is no longer wanted; `work` may then leave early, by an error
    that nobody will see.
    """

    name: str
    work: Callable[[Any], Any]
    cancel: Callable[[], None] = _finish


class Pipeline(Protocol):
    """Passes items through stages; results do not depend on who is done first."""

    def in_flight(self, stages: int) -> int:
        """Items that have begun and not ended, at most: memory must suffice for as many."""
        ...

    def run(self, items: Sequence[Any], stages: Sequence[Stage]) -> list[Any]:
        """What the last stage made of each item, in the order of the items.

        The first stage works in the calling thread, where Ctrl-C is heard.  The first error of any stage ends the run
        and is raised, once, when all stages have left their work.
        """
        ...


class InTurn:
    """Every item passes all stages before the next one begins."""

    def in_flight(self, stages: int) -> int:
        """One.  See Pipeline.in_flight."""
        return 1

    def run(self, items: Sequence[Any], stages: Sequence[Stage]) -> list[Any]:
        """See Pipeline.run."""
        results = []
        for item in items:
            for stage in stages:
                item = stage.work(item)
            results.append(item)
        return results
