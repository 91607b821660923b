"""What does a larger population buy?  One file's fit at several population sizes and seeds (Ladd et al. 2021, fig. 6).

Every run is a run folder of its own, which resumes as any does; the study is what their ledgers say side by side.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit import jobs
from hpcfit.biophys.problem import Problem
from hpcfit.biophys.settings import FitSettings
from hpcfit.config import validate
from hpcfit.errors import ConfigError
from hpcfit.jobs import folder as run_folder
from hpcfit.population.files import write_text
from hpcfit.population.ledger import ledger_path
from hpcfit.report.html import html_study
from hpcfit.report.plots.population_size import Curve, scores_by_size, traces_by_size
from hpcfit.report.responses import Response, read_responses
from hpcfit.report.run_view import RunView, open_run
from hpcfit.report.sections import Section, read_sections, write_section
from hpcfit.report.words import number


@dataclass(frozen=True)
class Request:
    """Which runs: every size with every seed.

    Attributes
    ----------
    sizes
        Offspring (or samples, particles, slots) of a generation.
    generations, evaluations
        Each run ends at the first of them.
    wall_clock_s
        Of this command: no generation is begun that would not end within it; the same command goes on.
    """

    sizes: tuple[int, ...]
    generations: int
    seeds: tuple[int, ...] = (1,)
    evaluations: int | None = None
    wall_clock_s: float | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        for name, values, least in (("sizes", self.sizes, 2), ("seeds", self.seeds, 0)):
            if not values:
                raise ConfigError(f"--{name}: no number is given; write them with commas, e.g. 1000,5000")
            for value in values:
                if value < least:
                    raise ConfigError(f"--{name} holds {value}; each must be a whole number of at least {least}")
                if values.count(value) > 1:
                    raise ConfigError(f"--{name} holds {value} twice; the same run again gives the same numbers")


@dataclass(frozen=True)
class StudyRun:
    """One run of a study: its curve, and whether it reached its end.

    evaluations, best: (generations,) individuals evaluated up to and including each generation, and the lowest score of
    the run by then.
    """

    size: int
    seed: int
    folder: Path
    evaluations: np.ndarray
    best: np.ndarray
    done: bool

    def best_within(self, evaluations: int) -> float:
        """The lowest score after whole generations of at most so many evaluations; NaN when none is within."""
        inside = np.flatnonzero(self.evaluations <= evaluations)
        return float(self.best[inside[-1]]) if len(inside) else float("nan")


def population_study(
    file: Path,
    request: Request,
    folder: Path | None = None,
    say: Callable[[str], Any] = lambda line: None,
) -> tuple[Path, list[StudyRun]]:
    """Make, or go on with, the runs of a study; gives its folder and what has been run of each.

    Raises
    ------
    ConfigError, InputError, MechanismError, LedgerError, StorageError
        As `hpcfit.run`; ConfigError also for a size that the strategy cannot have.
    """
    problem = jobs.load(file)
    place = folder or Path("runs") / f"{problem.settings.name}_population"
    plans = [_Plan(size, seed, place, request) for seed in request.seeds for size in request.sizes]
    for plan in plans:  # before anything is run
        plan.check(problem, file)
    begun, runs = time.monotonic(), []
    for plan in plans:
        left = None if request.wall_clock_s is None else request.wall_clock_s - (time.monotonic() - begun)
        found = plan.found()
        if not (found and found.done) and (left is None or left > 0):
            plan.run(file, left, say)
            found = plan.found()
        if found:
            runs.append(found)
    if not runs:
        raise ConfigError(f"{place}: nothing has been run yet and --wall-clock leaves no time; give more")
    return place, runs


@dataclass(frozen=True)
class _Plan:
    """One run that the study wants."""

    size: int
    seed: int
    study: Path
    request: Request

    @property
    def folder(self) -> Path:
        return self.study / f"size_{self.size:06d}_seed_{self.seed}"

    def settings(self, settings: FitSettings, wall_clock_s: float | None = None) -> FitSettings:
        """The fit's, with this size, seed and ends."""
        ends = {
            "seed": self.seed,
            "generations": self.request.generations,
            "evaluations": self.request.evaluations,
            "wall_clock_s": wall_clock_s,
        }
        changes = {"strategy": resized(settings.strategy, self.size)}
        return settings.model_copy(update=changes | {"run": settings.run.model_copy(update=ends)})

    def check(self, problem: Problem, file: Path) -> None:
        """Raise when this run's settings are unusable, or its folder holds another one."""
        wanted = run_folder.header(replace(problem, settings=self.settings(problem.settings)), file.resolve().parent)
        run_folder.check(self.folder, wanted, file.resolve().parent)

    def run(self, file: Path, wall_clock_s: float | None, say: Callable[[str], Any]) -> None:
        """Run it, or go on with it."""
        name = f"size {self.size}, seed {self.seed}"
        jobs.run(
            file,
            self.folder,
            change=lambda settings: self.settings(settings, wall_clock_s),
            on_generation=lambda generation, standing: say(
                f"{name}: generation {generation.number}, {standing.evaluations} evaluations, "
                f"best {standing.best:.6g}, {generation.timings_s['total']:.1f} s"
            ),
            on_note=say,
        )

    def found(self) -> StudyRun | None:
        """What its folder holds; None when there is no whole generation."""
        if not ledger_path(self.folder).exists():
            return None
        view = open_run(self.folder)
        if not view.generations:
            return None
        evaluations = np.cumsum([len(scores) for scores in view.scores()])
        return StudyRun(self.size, self.seed, self.folder, evaluations, view.best_scores(), self._done(view))

    def _done(self, view: RunView) -> bool:
        """Whether it reached one of its ends, and its results are those of its best individual."""
        most, size = self.request.evaluations, len(view.scores()[-1])
        ended = view.generations >= self.request.generations
        ended |= most is not None and view.evaluations + size > most
        return (ended or _settled(self.folder)) and bool(read_responses(self.folder, view.best.id))


