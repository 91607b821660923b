"""Where in a recorded sweep is the current step?

The step is found in the recorded current, which is noisy, rings at its edges and carries an artefact of every spike.  A
running median takes out whatever is shorter than half its width and leaves edges where they are (Tukey 1977); what
remains is cut into plateaus.
"""

import math
from dataclasses import dataclass

import numpy as np

from hpcfit.biophys.sweep import Sweep

_BIN_MS = 0.25
"""Current is binned to this (by medians) before filtering: edges are refined on the samples afterwards."""
_FILTERS_MS = (10.0, 1.0)
"""Width of the median filter; the short one is for pulses of a few ms, which the long one takes for artefacts."""
_NOISE_FACTOR = 3.0
"""A change of level is a step when it exceeds this times the sd of the unfiltered noise (15 sd of the filtered)."""
_RELATIVE_TOLERANCE = 0.05
"""... and this times the range of the filtered current."""
_EDGE_MS = 6.0
"""A step takes no longer than this to rise, the 2 ms included over which change is measured."""
_FLATNESS = 0.1
"""A plateau whose level wanders by more than this times its height is no step (a ramp, a sine)."""


@dataclass(frozen=True)
class Step:
    """The main step of a current: amplitude_nA is relative to holding_nA, the level at the start of the sweep."""

    start_ms: float
    end_ms: float
    amplitude_nA: float
    holding_nA: float


@dataclass(frozen=True)
class _Plateau:
    first: int
    """First bin."""
    end: int
    """One past the last bin."""
    level: float


def step_of(sweep: Sweep) -> Step | None:
    """The main current step of a sweep; None when no current was stored or no flat step stands out of its noise.

    Of several pulses the main one is that with the largest charge; of a step that rides on a longer one (sAHP) it is
    the upper.  A step must start after the sweep does: before it, the current is at holding.
    """
    if sweep.i_nA is None:
        return None
    for width_ms in _FILTERS_MS:
        step = _find(np.asarray(sweep.i_nA, dtype=float), sweep.dt_ms, width_ms)
        if step is not None:
            return step
    return None


def _find(i_nA: np.ndarray, dt_ms: float, width_ms: float) -> Step | None:
    size = max(1, round(_BIN_MS / dt_ms))
    bins = len(i_nA) // size
    bin_ms = size * dt_ms
    width = 2 * math.ceil(width_ms / bin_ms / 2) + 1
    if bins < 2 * width or not np.all(np.isfinite(i_nA)):
        return None
    binned = np.median(i_nA[: bins * size].reshape(bins, size), axis=1)
    smooth = _running_median(binned, width)
    tolerance = _tolerance(i_nA, smooth)
    plateaus = _plateaus(smooth, tolerance, gap=max(1, round(2.0 / bin_ms)))
    # What the filter leaves of a pulse shorter than half its width is no plateau.
    main = _main(plateaus, tolerance, shortest=width // 2, fastest=math.ceil(_EDGE_MS / bin_ms))
    if main is None:
        return None
    holding, plateau = plateaus[0].level, plateaus[main]
    height = plateau.level - holding
    inside = smooth[plateau.first : plateau.end]
    if np.ptp(np.percentile(inside, [2.5, 97.5])) > max(2 * tolerance, _FLATNESS * abs(height)):
        return None
    slack = max(3, math.ceil(3.0 / dt_ms))
    start = _edge(i_nA, size * plateau.first, plateaus[main - 1].level, plateau.level, slack)
    end = len(i_nA)
    if main + 1 < len(plateaus):
        end = _edge(i_nA, size * plateau.end, plateau.level, plateaus[main + 1].level, slack)
    return Step(start * dt_ms, end * dt_ms, height, holding) if end > start else None


def _running_median(values: np.ndarray, width: int) -> np.ndarray:
    from scipy.ndimage import median_filter

    return median_filter(values, size=width, mode="nearest")


def _tolerance(i_nA: np.ndarray, smooth: np.ndarray) -> float:
    """Smallest change of level that counts as a step, nA."""
    # Differences of neighbours do not see the steps; their median absolute deviation does not see artefacts.
    differences = np.diff(i_nA)
    noise = 1.4826 * float(np.median(np.abs(differences - np.median(differences)))) / math.sqrt(2.0)
    return max(_NOISE_FACTOR * noise, _RELATIVE_TOLERANCE * float(np.ptp(smooth)), 1e-6)


def _plateaus(smooth: np.ndarray, tolerance: float, gap: int) -> list[_Plateau]:
    """Stretches without a fast change, neighbours of equal level merged."""
    moving = np.zeros(len(smooth), dtype=bool)
    moving[gap // 2 : gap // 2 + len(smooth) - gap] = np.abs(smooth[gap:] - smooth[:-gap]) > tolerance
    edges = np.flatnonzero(np.diff(np.concatenate(([True], moving, [True])).astype(np.int8)))
    plateaus: list[_Plateau] = []
    for first, end in edges.reshape(-1, 2).tolist():
        level = float(np.median(smooth[first:end]))
        if plateaus and abs(plateaus[-1].level - level) <= tolerance:
            last = plateaus.pop()
            first, level = last.first, float(np.median(smooth[last.first : end]))
        plateaus.append(_Plateau(first, end, level))
    return plateaus


def _main(plateaus: list[_Plateau], tolerance: float, shortest: int, fastest: int) -> int | None:
    """Index of the plateau that carries most charge among those farther from holding than both neighbours.

    It lasts at least `shortest` bins and is reached within `fastest`: the turn of a slow sine is flat, too.
    """
    heights = [plateau.level - plateaus[0].level for plateau in plateaus] + [0.0]
    found: list[tuple[float, int]] = []
    for index, plateau in enumerate(plateaus[1:], start=1):
        height, before, after = heights[index], heights[index - 1], heights[index + 1]
        sign = math.copysign(1.0, height)
        bins = plateau.end - plateau.first
        sudden = plateau.first - plateaus[index - 1].end <= fastest
        if sudden and bins >= shortest and abs(height) > tolerance and abs(height) > max(sign * before, sign * after):
            found.append((abs(height) * bins, index))
    return max(found)[1] if found else None


def _edge(i_nA: np.ndarray, near: int, before: float, after: float, slack: int) -> int:
    """The sample at which the current goes from one level to the other, within `slack` samples of `near`.

    The split with the fewest samples on the wrong side of the middle: neither noise nor a spike's artefact moves it.
    """
    first, last = max(0, near - slack), min(len(i_nA), near + slack)
    high = (i_nA[first:last] - (before + after) / 2) * math.copysign(1.0, after - before) > 0
    wrong = np.concatenate(([0], np.cumsum(high))) + np.concatenate((np.cumsum(~high[::-1])[::-1], [0]))
    return first + int(np.argmin(wrong))
