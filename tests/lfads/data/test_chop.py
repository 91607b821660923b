"""Is merging the inverse of chopping, whatever the overlap?  Are segments of different blocks apart?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from hpcfit.errors import InputError
from hpcfit.lfads.data.chop import chop, cut, merge, stretches


@given(
    observed=some.lists(some.booleans(), min_size=30, max_size=150),
    window=some.integers(2, 12),
    overlap=some.integers(0, 11),
    block=some.integers(1, 4),
    weights=some.sampled_from(["quadratic", "linear"]),
)
def test_merging_undoes_chopping_and_blocks_share_no_bin(observed, window, overlap, block, weights):
    overlap = min(overlap, window - 1)
    mask = np.asarray(observed)
    mask[:window] = True
    values = np.random.default_rng(len(observed)).standard_normal((len(mask), 2))
    found = cut(mask, window, overlap, block)
    segments = chop(values, found.starts, window)
    merged = merge(segments, found.starts, len(mask), weights)
    covered = ~np.isnan(merged[:, 0])
    np.testing.assert_allclose(merged[covered], values[covered], rtol=0, atol=1e-12)
    assert not (covered & ~mask).any(), "a segment reaches into what was not recorded"
    assert found.unused == (mask & ~covered).sum()
    for begin, end in stretches(mask):  # what is left lies at a run's end, and no segment fits into it
        left = (~covered[begin:end]).sum()
        assert left < window and covered[begin : end - left].all()
    owner = np.full(len(mask), -1)
    for start, number in zip(found.starts, found.blocks, strict=True):
        here = owner[start : start + window]
        assert set(here) <= {-1, number}
        here[:] = number
    assert np.bincount(found.blocks).max() <= block


@given(seed=some.integers(0, 1000), window=some.integers(4, 12), weights=some.sampled_from(["quadratic", "linear"]))
def test_the_order_of_segments_does_not_matter(seed, window, weights):
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.integers(0, 30, 6))
    starts = np.unique(starts)
    segments = rng.standard_normal((len(starts), window, 3))
    order = rng.permutation(len(starts))
    again = merge(segments[order], starts[order], weights=weights)
    np.testing.assert_allclose(again, merge(segments, starts, weights=weights), rtol=0, atol=1e-12, equal_nan=True)


def test_the_papers_weights():
    segments = np.stack([np.zeros(10), np.ones(10)])[..., None]
    merged = merge(segments, np.asarray([0, 5]))[:, 0]
    x = np.linspace(0.2, 0.8, 5)
    np.testing.assert_allclose(merged, np.concatenate([np.zeros(5), x**2, np.ones(5)]), rtol=1e-12)
    linear = merge(segments, np.asarray([0, 5]), weights="linear")[:, 0]
    np.testing.assert_allclose(linear[5:10], x, rtol=1e-12)


def test_what_a_segment_does_not_know_is_taken_from_its_neighbour():
    segments = np.stack([np.zeros(6), np.ones(6)])[..., None]
    segments[0, 4:] = np.nan
    merged = merge(segments, np.asarray([0, 3]), bins=11)[:, 0]
    np.testing.assert_array_equal(merged[[4, 5, 6]], 1.0)
    assert np.isnan(merged[9:]).all()


def test_errors_say_what_to_do():
    with pytest.raises(InputError, match=r"longest uninterrupted run of the recording has 4 bins, a segment 5; short"):
        cut(np.asarray([True] * 4 + [False] + [True] * 3), 5, 0, 1)
    with pytest.raises(ValueError, match="do not fit into 8 bins"):
        merge(np.zeros((2, 5, 1)), np.asarray([0, 4]), bins=8)
    with pytest.raises(ValueError, match="starts has shape"):
        merge(np.zeros((2, 5, 1)), np.asarray([0]))
