"""A fit as a population problem: vectors of the unit cube in, scores and everything worth keeping out.

F(x) = sum over stimuli and score functions of weight * |feature(x) - mean| / sd (Ladd et al. 2021).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import Engine, Responses, Status, portions
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.scores import FeatureService, contributions, feature_service
from hpcfit.biophys.settings import FitSettings
from hpcfit.biophys.space import Space
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.biophys.streamed import readings_on_the_way, refuse_divergence, streamed_features
from hpcfit.biophys.targets import Targets, build_targets, resolve_rheobase
from hpcfit.population.executor import Executor, Fate, Task
from hpcfit.population.loop import Evaluation

SCORER = "features"
_BLOCK = 8


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


class Evaluator:
    """Evaluates vectors: simulate every stimulus, read features, score."""

    def __init__(self, problem: Problem, engine: Engine, executor: Executor, stored: bool = False) -> None:
        """stored: keep traces until they are scored, also where features could be read while simulating."""
        self.problem = problem
        self._engine = engine
        self._executor = executor
        threads = problem.settings.engine.workers
        self._here = replace(problem.feature_factory()(), threads=threads)
        self._readings = None if stored else readings_on_the_way(self._here, problem.scored_stimuli, engine)

    def __call__(self, vectors: np.ndarray) -> Evaluation:
        """vectors: (n, parameters) in the unit cube."""
        problem, begun = self.problem, time.monotonic()
        parameters = problem.space.physical(vectors)
        features, statuses, unread, simulating_s = self._simulated(parameters)
        columns = [problem.scored_stimuli.index(term.stimulus) for term in problem.targets.terms]
        status = statuses[:, columns]
        parts, undefined = contributions(features, status, problem.targets.terms, problem.settings.penalties)
        arrays = {
            "parameters": parameters,
            "features": features,
            "contributions": parts,
            "statuses": statuses,
        }
        timings = {"simulate": simulating_s, "score": time.monotonic() - begun - simulating_s}
        tally = {"evaluations": len(vectors), "undefined_features": int(undefined.sum()), "unread_traces": unread}
        tally |= {status.name.lower(): int(np.sum(statuses == status)) for status in Status if status}
        return Evaluation(parts.sum(axis=1), arrays, tally, timings)

    def _simulated(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, float]:
        """Features (individuals, score functions), statuses (individuals, stimuli), how many traces could not be read,
        and the seconds that simulation took; in as many portions as have responses that fit into memory.

        Raises
        ------
        EngineError
            When one individual's do not fit, or every simulation diverges.
        """
        if self._readings is not None:
            found = streamed_features(self._engine, parameters, self.problem.targets, self._here, self._readings)
            return found.values, found.status, 0, found.simulating_s
        stimuli, simulating_s, unread = self.problem.scored_stimuli, 0.0, 0
        features, statuses, reasons = [], [], []
        for rows in portions(self._engine, len(parameters), stimuli):
            begun = time.monotonic()
            responses = self._engine.simulate(parameters[rows], stimuli)
            simulating_s += time.monotonic() - begun
            values, missed = self.features(responses)
            unread += missed
            features.append(values)
            statuses.append(responses.status)
            reasons.extend(responses.reasons.values())
            del responses  # its memory is the next portion's
        status = np.concatenate(statuses)
        refuse_divergence(status, reasons, self._engine)
        return np.concatenate(features), status, unread, simulating_s

    def features(self, responses: Responses) -> tuple[np.ndarray, int]:
        """(individuals, score functions), NaN where undefined or the simulation failed; and how many traces of good
        simulations could not be read because the feature extractor itself failed on their block.
        """
        terms = self.problem.targets.terms
        values = np.full((len(responses.status), len(terms)), np.nan)
        if self._here.all_ours:
            return self._features_here(responses, values), 0
        blocks, unread = self._blocks(responses), 0
        outcomes = self._executor.map([task for _, _, task in blocks])
        for (rows, stimulus, _), outcome in zip(blocks, outcomes, strict=True):
            if outcome.fate is not Fate.DONE:
                good = responses.status[rows, responses.stimuli.index(stimulus)] == Status.OK
                unread += int(np.sum(good))
                continue
            values[rows, self.problem.targets.columns(stimulus)] = outcome.value
        return values, unread

    def _features_here(self, responses: Responses, values: np.ndarray) -> np.ndarray:
        """Fills values (individuals, score functions) in this process, whose threads share the responses."""
        for number, stimulus in enumerate(responses.stimuli):
            status = responses.status[:, number]
            if np.any(status == Status.OK):
                found = self._here.features(stimulus, responses.v_mV[number], responses.sites, responses.dt_ms, status)
                values[:, self.problem.targets.columns(stimulus)] = found
        return values

    def _blocks(self, responses: Responses) -> Sequence[tuple[slice, str, Task]]:
        """What workers read features of: views of the responses, which are copied only as they are sent."""
        blocks = []
        for number, stimulus in enumerate(responses.stimuli):
            for start in range(0, len(responses.status), _BLOCK):
                rows = slice(start, start + _BLOCK)
                v_mV, status = responses.v_mV[number][rows], responses.status[rows, number]
                if np.any(status == Status.OK):
                    arguments = (stimulus, v_mV, responses.sites, responses.dt_ms, status)
                    blocks.append((rows, stimulus, Task(SCORER, "features", arguments)))
        return blocks
