"""Who is alive, among processes that share only a file system?  Each has a file that it changes again and again.

Clocks of machines are not compared: a sign of life is old when it has not changed for long by the reader's own clock.
"""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

BEAT_S = 10.0
"""Between two signs of life."""
QUIET, _MISSED = 2, 30
"""After so many missing signs of life it is worth asking; so many may be missing, for a file system may stand still."""


class Beat:
    """A thread that gives signs of life."""

    def __init__(self, path: Path, every_s: float) -> None:
        self._path, self._every_s = path, every_s
        self._end = threading.Event()
        self._write(0)
        self._thread = threading.Thread(target=self._go_on, name="hpcfit beat", daemon=True)
        self._thread.start()

    def _go_on(self) -> None:
        count = 0
        while not self._end.wait(self._every_s):
            count += 1
            with suppress(OSError):  # full, or away for a moment
                self._write(count)

    def _write(self, count: int) -> None:
        temporary = self._path.with_name(f".{self._path.name}")
        temporary.write_text(str(count))
        os.replace(temporary, self._path)

    def end(self) -> None:
        """And take it away."""
        self._end.set()
        self._thread.join()
        with suppress(OSError):
            self._path.unlink()


class Watch:
    """Have others given a sign of life lately?"""

    def __init__(self, folder: Path, every_s: float) -> None:
        self._folder, self._every_s = folder, every_s
        self._seen: dict[str, tuple[str, float]] = {}
        self._look_s = 0.0
        self._late: set[str] = set()

    def silent(self, names: Sequence[str]) -> list[str]:
        """Those that have not for long."""
        now = time.monotonic()
        if now < self._look_s:
            return []
        self._look_s = now + self._every_s
        self._seen = {name: self._seen[name] for name in names if name in self._seen}
        for name in names:
            text = ""
            with suppress(OSError):
                text = (self._folder / name).read_text()  # opening asks the server, looking for its age would not
            if self._seen.get(name, ("none", 0.0))[0] != text:
                self._seen[name] = (text, now)
        return [name for name, (_, since) in self._seen.items() if now - since > self.patience_s]

    def quiet(self) -> bool:
        """Has anyone been late, at the last look?  True once for each time."""
        late = {name for name, (_, since) in self._seen.items() if self._look_s - since > (QUIET + 1) * self._every_s}
        new, self._late = late - self._late, late
        return bool(new)

    @property
    def patience_s(self) -> float:
        """So long may pass."""
        return _MISSED * self._every_s
