"""How is a folder a mailbox?  Each message is a file, put there whole; those of one writer are read in order.

Clients of network file systems remember for a while what a folder and a file held: a reader that waits makes its
client look anew, counts the messages of each writer, and leaves a file that is shorter than it says for later.
"""

import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.errors import EngineError
from hpcfit.population.files import storage_error
from hpcfit.run.comm import Arrays
from hpcfit.run.team.wire import read_from, written

_SHORTEST_S, _LONGEST_S = 2e-3, 0.5
"""Between two looks into an inbox; longer and longer while nothing comes."""
_LOOK_ANEW_S = 2.0
"""Between two looks for which the file system's client is made to ask its server."""
_PART_S = 120.0
"""So long a message may be there in part."""
Parts = tuple[dict[str, Any], dict[str, np.ndarray]]


class Inbox:
    """A folder that messages come into: WRITER.NUMBER, or NUMBER alone; those of a writer are read in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._next: dict[str, int] = {}
        self._found: list[tuple[str, int]] = []
        self._pause_s, self._look_s, self._anew_s = _SHORTEST_S, 0.0, 0.0
        self._listed_s = time.monotonic()
        self._part_since_s: dict[str, float] = {}

    def hurry(self) -> None:
        """Look at once, and at what the server has."""
        self._look_s = self._anew_s = 0.0
        self._pause_s = _SHORTEST_S

    def next(self, timeout_s: float) -> tuple[str, Parts] | None:
        """The next message and its writer, or None when none comes in time.

        Raises
        ------
        FileNotFoundError
            When the folder is gone.
        EngineError
            When a message stays in part.
        """
        ends = time.monotonic() + timeout_s
        while True:
            while self._found:
                if (found := self._read(*self._found.pop(0))) is not None:
                    self._pause_s, self._look_s = _SHORTEST_S, 0.0
                    return found
            now = time.monotonic()
            if now >= self._look_s:
                self._look(now)
            elif now >= ends:
                return None
            if not self._found:
                time.sleep(max(0.0, min(self._look_s, ends) - time.monotonic()))

    def _look(self, now: float) -> None:
        if now >= self._anew_s:
            self._anew_s = now + _LOOK_ANEW_S
            ask_server(self.folder)
        try:
            listed = os.listdir(self.folder)
        except FileNotFoundError:
            raise
        except OSError as error:  # away for a moment, or for good
            if now - self._listed_s > _PART_S:
                raise storage_error(self.folder, error) from error
            listed = []
        else:
            self._listed_s = now
        names = [name.rpartition(".") for name in listed if not name.startswith(".")]
        waiting = sorted((writer, int(number)) for writer, _, number in names)
        expected = dict(self._next)
        for writer, number in waiting:
            if number == expected.get(writer, 0):
                expected[writer] = number + 1
                self._found.append((writer, number))
            elif number < expected.get(writer, 0):  # it was read, and could not be removed then
                self._remove(writer, number)
        self._look_s = now + self._pause_s
        self._pause_s = min(1.2 * self._pause_s, _LONGEST_S)

    def _path(self, writer: str, number: int) -> Path:
        return self.folder / (f"{writer}.{number:09d}" if writer else f"{number:09d}")

    def _read(self, writer: str, number: int) -> tuple[str, Parts] | None:
        if number != self._next.get(writer, 0):
            return None  # the one before it was not whole
        path = self._path(writer, number)
        try:
            with open(path, "rb") as file:
                message = read_from(file)
        except OSError:  # listed, and not there yet; or the server is away for a moment
            message = None
        if message is None:
            since = self._part_since_s.setdefault(writer, time.monotonic())
            if time.monotonic() - since > _PART_S:
                raise EngineError(f"{path}: is not whole after {_PART_S:g} s; is the file system well?")
            return None
        self._part_since_s.pop(writer, None)
        self._next[writer] = number + 1
        self._remove(writer, number)
        return writer, message

    def _remove(self, writer: str, number: int) -> None:
        with suppress(OSError):
            self._path(writer, number).unlink()


def ask_server(folder: Path) -> None:
    """A change by its own hand makes a client's memory of a folder worthless."""
    own = folder / f".look-{uuid.uuid4().hex[:12]}"
    with suppress(OSError):  # listing it will tell
        os.close(os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        own.unlink()


class Outbox:
    """Numbers what one process tells another."""

    def __init__(self, folder: Path, writer: str = "") -> None:
        self._folder, self._writer, self._number = folder, writer, 0

    def put(self, head: Mapping[str, Any], arrays: Arrays) -> None:
        """Raises StorageError; FileNotFoundError when the folder is gone."""
        name = f"{self._writer}.{self._number:09d}" if self._writer else f"{self._number:09d}"
        pieces = written(head, arrays)
        temporary = self._folder / f".{name}-{uuid.uuid4().hex[:8]}"
        try:
            with open(temporary, "xb") as file:
                for piece in pieces:
                    file.write(piece)
            os.rename(temporary, self._folder / name)
        except FileNotFoundError:
            raise
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise storage_error(self._folder / name, error) from error
        self._number += 1
