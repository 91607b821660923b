"""How far is a piece of work that is done part by part, when each part itself tells how far it is?"""

from collections.abc import Callable


class Progress:
    """Adds up the parts: `tell(done, of)` is called with what is done of the whole, never with less than before."""

    def __init__(self, tell: Callable[[int, int], object] | None = None) -> None:
        self._tell = tell
        self._whole = self._before = self._size = self._told = 0

    def begin(self, whole: int) -> None:
        """Work of this size begins."""
        self._whole, self._before, self._size, self._told = whole, 0, 0, 0

    def part(self, size: int) -> None:
        """The next part begins, and with that the one before is done."""
        self._before, self._size = self._before + self._size, size
        self._say(self._before)

    def within(self, done: int, of: int) -> None:
        """The part that has begun is so far."""
        self._say(self._before + self._size * done // of)

    def end(self) -> None:
        """All is done."""
        self._say(self._whole)

    def _say(self, done: int) -> None:
        if self._tell is not None and done > self._told:
            self._told = done
            self._tell(done, self._whole)
