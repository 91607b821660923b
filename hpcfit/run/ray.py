"""Ray as a team: workers are actors of a cluster that runs already, or of one of its own; only this imports ray.

Messages are a head as text and arrays, which Ray carries as buffers through its store; nothing else is given to it.
Rank 0 always has one question out to each actor, "what do you say?"; the answer, or the actor's end, wakes rank 0.
"""

import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from hpcfit.errors import EngineError
from hpcfit.run.comm import NO_ARRAYS, Arrays, Message, check_rank, decoded, encoded
from hpcfit.run.processes import available_cores
from hpcfit.run.team.parts import End, Heard
from hpcfit.run.team.seat import new_life, work

_POLL_S = 10.0
"""So long an actor may keep a question before it answers that it has nothing to say."""
_SHOWN = 200
"""Characters of Ray's account of an end."""
Sent = tuple[bytes, tuple[np.ndarray, ...]]


class _Inbox:
    """Messages in the order of their numbers, whatever the order they come in: an actor's threads are several."""

    def __init__(self) -> None:
        self._early: dict[int, Sent] = {}
        self._next = 0
        self._changed = threading.Condition()

    def put(self, number: int, message: Sent) -> None:
        with self._changed:
            self._early[number] = message
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Sent | None:
        with self._changed:
            self._changed.wait_for(lambda: self._next in self._early, timeout_s)
            message = self._early.pop(self._next, None)
            self._next += message is not None
            return message


