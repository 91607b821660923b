"""The composer: from a fit file to a problem, a strategy, an engine and an executor, and to a run on disk."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, overload

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import SPIKE_MV, Engine, Responses, SpikeTimes, portions
from hpcfit.biophys.engines.memory import gib, memory_limit
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.engines.readings import FeatureValues, features_of, readings_for
from hpcfit.biophys.extract.reading import Reading
from hpcfit.biophys.objectives import term_groups
from hpcfit.biophys.problem import SCORER, Evaluator, Problem, Scored
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import EngineSettings, FitSettings, StimulusSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.biophys.streamed import readings_on_the_way
from hpcfit.biophys.terms import term_line
from hpcfit.biophys.units import units
from hpcfit.config import read_toml, validate
from hpcfit.errors import ConfigError, InputError
from hpcfit.evolve.choice import strategy_course
from hpcfit.jobs import folder as run_folder
from hpcfit.jobs import sharing
from hpcfit.jobs.calls import NO_CALLS, Calls
from hpcfit.jobs.results import write_results
from hpcfit.jobs.signals import terminated_like_interrupted
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.population.files import write_text
from hpcfit.population.ledger import Generation, Header, Ledger
from hpcfit.population.loop import Standing, run_generations
from hpcfit.population.progress import Progress
from hpcfit.population.timeline import Timeline, TimelineFile
from hpcfit.report.run_view import RunView, open_run
from hpcfit.run.comm import Comm
from hpcfit.run.pipeline import SideBySide
from hpcfit.run.processes import Processes

__all__ = ["describe", "import_bluepyopt", "load", "load_settings", "open_run", "run", "simulate"]


def load_settings(path: str | Path) -> FitSettings:
    """The settings in a fit file.  Raises ConfigError."""
    path = Path(path)
    return validate(FitSettings, read_toml(path), path, path.resolve().parent)


def load(path: str | Path) -> Problem:
    """The problem that a fit file describes: cell, stimuli, space of the free parameters, targets.

    Raises
    ------
    ConfigError, InputError
        When the file, or a file it names, is unusable: what, where, and the cure.
    """
    settings = load_settings(path)
    with _naming(path):
        return Problem.of(settings)


@overload
def simulate(
    cell: Cell,
    parameters: np.ndarray,
    stimuli: Sequence[Stimulus | StimulusSettings],
    engine: EngineSettings | str = "neuron",
    record: Literal["traces"] = "traces",
) -> Responses: ...


@overload
def simulate(
    cell: Cell,
    parameters: np.ndarray,
    stimuli: Sequence[Stimulus | StimulusSettings],
    engine: EngineSettings | str = "neuron",
    *,
    record: Literal["spikes"],
    threshold_mV: float = SPIKE_MV,
) -> SpikeTimes: ...


@overload
def simulate(
    cell: Cell,
    parameters: np.ndarray,
    stimuli: Sequence[Stimulus | StimulusSettings],
    engine: EngineSettings | str = "neuron",
    *,
    record: Literal["features"],
    features: Sequence[str | Reading],
) -> FeatureValues: ...


def simulate(
    cell: Cell,
    parameters: np.ndarray,
    stimuli: Sequence[Stimulus | StimulusSettings],
    engine: EngineSettings | str = "neuron",
    record: str = "traces",
    threshold_mV: float = SPIKE_MV,
    features: Sequence[str | Reading] = (),
) -> Responses | SpikeTimes | FeatureValues:
    """Responses of a population.

    Parameters
    ----------
    cell
        `load(path).cell`.
    parameters
        (individuals, free parameters), in the order of `cell.free` and their units.
    stimuli
        `load(path).stimuli`, or some of them, or settings of your own.
    engine
        A name ("neuron", "batched", "coreneuron") or settings.
    record
        "traces": the voltage at every site; "spikes": only when it rises through a threshold, which takes hardly any
        memory; "features": what `features` names, read by the batched engine while it simulates, with no trace in
        memory, and by the others of traces that they keep until then.
    threshold_mV
        Of spikes, at sites that have no threshold_mV of their own.
    features
        Names, read at the first site under every stimulus in its own window; or `hpcfit.features.Reading`, each of one
        stimulus at one site with a window and settings of its own.

    Returns
    -------
    Responses | SpikeTimes | FeatureValues
        Voltage (individuals, sites, time) per stimulus, mV, or spike times, ms, or features; and a status per
        individual and stimulus.

    Raises
    ------
    ConfigError, InputError, MechanismError
        When the cell cannot be built, or a feature, or the stimulus or site of a reading, does not exist.
    EngineError
        When the result would not fit into memory: how much is needed and how much there is.
    ValueError
        When `parameters` has the wrong shape or is not finite, `record` is none of these, or `features` are given
        without record = "features" or the other way round.
    """
    if record not in ("traces", "spikes", "features"):
        raise ValueError(f"record = {record!r}; accepted: 'traces', 'spikes', 'features'")
    if (record == "features") != bool(features):
        raise ValueError(
            f"record = {record!r} with {len(features)} features; record = 'features' and features go together"
        )
    settings = engine if isinstance(engine, EngineSettings) else EngineSettings.model_validate({"kind": engine})
    built = [build_stimulus(one) if isinstance(one, StimulusSettings) else one for one in stimuli]
    readings = readings_for(features, built, [site.name for site in cell.sites])
    factory = simulator_factory(cell, built, settings)
    with Processes({SERVICE: factory}, settings.workers) as executor:
        chosen, names = choose_simulator(NeuronEngine(factory, executor)), [stimulus.name for stimulus in built]
        _say(chosen.note, None)
        if record == "spikes":
            return chosen.engine.spikes(parameters, names, threshold_mV)
        if record == "features":
            return features_of(chosen.engine, parameters, names, readings)
        return chosen.engine.simulate(parameters, names)


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
        Called after each generation, and as its simulations end: (done, of).
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
    """
    given = {"generations": generations, "timeline": timeline}
    changed = {name: value for name, value in given.items() if value is not None}
    return run_on(None, fit, folder, Calls(on_generation, on_evaluated, on_note), changed, change)


