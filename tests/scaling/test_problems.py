"""Is a fit with fewer or more stimuli and score functions the file's, cut short or with what is said to be added?"""

from pathlib import Path

import numpy as np
import pytest

from hpcfit import jobs
from hpcfit.biophys.problem import Problem
from hpcfit.errors import ConfigError
from hpcfit.jobs.scaling.design import Point
from hpcfit.jobs.scaling.problems import sized, with_scores, with_stimuli

DEMO = Path(__file__).resolve().parents[2] / "data" / "l5pc" / "fit.toml"


@pytest.fixture(scope="module")
def demo() -> Problem:
    return jobs.load(DEMO)


def terms_of(problem: Problem) -> dict[str, tuple[float, float, float]]:
    return {term.name: (term.mean, term.sd, term.weight) for term in problem.targets.terms}


@pytest.mark.parametrize("count", [1, 5, 8])
def test_fewer_stimuli_are_the_first(demo, count):
    found = sized(demo, Point(1, 64, stimuli=count))
    problem = Problem.of(found.settings)
    assert problem.scored_stimuli == demo.scored_stimuli[:count]
    assert (found.stimuli, found.note, found.scores) == (count, "", len(problem.targets.terms))
    own = {name: term for name, term in terms_of(demo).items() if name.split(".")[0] in problem.scored_stimuli}
    assert terms_of(problem) == own
    assert found.settings.strategy.offspring == 64 and found.settings.engine.workers == 1


def test_more_stimuli_are_copies_with_their_targets(demo):
    found = sized(demo, Point(1, 256, stimuli=18))
    problem = Problem.of(found.settings)
    names = demo.scored_stimuli
    copies = [f"{name}.copy1" for name in names] + [f"{name}.copy2" for name in names[:2]]
    assert problem.scored_stimuli == (*names, *copies)
    assert found.note == "stimuli 9 to 18 are copies of the file's 8"
    own = terms_of(demo)
    for term in problem.targets.terms:
        name = f"{term.stimulus.partition('.')[0]}.{term.site}.{term.feature}"
        assert own[name] == (term.mean, term.sd, term.weight)


def test_copies_are_simulated_like_the_stimulus_they_copy(tiny):
    problem = jobs.load(tiny(('name = "step"\n', 'name = "step"\nholding_nA = 0.01\n')))
    settings = with_stimuli(problem.settings, problem.scored_stimuli, 3)
    wider = Problem.of(settings)
    assert [stimulus.name for stimulus in wider.stimuli] == ["step", "step.copy1", "step.copy2"]
    parameters = problem.space.random(2, seed=1)
    found = jobs.simulate(wider.cell, parameters, wider.stimuli)
    assert np.array_equal(found.trace(1, "step"), found.trace(1, "step.copy2"))
    assert np.ptp(found.trace(1, "step")) > 1


def test_names_of_stimuli_go_along(tiny):
    two = (
        "[targets.step.statistics.soma]",
        '[[stimuli]]\nname = "other"\nduration_ms = 50\n[targets.other.statistics.soma]\nvoltage_base = [-66, 1]\n'
        "[weighting]\nbudget = { step = 2, other = 3 }\n[targets.step.statistics.soma]",
    )
    tables = '[[scores]]\nstimuli = ["other"]\nfeatures = ["voltage_base"]\n[[scores]]\nstimuli = ["step"]\n'
    named = ('[[scores]]\nfeatures = ["Spikecount"', f'{tables}features = ["Spikecount"')
    problem = jobs.load(tiny(two, named))
    assert problem.scored_stimuli == ("step", "other")
    one = sized(problem, Point(1, 8, stimuli=1)).settings
    assert [score.stimuli for score in one.scores] == [("step",)] and one.weighting.budget == {"step": 2}
    three = sized(problem, Point(1, 8, stimuli=3)).settings
    assert [score.stimuli for score in three.scores] == [("other",), ("step", "step.copy1")]
    assert three.weighting.budget == {"step": 2, "step.copy1": 2, "other": 3}


@pytest.mark.parametrize("count", [1, 8, 20, 0.5, 1.0])
def test_score_functions_are_dealt_to_all_stimuli(demo, count):
    whole = terms_of(demo)
    count = count if isinstance(count, int) else round(count * len(whole))
    found = sized(demo, Point(1, 256, scores=count))
    problem = Problem.of(found.settings)
    kept = terms_of(problem)
    assert len(kept) == found.scores == count and found.note == ""
    assert kept == {name: whole[name] for name in kept}
    assert found.stimuli == min(count, 8)


def test_more_score_functions_are_other_features_of_the_recordings(demo):
    own = terms_of(demo)
    found = sized(demo, Point(1, 256, scores=len(own) + 9))
    wider = terms_of(Problem.of(found.settings))
    assert len(wider) == len(own) + 9 and wider.items() >= own.items()
    assert "further features of the recordings" in found.note


def test_there_are_no_more_than_recordings_give(demo, tiny):
    with pytest.raises(ConfigError, match=r"--scores asks for 100000 score functions; the file has \d+, and with"):
        with_scores(demo, 100_000)
    given = jobs.load(tiny())
    with pytest.raises(ConfigError, match=r"asks for 4 score functions; the file has 3, .* there are 3; give"):
        with_scores(given, 4)