class ActorLink:
    """A worker's side; see Link."""

    notice_s = 0.0

    def __init__(self, rank: int, size: int, cores: int, neighbours: int) -> None:
        self.rank, self.size, self.cores, self.neighbours = rank, size, cores, neighbours
        self.inbox = _Inbox()
        self.outbox: queue.SimpleQueue[Sent] = queue.SimpleQueue()

    def begin(self) -> None:
        """See Link.begin."""

    def present(self) -> Sequence[int]:
        """See Link.present.  Actors end with rank 0: Ray sees to it."""
        return [0]

    def awaited(self) -> int:
        """See Link.awaited."""
        return 0

    def send(self, to: int, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Link.send."""
        check_rank(to, 1)
        text, sent = encoded(head, arrays)
        self.outbox.put((text, tuple(sent)))

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Link.receive."""
        found = self.inbox.take(timeout_s)
        return Message(0, *_unpacked(found)) if found is not None else None


class Seat:
    """The actor."""

    def where(self) -> tuple[str, int]:
        """Machine, and cores that it may use there."""
        return socket.gethostname(), available_cores()

    def begin(self, entry: str, rank: int, size: int, share: tuple[int, int]) -> None:
        """Take the seat.  share: cores, neighbours."""
        self._link = ActorLink(rank, size, *share)
        self._work = threading.Thread(target=work, args=(self._link, entry), name="hpcfit seat", daemon=True)
        self._work.start()

    def told(self, number: int, text: bytes, *arrays: np.ndarray) -> None:
        """A message from rank 0."""
        self._link.inbox.put(number, (text, arrays))

    def says(self) -> list[Sent]:
        """What it has to say, once it has something; empty when it has not for a while."""
        ends, found = time.monotonic() + _POLL_S, []
        while True:
            try:
                found.append(self._link.outbox.get(not found, min(1.0, max(0.0, ends - time.monotonic()))))
            except queue.Empty:
                if found or time.monotonic() >= ends:
                    return found
                if not self._work.is_alive() and self._link.outbox.empty():
                    raise RuntimeError("its work has ended without a word; Ray's logs of this worker say why") from None


class RayTeam:
    """See Hub and Launcher; both in one, for an actor is started and reached by the same hand."""

    notice_s = 1.0

    def __init__(self, entry: str, workers: int | None, cores: int = 0, gpus: float = 0.0) -> None:
        """workers: None for one on each machine; cores, gpus: of each, as Ray counts them; cores = 0: those of a
        machine share its cores evenly.

        Raises
        ------
        EngineError
            When Ray is missing, or cannot be reached or started.
        """
        self._entry, self._cores, self._gpus = entry, cores, gpus
        self._actors: dict[tuple[int, str], Any] = {}
        self._numbers: dict[tuple[int, str], int] = {}
        self._machines: dict[tuple[int, str], str] = {}
        self._heard: deque[Heard] = deque()
        self._answers: queue.SimpleQueue[tuple[tuple[int, str], str, Any]] = queue.SimpleQueue()
        """From Ray's threads: whose, to which of Seat's methods, and a future that has ended."""
        self._ended: dict[int, End] = {}
        self._ray = _ray()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray)
        self._closed = False
        machines = max(1, sum(node["Alive"] for node in self._ray.nodes()))
        self.workers = workers or machines
        self._size = self.workers + 1
        self.here = 1 + -(-self.workers // machines)
        """How many ranks will share this machine, rank 0 among them, if Ray spreads workers evenly."""

    def open(self) -> Sequence[str]:
        """See Hub.open."""
        return []

    def start(self, ranks: Sequence[int], address: Sequence[str]) -> None:
        """See Launcher.start."""
        options = {"num_cpus": self._cores, "num_gpus": self._gpus, "max_concurrency": 8, "max_restarts": 0}
        actor = self._ray.remote(**options, scheduling_strategy="SPREAD")(Seat)
        for rank in ranks:
            one = rank, new_life()
            self._actors[one], self._numbers[one] = actor.remote(), 0
            self._ask(one, "where")

    def send(self, rank: int, life: str, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Hub.send."""
        if (actor := self._actors.get((rank, life))) is not None:
            text, sent = encoded(head, arrays)
            actor.told.remote(self._numbers[rank, life], text, *sent)
            self._numbers[rank, life] += 1

    def receive(self, timeout_s: float) -> Heard | None:
        """See Hub.receive."""
        ends = time.monotonic() + timeout_s
        while not self._heard:
            left = ends - time.monotonic()
            try:
                self._take(*self._answers.get(left > 0, max(0.0, left)))
            except queue.Empty:
                return None
        return self._heard.popleft()

    def forget(self, rank: int, life: str) -> None:
        """See Hub.forget."""
        if (rank, life) in self._actors:
            self._end((rank, life), End("has to go"))

    def hurry(self) -> None:
        """See Hub.hurry, Launcher.hurry.  Ray tells at once."""

    def quiet(self) -> bool:
        """See Hub.quiet."""
        return False

    def silent(self) -> Mapping[tuple[int, str], End]:
        """See Hub.silent."""
        return {}

    def ended(self) -> Mapping[int, End]:
        """See Launcher.ended."""
        ended, self._ended = self._ended, {}
        return ended

    def stop(self, rank: int) -> None:
        """See Launcher.stop."""
        for (who, _), actor in self._actors.items():
            if who == rank:
                self._ray.kill(actor)

    def close(self) -> None:
        """See Hub.close and Launcher.close; the second call finds nothing to do."""
        if self._closed:
            return
        self._closed = True
        for actor in self._actors.values():
            with suppress(Exception):  # it is gone already
                self._ray.kill(actor)
        self._actors.clear()
        if self._ours:
            self._ray.shutdown()

    def _ask(self, one: tuple[int, str], method: str, *given: Any) -> None:
        future = getattr(self._actors[one], method).remote(*given).future()
        future.add_done_callback(lambda done: self._answers.put((one, method, done)))

    def _take(self, one: tuple[int, str], method: str, done: Any) -> None:
        if one not in self._actors:
            return
        try:
            answer = done.result()
        except self._ray.exceptions.RayError as error:
            self._lost(one, error)
            return
        if method == "where":
            self._ask(one, "begin", self._entry, one[0], self._size, self._share(one, *answer))
            return
        if method == "says":
            self._heard.extend(Heard(*one, *_unpacked(message)) for message in answer)
            if any(heard.head and heard.head["kind"] == "goodbye" for heard in self._heard if heard.life == one[1]):
                self._end(one, End("left"))  # Ray keeps an actor that has nothing more to do
                return
        self._ask(one, "says")

    def _share(self, one: tuple[int, str], machine: str, cores: int) -> tuple[int, int]:
        """Cores and neighbours of an actor that runs on that machine."""
        self._machines[one] = machine
        if self._cores:
            return self._cores, max(1, cores // self._cores)
        neighbours = self.here
        if len(self._machines) == self._size - 1:  # all are known
            neighbours = list(self._machines.values()).count(machine) + (machine == socket.gethostname())
        return max(1, cores // neighbours), neighbours

    def _lost(self, one: tuple[int, str], error: Exception) -> None:
        text = " ".join(str(error).split())
        _, found, account = text.partition("The actor is dead")
        why = (found + account)[:_SHOWN] if found else text[-_SHOWN:]
        self._heard.append(Heard(*one, None))
        # What befalls a machine is not the work's fault; neither is being ended by Ray's own hand.
        self._end(one, End(f"is gone: {why}", blame="its node" not in why and "ray.kill" not in why))

    def _end(self, one: tuple[int, str], end: End) -> None:
        with suppress(Exception):
            self._ray.kill(self._actors[one])
        del self._actors[one], self._numbers[one]
        self._machines.pop(one, None)
        self._ended[one[0]] = end


def _unpacked(message: Sent) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Ray's arrays are views of its store that nobody may write to: the receiver gets copies."""
    text, arrays = message
    head, places = decoded(text)
    for place, array in zip(places.values(), arrays, strict=True):
        place[...] = array
    return head, places


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise EngineError(f"Ray is asked for, but cannot be imported ({error}); pip install 'hpcfit[ray]'") from None
    return ray


def _connect(ray: Any) -> None:
    """To the cluster that runs here (`ray start`, `ray symmetric-run`, RAY_ADDRESS), else to one of its own."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            if os.environ.get("RAY_ADDRESS"):
                raise
            ray.init(address="local", include_dashboard=False, **quiet)
    except Exception as error:  # Ray's own, of many kinds
        raise EngineError(f"Ray cannot be reached or started: {str(error).strip().splitlines()[-1]}") from None
