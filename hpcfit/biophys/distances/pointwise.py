"""How far are traces from a reference, sample against sample?  L1 and L2 per sample, in weighted windows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """The samples from first up to, not including, last; and how much they count together."""

    first: int
    last: int
    weight: float = 1.0


def pointwise(
    v_mV: np.ndarray, reference_mV: np.ndarray, windows: Sequence[Window], power: int, shift: np.ndarray | None = None
) -> np.ndarray:
    """(traces,) mV: (sum of w * mean |v - reference|^power / sum of w)^(1/power), over windows of weight w.

    NaN where a trace is not finite in a window, or (shifted) has no sample in one.

    Parameters
    ----------
    v_mV
        (traces, time)
    reference_mV
        (time,), NaN where nothing is to be compared.
    power
        1 or 2.
    shift
        (traces,) samples: trace i at k + shift[i], linear between samples, is compared with sample k of the reference.
    """
    total, weights = np.zeros(len(v_mV)), 0.0
    for window in windows:
        last = min(window.last, v_mV.shape[1])
        at = window.first + np.flatnonzero(np.isfinite(reference_mV[window.first : last]))
        weights += window.weight
        total += window.weight * _mean_power(v_mV, reference_mV, at, power, shift)
    mean = np.where(np.isfinite(total), total / weights, np.nan)
    return np.sqrt(mean) if power == 2 else mean


def _mean_power(
    v_mV: np.ndarray, reference_mV: np.ndarray, at: np.ndarray, power: int, shift: np.ndarray | None
) -> np.ndarray:
    """(traces,) mean |v - reference|^power over the samples `at`."""
    if not len(at):
        return np.full(len(v_mV), np.nan)
    reference = reference_mV[at]
    if shift is not None:
        return np.array([_shifted_mean(row, reference, at, power, by) for row, by in zip(v_mV, shift, strict=True)])
    return _mean_of(_at(v_mV, at) - reference, power)


def _shifted_mean(v_mV: np.ndarray, reference_mV: np.ndarray, at: np.ndarray, power: int, shift: float) -> float:
    """The same of one trace, v_mV: (time,), read at at + shift."""
    whole = math.floor(shift)
    part = shift - whole
    beyond = whole + (1 if part else 0)
    inside = slice(np.searchsorted(at, -whole), np.searchsorted(at, len(v_mV) - beyond))
    there = at[inside]
    if not len(there):
        return math.nan
    v = _at(v_mV, there + whole).astype(float)
    if part:
        v += part * (_at(v_mV, there + beyond) - v)
    return float(_mean_of((v - reference_mV[inside])[None, :], power)[0])


def _at(v_mV: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Samples of traces: a slice is a view, a list of samples a copy."""
    neighbours = at[-1] - at[0] + 1 == len(at)
    return v_mV[..., at[0] : at[-1] + 1] if neighbours else v_mV[..., at]


def _mean_of(apart: np.ndarray, power: int) -> np.ndarray:
    if power == 2:
        return np.einsum("ij,ij->i", apart, apart) / apart.shape[1]
    return np.mean(np.abs(apart), axis=1)