def _settled(folder: Path) -> bool:
    """Whether a run stopped by what its fit file says of scores: a target reached, or stagnation."""
    try:
        status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return status.get("state") == "finished" and "best score" in str(status.get("reason"))


def resized(strategy: Any, size: int) -> Any:
    """A [strategy] table with `size` offspring, and its parents and first generation in the same proportion.

    Raises
    ------
    ConfigError
        When the strategy cannot be so small.
    """
    table = strategy.model_dump()
    if "population" in table:
        table["population"] = size
    else:
        factor = size / table["offspring"]
        table |= {"offspring": size, "parents": max(2, round(factor * table["parents"]))}
        if table["initial"] is not None:
            table["initial"] = max(table["parents"], round(factor * table["initial"]))
    return validate(type(strategy), table, f"population size {size}: strategy")


@dataclass(frozen=True)
class Comparison:
    """The runs of each size side by side, at as many generations as all have, and at as many evaluations.

    Attributes
    ----------
    generations, evaluations
        What is compared at: the fewest that any run has.
    rows
        Per size: size, seeds, then (median, least, greatest) of the best score at equal generations, at equal
        evaluations, and at each run's own end.
    """

    generations: int
    evaluations: int
    rows: tuple[dict[str, float], ...]


def compare(runs: Sequence[StudyRun]) -> Comparison:
    """Medians over seeds at equal generations and at equal evaluations.  runs: at least one."""
    generations = min(len(run.best) for run in runs)
    evaluations = min(int(run.evaluations[-1]) for run in runs)
    # The largest population's first generation may be more than the others' whole runs: then it is what all must reach.
    evaluations = max(evaluations, max(int(run.evaluations[0]) for run in runs))
    rows = []
    for size in sorted({run.size for run in runs}):
        own = [run for run in runs if run.size == size]
        row: dict[str, float] = {"size": size, "seeds": len(own)}
        for name, values in (
            ("equal_generations", [float(run.best[generations - 1]) for run in own]),
            ("equal_evaluations", [run.best_within(evaluations) for run in own]),
            ("end", [float(run.best[-1]) for run in own]),
        ):
            row |= {f"{name}_median": float(np.median(values))}
            row |= {f"{name}_least": min(values), f"{name}_greatest": max(values)}
        row |= {"generations": max(len(run.best) for run in own)}
        row |= {"evaluations": max(int(run.evaluations[-1]) for run in own)}
        rows.append(row)
    return Comparison(generations, evaluations, tuple(rows))


