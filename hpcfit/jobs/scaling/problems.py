"""What does a fit look like with another population, another number of stimuli or of score functions?

Fewer: the first of the file.  More stimuli than the file has: copies of its stimuli, with their targets, which are
simulated like any other.  More score functions than the file has: further features that its recordings define; not
copies, which would cost nothing, because a feature is read once however many score functions look at it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from hpcfit.biophys.extract.names import FUNCTIONS
from hpcfit.biophys.features import feature_names
from hpcfit.biophys.problem import Problem
from hpcfit.biophys.score_settings import ScoreSettings
from hpcfit.biophys.settings import FitSettings
from hpcfit.biophys.terms import Term
from hpcfit.errors import ConfigError
from hpcfit.jobs.scaling.design import Point
from hpcfit.jobs.study import resized


@dataclass(frozen=True)
class Sized:
    """A fit of one size: its settings, how many stimuli and score functions it has, what was added to the file's."""

    settings: FitSettings
    stimuli: int
    scores: int
    note: str = ""


def sized(problem: Problem, point: Point, workers: int = 1) -> Sized:
    """The fit of a point.  problem: of the file.  workers: threads or processes that simulate, of each rank.

    Raises
    ------
    ConfigError
        When the strategy cannot have that population, or the file has too few score functions and recordings.
    """
    settings, notes = problem.settings, []
    names = problem.scored_stimuli
    if point.stimuli and point.stimuli != len(names):
        settings = with_stimuli(settings, names, point.stimuli)
        if point.stimuli > len(names):
            notes.append(f"stimuli {len(names) + 1} to {point.stimuli} are copies of the file's {len(names)}")
    if point.scores:
        here = problem if settings is problem.settings else Problem.of(settings)
        settings = with_scores(here, point.scores)
        own = len(here.targets.terms)
        if point.scores > own:
            notes.append(f"score functions {own + 1} to {point.scores} are further features of the recordings")
    changes = {
        "strategy": resized(settings.strategy, point.population),
        "engine": settings.engine.model_copy(update={"workers": workers}),
    }
    settings = settings.model_copy(update=changes)
    found = problem if not (point.stimuli or point.scores) else Problem.of(settings)
    return Sized(settings, len(found.scored_stimuli), len(found.targets.terms), "; ".join(notes))


def with_stimuli(settings: FitSettings, scored: Sequence[str], count: int) -> FitSettings:
    """The fit with the first `count` of the stimuli named in `scored`, and copies of them where that is more."""
    copies = {name: [name, *_copies(name, place, len(scored), count)] for place, name in enumerate(scored[:count])}
    by_name = {stimulus.name: stimulus for stimulus in settings.stimuli}
    turns = range(max(map(len, copies.values())))
    kept = [(name, own[turn]) for turn in turns for name, own in copies.items() if turn < len(own)]
    scores = []
    for score in settings.scores:
        stimuli = tuple(copy for name in score.stimuli for copy in copies.get(name, ()))
        if stimuli or not score.stimuli:
            scores.append(score.model_copy(update={"stimuli": stimuli}))
    budget = settings.weighting.budget
    if isinstance(budget, dict):
        budget = {copy: budget[name] for name in budget for copy in copies.get(name, ())} or None
    changes = {
        "stimuli": tuple(by_name[name].model_copy(update={"name": copy}) for name, copy in kept),
        "targets": {copy: settings.targets[name] for name, copy in kept},
        "scores": tuple(scores),
        "weighting": settings.weighting.model_copy(update={"budget": budget}),
    }
    return settings.model_copy(update=changes)


def with_scores(problem: Problem, count: int) -> FitSettings:
    """The fit with `count` score functions, dealt to its stimuli in turn: each has one before any has two.

    A stimulus that gets none is left out.

    Raises
    ------
    ConfigError
        When the file and its recordings do not give as many.
    """
    names = problem.scored_stimuli
    dealt = _in_turn(problem.targets.terms, names)
    own = len(dealt)
    if count > own:
        dealt += _in_turn(_further(problem), names)
    if count > len(dealt):
        raise ConfigError(
            f"--scores asks for {count} score functions; the file has {own}, and with the features of its recordings "
            f"there are {len(dealt)}; give at most {len(dealt)}"
        )
    dealt = dealt[:count]
    scores = _tables(problem.settings, dealt)
    left = [name for name in names if any(term.stimulus == name for term in dealt)]
    return with_stimuli(problem.settings, left, len(left)).model_copy(update={"scores": scores})


def _in_turn(terms: Sequence[Term], names: Sequence[str]) -> list[Term]:
    """The first of each stimulus, then the second of each that has one ..."""
    queues = [[term for term in terms if term.stimulus == name] for name in names]
    return [term for row in zip_longest(*queues) for term in row if term is not None]


def _tables(settings: FitSettings, terms: Sequence[Term]) -> tuple[ScoreSettings, ...]:
    """[[scores]] that make these terms: for each stimulus, one table for each of the file's that has any of them."""
    found: dict[tuple[str, int], list[str]] = {}
    for term in terms:
        found.setdefault((term.stimulus, _table_of(settings, term)), []).append(term.feature)
    tables = []
    for (stimulus, place), features in found.items():
        base = settings.scores[place] if place >= 0 else ScoreSettings()
        update: dict[str, object] = {"stimuli": (stimulus,)}
        if base.trace is None:
            weights = {name: weight for name, weight in base.weights.items() if name in features}
            update |= {"features": tuple(features), "weights": weights}
        if place < 0:
            update["site"] = settings.targets[stimulus].site
        tables.append(base.model_copy(update=update))
    return tuple(tables)


def _table_of(settings: FitSettings, term: Term) -> int:
    """Which of the file's tables makes a term; -1 when none does."""
    for place, score in enumerate(settings.scores):
        names = (score.trace_name,) if score.trace is not None else score.names
        if term.site == score.site and term.feature in names and (not score.stimuli or term.stimulus in score.stimuli):
            return place
    return -1


def _further(problem: Problem) -> list[Term]:
    """A score function for every other feature that the recordings of a stimulus define."""
    settings, terms = problem.settings, problem.targets.terms
    ours = settings.features.backend == "hpcfit"  # not eFEL's beside ours: a sweep is of one extractor
    names = [name for name in feature_names() if name in FUNCTIONS or not ours]
    tables = []
    for name in problem.scored_stimuli:
        target = settings.targets[name]
        if target.recordings is None:
            continue
        known = {term.feature for term in terms if (term.stimulus, term.site) == (name, target.site)}
        dropped = {one[2] for one in problem.targets.dropped if one[:2] == (name, target.site)}
        features = tuple(feature for feature in names if feature not in known | dropped)
        tables.append(ScoreSettings(stimuli=(name,), site=target.site, features=features))
    if not tables:
        return []
    own = {term.name for term in terms}
    wider = settings.model_copy(update={"scores": (*settings.scores, *tables)})
    return [term for term in Problem.of(wider).targets.terms if term.name not in own]


def _copies(name: str, place: int, own: int, count: int) -> list[str]:
    """Names of the copies of the stimulus at `place` of `own`: numbers own, own + 1, ... go round."""
    return [f"{name}.copy{turn}" for turn in range(1, count // own + 1) if place + turn * own < count]
