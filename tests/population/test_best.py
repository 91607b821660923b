"""Is the best member the one with the lowest score there is?"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hpcfit.population.best import best_member
from hpcfit.population.ledger import Generation


def generation(number: int, scores) -> Generation:
    """Ids of 10 and more for each generation, vectors that tell generation and row."""
    scores = np.asarray(scores, dtype=float)
    vectors = np.stack([np.full(len(scores), number), np.arange(len(scores))], axis=1)
    return Generation(number, {"scores": scores, "ids": 10 * number + np.arange(len(scores)), "vectors": vectors})


def test_the_lowest_score_of_all_generations():
    best = best_member([generation(0, [3, 2, 4]), generation(1, [5, 6, 1]), generation(2, [9, 2, 9])])
    assert best is not None
    assert (best.generation, best.row, best.id, best.score, best.vector.tolist()) == (1, 2, 12, 1.0, [1.0, 2.0])


def test_of_equals_the_oldest():
    best = best_member([generation(0, [3, 2, 2]), generation(1, [2, 2, 3])])
    assert best is not None
    assert (best.generation, best.row) == (0, 1)


def test_members_without_a_score_are_passed_over():
    best = best_member([generation(0, [np.nan, np.inf]), generation(1, [np.nan, -np.inf, 7.0, np.inf])])
    assert best is not None
    assert (best.generation, best.row, best.score) == (1, 2, 7.0)


def test_none_where_none_has_a_score():
    assert best_member([]) is None
    assert best_member([generation(0, [np.nan, np.nan]), generation(1, [np.inf])]) is None


SCORES = hnp.arrays(float, st.integers(1, 6), elements=st.sampled_from([0.0, 1.0, 2.0, np.nan, np.inf, -np.inf]))


@given(st.lists(SCORES, max_size=5))
def test_no_other_member_is_better_and_no_older_one_as_good(scores):
    best = best_member(generation(number, each) for number, each in enumerate(scores))
    flat = [(score, number, row) for number, each in enumerate(scores) for row, score in enumerate(each)]
    finite = sorted(entry for entry in flat if np.isfinite(entry[0]))
    assert (best and (best.score, best.generation, best.row)) == (finite[0] if finite else None)
