"""Does a run stop when its best score no longer improves, and only then, cut or not?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.population.ledger import Generation, Header, Ledger
from hpcfit.population.loop import Evaluation, Standing, run_generations
from hpcfit.settings import RunSettings, StopSettings

pytestmark = pytest.mark.usefixtures("quick_disk")


class Single:
    """One member a generation, and nothing to remember."""

    def offspring(self, last):
        return {"ids": np.array([0 if last is None else last.number + 1]), "vectors": np.zeros((1, 1))}

    def survivors(self, last, offspring, evaluation):
        return {}


def generations(scores, ledger, **stop):
    """How many generations with these scores are run, and the reason in words."""
    left = iter(scores[len(ledger) :])
    ends = RunSettings(generations=len(scores), stop=StopSettings(**stop))
    reason = run_generations(Single(), lambda v: Evaluation(np.array([next(left)])), ledger, ends)
    return len(ledger), reason


@pytest.mark.parametrize(
    ("scores", "percent", "expected"),
    [
        ([10, 9, 8, 7, 6, 5], 1.0, 6),
        ([10, 9, 9, 9, 9, 9], 1.0, 5),  # 10 -> 9, then three generations of nothing
        ([100, 99.9, 99.8, 99.7, 10, 5], 1.0, 4),
        ([100, 99.9, 99.8, 99.7, 10, 5], 0.2, 6),
        ([5, 7, 9, 8, 1, 1], 0.0, 4),  # the best of the run counts, not that of a generation
        ([np.nan, np.nan, np.nan, np.nan, 3, 2], 1.0, 4),
        ([np.nan, np.nan, np.nan, 4, 3, 2], 1.0, 6),
        ([-10, -11, -12, -13, -14, -15], 1.0, 6),
        ([0, 0, 0, 0, 0, 0], 0.0, 4),
    ],
)
def test_it_stops_after_three_generations_without_improvement(scores, percent, expected, tmp_path):
    ledger = Ledger.create(tmp_path, Header({}, {}, {}))
    done, reason = generations(scores, ledger, stagnant_generations=3, improvement_percent=percent)
    assert done == expected
    if done < len(scores):
        assert reason.startswith("the best score fell by only ") and reason.endswith(" % in 3 generations")


@given(st.lists(st.integers(0, 6), min_size=1, max_size=25), st.integers(1, 5), st.sampled_from([0.0, 10.0, 40.0]))
def test_the_improvement_is_that_of_the_running_best(scores, over, percent):
    standing, bests = Standing(), []
    for number, score in enumerate(scores):
        standing = standing.after(Generation(number, {"scores": np.array([float(score)])}))
        bests.append(min([*bests, score]))
        improved = standing.improvement_percent(over) > percent
        if number < over:
            assert improved
        else:
            assert improved == (bests[-1] < bests[-1 - over] * (1 - percent / 100))


def test_a_run_that_stopped_stays_stopped_and_goes_on_when_the_rule_is_relaxed(tmp_path):
    scores = [10, 9, 9, 9, 9, 8, 7, 7]
    ledger = Ledger.create(tmp_path, Header({}, {}, {}))
    assert generations(scores, ledger, stagnant_generations=2)[0] == 4
    assert generations(scores, Ledger.open(tmp_path), stagnant_generations=2)[0] == 4
    assert generations(scores, Ledger.open(tmp_path), stagnant_generations=5)[0] == 8
