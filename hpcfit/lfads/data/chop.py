"""Cutting a continuous recording into overlapping segments, and merging what a model makes of them.

Keshtkaran, Sedler et al. 2022 (K22), Methods: over the bins that two segments share, the earlier one counts with
1 - x^2 and the later one with x^2, x going from 0 to 1: a model knows more about the end of a segment than about its
beginning, where it has seen little.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hpcfit.errors import InputError

Weights = Literal["quadratic", "linear"]


@dataclass(frozen=True)
class Cut:
    """Segments of a recording.

    Attributes
    ----------
    starts
        (segments,) the bin that each begins with, rising.
    blocks
        (segments,) which block each belongs to; segments of different blocks share no bin.
    unused
        How many watched bins are in no segment: fewer than a segment's, at the end of a run.
    """

    starts: np.ndarray
    blocks: np.ndarray
    unused: int


def cut(observed: np.ndarray, window: int, overlap: int, block: int) -> Cut:
    """Segments of `window` bins that share `overlap` with the next, in blocks of `block` segments.

    observed: (bins,) bool; a segment has only such bins.  Every run of them is cut into blocks that adjoin; inside a
    block segments overlap.  What is left at a run's end makes a block of fewer segments.

    Raises
    ------
    InputError
        When no run is as long as a segment.
    """
    step = window - overlap
    length = window + (block - 1) * step
    starts: list[int] = []
    blocks: list[int] = []
    number = 0
    runs = stretches(observed)
    for begin, end in runs:
        while end - begin >= window:
            here = range(begin, min(begin + length, end) - window + 1, step)
            starts += here
            blocks += [number] * len(here)
            number += 1
            begin = here[-1] + window
    if not starts:
        longest = max((end - begin for begin, end in runs), default=0)
        raise InputError(
            f"the longest uninterrupted run of the recording has {longest} bins, a segment {window}; shorten "
            "data.chop.window_s"
        )
    covered = np.zeros(len(observed), bool)
    for start in starts:
        covered[start : start + window] = True
    return Cut(np.asarray(starts), np.asarray(blocks), int(observed.sum() - covered.sum()))


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """Runs of true entries: first, and one past the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def chop(values: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """Segments (segments, window, ...) of values (bins, ...)."""
    return values[np.asarray(starts)[:, None] + np.arange(window)]


def merge(
    segments: np.ndarray, starts: np.ndarray, bins: int | None = None, weights: Weights = "quadratic"
) -> np.ndarray:
    """One array (bins, ...) of overlapping segments (segments, window, ...); NaN where there is none.

    Where segments are cut from one array this is the inverse of `chop`.  Any overlap will do, also one that differs
    from segment to segment; where more than two share a bin, their weights are made to add up to 1.  A segment may end
    early: its bins with NaN do not count.

    Raises
    ------
    ValueError
        When starts are not one for each segment, or segments reach beyond `bins`.
    """
    starts = np.asarray(starts)
    number, window = segments.shape[:2]
    if starts.shape != (number,):
        raise ValueError(f"starts has shape {starts.shape} for {number} segments; give the first bin of each")
    total = int(starts.max(initial=-window)) + window if bins is None else bins
    if number and (starts.min() < 0 or starts.max() + window > total):
        raise ValueError(f"segments from {starts.min()} to {starts.max() + window} do not fit into {total} bins")
    order = np.argsort(starts, kind="stable")
    shared = np.clip(window - np.diff(starts[order]), 0, window)
    tail = segments.shape[2:]
    merged = np.zeros((total, *tail))
    weight = np.zeros(total)
    for position, segment in enumerate(order):
        before = shared[position - 1] if position else 0
        after = shared[position] if position < number - 1 else 0
        count = _rise(before, window, weights) * _fall(after, window, weights)
        values = np.asarray(segments[segment], float)
        there = ~np.isnan(values).reshape(window, -1).all(1)
        where = slice(starts[segment], starts[segment] + window)
        count = np.where(there, count, 0.0)
        weight[where] += count
        merged[where] += np.where(there.reshape(-1, *[1] * len(tail)), values, 0.0) * count.reshape(
            -1, *[1] * len(tail)
        )
    known = weight > 0
    merged[known] /= weight[known].reshape(-1, *[1] * len(tail))
    merged[~known] = np.nan
    return merged


def _ramp(overlap: int, weights: Weights) -> np.ndarray:
    """How the later segment's weight rises over the overlap; never 0 or 1, so that no bin is without weight."""
    x = np.linspace(1.0 / overlap, 1.0 - 1.0 / overlap, overlap) if overlap > 1 else np.full(overlap, 0.5)
    return x**2 if weights == "quadratic" else x


def _rise(overlap: int, window: int, weights: Weights) -> np.ndarray:
    count = np.ones(window)
    count[:overlap] = _ramp(overlap, weights)
    return count


def _fall(overlap: int, window: int, weights: Weights) -> np.ndarray:
    count = np.ones(window)
    count[window - overlap :] = 1.0 - _ramp(overlap, weights)
    return count
