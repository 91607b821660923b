"""Workers that are processes of this machine, started and ended by rank 0."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from hpcfit.errors import EngineError
from hpcfit.run.processes import last_words, shorten, signal_name
from hpcfit.run.team.parts import End

_GOING_S = 5.0
"""So long a worker that was told to go may take."""


class Children:
    """See Launcher."""

    def __init__(self, entry: str, size: int, cores: int) -> None:
        """entry: see run/team/seat.py; size: of the team; cores: of each."""
        self._team = [str(size), str(cores), str(size), entry, str(os.getpid())]
        self._processes: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def start(self, ranks: Sequence[int], address: Sequence[str]) -> None:
        """See Launcher.start."""
        form, path = address
        for rank in ranks:
            log = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115, closed when it has ended
            more = self._team if form == "socket" else []
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "hpcfit.run.team.seat", form, path, str(rank), *more],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            except OSError as error:
                log.close()
                raise EngineError(f"a worker process cannot be started: {error}; use fewer workers") from error
            self._processes[rank] = process, log

    def ended(self) -> Mapping[int, End]:
        """See Launcher.ended."""
        found = {}
        for rank, (process, log) in list(self._processes.items()):
            if process.poll() is None:
                shorten(log)
            else:
                found[rank] = _end(process.returncode, last_words(log))
                del self._processes[rank]
                log.close()
        return found

    def hurry(self) -> None:
        """See Launcher.hurry.  It looks every time."""

    def stop(self, rank: int) -> None:
        """See Launcher.stop."""
        if rank in self._processes:
            self._processes[rank][0].kill()

    def close(self) -> None:
        """Those that were told to go have a moment.  See Launcher.close."""
        ends = time.monotonic() + _GOING_S
        for process, log in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, ends - time.monotonic()))
            process.kill()
            process.wait()
            log.close()
        self._processes.clear()


def _end(code: int, words: str) -> End:
    if code < 0:
        return End(f"was killed by {signal_name(-code)}{words}", blame=-code != signal.SIGTERM)
    return End(f"ended with exit code {code}{words}", blame=code > 0)
