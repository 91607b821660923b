"""What does a team need of whatever carries its messages, and of whatever starts its workers?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hpcfit.run.comm import NO_ARRAYS, Arrays


@dataclass(frozen=True)
class Heard:
    """What came of a worker, or, without a head, that nothing can come of it any more.

    life: an id of the process that is this rank now; one that comes in its place has another.
    """

    rank: int
    life: str
    head: dict[str, Any] | None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """How a worker ended.  blame: it may have died of its work, and of nothing that was done to it."""

    why: str
    blame: bool = False


class Hub(Protocol):
    """Carries messages between rank 0, whose side this is, and workers.  notice_s: see Link."""

    notice_s: float

    def open(self) -> Sequence[str]:
        """Be ready; gives what a worker must be told to find this place.  Raises HpcfitError."""
        ...

    def send(self, rank: int, life: str, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """As Link.send, to that very process; lost when it is gone."""
        ...

    def receive(self, timeout_s: float) -> Heard | None:
        """The next message, or None when none comes in time."""
        ...

    def forget(self, rank: int, life: str) -> None:
        """That process is gone, or is to go: what it has not read is not for anyone."""
        ...

    def hurry(self) -> None:
        """Something may have come just now: have a look before `receive` says that nothing has."""
        ...

    def quiet(self) -> bool:
        """Has any rank given no sign of life for longer than usual?"""
        ...

    def silent(self) -> Mapping[tuple[int, str], End]:
        """Ranks and lives that have given no sign of life for long."""
        ...

    def close(self) -> None:
        """Leave nothing behind; workers that come later find nobody.  Also where it was never opened, and twice."""
        ...


class Launcher(Protocol):
    """Starts workers and knows how they ended."""

    def start(self, ranks: Sequence[int], address: Sequence[str]) -> None:
        """Start workers for these ranks, or ask for them: they come when they can.  Raises HpcfitError."""
        ...

    def ended(self) -> Mapping[int, End]:
        """Those that have ended since the last time, and will not start again by themselves.  Quick, asks seldom."""
        ...

    def hurry(self) -> None:
        """Something may have ended just now: ask soon."""
        ...

    def stop(self, rank: int) -> None:
        """End that one's process now."""
        ...

    def close(self) -> None:
        """End all of them, those that have not started too."""
        ...
