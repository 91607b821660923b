"""A fit from settings to a run on disk: problem, strategy, engine and executor put together."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.objectives import term_groups
from hpcfit.biophys.problem import SCORER, Evaluator, Problem, Scored
from hpcfit.biophys.settings import FitSettings
from hpcfit.errors import Unfinished
from hpcfit.evolve.choice import strategy_course
from hpcfit.jobs import folder as run_folder
from hpcfit.jobs import sharing
from hpcfit.jobs.calls import NO_CALLS, Calls
from hpcfit.jobs.leaving import Departure, Evaluate, left_in_time, listening
from hpcfit.jobs.load import load_settings
from hpcfit.jobs.results import write_results
from hpcfit.jobs.signals import heard
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.jobs.starts import counted
from hpcfit.jobs.words import naming, say
from hpcfit.population.ledger import Generation, Header, Ledger
from hpcfit.population.loop import Standing, run_generations
from hpcfit.population.progress import Progress
from hpcfit.population.timeline import Timeline, TimelineFile
from hpcfit.report.run_view import RunView, open_run
from hpcfit.run.comm import Link
from hpcfit.run.pipeline import SideBySide
from hpcfit.run.processes import Processes
from hpcfit.run.slurm.environment import this_job


def run(
    fit: str | Path | FitSettings,
    folder: str | Path | None = None,
    *,
    generations: int | None = None,
    timeline: bool | None = None,
    on_generation: Callable[[Generation, Standing], Any] | None = None,
    on_evaluated: Callable[[int, int], Any] | None = None,
    on_note: Callable[[str], Any] | None = None,
    change: Callable[[FitSettings], FitSettings] = lambda settings: settings,
) -> RunView:
    """Run a fit to its end, or go on with it where `folder` left it; then write results and report.

    Parameters
    ----------
    fit
        A fit file, or settings.
    folder
        The run folder; default: runs/NAME in the working folder.
    generations
        In place of run.generations: to extend a run that is done, or to stop earlier.
    timeline
        In place of run.timeline: whether timeline.jsonl is written.
    on_generation, on_evaluated
        Called once each generation is on disk, by the thread that writes, while the next one is simulated; and as
        simulations end: (done, of).
    on_note
        Called with a line when NEURON simulates in place of the batched engine; default: a warning.
    change
        What to make of the settings first: a study varies some, and paths still start at the fit file.

    Returns
    -------
    RunView
        The run, as `open_run(folder)` shows it.

    Raises
    ------
    ConfigError, InputError, MechanismError
        Before anything is written, when settings or files are unusable.
    LedgerError
        When the folder belongs to other settings, or another process is running it.
    StorageError
        When a generation cannot be written; those before it are kept, and the same call goes on.
    Unfinished
        When it is time to leave the job, or SIGUSR1 has come: the same call goes on.
    NoProgressError
        When another start would be in vain (jobs/starts.py).
    """
    given = {"generations": generations, "timeline": timeline}
    changed = {name: value for name, value in given.items() if value is not None}
    return run_on(None, fit, folder, Calls(on_generation, on_evaluated, on_note), changed, change)


def run_on(
    comm: Link | None,
    fit: str | Path | FitSettings,
    folder: str | Path | None = None,
    calls: Calls = NO_CALLS,
    changed: Mapping[str, Any] = MappingProxyType({}),
    change: Callable[[FitSettings], FitSettings] = lambda settings: settings,
    results: bool = True,
    restarts: int | None = None,
) -> RunView:
    """`run`, with rank 0 of a comm, whose other ranks are in `sharing.serve_rank`; the same numbers, however many.

    changed: keys of [run] and their values; results: whether to write the best individual and the report at the end;
    restarts: most that one submitted job may have.  Raises what `run` does; what another rank has raised names it.
    """
    job = this_job()
    with heard(in_job=job is not None) as ears:
        return _run_on(comm, fit, folder, calls, changed, change, results, Departure(ears, job, most_restarts=restarts))


def _run_on(
    comm: Link | None,
    fit: str | Path | FitSettings,
    folder: str | Path | None,
    calls: Calls,
    changed: Mapping[str, Any],
    change: Callable[[FitSettings], FitSettings],
    results: bool,
    departure: Departure,
) -> RunView:
    settings = change(fit if isinstance(fit, FitSettings) else load_settings(fit))
    base = Path.cwd() if isinstance(fit, FitSettings) else Path(fit).resolve().parent
    settings = settings.model_copy(update={"run": settings.run.model_copy(update=dict(changed))})
    place = Path(folder) if folder is not None else Path("runs") / settings.name
    with naming(fit):
        problem = Problem.of(settings)
    header = run_folder.header(problem, base)
    run_folder.check(place, header, base)
    plan = sharing.plan_of(settings, base, header) if comm is not None else {}
    if comm is not None:
        problem = sharing.sized(problem, comm)
    engine_settings = problem.settings.engine
    with naming(fit):
        factory = simulator_factory(problem.cell, problem.stimuli, engine_settings)
    workers, watched = engine_settings.workers, Timeline()
    on_evaluated = departure.telling(calls.on_evaluated)
    progress = Progress(on_evaluated if comm is None else None)
    with (
        Processes({SERVICE: factory}, workers, progress.within, watched.worked) as simulators,
        Processes({SCORER: problem.feature_factory()}, workers, on_worked=watched.worked) as scorers,
    ):
        engine = NeuronEngine(factory, simulators)
        with naming(fit):
            engine.describe()  # a cell that cannot be built is an error before anything is written
            chosen = choose_simulator(engine)
        say(chosen.note, calls.on_note)
        header = run_folder.simulated_by(header, chosen.text)
        simulator = chosen.engine
        evaluate = Evaluator(problem, simulator, scorers, SideBySide(), watched, progress)
        work = sharing.Measuring(evaluate, simulator, (simulators, scorers), watched)
        with (
            sharing.shared(
                comm and listening(comm, departure), work, plan, watched, on_evaluated, calls.on_block
            ) as evaluate,
            _followed(place, header, settings.run.generations, chosen.note) as (ledger, journal),
            counted(ledger, departure, 1 if comm is None else comm.size),
        ):
            # On several ranks it is the main thread that looks, while it listens to them.
            leave = partial(left_in_time, departure, work.cancel if comm is None else None)
            journal.reason = _generations(journal, ledger, problem, evaluate, leave, watched, calls.on_generation)
            if results:
                write_results(place, ledger, problem, simulator, engine.hoc)
    return open_run(place)


@contextmanager
def _followed(
    place: Path, header: Header, generations: int, note: str
) -> Iterator[tuple[Ledger, run_folder.StatusWriter]]:
    """The ledger of a run, and the status that says at the end how it went, results included."""
    with run_folder.opened(place, header) as ledger:
        journal = run_folder.StatusWriter(place, ledger, generations, note)
        try:
            yield ledger, journal
        except Unfinished as error:
            journal.ended("waiting", str(error))
            raise
        except BaseException as error:
            journal.ended("stopped", "interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
            raise
        journal.ended("finished", journal.reason)


def _generations(
    journal: run_folder.StatusWriter,
    ledger: Ledger,
    problem: Problem,
    evaluate: Evaluator | Scored,
    leave: Callable[[Evaluate], AbstractContextManager[Evaluate]],
    timeline: Timeline,
    on_generation: Callable[[Generation, Standing], Any] | None,
) -> str:
    """Run them; gives the reason it stopped."""
    ends = problem.settings.run
    strategy = problem.settings.strategy
    objectives = term_groups(problem.targets.terms, getattr(strategy, "objectives", "terms"))
    course = strategy_course(strategy, len(problem.space.names), ends.seed, objectives)
    if len(ledger):
        evaluate.go_on(ledger.read(0).arrays["features"])

    file = TimelineFile(ledger.folder, len(ledger)) if ends.timeline else None

    def after(generation: Generation, standing: Standing) -> None:
        events = timeline.taken(generation.number)
        if file is not None:
            file.append(events)
        journal.generation(generation, standing)
        if on_generation:
            on_generation(generation, standing)

    with leave(evaluate) as in_time:
        reason = run_generations(course, in_time, ledger, ends, after, timeline)
    ledger.merge()
    return reason
