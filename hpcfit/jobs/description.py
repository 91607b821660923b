"""What would a fit file fit?  All it names is read and built, nothing is run."""

from collections.abc import Iterator
from pathlib import Path

from hpcfit.biophys.engines.interface import Engine, portions
from hpcfit.biophys.engines.memory import gib, memory_limit
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.problem import Problem
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.biophys.streamed import readings_on_the_way
from hpcfit.biophys.terms import term_line
from hpcfit.biophys.units import units
from hpcfit.jobs.load import load_settings
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.jobs.words import naming
from hpcfit.run.pipeline import SideBySide
from hpcfit.run.processes import Processes


def describe(path: str | Path) -> str:
    """What a fit file would fit, in a few lines; reads and builds all it names.  Raises what `run` would."""
    settings = load_settings(path)
    with naming(path):
        problem = Problem.of(settings)
        factory = simulator_factory(problem.cell, problem.stimuli, settings.engine)
    with naming(path), Processes({SERVICE: factory}, 1) as executor:
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
