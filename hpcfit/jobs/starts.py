"""How often was a run started, how did each start end, and is another one worth it?  RUN/starts.jsonl.

A line when a start begins, another one when it ends in good order; a start that was killed has only the first.  Two
things end a series of restarts.  Starts that had their jobs' time and did not finish one and the same generation, two
of them: more such jobs will not either.  And starts that die without a word at one generation, five in a row of one
series: by then it is memory or a defect, not chance.  What ends a start from outside (preemption, a person, a node
that fails) counts for the latter at most.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpcfit.errors import NoProgressError, StorageError, Unfinished
from hpcfit.jobs.leaving import Departure
from hpcfit.population.files import storage_error
from hpcfit.population.ledger import Ledger
from hpcfit.report.words import duration

FILE = "starts.jsonl"
SCHEMA = 1
WASTED = 2
"""Starts that had their time and did not finish one and the same generation."""
DEATHS = 5
"""Starts in a row, of one series, that were killed at one generation."""


@dataclass(frozen=True)
class Start:
    """A start, and how it ended.

    Attributes
    ----------
    at, host
        The moment, UTC, ISO 8601; where rank 0 was.
    job, restarts, series
        See hpcfit.run.slurm.environment.Job; "" outside SLURM.
    ranks, time_s
        Which part of a machine it had, and for how long; None: no limit, or unknown.
    generation
        Whole generations when it began.
    ended
        "finished", "left" (to go on), "error", "interrupted"; "" while it runs, and for ever when it was killed.
    had_its_time
        Of one that left: was that because its job's time was up?
    generations
        Whole generations when it ended.
    """

    at: str
    host: str = ""
    job: str = ""
    restarts: int = 0
    series: str = ""
    ranks: int = 1
    time_s: float | None = None
    generation: int = 0
    ended: str = ""
    had_its_time: bool = False
    generations: int = 0
    reason: str = ""
    """Of the end, in words."""

    @property
    def wasted(self) -> bool:
        """Had it the time of its job, and finished no generation?"""
        return self.ended == "left" and self.had_its_time and self.generations == self.generation


_AT_ITS_END = ("ended", "had_its_time", "generations", "reason")


def read_starts(folder: Path) -> list[Start]:
    """The starts of a run, oldest first; a line that is torn, or of a newer version, is left out."""
    starts: list[Start] = []
    path = folder / FILE
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        with suppress(ValueError, TypeError, KeyError, IndexError):
            given: dict[str, Any] = json.loads(line)
            if given.pop("schema") != SCHEMA:
                continue
            if given.pop("event") == "start":
                starts.append(Start(**given))
            else:
                starts[-1] = replace(starts[-1], **given)
    return starts


@contextmanager
def counted(ledger: Ledger, departure: Departure, ranks: int) -> Iterator[None]:
    """Note that a run starts, and how it ends.

    Raises
    ------
    NoProgressError
        Before anything is computed, when this is one start too many; in place of Unfinished, when the next start would
        be in vain.
    StorageError
        When the note cannot be written.
    """
    folder, before = ledger.folder, read_starts(ledger.folder)
    start = Start(_now(), socket.gethostname(), ranks=ranks, generation=len(ledger))
    start = replace(start, time_s=departure.time_s and round(departure.time_s, 1))
    if (job := departure.job) is not None:
        start = replace(start, job=job.id, restarts=job.restarts, series=job.series)
    _refuse(start, before, departure.most_restarts)
    _append(folder, "start", {name: value for name, value in asdict(start).items() if name not in _AT_ITS_END})

    def end(ended: str, reason: str = "", had_its_time: bool = False) -> Start:
        said = {"ended": ended, "reason": reason, "had_its_time": had_its_time, "generations": len(ledger)}
        with suppress(StorageError):  # it must not hide why the run ends
            _append(folder, "end", said)
        return replace(start, **said)

    try:
        yield
    except Unfinished as error:
        latest = end("left", str(error), departure.had_its_time)
        wasted = [one for one in (*before, latest) if one.wasted and one.generation == len(ledger)]
        if latest.wasted and len(wasted) >= WASTED:
            raise NoProgressError(_too_little_time(latest)) from error
        raise
    except KeyboardInterrupt:
        end("interrupted")
        raise
    except Exception as error:
        end("error", str(error))
        raise
    end("finished")


def _refuse(start: Start, before: Sequence[Start], most: int | None) -> None:
    """Raises NoProgressError when this start is one too many."""
    if not start.series:
        return
    series = [one for one in before if one.series == start.series]
    if most is not None and len(series) > most:
        raise NoProgressError(
            f"job {start.series} has been started again {most} times, as often as --restarts allows, and the run has "
            f"{start.generation} generations; submit it again to go on, or with a longer time limit"
        )
    last = series[-DEATHS:]
    if len(last) == DEATHS and all(not one.ended and one.generation == start.generation for one in last):
        raise NoProgressError(
            f"the last {DEATHS} starts of job {start.series} were killed while at generation {start.generation}: look "
            "at the job's log and at what SLURM says of the job for the cause, most often memory (engine.memory_GiB, "
            "more nodes); then submit it again"
        )


def _too_little_time(latest: Start) -> str:
    had = "" if latest.time_s is None else f" of {duration(latest.time_s)}"
    return (
        f"{WASTED} starts had the whole time of their jobs{had} and did not finish generation "
        f"{latest.generation}: a generation takes longer than the job.  Give it a longer time limit (--time), or more "
        "nodes, and submit it again; the whole generations are kept"
    )


def _append(folder: Path, event: str, said: Mapping[str, Any]) -> None:
    """A line more, on disk before anything else happens."""
    path = folder / FILE
    try:
        with open(path, "a+b") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            torn = file.read(1) not in (b"", b"\n")  # by a start that died as it wrote
            file.write(b"\n" * torn + json.dumps({"schema": SCHEMA, "event": event, **said}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise storage_error(path, error) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
