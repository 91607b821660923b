"""Messages between the processes of one machine: Unix sockets in a folder that only this user can enter."""

import selectors
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.errors import StorageError
from hpcfit.run.comm import NO_ARRAYS, Arrays, Message, check_rank
from hpcfit.run.team.parts import End, Heard
from hpcfit.run.team.wire import Wire

_LONGEST_PATH = 90
"""Of a Unix socket; systems take about 100 characters."""
_WAITING = 4096
"""Workers that may call at the same moment."""


class _Guest:
    """A connection; it says first which rank and life it is."""

    def __init__(self, connected: socket.socket) -> None:
        self.wire = Wire(connected)
        self.rank, self.life = 0, ""


class SocketHub:
    """See Hub."""

    notice_s = 0.0

    def __init__(self) -> None:
        self._guests: dict[tuple[int, str], _Guest] = {}
        self._heard: deque[Heard] = deque()
        self._folder: Path | None = None

    def open(self) -> Sequence[str]:
        """See Hub.open."""
        place = tempfile.gettempdir()
        place = place if len(place) < _LONGEST_PATH - 30 else "/tmp"
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="hpcfit-team-", dir=place))
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._folder / "s"))
        except OSError as error:
            raise StorageError(
                f"no socket can be made in {place}: {error.strerror}; set TMPDIR to a folder that you may write to"
            ) from None
        self._listener.listen(_WAITING)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        return ["socket", str(self._folder / "s")]

    def send(self, rank: int, life: str, head: Mapping[str, Any], arrays: Arrays = NO_ARRAYS) -> None:
        """See Hub.send."""
        if (guest := self._guests.get((rank, life))) is not None:
            guest.wire.queue(head, arrays)
            self._flush(guest)

    def receive(self, timeout_s: float) -> Heard | None:
        """See Hub.receive."""
        ends = time.monotonic() + timeout_s
        while not self._heard:
            ready = self._selector.select(max(0.0, ends - time.monotonic()))
            if not ready:
                return None
            for key, events in ready:
                if key.data is None:
                    self._admit()
                    continue
                if events & selectors.EVENT_WRITE:
                    self._flush(key.data)
                if events & selectors.EVENT_READ:
                    self._read(key.data)
        return self._heard.popleft()

    def forget(self, rank: int, life: str) -> None:
        """See Hub.forget.  It hears that, should it live."""
        if (guest := self._guests.pop((rank, life), None)) is not None:
            self._selector.unregister(guest.wire)
            guest.wire.close()

    def hurry(self) -> None:
        """See Hub.hurry.  It looks every time."""

    def quiet(self) -> bool:
        """See Hub.quiet."""
        return False

    def silent(self) -> Mapping[tuple[int, str], End]:
        """See Hub.silent.  A connection that closes is heard at once."""
        return {}

    def close(self) -> None:
        """See Hub.close."""
        if self._folder is None:
            return
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            (self._listener if key.data is None else key.data.wire).close()
        self._selector.close()
        self._guests.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _admit(self) -> None:
        with suppress(BlockingIOError):
            guest = _Guest(self._listener.accept()[0])
            self._selector.register(guest.wire, selectors.EVENT_READ, guest)

    def _flush(self, guest: _Guest) -> None:
        try:
            done = guest.wire.flush()
        except OSError:
            return  # reading will tell
        events = selectors.EVENT_READ | (0 if done else selectors.EVENT_WRITE)
        with suppress(KeyError):
            if self._selector.get_key(guest.wire).events != events:
                self._selector.modify(guest.wire, events, guest)

    def _read(self, guest: _Guest) -> None:
        """One message: others want to be heard too."""
        try:
            message = guest.wire.read()
        except (OSError, EOFError):
            self._selector.unregister(guest.wire)
            guest.wire.close()
            if self._guests.pop((guest.rank, guest.life), None) is not None:
                self._heard.append(Heard(guest.rank, guest.life, None))
            return
        if message is None:
            return
        head, arrays = message
        if guest.life:
            self._heard.append(Heard(guest.rank, guest.life, head, arrays))
        else:
            guest.rank, guest.life = head["rank"], head["life"]
            self._guests[guest.rank, guest.life] = guest


class SocketLink:
    """A worker's side; see Link.  When rank 0 is gone, it says so in its name."""

    notice_s = 0.0

    def __init__(self, path: str, rank: int, life: str, sizes: tuple[int, int, int]) -> None:
        """sizes: of the team, cores, neighbours.  Raises OSError when nobody is there."""
        self.rank, (self.size, self.cores, self.neighbours) = rank, sizes
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(path)
        self._wire = Wire(connected)
        self._gone = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wire, selectors.EVENT_READ)
        self._post({"rank": rank, "life": life}, NO_ARRAYS)

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
        self._post(head, arrays)

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Link.receive."""
        ends = time.monotonic() + timeout_s
        while not self._gone:
            message = self._read()
            if message is not None:
                return Message(0, *message)
            left = ends - time.monotonic()
            for _, events in self._selector.select(max(0.0, left)):
                if events & selectors.EVENT_WRITE:
                    self._flush()
            if left <= 0 and not self._gone:
                message = self._read()
                return Message(0, *message) if message is not None else None
        return Message(0, {"kind": "left", "why": "closed its connection", "blame": False})

    def close(self, patience_s: float = 10.0) -> None:
        """What was sent goes on its way first."""
        ends = time.monotonic() + patience_s
        while not self._gone and not self._flush() and time.monotonic() < ends:
            self._selector.select(0.1)
        self._selector.close()
        self._wire.close()

    def _read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        try:
            return self._wire.read()
        except (OSError, EOFError):
            self._gone = True
            return None

    def _post(self, head: Mapping[str, Any], arrays: Arrays) -> None:
        self._wire.queue(head, arrays)
        self._flush()

    def _flush(self) -> bool:
        try:
            done = self._wire.flush()
        except OSError:
            self._gone = True
            return False
        events = selectors.EVENT_READ | (0 if done else selectors.EVENT_WRITE)
        if self._selector.get_key(self._wire).events != events:
            self._selector.modify(self._wire, events)
        return done
