"""How is a generation written while the next one is simulated?  By a thread, one generation at a time.

At most one is in flight, so memory and what a kill costs stay bounded: a run that dies goes on from the last one that
reached the disk, and computes the others again, to the same numbers.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hpcfit.population.ledger import Generation, Ledger
from hpcfit.population.timeline import Timeline


@dataclass(frozen=True)
class Written:
    """What writing a generation took, s: of it, for how long others waited, and what was done beside other work."""

    waited_s: float = 0.0
    hidden_s: float = 0.0


class Writer:
    """Writes generations in the order they are given.

    A context manager: when its block ends, also by an error, what was given is on disk or has failed.
    """

    def __init__(self, ledger: Ledger, on_written: Callable[..., Any], timeline: Timeline) -> None:
        """on_written(generation, *more): called by the writing thread once a generation is on disk."""
        self._ledger, self._on_written, self._timeline = ledger, on_written, timeline
        self._pool = ThreadPoolExecutor(1, "hpcfit writer")
        self._flying: Future[float] | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)

    def give(self, generation: Generation, *more: Any) -> None:
        """Begin to write; the one before must have been waited for.  The caller leaves the arrays as they are."""
        assert self._flying is None, "one generation at a time"
        self._flying = self._pool.submit(self._write, generation, *more)

    def look(self) -> None:
        """Raises what `wait` would, if it is known already; does not wait."""
        if self._flying is not None and self._flying.done():
            self._flying.result()

    def wait(self) -> Written:
        """Until what was given is on disk, and `on_written` has returned.

        Raises
        ------
        StorageError
            When it could not be written; and whatever `on_written` raised.
        """
        if self._flying is None:
            return Written()
        begun = time.monotonic()
        took_s = self._flying.result()
        self._flying = None
        waited_s = time.monotonic() - begun
        return Written(waited_s, max(0.0, took_s - waited_s))

    def _write(self, generation: Generation, *more: Any) -> float:
        begun = time.monotonic()
        self._ledger.append(generation)
        ended = time.monotonic()
        self._timeline.add("writer", "write", begun, ended, generation=generation.number)
        self._on_written(generation, *more)
        return time.monotonic() - begun