def write_study(name: str, folder: Path, runs: Sequence[StudyRun], wanted: int) -> list[Path]:
    """Write population.{h5,json}, its CSV tables and figures, and report.html into the study's folder.

    wanted: how many runs there are to be in the end.  Raises StorageError.
    """
    comparison = compare(runs)
    curves = [Curve(run.size, run.seed, run.evaluations, run.best) for run in runs]
    figures = {"scores": scores_by_size(curves, comparison.rows, (comparison.generations, comparison.evaluations))}
    if columns := _final_responses(runs):
        figures["traces"] = traces_by_size(columns)
    section = Section(
        name="population",
        title="Population size",
        lines=_lines(runs, comparison, wanted),
        tables={"sizes": _columns(comparison.rows), "curves": _curves(runs)},
        figures=figures,
        arrays=_arrays(runs),
    )
    paths = write_section(folder, section)
    page = folder / "report.html"
    write_text(page, html_study(f"{name}: population size", folder, read_sections(folder)))
    return [*paths, page]


def study_text(runs: Sequence[StudyRun], wanted: int) -> str:
    """The comparison in a few lines, for the command line."""
    comparison = compare(runs)
    lines = [
        *_lines(runs, comparison, wanted),
        f"{'size':>8}{'seeds':>7}{'equal generations':>20}{'equal evaluations':>20}",
    ]
    for row in comparison.rows:
        middles = (number(row[f"equal_{kind}_median"]) for kind in ("generations", "evaluations"))
        lines.append(f"{row['size']:8d}{row['seeds']:7d}" + "".join(f"{middle:>20}" for middle in middles))
    return "\n".join(lines)


def _lines(runs: Sequence[StudyRun], comparison: Comparison, wanted: int) -> list[str]:
    done = sum(run.done for run in runs)
    lines = [
        f"{done} of {wanted} runs are done" + ("." if done == wanted else "; the same command goes on."),
        f"Best score, median over seeds (least, greatest): after {comparison.generations} generation"
        f"{'s' * (comparison.generations > 1)}, and after at "
        f"most {comparison.evaluations} evaluations in whole generations.",
    ]
    least = min(sum(run.size == size for run in runs) for size in {run.size for run in runs})
    if least < 3:
        lines.append(f"Only {least} seed{'s' * (least > 1)} of a size: differences may be those of chance.")
    return lines


def _columns(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _curves(runs: Sequence[StudyRun]) -> dict[str, np.ndarray]:
    lengths = [len(run.best) for run in runs]
    return {
        "size": np.repeat([run.size for run in runs], lengths),
        "seed": np.repeat([run.seed for run in runs], lengths),
        "generation": np.concatenate([np.arange(length) for length in lengths]),
        "evaluations": np.concatenate([run.evaluations for run in runs]),
        "best_score": np.concatenate([run.best for run in runs]),
    }


def _arrays(runs: Sequence[StudyRun]) -> dict[str, np.ndarray]:
    """The curves, and the best individual of each run: (runs, parameters), in the parameters' units."""
    views = [open_run(run.folder) for run in runs]
    return {
        **_curves(runs),
        "run_size": np.array([run.size for run in runs]),
        "run_seed": np.array([run.seed for run in runs]),
        "parameter": np.array(views[0].parameters["name"]),
        "best_parameters": np.array([list(view.best.parameters.values()) for view in views]),
    }


def _final_responses(runs: Sequence[StudyRun]) -> list[tuple[str, Sequence[Response]]]:
    """Per size, the responses of the run with the (lower) median final score among those that have any."""
    columns = []
    for size in sorted({run.size for run in runs}):
        own = sorted((run for run in runs if run.size == size), key=lambda run: float(run.best[-1]))
        found = [(run, read_responses(run.folder, open_run(run.folder).best.id)) for run in own]
        found = [(run, responses) for run, responses in found if responses]
        if found:
            run, responses = found[(len(found) - 1) // 2]
            title = f"{size} a generation, {len(run.best)} generations: {number(float(run.best[-1]))} sd"
            columns.append((title, responses))
    return columns
