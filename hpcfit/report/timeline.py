"""What a run's timeline says: a picture of one generation, and how much of scoring or simulation was hidden."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from hpcfit.errors import LedgerError
from hpcfit.population.files import make_folder, replacing
from hpcfit.population.timeline import FILE, Event, Overlap, length_s, read_timeline, union
from hpcfit.report.words import duration
from hpcfit.report.write import png


def write_timeline(folder: str | Path, generation: int | None = None) -> tuple[Path, str]:
    """Write RUN/report/timeline.png, of one generation (default: the last); gives its path and a summary in words.

    Raises
    ------
    LedgerError
        When the run kept no timeline, it is damaged, or has no such generation.
    StorageError
        When the picture cannot be written.
    """
    from hpcfit.report.plots.gantt import gantt, lanes

    folder = Path(folder)
    events = read_timeline(folder)
    known = sorted({event.generation for event in events})
    if not known:
        raise LedgerError(
            f"{folder}: no {FILE} with a whole generation in this folder; run the fit with --timeline, "
            "or run.timeline = true in its file"
        )
    number = known[-1] if generation is None else generation
    if number not in known:
        held = _ranges(known)
        raise LedgerError(f"{folder / FILE}: no generation {number} in it, it has {held}; choose one of these")
    chosen = [event for event in events if event.generation == number]
    place = make_folder(folder / "report") / "timeline.png"
    with replacing(place) as temporary:
        temporary.write_bytes(png(gantt(chosen)))
    rows = [_busy(who, [event for event in chosen if event.who == who], chosen) for who in lanes(chosen)]
    return place, "\n".join([f"generation {number}: {_overlap(Overlap.of(chosen))}", *rows, *_all(events, known)])


def _ranges(numbers: Sequence[int]) -> str:
    """0 to 4, 7, 9 to 12."""
    breaks = [0, *(k for k in range(1, len(numbers)) if numbers[k] != numbers[k - 1] + 1), len(numbers)]
    runs = [numbers[low:high] for low, high in pairwise(breaks)]
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _overlap(sides: Overlap) -> str:
    if not (sides.simulate_s and sides.score_s):
        return "nothing was simulated and scored"
    return (
        f"simulation {duration(sides.simulate_s)}, scoring {duration(sides.score_s)}, both at once "
        f"{duration(sides.both_s)}: {100 * sides.efficiency:.0f} % of the shorter side hidden"
    )


def _busy(who: str, events: Sequence[Event], everybody: Sequence[Event]) -> str:
    whole = max(event.ended_s for event in everybody) - min(event.began_s for event in everybody)
    busy = length_s(union((event.began_s, event.ended_s) for event in events))
    return f"  {who}: {duration(busy)}" + (f", {100 * busy / whole:.0f} % of the time" if whole else "")


def _all(events: Sequence[Event], known: Sequence[int]) -> list[str]:
    """The median over all generations."""
    if len(known) < 2:
        return []
    sides = [Overlap.of([event for event in events if event.generation == number]) for number in known]
    found = [one.efficiency for one in sides if np.isfinite(one.efficiency)]
    return [f"median of {len(found)} generations: {100 * np.median(found):.0f} % hidden"] if found else []
