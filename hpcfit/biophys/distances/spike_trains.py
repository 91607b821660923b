"""When do traces spike, and how far apart are trains of spikes?  Vectorised over traces.

Times of many trains are kept side by side: (traces, most spikes), rows filled up with PAD.
"""

import numpy as np

PAD = 1e300
"""In place of a spike that is not there: so late that exp(-PAD) is nothing, and PAD - PAD is still a number."""


def spike_times(
    v_mV: np.ndarray, dt_ms: float, threshold_mV: float, window_ms: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Upward crossings of the threshold within the window, linear between samples, ms.

    v_mV: (traces, time), sample k at k * dt_ms.  Gives times (traces, most spikes), ascending, and counts (traces,).
    """
    start, end = window_ms
    high = v_mV > threshold_mV
    rows, at = np.nonzero(high[:, 1:] & ~high[:, :-1])
    before, after = v_mV[rows, at].astype(float), v_mV[rows, at + 1].astype(float)
    t_ms = (at + (threshold_mV - before) / (after - before)) * dt_ms
    inside = (t_ms >= start) & (t_ms <= end)
    rows, t_ms = rows[inside], t_ms[inside]
    counts = np.bincount(rows, minlength=len(v_mV))
    times = np.full((len(v_mV), int(counts.max(initial=0))), PAD)
    times[rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)] = t_ms
    return times, counts


def van_rossum(times_ms: np.ndarray, reference_ms: np.ndarray, tau_ms: float) -> np.ndarray:
    """Van Rossum's distance of each train from a reference: (traces,).

    D^2 = 1/tau * integral of (f - g)^2, f and g being the trains with each spike an exp(-(t - t_i) / tau) (van Rossum
    2001, equation 3): a spike too many costs D^2 = 1/2.  With s = +1 for spikes of the one and -1 for those of the
    other train, D^2 = 1/2 sum over i, j of s_i s_j exp(-|t_i - t_j| / tau), which one pass over the merged train sums
    (Houghton & Kreuz 2012).

    times_ms: (traces, spikes), rows filled up with PAD; reference_ms: (spikes,).
    """
    traces, most = times_ms.shape
    merged = np.concatenate([times_ms, np.broadcast_to(reference_ms, (traces, len(reference_ms)))], axis=1)
    sign = np.concatenate([(times_ms < PAD).astype(float), np.full((traces, len(reference_ms)), -1.0)], axis=1)
    order = np.argsort(merged, axis=1, kind="stable")
    merged, sign = np.take_along_axis(merged, order, axis=1).T, np.take_along_axis(sign, order, axis=1).T
    fading = np.exp(-np.diff(merged, axis=0) / tau_ms)
    pairs, left = np.zeros(traces), np.zeros(traces)
    for k in range(1, most + len(reference_ms)):
        left = (left + sign[k - 1]) * fading[k - 1]
        pairs += sign[k] * left
    return np.sqrt(np.maximum(pairs + 0.5 * np.sum(np.abs(sign), axis=0), 0.0))


def victor_purpura(
    times_ms: np.ndarray, counts: np.ndarray, reference_ms: np.ndarray, cost_per_ms: float
) -> np.ndarray:
    """Victor and Purpura's distance D^spike of each train from a reference: (traces,).

    The least cost of turning the one into the other: 1 to add or to remove a spike, cost_per_ms * |shift| to move one
    (Victor & Purpura 1996, equation 1).  A row of their recursion at a time: the step along a row is a running minimum.

    times_ms: (traces, spikes), rows filled up with PAD; counts: (traces,); reference_ms: (spikes,).
    """
    traces, most = times_ms.shape
    columns = np.arange(len(reference_ms) + 1.0)
    costs = np.broadcast_to(columns, (traces, len(columns)))
    for k in range(most):
        moved = costs[:, :-1] + cost_per_ms * np.abs(times_ms[:, k : k + 1] - reference_ms)
        row = np.concatenate([np.full((traces, 1), k + 1.0), np.minimum(moved, costs[:, 1:] + 1)], axis=1)
        row = np.minimum.accumulate(row - columns, axis=1) + columns
        costs = np.where(counts[:, None] > k, row, costs)
    return costs[:, -1].copy()
