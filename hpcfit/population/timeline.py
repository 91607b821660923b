"""Who was busy with what, from when to when?  Recorded while a run goes on, kept in RUN/timeline.jsonl on request.

The figure that it is for is Figure 1D of Ladd et al. 2021: one stimulus is simulated while the one before is scored.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from hpcfit.errors import LedgerError, StorageError
from hpcfit.population.files import storage_error, write_text

T = TypeVar("T")
FILE = "timeline.jsonl"
SCHEMA = 1
_SAME_S = 1e-3
"""Tasks of one worker that follow each other within this are one event."""


@dataclass(frozen=True)
class Event:
    """A stretch of work.

    Attributes
    ----------
    who
        A stage ("simulator", "scorer", "main"), or with a number one of its worker processes.
    phase
        simulate, score, evolve or write.
    what, portion
        The stimulus, or several with + between them, and the portion of the population.
    began_s, ended_s
        By `time.monotonic`, which all processes of a machine share; in the file seconds since 1970.
    """

    generation: int
    phase: str
    who: str
    began_s: float
    ended_s: float
    what: str = ""
    portion: int = 0


class Timeline:
    """Collects events, from any thread."""

    def __init__(self) -> None:
        self.generation = 0
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._at_work = threading.local()

    def add(
        self,
        who: str,
        phase: str,
        began_s: float,
        ended_s: float,
        what: str = "",
        portion: int = 0,
        generation: int | None = None,
    ) -> None:
        """One stretch of work of the current generation, or of another one."""
        number = self.generation if generation is None else generation
        event = Event(number, phase, who, began_s, ended_s, what, portion)
        with self._lock:
            self._events.append(event)

    @contextmanager
    def doing(self, who: str, phase: str, what: str = "", portion: int = 0) -> Iterator[None]:
        """The block is a stretch of work, and what workers report meanwhile in this thread belongs to it."""
        self._at_work.on = (who, phase, what, portion)
        began_s = time.monotonic()
        try:
            yield
        finally:
            self.add(who, phase, began_s, time.monotonic(), what, portion)
            self._at_work.on = None

    def worked(self, worker: int, began_s: float, seconds: float) -> None:
        """A worker process did a task of the block of `doing` that this thread is in; outside one nobody asks."""
        if on := getattr(self._at_work, "on", None):
            who, phase, what, portion = on
            self.add(f"{who} {worker}", phase, began_s, began_s + seconds, what, portion)

    def events(self, since_s: float = float("-inf")) -> list[Event]:
        """Those that began at or after a moment of `time.monotonic`."""
        with self._lock:
            return [event for event in self._events if event.began_s >= since_s]

    def taken(self, until: int | None = None) -> list[Event]:
        """All so far, merged and in the order of their beginnings; they are forgotten here.

        until: only those of generations up to this one.
        """
        with self._lock:
            events = [event for event in self._events if until is None or event.generation <= until]
            self._events = [event for event in self._events if until is not None and event.generation > until]
        return merged(events)


def merged(events: Iterable[Event]) -> list[Event]:
    """Tasks that follow each other within a millisecond, by the same worker for the same purpose, as one event."""
    last: dict[tuple[Any, ...], Event] = {}
    done: list[Event] = []
    for event in sorted(events, key=lambda one: one.began_s):
        key = (event.generation, event.phase, event.who, event.what, event.portion)
        before = last.get(key)
        if before is not None and event.began_s - before.ended_s <= _SAME_S:
            ended_s = max(before.ended_s, event.ended_s)
            last[key] = Event(*key[:3], before.began_s, ended_s, *key[3:])
            continue
        if before is not None:
            done.append(before)
        last[key] = event
    return sorted([*done, *last.values()], key=lambda one: (one.began_s, one.who))


Spans = list[tuple[float, float]]


def union(spans: Iterable[tuple[float, float]]) -> Spans:
    """The same moments as intervals that do not touch, in their order."""
    found: Spans = []
    for began, ended in sorted(spans):
        if found and began <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return found


def common(first: Spans, second: Spans) -> Spans:
    """The moments that are in both unions."""
    overlaps = ((max(a, c), min(b, d)) for a, b in first for c, d in second)
    return [(began, ended) for began, ended in overlaps if began < ended]


def length_s(spans: Spans) -> float:
    """How long they are in all."""
    return sum(ended - began for began, ended in spans)


@dataclass(frozen=True)
class Overlap:
    """How long two stages were at work, and how long both at the same time, s."""

    simulate_s: float
    score_s: float
    both_s: float

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Overlap":
        """Of the stages' own events, which last as long as any of their workers is busy or waited for."""
        sides = {"simulator": [], "scorer": []}
        for event in events:
            if event.who in sides:
                sides[event.who].append((event.began_s, event.ended_s))
        simulate, score = union(sides["simulator"]), union(sides["scorer"])
        return cls(length_s(simulate), length_s(score), length_s(common(simulate, score)))

    @property
    def efficiency(self) -> float:
        """Part of the shorter side that the other one hid, 0 to 1; NaN when a side did nothing."""
        shorter = min(self.simulate_s, self.score_s)
        return self.both_s / shorter if shorter > 0 else float("nan")


