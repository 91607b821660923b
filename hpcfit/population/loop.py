"""The generation loop: ask, evaluate, tell, write; the same for every strategy and every kind of member.

Nothing but the ledger carries a run from one generation to the next, so a run that is resumed from it gives the same
numbers as one that was never interrupted.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hpcfit.population.ledger import Generation, Ledger
from hpcfit.population.timeline import Timeline
from hpcfit.population.writing import Writer
from hpcfit.settings import RunSettings


@dataclass(frozen=True)
class Evaluation:
    """What evaluating n members gave: scores (n,), low is good; arrays with n rows for the ledger."""

    scores: np.ndarray
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)


class Course(Protocol):
    """A strategy as the loop sees it: what it remembers between generations comes from the ledger alone."""

    def offspring(self, last: Generation | None) -> Mapping[str, np.ndarray]:
        """The next generation: `ids` (n,), `vectors` (n, P) in the unit cube, and more for the ledger."""
        ...

    def survivors(
        self, last: Generation | None, offspring: Mapping[str, np.ndarray], evaluation: Evaluation
    ) -> Mapping[str, np.ndarray]:
        """What to remember once they are evaluated: arrays named survivor_*."""
        ...


@dataclass(frozen=True)
class Standing:
    """How far a run is: generations and evaluations so far, the best score, and seconds of the slowest generation."""

    generations: int = 0
    evaluations: int = 0
    best: float = np.inf
    slowest_s: float = 0.0
    history: tuple[float, ...] = field(default=(), compare=False, repr=False)
    """The best score of the run after each generation."""

    def after(self, generation: Generation) -> "Standing":
        """The standing one generation later."""
        scores = generation.arrays["scores"]
        best = float(min(scores[np.isfinite(scores)], default=np.inf))
        slowest = max(self.slowest_s, generation.timings_s.get("total", 0.0))
        best = min(self.best, best)
        return Standing(self.generations + 1, self.evaluations + len(scores), best, slowest, (*self.history, best))

    def improvement_percent(self, generations: int) -> float:
        """By how much of what it was the best score fell in the latest generations; infinite before there are more."""
        if len(self.history) <= generations:
            return np.inf
        before = self.history[-1 - generations]
        if self.best == before:
            return 0.0
        return 100.0 * (before - self.best) / abs(before) if before and np.isfinite(before) else np.inf


def run_generations(
    course: Course,
    evaluate: Callable[[np.ndarray], Evaluation],
    ledger: Ledger,
    ends: RunSettings,
    on_generation: Callable[[Generation, Standing], Any] = lambda generation, standing: None,
    timeline: Timeline | None = None,
) -> str:
    """Run from where the ledger stands to the first of the run's ends; gives the reason it stopped, in words.

    evaluate: (n, P) vectors in the unit cube -> Evaluation.  A generation is written while the next one is evaluated;
    on_generation is called by the thread that writes, once it is on disk.  Of the timings of a generation, `write` and
    `write_hidden` are how long writing the one before it was waited for, and what went on beside other work.  timeline:
    gets what this thread and the writing one do.

    Raises
    ------
    StorageError
        When a generation cannot be written; those before it are on disk, and the one that was simulated meanwhile is
        dropped.  What on_generation raises ends the run in the same way.
    """
    timeline = timeline or Timeline()
    with Writer(ledger, on_generation, timeline) as writer:
        reason = _run(course, evaluate, ledger, ends, writer, timeline)
        writer.wait()
        return reason


def _run(
    course: Course,
    evaluate: Callable[[np.ndarray], Evaluation],
    ledger: Ledger,
    ends: RunSettings,
    writer: Writer,
    timeline: Timeline,
) -> str:
    begun = time.monotonic()
    last: Generation | None = None
    standing = Standing()
    for last in ledger:
        standing = standing.after(last)
    while True:
        start = time.monotonic()
        if reason := _end(ends, standing, start - begun):
            return reason
        offspring = course.offspring(last)
        if reason := _end(ends, standing, start - begun, len(offspring["ids"])):
            return reason
        writer.look()
        asked = time.monotonic()
        timeline.generation = standing.generations
        timeline.add("main", "evolve", start, asked)
        evaluation = evaluate(offspring["vectors"])
        told = time.monotonic()
        survivors = course.survivors(last, offspring, evaluation)
        ready = time.monotonic()
        timeline.add("main", "evolve", told, ready)
        evolve_s = asked - start + ready - told
        written = writer.wait()
        timings = {**evaluation.timings_s, "evolve": evolve_s}
        timings |= {"write": written.waited_s, "write_hidden": written.hidden_s, "total": time.monotonic() - start}
        arrays = {**offspring, **evaluation.arrays, "scores": evaluation.scores, **survivors}
        last = Generation(standing.generations, arrays, evaluation.counts, timings)
        standing = standing.after(last)
        writer.give(last, standing)


def _end(ends: RunSettings, standing: Standing, elapsed_s: float, coming: int = 0) -> str:
    """Why to stop before the next generation, of `coming` members; empty to go on."""
    if standing.generations >= ends.generations:
        return f"all {ends.generations} generations done"
    if ends.target_score is not None and standing.best <= ends.target_score:
        return f"best score {standing.best:.6g} reached the target {ends.target_score:g}"
    if (stop := ends.stop) is not None:
        improved = standing.improvement_percent(stop.stagnant_generations)
        if improved <= stop.improvement_percent:
            return f"the best score fell by only {improved:.2g} % in {stop.stagnant_generations} generations"
    if ends.evaluations is not None and standing.evaluations + coming > ends.evaluations:
        return f"{standing.evaluations} of {ends.evaluations} evaluations done; another generation would be too many"
    if ends.wall_clock_s is not None and standing.slowest_s and elapsed_s + standing.slowest_s > ends.wall_clock_s:
        return (
            f"{elapsed_s:.0f} of {ends.wall_clock_s:g} s used; another generation may take {standing.slowest_s:.1f} s"
        )
    return ""
