"""A scaling study from a fit file to a report: everything that can be wrong is said before a rank is started."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcfit import jobs
from hpcfit.biophys.problem import Problem
from hpcfit.errors import EngineError
from hpcfit.jobs import folder as run_folder
from hpcfit.jobs.scaling import measure as measuring
from hpcfit.jobs.scaling.design import Study as Kind
from hpcfit.jobs.scaling.design import designed
from hpcfit.jobs.scaling.problems import sized
from hpcfit.jobs.scaling.raw import Raw
from hpcfit.jobs.scaling.report import summary_text, write_report
from hpcfit.jobs.scaling.statistics import LEAST
from hpcfit.jobs.scaling.summary import summarised, write_summary
from hpcfit.jobs.signals import heard
from hpcfit.population.files import make_folder
from hpcfit.run.launch import Kind as LauncherKind
from hpcfit.run.launch import launcher


@dataclass(frozen=True)
class Asked:
    """What a command says of a study.

    Attributes
    ----------
    sizes
        Fields of Design, None where nothing was said.
    preset, scaled
        See `designed`.
    launcher, mpi, oversubscribe
        See `hpcfit.run.launch.launcher`.
    workers
        Threads that simulate, of each rank; 0: its even share of the cores.
    """

    sizes: dict[str, Any]
    preset: str = ""
    scaled: float = 1.0
    launcher: LauncherKind = "auto"
    mpi: str = ""
    oversubscribe: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Done:
    """What came of it: the summary's numbers, words, the page, and whether each point has its interval."""

    summary: dict[str, Any]
    text: str
    page: Path
    whole: bool


def scaling_study(
    kind: Kind, file: Path, asked: Asked, folder: Path | None = None, say: Callable[[str], Any] = lambda line: None
) -> Done:
    """Measure, or go on measuring, and report.

    Raises
    ------
    ConfigError, InputError, EngineError
        Before anything is run, when the file, the sizes or the launcher are unusable; EngineError later, when a launch
        fails or gives other numbers than another one.
    LedgerError
        When the folder holds timings of something else, or another command is measuring there.
    """
    problem = jobs.load(file)
    place = folder or Path("runs") / f"{problem.settings.name}_{kind}"
    design = designed(kind, _population(problem), asked.sizes, asked.preset, asked.scaled)
    starts = launcher(design.ranks, asked.launcher, asked.mpi, asked.workers, asked.oversubscribe)
    fits = {point: sized(problem, point, asked.workers) for point in design.points}
    base, raw = file.resolve().parent, Raw(place)
    make_folder(place)
    with run_folder.sole_writer(place, "measuring there", "--out"), heard(in_job=False):
        raw.begun(_identity(kind, problem, base, asked.workers))
        study = measuring.Study(design, fits, base, place, starts, say)
        ended = measuring.measure(study, raw)
        launches = raw.launches()
        summary = summarised(study, launches, ended)
    if not summary["points"]:
        raise EngineError(f"{place}: no generation was measured, because {ended}; give a larger --budget")
    write_summary(place, summary)
    whole = not summary["unmeasured"] and all(point["seconds"]["n"] >= LEAST for point in summary["points"])
    return Done(summary, summary_text(summary), write_report(place, summary), whole)


def _population(problem: Problem) -> int:
    strategy = problem.settings.strategy
    own = getattr(strategy, "offspring", None) or getattr(strategy, "population", None)
    return int(own or strategy.largest_generation(len(problem.space.names)))


def _identity(kind: Kind, problem: Problem, base: Path, workers: int) -> dict[str, Any]:
    """What timings in one file have in common: sizes, ends and effort may differ, what is simulated may not."""
    header = run_folder.header(problem, base)
    settings = {name: part for name, part in header.settings.items() if name not in ("run", "engine")}
    engine = {name: value for name, value in header.settings["engine"].items() if name != "workers"}
    return {
        "study": kind,
        "seed": problem.settings.run.seed,
        "workers": workers,
        "engine": engine,
        "fit": settings,
        "inputs": dict(header.inputs),
    }
