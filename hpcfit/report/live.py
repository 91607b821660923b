"""What a running fit shows of itself: bars on a terminal, one line per generation everywhere else."""

import os
import sys
import time
from types import TracebackType
from typing import Any, Protocol, TextIO

from hpcfit.population.ledger import Generation
from hpcfit.report.log import log_line
from hpcfit.report.words import duration

__all__ = ["Progress", "log_line"]

_REFRESH_S = 0.1


class _View(Protocol):
    def start(self) -> None: ...
    def evaluating(self, done: int, of: int) -> None: ...
    def generation(self, generation: Generation, best: float) -> None: ...
    def stop(self) -> None: ...


class Progress:
    """Shows a run's progress; a context manager, so that the terminal is given back whatever happens.

    A stream that can no longer be written to (the terminal was closed, the pipe broke) ends the display, not the run.

    Parameters
    ----------
    total_generations : int
        Generations in all, generation 0 included.
    stream : text stream
        A terminal gets bars, anything else one line per generation (see `log_line`).
    """

    def __init__(self, total_generations: int, stream: TextIO) -> None:
        self._stream = stream
        self._view: _View = _Bars(total_generations, stream) if is_terminal(stream) else _Lines(stream)
        self._broken = False

    def __enter__(self) -> "Progress":
        self._show(self._view.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._broken = False  # the cursor must come back if it can
        self._show(self._view.stop)

    def evaluating(self, done: int, of: int) -> None:
        """So many of this generation's individuals have been evaluated."""
        self._show(self._view.evaluating, done, of)

    def generation(self, generation: Generation, best: float) -> None:
        """A generation is done; `best` is the run's best score so far."""
        self._show(self._view.generation, generation, best)

    def _show(self, action: Any, *arguments: Any) -> None:
        if self._broken or self._stream.closed:
            return
        try:
            action(*arguments)
        except OSError:
            self._broken = True


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def evaluating(self, done: int, of: int) -> None: ...

    def generation(self, generation: Generation, best: float) -> None:
        self._stream.write(log_line(generation, best) + "\n")
        self._stream.flush()


class _Bars:
    """Two bars and a line of numbers.  No thread redraws them: a fit may fork, and threads do not survive that."""

    def __init__(self, total: int, stream: TextIO) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bars
        from rich.text import Text

        self._total = total
        self._note = Text("", no_wrap=True, overflow="ellipsis")
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
        self._bars = Bars(*columns, auto_refresh=False, expand=True)
        self._generations = self._bars.add_task("generations", total=total)
        self._individuals = self._bars.add_task("individuals", total=None)
        # Output that goes to a file must not be drawn above the bars, where it would be lost.
        self._live = Live(
            Group(self._bars, self._note),
            console=Console(file=stream),
            auto_refresh=False,
            redirect_stdout=is_terminal(sys.stdout),
            redirect_stderr=is_terminal(sys.stderr),
        )
        self._began = self._since = self._drawn = time.monotonic()
        self._seen = 0

    def start(self) -> None:
        self._began = self._since = time.monotonic()
        self._live.start(refresh=True)

    def stop(self) -> None:
        self._live.stop()

    def evaluating(self, done: int, of: int) -> None:
        self._bars.update(self._individuals, completed=done, total=of)
        now = time.monotonic()
        if now - self._drawn >= _REFRESH_S or done == of:
            self._drawn = now
            self._live.refresh()

    def generation(self, generation: Generation, best: float) -> None:
        now = time.monotonic()
        self._seen += 1
        pace = (now - self._began) / self._seen
        rate = len(generation.arrays["scores"]) / max(now - self._since, 1e-9)
        left = max(0, self._total - generation.number - 1)
        self._since = now
        self._bars.update(self._generations, completed=generation.number + 1)
        parts = [f"best {best:.5g}", f"{duration(left * pace)} left", f"{duration(pace)} per generation"]
        self._note.plain = ", ".join([*parts, f"{rate:.3g} evaluations per s"])
        self._live.refresh()


def is_terminal(stream: Any) -> bool:
    """Whether bars can be drawn; a dumb terminal (an editor's, a build log) cannot move its cursor."""
    return bool(
        stream and not stream.closed and stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
    )
