"""Who is in the team, who has gone, and who is to be started again?  Rank 0's link to workers that come and go."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpcfit.errors import EngineError, HpcfitError
from hpcfit.run.comm import NO_ARRAYS, Arrays, Message, check_rank
from hpcfit.run.team.parts import End, Heard, Hub, Launcher

_LOOK_S = 0.5
"""Between two looks after the workers."""
_FALSE_STARTS = 3
"""So often in a row a worker may end before it can work."""
_START_AGAIN_S = 60.0
"""After the workers' place has refused to start one."""
_END_S = 3.0
"""So long a process takes to end after its connection has closed."""


class Team:
    """Rank 0 of a Link.  A context manager: no worker outlives it."""

    rank = 0

    def __init__(
        self, hub: Hub, launcher: Launcher, workers: int, cores: int, neighbours: int, say: Callable[[str], Any]
    ) -> None:
        """workers: ranks beside this one; cores, neighbours: of this one, see Link; say: told who goes, and why."""
        assert workers >= 1, workers
        self.size, self.cores, self.neighbours = workers + 1, cores, neighbours
        self.notice_s = hub.notice_s
        self._hub, self._launcher, self._say = hub, launcher, say
        self._address: Sequence[str] = ()
        self._begun = self._stopping = False
        self._lives: dict[int, str] = {}
        self._strangers: set[str] = set()
        self._told: deque[Message] = deque()
        self._ended: dict[int, End] = {}
        self._to_start: dict[int, float] = {}
        self._given_up: dict[int, str] = {}
        self._worked: set[int] = set()
        """Ranks whose present process, or the one before, was ready for work."""
        self._anyone_worked = False
        self._false_starts: Counter[int] = Counter()
        self._look_s = 0.0

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self) -> None:
        """See Link.begin."""
        if not self._begun:
            self._begun = True
            self._address = self._hub.open()
            self._launcher.start(range(1, self.size), self._address)

    def present(self) -> Sequence[int]:
        """See Link.present."""
        return sorted(self._lives)

    def awaited(self) -> int:
        """See Link.awaited."""
        return self.size - 1 - len(self._lives) - len(self._given_up)

    def send(self, to: int, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Link.send."""
        check_rank(to, self.size)
        self._stopping |= head["kind"] == "stop"
        if to in self._lives:
            self._hub.send(to, self._lives[to], head, arrays)

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Link.receive."""
        if not self._begun:
            return None
        ends = time.monotonic() + timeout_s
        while True:
            now = time.monotonic()
            if now >= self._look_s:
                self._look_after(now)
            if self._told:
                return self._told.popleft()
            heard = self._hub.receive(min(max(ends - now, 0.0), _LOOK_S))
            if heard is not None:
                self._hear(heard)
            elif self._ended:
                self._bury()  # not before all that they said is heard
            if not self._told and time.monotonic() >= ends:
                return None

    def close(self) -> None:
        """End the workers and leave nothing behind."""
        self._begun, self._stopping = False, True
        try:
            self._launcher.close()
        except HpcfitError as error:  # the run itself may have ended well
            self._say(f"workers may be left: {error}")
        finally:
            self._hub.close()

    def _hear(self, heard: Heard) -> None:
        rank, current = heard.rank, self._lives.get(heard.rank)
        if not 0 < rank < self.size:
            return
        if heard.head is None:
            if heard.life == current:
                self._ended[rank] = self._end_of(rank)
            return
        kind = heard.head["kind"]
        if heard.life == current:
            if kind == "goodbye":
                del self._lives[rank]
                self._note(rank, "leaves")
            if kind == "ready":
                self._worked.add(rank)
                self._anyone_worked = True
            self._told.append(Message(rank, heard.head, heard.arrays))
        elif kind == "hello":
            if current is not None:
                self._left(rank, End("another has come in its place"))
            self._given_up.pop(rank, None)
            self._lives[rank] = heard.life
            self._told.append(Message(rank, heard.head, heard.arrays))
        elif heard.life not in self._strangers:  # it was thought to be gone: it may go and come again
            self._strangers.add(heard.life)
            self._hub.send(rank, heard.life, {"kind": "stop"})

    def _end_of(self, rank: int) -> End:
        """Of one whose connection has closed: what its process died of, once that has ended too."""
        ends = time.monotonic() + _END_S
        while time.monotonic() < ends:
            self._ended |= self._launcher.ended()
            if rank in self._ended:
                return self._ended[rank]
            time.sleep(0.005)
        self._launcher.stop(rank)
        return End("closed its connection and went on", blame=True)

    def _look_after(self, now: float) -> None:
        self._look_s = now + _LOOK_S
        if ended := self._launcher.ended():
            self._ended |= ended
            self._hub.hurry()
        if self._hub.quiet():
            self._launcher.hurry()
        for (rank, life), end in self._hub.silent().items():
            if self._lives.get(rank) == life:
                self._left(rank, end)
        self._start([rank for rank, moment in self._to_start.items() if moment <= now])

    def _bury(self) -> None:
        """Those that have ended are gone, and are to be started again."""
        ended, self._ended = self._ended, {}
        for rank, end in ended.items():
            if rank in self._lives:
                self._left(rank, end)
            elif rank not in self._worked:
                self._note(rank, end.why)
            if rank in self._worked:
                self._worked.discard(rank)
                self._false_starts[rank] = 0
            else:
                self._false_starts[rank] += 1
            if self._false_starts[rank] < _FALSE_STARTS:
                self._to_start[rank] = 0.0
            else:
                self._given_up[rank] = end.why
                self._note(rank, f"is not started again: it ended {_FALSE_STARTS} times before it could work")
        if len(self._given_up) == self.size - 1 and not self._anyone_worked:
            rank, why = min(self._given_up.items())
            raise EngineError(f"all workers end before they can work; rank {rank} {why}")
        self._start(list(self._to_start))

    def _start(self, ranks: Sequence[int]) -> None:
        if not ranks or self._stopping:
            return
        try:
            self._launcher.start(ranks, self._address)
        except HpcfitError as error:
            self._say(f"{len(ranks)} workers cannot be started again now: {error}")
            self._to_start |= dict.fromkeys(ranks, time.monotonic() + _START_AGAIN_S)
        else:
            for rank in ranks:
                self._to_start.pop(rank, None)

    def _left(self, rank: int, end: End) -> None:
        self._hub.forget(rank, self._lives.pop(rank))
        self._told.append(Message(rank, {"kind": "left", "why": end.why, "blame": end.blame}))
        self._note(rank, end.why)

    def _note(self, rank: int, why: str) -> None:
        if not self._stopping:
            self._say(f"rank {rank} {why}; {len(self._lives) + 1} of {self.size} ranks are there")
