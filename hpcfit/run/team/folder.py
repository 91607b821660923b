"""Messages between jobs that share nothing but a file system.

    FOLDER/team.json         who is called here; without it nobody is
    FOLDER/to_0/             what rank 0 is told, as RANK.LIFE.NUMBER
    FOLDER/to_RANK.LIFE/     what that worker is told, as NUMBER
    FOLDER/beat/             a sign of life of each
    FOLDER/log/              what workers print

Nobody locks anything.
"""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from hpcfit.errors import EngineError, StorageError
from hpcfit.population.files import make_folder, storage_error, write_text
from hpcfit.run.comm import NO_ARRAYS, Arrays, Message, check_rank
from hpcfit.run.processes import available_cores
from hpcfit.run.team.beat import BEAT_S, QUIET, Beat, Watch
from hpcfit.run.team.mailbox import Inbox, Outbox, ask_server
from hpcfit.run.team.parts import End, Heard

_FIND_S = 60.0
"""So long a worker waits for the folder to appear."""


class FolderHub:
    """See Hub."""

    def __init__(
        self,
        folder: Path,
        entry: str,
        workers: int,
        share: tuple[int, int] | None = None,
        beat_s: float = BEAT_S,
    ) -> None:
        """folder: a new one, which all machines see; entry: see run/team/seat.py; share: cores and neighbours of each
        worker; None: what its machine lets it have.
        """
        self.folder, self._beat_s = folder, beat_s
        self.notice_s = (QUIET + 2) * beat_s
        self._told = {"schema": 1, "entry": entry, "size": workers + 1, "beat_s": beat_s, "share": share}
        self._beat: Beat | None = None
        self._inbox = Inbox(folder / "to_0")
        self._outboxes: dict[tuple[int, str], Outbox] = {}
        self._watch = Watch(folder / "beat", beat_s)

    def open(self) -> Sequence[str]:
        """See Hub.open."""
        for name in ("to_0", "beat", "log"):
            make_folder(self.folder / name)
        self._beat = Beat(self.folder / "beat" / "0", self._beat_s)
        write_text(self.folder / "team.json", json.dumps(self._told) + "\n")
        return ["folder", str(self.folder.absolute())]

    def send(self, rank: int, life: str, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Hub.send."""
        name = _name(rank, life)
        outbox = self._outboxes.setdefault((rank, life), Outbox(self.folder / f"to_{name}"))
        with suppress(FileNotFoundError):  # it has taken its inbox away
            outbox.put(head, arrays)

    def receive(self, timeout_s: float) -> Heard | None:
        """See Hub.receive."""
        try:
            found = self._inbox.next(timeout_s)
        except FileNotFoundError:
            raise StorageError(f"{self.folder}: is gone, and with it the way to the workers; who removed it?") from None
        if found is None:
            return None
        writer, (head, arrays) = found
        rank, _, life = writer.partition(".")
        if head["kind"] in ("goodbye", "left"):
            self._outboxes.pop((int(rank), life), None)
        return Heard(int(rank), life, head, arrays)

    def forget(self, rank: int, life: str) -> None:
        """See Hub.forget."""
        shutil.rmtree(self.folder / f"to_{_name(rank, life)}", ignore_errors=True)

    def hurry(self) -> None:
        """See Hub.hurry."""
        self._inbox.hurry()

    def quiet(self) -> bool:
        """See Hub.quiet."""
        return self._watch.quiet()

    def silent(self) -> Mapping[tuple[int, str], End]:
        """See Hub.silent."""
        names = {_name(*one): one for one in self._outboxes}
        end = End(f"has given no sign of life for {self._watch.patience_s:.0f} s")
        return {names[name]: end for name in self._watch.silent(list(names))}

    def close(self) -> None:
        """See Hub.close."""
        if self._beat is None:
            return
        self._beat.end()
        self._beat = None
        gone = self.folder.with_name(f".{self.folder.name}.gone")
        with suppress(OSError):
            os.rename(self.folder, gone)  # so that nobody puts anything into it any more
        for _ in range(5):
            shutil.rmtree(gone, ignore_errors=True)
            if not gone.exists():
                break
            time.sleep(0.1)  # network file systems keep files that a process still has open


class FolderLink:
    """A worker's side; see Link.  A context manager: it takes its inbox away."""

    notice_s = 0.0

    def __init__(self, path: str, rank: int, life: str) -> None:
        """Raises EngineError when the folder is not seen here."""
        self.folder = Path(path)
        told = _told(self.folder)
        if told is None:
            raise EngineError(
                f"{path}: nothing is seen here of the folder that rank 0 works with; either the run is over, or this "
                "machine does not share that file system: put the run folder where every node sees it (--run)"
            )
        self.entry: str = told["entry"]
        self.rank, self.size = rank, told["size"]
        mine = available_cores()
        # Where tasks of an array get a part of a machine each, others like this one may be on it.
        self.cores, self.neighbours = told["share"] or (mine, max(1, (os.cpu_count() or 1) // mine))
        name = _name(rank, life)
        self._inbox = Inbox(self.folder / f"to_{name}")
        self._farewell = self.folder / "to_0", name
        self._watch = Watch(self.folder / "beat", told["beat_s"])
        self._gone = ""
        try:
            self._inbox.folder.mkdir()
            self._beat = Beat(self.folder / "beat" / name, told["beat_s"])
        except OSError as error:
            raise storage_error(self._inbox.folder, error) from error
        self._outbox = Outbox(self.folder / "to_0", name)

    def __enter__(self) -> "FolderLink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def begin(self) -> None:
        """See Link.begin."""

    def present(self) -> Sequence[int]:
        """See Link.present."""
        return [] if self._gone else [0]

    def awaited(self) -> int:
        """See Link.awaited."""
        return 0

    def send(self, to: int, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Link.send."""
        check_rank(to, 1)
        try:
            self._outbox.put(head, arrays)
        except FileNotFoundError:
            self._gone = "has closed"

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Link.receive.  When rank 0 is gone, it says so in its name."""
        if not self._gone:
            try:
                if (found := self._inbox.next(timeout_s)) is not None:
                    return Message(0, *found[1])
            except FileNotFoundError:
                self._gone = "has closed"
            if self._watch.silent(["0"]):
                self._gone = f"has given no sign of life for {self._watch.patience_s:.0f} s"
        return Message(0, {"kind": "left", "why": self._gone, "blame": False}) if self._gone else None

    def close(self) -> None:
        """Take away what is this worker's."""
        self._beat.end()
        shutil.rmtree(self._inbox.folder, ignore_errors=True)


def _name(rank: int, life: str) -> str:
    return f"{rank}.{life}"


def _told(folder: Path) -> dict[str, Any] | None:
    """What team.json says, once it is seen here."""
    ends = time.monotonic() + _FIND_S
    while True:
        with suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads((folder / "team.json").read_text(encoding="utf-8"))
        if time.monotonic() > ends:
            return None
        with suppress(OSError):
            ask_server(folder.parent)
        time.sleep(1.0)
