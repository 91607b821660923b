"""How does one report come from all ranks?  Rank 0 asks, the others answer, each for itself or for its machine.

All that is said goes by `Comm`, so it works, and is tested, with pretended ranks as well.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hpcfit.doctor.finding import Finding
from hpcfit.doctor.ranks import Rank
from hpcfit.run.comm import Comm

_ANSWERS_WITHIN_S = 330.0
"""Longer than a rank gives its own import (installed.import_seconds)."""
_APPEARS_WITHIN_S = 5.0
"""What one node wrote: others may look into their cache for some seconds."""
_ROUNDS = 9
MOST_SKEW_S = 1.0

Answer = dict[str, Any]
Do = Callable[[Mapping[str, Any]], Answer]


@dataclass(frozen=True)
class Asked:
    """What rank 0 wants to know; the others look the answer up by `do`."""

    comm: Comm

    def of_all(self, what: str, mine: Callable[[], Answer], **about: Any) -> dict[int, Answer]:
        """The answers of all ranks, at once; those that do not come in time are missing."""
        for rank in range(1, self.comm.size):
            self.comm.send(rank, {"do": what, **about})
        answers = {0: mine()}
        ends = time.monotonic() + _ANSWERS_WITHIN_S
        while len(answers) < self.comm.size and (left := ends - time.monotonic()) > 0:
            if message := self.comm.receive(left):
                answers[message.source] = message.head
        return dict(sorted(answers.items()))

    def of_one(self, rank: int, what: str, **about: Any) -> Answer | None:
        """One rank's answer, or None."""
        self.comm.send(rank, {"do": what, **about})
        message = self.comm.receive(_ANSWERS_WITHIN_S)
        return message.head if message else None

    def leave(self) -> None:
        """Sends all others home."""
        for rank in range(1, self.comm.size):
            self.comm.send(rank, {"do": "leave"})


def remote_time() -> float:
    """What the clock of this machine shows, s since 1970."""
    return time.time()


def attend(comm: Comm, answers: Mapping[str, Do]) -> None:
    """What every rank but 0 does until it is sent home."""
    while True:
        message = comm.receive(_ANSWERS_WITHIN_S)
        if message is None or message.head["do"] == "leave":
            return
        comm.send(
            0, {"time": lambda _: {"time": remote_time()}, "see": _see, **answers}[message.head["do"]](message.head)
        )


def leaders(ranks: Mapping[int, Rank]) -> dict[str, int]:
    """The first rank of each machine."""
    found: dict[str, int] = {}
    for number, rank in ranks.items():
        found.setdefault(rank.host, number)
    return found


def clocks(asked: Asked, machines: Mapping[str, int]) -> Finding:
    """Do the machines' clocks agree?  Of each the shortest of several exchanges, half of which is the uncertainty."""
    skews: dict[str, tuple[float, float]] = {}
    for host, rank in machines.items():
        if rank == 0:
            continue
        rounds = []
        for _ in range(_ROUNDS):
            sent, began = time.time(), time.perf_counter()
            answer = asked.of_one(rank, "time")
            took = time.perf_counter() - began
            if answer is not None:
                rounds.append((took, answer["time"] - (sent + took / 2)))
        if rounds:
            took, skew = min(rounds)
            skews[host] = (skew, took / 2)
    if not skews:
        return Finding(True, "one machine, one clock")
    host, (skew, unsure) = max(skews.items(), key=lambda item: abs(item[1][0]))
    text = f"clocks of {len(skews) + 1} machines agree to {abs(skew):.3f} s, give or take {unsure:.3f} s"
    if abs(skew) - unsure <= MOST_SKEW_S:
        return Finding(True, text)
    return Finding(
        False,
        f"the clock of {host} is {skew:+.1f} s from rank 0's",
        "tell the site; logs and the times left of a job are wrong by that much",
    )


def visibility(asked: Asked, machines: Mapping[str, int], folders: Mapping[str, Path]) -> Iterator[Finding]:
    """Do all machines see these folders, and each other's locks in them?  Tried with a file of rank 0's."""
    others = {host: rank for host, rank in machines.items() if rank}
    if not others:
        return
    for what, folder in folders.items():
        with _marked(folder) as (path, locked):
            seen = {host: asked.of_one(rank, "see", path=str(path)) or {} for host, rank in others.items()}
        blind = [host for host, answer in seen.items() if not answer.get("there")]
        if blind:
            yield Finding(
                False,
                f"{what} {folder} of rank 0 is not seen on {', '.join(blind)}",
                "choose one on a file system that all nodes share",
            )
        elif locked and any(answer.get("locked_too") for answer in seen.values()):
            host = next(host for host, answer in seen.items() if answer.get("locked_too"))
            yield Finding(
                True,
                f"{what} {folder} is seen on all {len(machines)} machines; its locks count on each alone ({host})",
                "nothing tells when a run is started twice, on two machines; start it once",
            )
        else:
            yield Finding(
                True, f"{what} {folder} is seen on all {len(machines)} machines" + (", and its locks" * locked)
            )


@contextmanager
def _marked(folder: Path) -> Iterator[tuple[Path, bool]]:
    """A file in that folder, and whether this process holds its lock."""
    path = folder / f".hpcfit-doctor-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "w"))
        stack.callback(path.unlink, missing_ok=True)
        file.write("seen?\n")
        file.flush()
        os.fsync(file.fileno())
        yield path, _lock(file)


def _lock(file: IO[str]) -> bool:
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _see(about: Mapping[str, Any]) -> Answer:
    path, ends = Path(about["path"]), time.monotonic() + _APPEARS_WITHIN_S
    while True:
        with suppress(OSError), open(path, "r+") as file:
            return {"there": True, "locked_too": _lock(file)}
        if time.monotonic() > ends:
            return {"there": False}
        time.sleep(0.1)
