"""A fit as a population problem: vectors of the unit cube in, scores and everything worth keeping out.

F(x) = sum over stimuli and score functions of weight * |feature(x) - mean| / sd (Ladd et al. 2021).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import Engine, Responses, Status
from hpcfit.biophys.extract.reading import Reading
from hpcfit.biophys.feature_targets import with_ranges
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.scores import FeatureService, contributions, feature_service
from hpcfit.biophys.settings import FitSettings
from hpcfit.biophys.space import Space
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.biophys.streamed import readings_on_the_way, refuse_divergence, streamed_features
from hpcfit.biophys.targets import Targets, build_targets, resolve_rheobase
from hpcfit.biophys.terms import Term
from hpcfit.biophys.units import BLOCK, Unit, units
from hpcfit.population.executor import Executor, Fate, Task
from hpcfit.population.loop import Evaluation
from hpcfit.population.pipeline import InTurn, Pipeline, Stage
from hpcfit.population.progress import Progress
from hpcfit.population.timeline import Overlap, Timeline

SCORER = "features"


@dataclass(frozen=True)
class Problem:
    """What a fit file describes, ready to be simulated and scored.

    Attributes
    ----------
    settings
        The file, with amplitudes in nA where it had rheobases.
    cell, stimuli
        What `hpcfit.simulate` takes.
    space
        Free parameters and their bounds: `space.random(n)` gives a parameter matrix (n, parameters).
    targets
        Score functions with mean, sd and weight, and the recordings they came from.
    """

    settings: FitSettings
    cell: Cell
    stimuli: tuple[Stimulus, ...]
    space: Space
    targets: Targets

    @classmethod
    def of(cls, settings: FitSettings) -> "Problem":
        """Read what the settings name: recordings, waveforms.

        Raises
        ------
        ConfigError, InputError
            When a file cannot be read, holds too little, or a feature is unknown.
        """
        settings = resolve_rheobase(settings)
        cell = Cell.of(settings)
        stimuli = tuple(build_stimulus(stimulus) for stimulus in settings.stimuli)
        return cls(settings, cell, stimuli, Space.of(cell.free), build_targets(settings))

    @property
    def scored_stimuli(self) -> tuple[str, ...]:
        """The stimuli that score functions look at: only those are simulated in a fit."""
        scored = {term.stimulus for term in self.targets.terms}
        return tuple(stimulus.name for stimulus in self.stimuli if stimulus.name in scored)

    def feature_factory(self) -> Callable[[], FeatureService]:
        """What builds, in worker processes, the service that reads features (under SCORER)."""
        return feature_service(self.settings, self.targets)


@dataclass(frozen=True)
class Measured:
    """What simulating individuals gave, before scores: of no individual does it depend on the others.

    Attributes
    ----------
    features
        (individuals, score functions), NaN where undefined or the simulation failed.
    statuses
        (individuals, stimuli) int8, values of Status.
    reason
        Of the first simulation that failed; "" when none did.
    unread
        Traces of good simulations that the feature extractor itself failed on.
    contributions, undefined
        What `scored` gives, where it is known already.
    """

    features: np.ndarray
    statuses: np.ndarray
    reason: str = ""
    unread: int = 0
    contributions: np.ndarray | None = None
    undefined: int = 0

    def scored(self, problem: Problem, terms: Sequence[Term]) -> "Measured":
        """With what every term adds to the score, (individuals, score functions), and how many features were undefined
        although the simulation went well: of no individual does it depend on the others, once units are known.
        """
        if self.contributions is not None:
            return self
        columns = [problem.scored_stimuli.index(term.stimulus) for term in terms]
        parts, undefined = contributions(self.features, self.statuses[:, columns], terms, problem.settings.penalties)
        return replace(self, contributions=parts, undefined=int(undefined.sum()))


class Scored:
    """Evaluates vectors: what `measure` finds, wherever that is done, is scored here, by generation 0's ranges."""

    def __init__(
        self,
        problem: Problem,
        engine: Engine,
        measure: Callable[[np.ndarray], Measured],
        timeline: Timeline,
        forget: bool = False,
    ) -> None:
        """measure: parameters (n, parameters) -> Measured; engine: for what to advise when all simulations fail;
        timeline: where `measure` says who was busy; forget: nobody else reads it.
        """
        self.problem = problem
        self._engine = engine
        self._measure = measure
        self._timeline = timeline
        self._forget = forget
        terms = problem.targets.terms
        self.terms: tuple[Term, ...] | None = None if any(term.unit == "range" for term in terms) else terms
        """Score functions in the units that count; where some are told in ranges over generation 0, from then on."""

    def go_on(self, first_features: np.ndarray) -> None:
        """Take generation 0 from the ledger of a run that goes on: its features, (individuals, score functions)."""
        self.terms = with_ranges(self.problem.targets.terms, first_features)

    def __call__(self, vectors: np.ndarray) -> Evaluation:
        """vectors: (n, parameters) in the unit cube.  Raises EngineError when every simulation diverges."""
        problem, begun = self.problem, time.monotonic()
        parameters = problem.space.physical(vectors)
        found = self._measure(parameters)
        statuses = found.statuses
        refuse_divergence(statuses, found.reason, self._engine)
        if self.terms is None:
            self.terms = with_ranges(problem.targets.terms, found.features)
        found = found.scored(problem, self.terms)
        assert found.contributions is not None
        arrays = {
            "parameters": parameters,
            "features": found.features,
            "contributions": found.contributions,
            "statuses": statuses,
        }
        # Of the clock: what simulation hid of the scoring took no time.
        sides = Overlap.of(self._timeline.events(begun))
        alone_s = time.monotonic() - begun - sides.simulate_s
        if self._forget:
            self._timeline.taken()
        timings = {"simulate": sides.simulate_s, "score": alone_s, "score_hidden": sides.both_s}
        tally = {"evaluations": len(vectors), "undefined_features": found.undefined}
        tally |= {"unread_traces": found.unread}
        tally |= {status.name.lower(): int(np.sum(statuses == status)) for status in Status if status}
        return Evaluation(found.contributions.sum(axis=1), arrays, tally, timings)


