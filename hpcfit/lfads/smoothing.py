"""Gaussian smoothing of counts along time, with edges that do not fall off."""

import numpy as np
from scipy.ndimage import gaussian_filter1d


def smoothed(counts: np.ndarray, sd_bins: float, lengths: np.ndarray | None = None) -> np.ndarray:
    """Weighted means over time of counts (trials, time, neurons), float32; weights outside a trial do not count.

    sd_bins: standard deviation of the kernel, cut at 4; 0: as they are.  lengths: (trials,) bins that are there.
    """
    counts = np.asarray(counts, np.float32)
    if not sd_bins:
        return counts
    steps = counts.shape[1]
    if lengths is None:
        weight = gaussian_filter1d(np.ones(steps, np.float32), sd_bins, mode="constant")[None, :, None]
    else:
        there = (np.arange(steps)[None] < np.asarray(lengths)[:, None]).astype(np.float32)
        counts = counts * there[..., None]
        weight = np.maximum(gaussian_filter1d(there, sd_bins, axis=1, mode="constant"), 1e-6)[..., None]
    return gaussian_filter1d(counts, sd_bins, axis=1, mode="constant") / weight