def run_on(
    comm: Comm | None,
    fit: str | Path | FitSettings,
    folder: str | Path | None = None,
    calls: Calls = NO_CALLS,
    changed: Mapping[str, Any] = MappingProxyType({}),
    change: Callable[[FitSettings], FitSettings] = lambda settings: settings,
) -> RunView:
    """`run`, with rank 0 of a comm, whose other ranks are in `sharing.serve_rank`; the same numbers, however many.

    changed: keys of [run] and their values.  Raises what `run` does; what another rank has raised names it.
    """
    settings = change(fit if isinstance(fit, FitSettings) else load_settings(fit))
    base = Path.cwd() if isinstance(fit, FitSettings) else Path(fit).resolve().parent
    settings = settings.model_copy(update={"run": settings.run.model_copy(update=dict(changed))})
    place = Path(folder) if folder is not None else Path("runs") / settings.name
    with _naming(fit):
        problem = Problem.of(settings)
    header = run_folder.header(problem, base)
    run_folder.check(place, header, base)
    plan = sharing.plan_of(settings, base, header) if comm is not None else {}
    if comm is not None:
        problem = sharing.sized(problem, comm)
    engine_settings = problem.settings.engine
    with _naming(fit):
        factory = simulator_factory(problem.cell, problem.stimuli, engine_settings)
    workers, watched = engine_settings.workers, Timeline()
    progress = Progress(calls.on_evaluated if comm is None else None)
    with (
        Processes({SERVICE: factory}, workers, progress.within, watched.worked) as simulators,
        Processes({SCORER: problem.feature_factory()}, workers, on_worked=watched.worked) as scorers,
    ):
        engine = NeuronEngine(factory, simulators)
        with _naming(fit):
            engine.describe()  # a cell that cannot be built is an error before anything is written
            chosen = choose_simulator(engine)
        _say(chosen.note, calls.on_note)
        header = run_folder.simulated_by(header, chosen.text)
        simulator = chosen.engine
        evaluate = Evaluator(problem, simulator, scorers, SideBySide(), watched, progress)
        work = sharing.Measuring(evaluate, simulator, (simulators, scorers))
        with (
            sharing.shared(comm, work, plan, watched, calls.on_evaluated) as evaluate,
            terminated_like_interrupted(),
            _followed(place, header, settings.run.generations, chosen.note) as (ledger, journal),
        ):
            journal.reason = _generations(journal, ledger, problem, evaluate, watched, calls.on_generation)
            write_results(place, ledger, problem, simulator, engine.hoc)
    return open_run(place)


