"""How do messages cross a stream socket?  A length, the head, the arrays' bytes; neither side ever waits."""

import socket
import struct
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from hpcfit.run.comm import Arrays, decoded, encoded

_LENGTH = struct.Struct("!Q")
_AT_ONCE = 32
"""Pieces handed to one call of the system."""


def bytes_of(arrays: Mapping[str, np.ndarray] | list[np.ndarray]) -> list[memoryview]:
    """Views of the bytes of contiguous arrays; none of empty ones."""
    every = arrays.values() if isinstance(arrays, Mapping) else arrays
    return [memoryview(array.reshape(-1).view(np.uint8)) for array in every if array.size]  # type: ignore[arg-type]


class Wire:
    """One end of a connection."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._out: deque[memoryview] = deque()
        self._begin()

    def fileno(self) -> int:
        """For those who wait for it."""
        return self._socket.fileno()

    def queue(self, head: Mapping[str, Any], arrays: Arrays) -> None:
        """A message to be sent by `flush`.  Raises TypeError, see Comm.send."""
        text, sent = encoded(head, arrays)
        self._out.append(memoryview(_LENGTH.pack(len(text)) + text))
        self._out.extend(bytes_of(sent))

    def flush(self) -> bool:
        """Send what goes without waiting; is all of it on its way?  Raises OSError when the other end is gone."""
        while self._out:
            pieces = [self._out[number] for number in range(min(_AT_ONCE, len(self._out)))]
            try:
                sent = self._socket.sendmsg(pieces)
            except BlockingIOError:
                return False
            while sent and sent >= len(self._out[0]):
                sent -= len(self._out.popleft())
            if sent:
                self._out[0] = self._out[0][sent:]
        return True

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """A message, or None when a whole one is not there yet.  Raises EOFError, OSError when none will come."""
        while True:
            while self._places:
                try:
                    got = self._socket.recv_into(self._places[0])
                except BlockingIOError:
                    return None
                if not got:
                    raise EOFError
                rest = self._places[0][got:]
                if rest:
                    self._places[0] = rest
                else:
                    self._places.popleft()
            if self._text is None:
                self._text = bytearray(_LENGTH.unpack(self._size)[0])
                self._places.append(memoryview(self._text))
            elif self._message is None:
                self._message = decoded(bytes(self._text))
                self._places.extend(bytes_of(self._message[1]))
            else:
                message = self._message
                self._begin()
                return message

    def close(self) -> None:
        """The other end hears that."""
        self._socket.close()

    def _begin(self) -> None:
        self._size = bytearray(_LENGTH.size)
        self._text: bytearray | None = None
        self._message: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None
        self._places: deque[memoryview] = deque([memoryview(self._size)])


def written(head: Mapping[str, Any], arrays: Arrays) -> list[memoryview]:
    """A message as pieces of a file: all that `Wire` would send."""
    text, sent = encoded(head, arrays)
    return [memoryview(_LENGTH.pack(len(text)) + text), *bytes_of(sent)]


def read_from(file: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """The message that an open binary file holds; None when it does not hold all of it (yet)."""
    size = file.read(_LENGTH.size)
    if len(size) < _LENGTH.size:
        return None
    length = _LENGTH.unpack(size)[0]
    text = file.read(length)
    if len(text) < length:
        return None
    head, arrays = decoded(text)
    for place in bytes_of(arrays):
        if file.readinto(place) < len(place):
            return None
    return head, arrays