class Evaluator:
    """Evaluates vectors: simulate every stimulus, read features, score."""

    def __init__(
        self,
        problem: Problem,
        engine: Engine,
        executor: Executor,
        pipeline: Pipeline | None = None,
        timeline: Timeline | None = None,
        progress: Progress | None = None,
        stored: bool = False,
    ) -> None:
        """executor: has the worker processes that read features; its own, unless the pipeline takes turns.

        pipeline: how simulation and scoring go on beside each other; default: in turn.  progress: told of simulations.
        stored: keep traces until they are scored, also where features could be read while simulating.
        """
        self.problem = problem
        self._engine = engine
        self._executor = executor
        self._pipeline = pipeline or InTurn()
        self._timeline = timeline or Timeline()
        self._scored = Scored(problem, engine, self.measured, self._timeline, forget=timeline is None)
        self._progress = progress or Progress()
        self._seconds: dict[tuple[str, ...], tuple[float, float]] = {}
        threads = problem.settings.engine.workers
        self._here = replace(problem.feature_factory()(), threads=threads)
        self._readings = None if stored else readings_on_the_way(self._here, problem.scored_stimuli, engine)

    @property
    def terms(self) -> tuple[Term, ...] | None:
        """See Scored.terms."""
        return self._scored.terms

    def go_on(self, first_features: np.ndarray) -> None:
        """See Scored.go_on."""
        self._scored.go_on(first_features)

    def __call__(self, vectors: np.ndarray) -> Evaluation:
        """vectors: (n, parameters) in the unit cube."""
        return self._scored(vectors)

    def measured(self, parameters: np.ndarray) -> Measured:
        """What individuals do, in units of which as many are simulated, wait and are scored as have responses that
        fit into memory.  parameters: (individuals, parameters); any part of a population gives the rows it would give
        in the whole.

        Raises
        ------
        EngineError
            When one individual's do not fit.
        """
        if self._readings is not None:
            return self._streamed(parameters, self._readings)
        stimuli, targets = self.problem.scored_stimuli, self.problem.targets
        stages = (
            Stage("simulator", lambda unit: (unit, self._simulate(parameters, unit)), self._engine.cancel),
            Stage("scorer", lambda pair: self._read(*pair), self._executor.cancel),
        )
        in_flight = self._pipeline.in_flight(len(stages))
        todo = units(self._engine, len(parameters), stimuli, in_flight, self._seconds)
        begun = time.monotonic()
        self._progress.begin(len(parameters) * len(stimuli))
        done = self._pipeline.run(todo, stages)
        self._progress.end()
        self._remember(todo, begun)
        features = np.full((len(parameters), len(targets.terms)), np.nan)
        status = np.zeros((len(parameters), len(stimuli)), dtype=np.int8)
        for unit, (values, ended, _, _) in zip(todo, done, strict=True):
            for number, stimulus in enumerate(unit.stimuli):
                columns = targets.columns(stimulus)
                features[unit.rows, columns] = values[:, columns]
                status[unit.rows, stimuli.index(stimulus)] = ended[:, number]
        reason = next((reason for *_, reason, _ in done if reason), "")
        return Measured(features, status, reason, sum(unread for *_, unread in done))

    def _streamed(self, parameters: np.ndarray, readings: Sequence[Reading]) -> Measured:
        """As `measured`, by an engine that reads features while it simulates: its threads are both stages."""
        stimuli = self.problem.scored_stimuli
        self._progress.begin(len(parameters) * len(stimuli))
        begun = time.monotonic()
        found = streamed_features(self._engine, parameters, self.problem.targets, self._here, readings)
        # The threads' own clocks say how much of their time was reading; it is drawn at the end of theirs.
        simulated, what = begun + found.simulating_s, "+".join(stimuli)
        self._timeline.add("simulator", "simulate", begun, simulated, what)
        self._timeline.add("scorer", "score", simulated, time.monotonic(), what)
        self._progress.end()
        return Measured(found.values, found.status, found.reason)

    def _simulate(self, parameters: np.ndarray, unit: Unit) -> Responses:
        """The first stage."""
        self._progress.part((unit.rows.stop - unit.rows.start) * len(unit.stimuli))
        with self._timeline.doing("simulator", "simulate", unit.text, unit.portion):
            return self._engine.simulate(parameters[unit.rows], unit.stimuli)

    def _read(self, unit: Unit, responses: Responses) -> tuple[np.ndarray, np.ndarray, str, int]:
        """The second stage: features, statuses, the first reason of a failure, how many traces could not be read."""
        with self._timeline.doing("scorer", "score", unit.text, unit.portion):
            values, unread = self.features(responses)
        return values, responses.status, next(iter(responses.reasons.values()), ""), unread

    def _remember(self, todo: Sequence[Unit], begun: float) -> None:
        """How long both stages took for each group of stimuli, on which the order in the next generation depends."""
        took = {unit.stimuli: {"simulator": 0.0, "scorer": 0.0} for unit in todo}
        groups = {unit.text: unit.stimuli for unit in todo}
        for event in self._timeline.events(begun):
            if event.what in groups and event.who in ("simulator", "scorer"):
                took[groups[event.what]][event.who] += event.ended_s - event.began_s
        self._seconds = {group: (one["simulator"], one["scorer"]) for group, one in took.items()}

    def features(self, responses: Responses) -> tuple[np.ndarray, int]:
        """(individuals, score functions), NaN where undefined or the simulation failed; and how many traces of good
        simulations could not be read because the feature extractor itself failed on them.
        """
        terms = self.problem.targets.terms
        values = np.full((len(responses.status), len(terms)), np.nan)
        if self._here.all_ours:
            return self._features_here(responses, values), 0
        failed = self._fill(values, self._blocks(responses))
        # One trace, or one kill from outside, took a block down: each of its traces once more, alone.
        again = [part for block in failed for part in _apart(*block)]
        return values, len(self._fill(values, again))

    def _fill(self, values: np.ndarray, blocks: Sequence["_Block"]) -> list["_Block"]:
        """What workers find goes into values (individuals, score functions); gives the blocks that they failed on."""
        outcomes = self._executor.map([task for *_, task in blocks])
        failed = []
        for block, outcome in zip(blocks, outcomes, strict=True):
            if outcome.fate is not Fate.DONE:
                failed.append(block)
                continue
            rows, stimulus, _ = block
            values[rows, self.problem.targets.columns(stimulus)] = outcome.value
        return failed

    def _features_here(self, responses: Responses, values: np.ndarray) -> np.ndarray:
        """Fills values (individuals, score functions) in this process, whose threads share the responses."""
        for number, stimulus in enumerate(responses.stimuli):
            status = responses.status[:, number]
            if np.any(status == Status.OK):
                found = self._here.features(stimulus, responses.v_mV[number], responses.sites, responses.dt_ms, status)
                values[:, self.problem.targets.columns(stimulus)] = found
        return values

    def _blocks(self, responses: Responses) -> list["_Block"]:
        """What workers read features of: views of the responses, which are copied only as they are sent."""
        blocks = []
        for number, stimulus in enumerate(responses.stimuli):
            for start in range(0, len(responses.status), BLOCK):
                rows = slice(start, min(start + BLOCK, len(responses.status)))
                v_mV, status = responses.v_mV[number][rows], responses.status[rows, number]
                if np.any(status == Status.OK):
                    arguments = (stimulus, v_mV, responses.sites, responses.dt_ms, status)
                    blocks.append((rows, stimulus, Task(SCORER, "features", arguments)))
        return blocks


_Block = tuple[slice, str, Task]
"""Individuals, a stimulus, and the task that reads features of their responses."""


def _apart(rows: slice, stimulus: str, task: Task) -> list[_Block]:
    """The individuals of a block one by one, those whose simulation went well."""
    name, v_mV, sites, dt_ms, status = task.arguments
    return [
        (
            slice(rows.start + row, rows.start + row + 1),
            stimulus,
            replace(task, arguments=(name, v_mV[row : row + 1], sites, dt_ms, status[row : row + 1])),
        )
        for row in np.flatnonzero(status == Status.OK)
    ]