def describe(path: str | Path) -> str:
    """What a fit file would fit, in a few lines; reads and builds all it names.  Raises what `run` would."""
    settings = load_settings(path)
    with _naming(path):
        problem = Problem.of(settings)
        factory = simulator_factory(problem.cell, problem.stimuli, settings.engine)
    with _naming(path), Processes({SERVICE: factory}, 1) as executor:
        engine = NeuronEngine(factory, executor)
        built, chosen = engine.describe(), choose_simulator(engine)
        memory = _memory_line(problem, chosen.engine)
    targets = problem.targets
    lines = [
        f"cell: {built.sections} sections, {built.segments} segments, {built.area_um2:.0f} um2",
        *(f"site {place.name}: {place.section}({place.x:.3g}), {place.distance_um:.1f} um" for place in built.places),
        f"simulator: {chosen.text}",
        f"parameters: {len(problem.space.names)} free, {len(settings.parameters) - len(problem.space.names)} fixed",
        f"stimuli: {', '.join(problem.scored_stimuli)}",
        memory,
        *(line for stimulus in problem.stimuli for line in _point_processes(stimulus)),
        f"score functions: {len(targets.terms)}",
        *(f"  {term_line(term)}" for term in targets.terms),
        *(f"  no term: {stimulus}.{site}.{feature}: {reason}" for stimulus, site, feature, reason in targets.dropped),
    ]
    return "\n".join(lines)


def _memory_line(problem: Problem, engine: Engine) -> str:
    """What simulating the largest generation takes.  Raises EngineError when one individual does not fit."""
    stimuli = problem.scored_stimuli
    population = problem.settings.strategy.largest_generation(len(problem.space.names))
    record = readings_on_the_way(problem.feature_factory()(), stimuli, engine)
    if record is None:
        parts = units(engine, population, stimuli, SideBySide().in_flight(2))
        number, stop, recorded = parts[-1].portion + 1, parts[0].rows.stop, "traces"
    else:
        slices = portions(engine, population, stimuli, record)
        number, stop, recorded = len(slices), slices[0].stop, record
    split = f" in each of {number} portions of the population" if number > 1 else ""
    largest = engine.memory(min(population, stop), stimuli, recorded)
    limit = gib(memory_limit(problem.settings.engine.memory_GiB))
    return f"memory: {population} individuals x {len(stimuli)} stimuli take {largest}{split}; {limit} may be used"


def _point_processes(stimulus: Stimulus) -> Iterator[str]:
    for point in stimulus.point_processes:
        events = "no events" if point.times_ms is None else f"{len(point.times_ms)} events of weight {point.weight:g}"
        name = f"{point.name}, " if point.name else ""
        yield f"  {stimulus.name}: {name}{point.mechanism} at {point.site}, {events}"


def import_bluepyopt(folder: Path, out: Path, morphology: Path | None, mechanisms: Path | None) -> Sequence[str]:
    """Write the fit file of a BluePyOpt model; gives notes on what was not translated.

    Raises
    ------
    InputError
        When a JSON file is missing or malformed.
    StorageError
        When `out` cannot be written.
    """
    from hpcfit.biophys.bluepyopt import import_model

    text, notes = import_model(folder, out.resolve().parent, morphology, mechanisms)
    write_text(out, text)
    return notes


@contextmanager
def _followed(
    place: Path, header: Header, generations: int, note: str
) -> Iterator[tuple[Ledger, run_folder.StatusWriter]]:
    """The ledger of a run, and the status that says at the end how it went, results included."""
    with run_folder.opened(place, header) as ledger:
        journal = run_folder.StatusWriter(place, ledger, generations, note)
        try:
            yield ledger, journal
        except BaseException as error:
            journal.ended("stopped", "interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
            raise
        journal.ended("finished", journal.reason)


def _generations(
    journal: run_folder.StatusWriter,
    ledger: Ledger,
    problem: Problem,
    evaluate: Evaluator | Scored,
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
        events = timeline.taken()
        if file is not None:
            file.append(events)
        journal.generation(generation, standing)
        if on_generation:
            on_generation(generation, standing)

    reason = run_generations(course, evaluate, ledger, ends, after, timeline)
    ledger.merge()
    return reason


def _say(note: str, say: Callable[[str], Any] | None) -> None:
    """A line that must not go unseen: to whoever asked for it, else as a warning."""
    if note and say:
        say(note)
    elif note:
        warnings.warn(note, stacklevel=3)


@contextmanager
def _naming(fit: str | Path | FitSettings) -> Iterator[None]:
    """What is wrong in a fit file names it, also when that shows only as its parts are read and built."""
    try:
        yield
    except (ConfigError, InputError) as error:
        if isinstance(fit, FitSettings) or str(error).startswith(os.sep):  # names a file already
            raise
        raise type(error)(f"{fit}: {error}") from None