class TimelineFile:
    """RUN/timeline.jsonl: a line that says what it is, then one line an event, generation after generation."""

    def __init__(self, folder: Path, generations: int) -> None:
        """`generations`: how many the ledger has; lines of later ones, and half a line, are what a kill left behind.

        Raises
        ------
        StorageError
            When it cannot be written.
        """
        self._path = folder / FILE
        self._epoch_s = time.time() - time.monotonic()
        kept = [event for event in read_timeline(folder) if event.generation < generations]
        head = json.dumps({"schema": SCHEMA, "times": "seconds since 1970"})
        write_text(self._path, "".join(f"{line}\n" for line in [head, *map(_line, kept)]))

    def append(self, events: Sequence[Event]) -> None:
        """A generation's events.  Raises StorageError."""
        epoch = self._epoch_s
        moved = [Event(**{**asdict(e), "began_s": e.began_s + epoch, "ended_s": e.ended_s + epoch}) for e in events]
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write("".join(f"{_line(event)}\n" for event in moved))
        except OSError as error:
            raise storage_error(self._path, error) from error


def read_timeline(folder: Path) -> list[Event]:
    """The events in a run's folder, in the order of the file; none when there is no such file.

    Raises
    ------
    LedgerError
        When it is not a timeline, or a newer hpcfit wrote it.
    """
    path = folder / FILE
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    whole = [line for line in lines if line.endswith("\n")]  # the last one may be cut off by a kill
    if not whole:
        return []
    schema = _parsed(path, 1, whole[0], lambda fields: int(fields["schema"]))
    if schema != SCHEMA:
        raise LedgerError(f"{path}: schema {schema} is not {SCHEMA}, the one that this hpcfit reads; update hpcfit")
    return [_parsed(path, number, line, _event) for number, line in enumerate(whole[1:], start=2)]


def _parsed(path: Path, number: int, line: str, what: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        return what(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"{path}, line {number}: not a line of a timeline ({type(error).__name__}: {error}); move the file away, "
            "the run does not need it"
        ) from error


def _event(fields: Mapping[str, Any]) -> Event:
    began_s, ended_s = float(fields["began_s"]), float(fields["ended_s"])
    if not (math.isfinite(began_s) and began_s <= ended_s < math.inf):
        raise ValueError(f"from {began_s} s to {ended_s} s")
    words = (str(fields["phase"]), str(fields["who"]))
    return Event(int(fields["generation"]), *words, began_s, ended_s, str(fields["what"]), int(fields["portion"]))


def _line(event: Event) -> str:
    fields = asdict(event)
    return json.dumps({**fields, "began_s": round(event.began_s, 6), "ended_s": round(event.ended_s, 6)})
