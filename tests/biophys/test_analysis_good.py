"""Good individuals, their correlations and their front: against brute force and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hpcfit.biophys.analysis.good import good_individuals, spearman
from hpcfit.biophys.analysis.pareto import front, group_errors, term_columns, term_errors, term_summary
from hpcfit.errors import InputError
from hpcfit.population.ledger import Generation


def generation(number: int, scores: list[float], places: list[float]) -> Generation:
    """Individuals at places of a one-dimensional cube; ids count on from 100 * number."""
    n = len(scores)
    vectors = np.array(places, dtype=float)[:, None]
    arrays = {
        "ids": np.arange(n) + 100 * number,
        "scores": np.array(scores, dtype=float),
        "vectors": vectors,
        "parameters": 10 * vectors,
        "features": np.column_stack([vectors, vectors**2]),
        "contributions": np.array(scores, dtype=float)[:, None],
    }
    return Generation(number, arrays)


RUN = [
    generation(0, [9.0, 3.0, np.nan, 4.0], [0.9, 0.3, 0.0, 0.4]),
    generation(1, [2.0, 3.0, 3.1, np.inf], [0.2, 0.3, 0.31, 1.0]),
]


def test_good_are_the_distinct_ones_near_the_best_score():
    good = good_individuals(RUN, within=1.5)
    # 3.0 is 1.5 times the best; its copy in generation 1 is the same place.
    assert good.ids.tolist() == [100, 1] and good.scores.tolist() == [2.0, 3.0]
    assert good.generations.tolist() == [1, 0]
    assert good.vectors.tolist() == [[0.2], [0.3]] and good.parameters.tolist() == [[2.0], [3.0]]
    assert np.allclose(good.features, [[0.2, 0.04], [0.3, 0.09]])
    assert (good.evaluated, good.alike, good.cut) == (8, 1, 0)
    assert "2 good individuals of 8 evaluated" in good.text and "1.5 times" in good.text


def test_good_are_cut_at_most_and_infinite_scores_never_count():
    good = good_individuals(RUN, within=100, most=3)
    assert good.ids.tolist() == [100, 1, 102] and good.cut == 2
    everybody = good_individuals(RUN, within=float("inf"))
    assert everybody.scores.tolist() == [2.0, 3.0, 3.1, 4.0, 9.0] and everybody.ids.tolist() == [100, 1, 102, 3, 0]
    assert np.allclose(everybody.features[:, 0], [0.2, 0.3, 0.31, 0.4, 0.9])
    perfect = [generation(0, [0.0, 1.0, 0.0], [0.1, 0.2, 0.3])]
    assert good_individuals(perfect).ids.tolist() == [0, 2]
    assert good_individuals(perfect, within=float("inf")).ids.tolist() == [0, 2, 1]
    assert "the 3 best of 5 such" in good.text


@pytest.mark.parametrize(
    ("generations", "options", "says"),
    [
        (RUN, {"within": 0.9}, "within = 0.9"),
        (RUN, {"within": float("nan")}, "within = nan"),
        (RUN, {"most": 0}, "at most 0"),
        ([generation(0, [np.nan, np.inf], [0, 1])], {}, "no individual of the run has a score"),
    ],
)
def test_no_good_individuals_is_one_clear_error(generations, options, says):
    with pytest.raises(InputError, match=says):
        good_individuals(generations, **options)


def test_spearman_is_scipys_also_with_ties():
    rng = np.random.default_rng(1)
    values = np.round(rng.random((40, 5)), 1)
    assert len(np.unique(values[:, 0])) < 40
    assert np.allclose(spearman(values), spearmanr(values).statistic, atol=1e-12)
    monotone = np.column_stack([values[:, 0], np.exp(values[:, 0]), -(values[:, 0] ** 3)])
    assert np.allclose(spearman(monotone), [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])


def test_a_parameter_that_does_not_vary_has_no_correlation():
    found = spearman(np.column_stack([np.arange(5.0), np.ones(5)]))
    assert found[0, 0] == pytest.approx(1) and np.isnan(found[0, 1]) and np.isnan(found[1, 1])
    with pytest.raises(InputError, match="2 good individuals cannot be correlated"):
        spearman(np.ones((2, 3)))


def dominated(errors: np.ndarray) -> list[bool]:
    """By the definition, pair by pair."""
    return [any((one <= row).all() and (one < row).any() for one in errors) for row in errors]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 10**6))
def test_front_is_what_nobody_dominates(n, groups, seed):
    errors = np.random.default_rng(seed).integers(0, 5, (n, groups)).astype(float)
    assert front(errors).tolist() == np.flatnonzero(~np.array(dominated(errors))).tolist()


def test_groups_of_terms_add_up_to_the_score():
    terms = {
        "stimulus": np.array(["low", "high", "low", "high"]),
        "site": np.array(["soma"] * 4),
        "feature": np.array(["AP_amplitude", "AP_amplitude", "Spikecount", "voltage_base"]),
    }
    parts = np.random.default_rng(0).random((6, 4))
    for by, names in (
        ("stimuli", ["low", "high"]),
        ("families", ["spike shape", "spike event", "subthreshold"]),
        (
            "terms",
            ["low.soma.AP_amplitude", "high.soma.AP_amplitude", "low.soma.Spikecount", "high.soma.voltage_base"],
        ),
    ):
        columns = term_columns(terms, by)
        assert list(columns) == names
        assert np.allclose(group_errors(parts, list(columns.values())).sum(axis=1), parts.sum(axis=1))
    assert np.allclose(
        group_errors(parts, list(term_columns(terms, "stimuli").values()))[:, 0], parts[:, 0] + parts[:, 2]
    )


def test_term_summary_counts_undefined_and_finds_the_nearest():
    terms = {"mean": np.array([1.0, 0.0, 5.0]), "sd": np.array([2.0, 1.0, 1.0])}
    features = np.array([[5.0, np.nan, np.nan], [-1.0, 3.0, np.nan], [2.0, -4.0, np.nan]])
    errors = term_errors(features, terms)
    assert errors[:, 0].tolist() == [2.0, -1.0, 0.5]
    found = term_summary(errors)
    assert found["least_abs_error_sd"][:2].tolist() == [0.5, 3.0] and np.isnan(found["least_abs_error_sd"][2])
    assert found["median_error_sd"][:2].tolist() == [0.5, -0.5] and np.isnan(found["median_error_sd"][2])
    assert found["undefined_in"].tolist() == [0, 1, 3]
