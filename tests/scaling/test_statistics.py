"""Do medians, intervals and tests say what their definitions say, by other ways of computing it?"""

import math

import numpy as np
import pytest
from scipy.stats import binom

from hpcfit.jobs.scaling.statistics import LEAST, Sample, differences, interval_ranks, kruskal_wallis, line


@pytest.mark.parametrize("n", [*range(LEAST, 200), 1000, 5001])
def test_an_interval_holds_the_median_with_95_percent(n):
    # Of n values, as many as a fair coin shows heads lie below the median: [x_low, x_high] misses it when fewer than
    # low, or at least high of them do.
    low, high = interval_ranks(n)
    assert 1 <= low < high <= n
    assert binom.cdf(high - 1, n, 0.5) - binom.cdf(low - 1, n, 0.5) >= 0.95
    # Of Hoefler and Belli's formula, where it stays within the sample.
    spread = 1.96 * math.sqrt(n)
    if n >= 10:
        assert (low, high) == (math.floor((n - spread) / 2), math.ceil(1 + (n + spread) / 2))


def test_five_times_are_too_few():
    assert binom.cdf(4, 5, 0.5) - binom.cdf(0, 5, 0.5) < 0.95
    assert Sample.of([1.0, 2.0, 3.0, 4.0, 5.0]).as_json()["low"] is None
    assert Sample.of([1.0, 2.0, 3.0, 4.0, 5.0]).relative == math.inf


def test_intervals_hold_the_median_of_a_skewed_distribution():
    draws = np.random.default_rng(3).lognormal(size=(4000, 15))  # its median is 1
    held = [found.low <= 1.0 <= found.high for found in map(Sample.of, draws)]
    assert 0.95 <= np.mean(held) <= 0.995


def test_a_sample_in_few_numbers():
    found = Sample.of([3.0, 1.0, 2.0, 4.0, 5.0, 6.0, 100.0])
    assert (found.n, found.median, found.least, found.greatest, found.outliers) == (7, 4.0, 1.0, 100.0, 1)
    assert (found.low, found.high) == (1.0, 100.0)
    assert found.relative == 24.0
    assert Sample.of([]).n == 0 and math.isnan(Sample.of([]).median)


def test_kruskal_wallis_by_hand():
    groups = [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0], [11.0, 12.0, 13.0, 14.0, 15.0]]
    ranks = sum(sum(group) ** 2 / 5 for group in groups)  # the values are their ranks
    h = 12 / (15 * 16) * ranks - 3 * 16
    assert kruskal_wallis(groups) == pytest.approx(math.exp(-h / 2))  # chi-squared with two degrees of freedom
    assert kruskal_wallis([[1.0] * 6, [1.0] * 7]) == 1.0
    assert kruskal_wallis([[1.0, 2.0, 3.0, 4.0], [5.0] * 9]) is None and kruskal_wallis(groups[:1]) is None


def test_neighbours_are_told_apart_only_where_intervals_are():
    low, same, high = ([base + 0.01 * step for step in range(9)] for base in (1.0, 1.02, 2.0))
    apart = differences([low, same, high])
    assert [one.apart for one in apart] == [False, True]
    assert apart[1].ratio == pytest.approx(2.04 / 1.06)
    assert not differences([low, [9.0, 9.1]])[0].apart  # no interval, no difference


def test_a_line_and_how_much_it_explains():
    found = line([500, 1000, 5000], [1.5, 2.5, 10.5])
    assert found is not None
    assert (found.constant, found.slope, found.r2) == (pytest.approx(0.5), pytest.approx(0.002), pytest.approx(1.0))
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 5.0])
    scattered = line(list(x), list(y))
    assert scattered is not None and scattered.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert line([1, 2], [1, 2]) is None and line([2, 2, 2], [1, 2, 3]) is None
