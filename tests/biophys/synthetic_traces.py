"""Traces that make feature extraction hard: noise, silence, bursts, blocks, ties, ends in the wrong place."""

from __future__ import annotations

import numpy as np


def synthetic(rng: np.random.Generator, kind: str, count: int, dt_ms: float, window_ms) -> np.ndarray:
    """One trace of a kind: (count,)."""
    t_ms = np.arange(count) * dt_ms
    start_ms, end_ms = window_ms
    inside = (t_ms >= start_ms) & (t_ms < end_ms)
    v_mV = -70 + rng.normal(0, 3) + np.zeros(count)
    if kind == "constant":
        return v_mV
    if kind == "noise":
        return v_mV + rng.normal(0, rng.choice([0.1, 5, 30]), count)
    if kind == "walk":
        return v_mV + np.cumsum(rng.normal(0, rng.choice([0.1, 2]), count))
    if kind == "hump":  # spikes with an afterdepolarisation
        for at in np.arange(start_ms + 5, end_ms - 25, 30.0):
            for height, after, broad in ((90, 0, 0.5), (-5, 2, 0.8), (rng.uniform(1, 3), 4, 1), (-5, 14, 4)):
                v_mV = v_mV + height * np.exp(-(((t_ms - at - after) / broad) ** 2))
        return v_mV + rng.normal(0, 0.01, count)
    if kind == "zap":  # a cell that resonates, under chirp_nA
        response = np.exp(-t_ms / 20) * np.cos(2 * np.pi * rng.uniform(0.01, 0.04) * t_ms) * rng.uniform(2, 20)
        v_mV = v_mV + np.convolve(chirp_nA(count, dt_ms), response)[:count] * dt_ms
        return v_mV + rng.normal(0, rng.choice([0, 0.01]), count)
    if kind == "block":
        plateau = inside * (rng.uniform(35, 70) * (1 - np.exp(-np.maximum(t_ms - start_ms, 0) / rng.uniform(1, 10))))
        return spiky(rng, v_mV + plateau, t_ms, start_ms, start_ms + 30, 3) + rng.normal(0, 0.05, count)
    since_ms, after_ms = np.maximum(t_ms - start_ms, 0), np.maximum(t_ms - end_ms, 0)
    step = rng.uniform(-25, 20) if kind != "sag" else rng.uniform(-30, -3)
    tau_ms = rng.uniform(2, 30)
    v_mV = v_mV + step * ((1 - np.exp(-since_ms / tau_ms)) - (1 - np.exp(-after_ms / tau_ms)) * (after_ms > 0))
    v_mV = v_mV - inside * step * 0.3 * (1 - np.exp(-since_ms / 40)) * (kind in ("sag", "spikes"))
    if kind in ("spikes", "quantised", "outside"):
        begin, end = (0.0, t_ms[-1]) if kind == "outside" else (start_ms, end_ms)
        v_mV = spiky(rng, v_mV, t_ms, begin, end, int(rng.integers(1, 15)))
    if kind == "bursts":
        for at in np.arange(start_ms + 10, end_ms - 30, rng.uniform(40, 120)):
            v_mV = spiky(rng, v_mV, t_ms, at, at + 25, int(rng.integers(1, 5)))
    v_mV = v_mV + rng.normal(0, rng.choice([0, 0.01, 0.3]), count)
    return np.round(v_mV * 32) / 32 if kind == "quantised" else v_mV


def chirp_nA(count: int, dt_ms: float) -> np.ndarray:
    """A current whose frequency rises by 1 Hz each ms, and a holding current: (count,)."""
    t_ms = np.arange(count) * dt_ms
    return 0.02 + 0.1 * np.sin(np.pi * t_ms**2 * 1e-3)


def spiky(rng, v_mV, t_ms, begin_ms, end_ms, spikes):
    """The trace with spikes, each with an afterhyperpolarisation, some of them broad or low."""
    for at in np.sort(rng.uniform(begin_ms, end_ms, spikes)):
        height, broad = rng.uniform(35, 110), rng.uniform(0.2, 1.5)
        v_mV = v_mV + height * np.exp(-(((t_ms - at) / broad) ** 2))
        late = np.maximum(t_ms - at - 2 * broad, 0)
        v_mV = v_mV - rng.uniform(0, 12) * (np.exp(-late / rng.uniform(3, 20)) - np.exp(-late / 1.0)) * (late > 0)
    return v_mV


MORE_KINDS = ("hump", "zap")
"""They show what hardly any other does: an afterdepolarisation, and the response to a current of all frequencies."""
KINDS = ("constant", "noise", "walk", "block", "sag", "spikes", "quantised", "outside", "bursts", "silent")
