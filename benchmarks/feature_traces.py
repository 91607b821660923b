"""Which traces are features compared on?  Model responses, recordings and synthetic ones, in every shape they come in.

Nothing here reads a feature: benchmarks/feature_agreement.py does.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import hpcfit
from hpcfit.biophys.recordings import read_sweeps, step_of

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "biophys"))

from synthetic_traces import KINDS, MORE_KINDS, chirp_nA, synthetic  # noqa: E402  # pyright: ignore[reportMissingImports]

INTERVALS_MS = (0.025, 0.1, 0.05, 0.2, 1 / 20.0, round(1 / 33.3, 3), 1 / 48.0, 0.3, 0.01)
"""Sampling intervals: a simulator's, amplifiers', and some that no grid of 0.1 ms agrees with."""
COUNTS = (1, 2, 3, 4, 16, 65, 300)
"""Samples of traces that are cut short."""
SETTINGS: tuple[dict[str, Any], ...] = (
    {"strict_stiminterval": True},
    {"Threshold": -40.0},
    {"Threshold": 0.0, "DerivativeThreshold": 25.0},
    {"interp_step": 0.05},
    {"interp_step": 0.25, "strict_stiminterval": True},
    {"DerivativeWindow": 2, "DownDerivativeThreshold": -20.0},
    {"ignore_first_ISI": False, "strict_burst_factor": 1.3},
    {"voltage_base_mode": "median", "voltage_base_start_perc": 0.5, "voltage_base_end_perc": 0.9},
    {"rise_start_perc": 0.1, "rise_end_perc": 0.9, "AP_phaseslope_range": 3},
    {"burst_factor": 1.2, "sahp_start": 2.0, "spike_skipf": 0.3, "max_spike_skip": 3},
    {"initburst_freq_threshold": 15, "initburst_sahp_end": 30, "initial_perc": 0.4},
    {"multi_stim_start": (20.0, 60.0), "multi_stim_end": (50.0, 100.0), "depol_block_min_duration": 10.0},
    {"impedance_max_freq": 700.0, "current_base_mode": "median", "current_base_start_perc": 0.3},
)
IPFX_SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"baseline_interval": 0.015, "sag_baseline_interval": 0.01},
    {"baseline_interval": 0.02, "filter": 5.0, "peak_width": 0.002},
    {"baseline_interval": 0.01, "filter": None, "dv_cutoff": 10.0, "thresh_frac": 0.1},
    {"min_peak": -50.0, "min_height": 10.0, "max_interval": 0.001, "baseline_interval": 0.015},
    {"reject_at_stim_start_interval": 0.02, "max_interval": 0.002, "pause_cost": 0.1, "burst_tol": 5.0},
    {"filter": 2.0, "dv_cutoff": 5.0, "min_height": 0.0, "sag_baseline_interval": 0.015},
)
"""By turns, case after case: IPFX's own baseline of 0.1 s is longer than what most of these traces have."""
_DURATION_MS = 160.0
_WINDOWS_MS = ((20.0, 120.0), (20.0, 120.0), (0.0, 160.0), (33.33, 77.77), (20.0, 20.4), (140.0, 400.0), (-9.0, 50.0))
_ROWS = 8


@dataclass(frozen=True)
class Case:
    """Traces that share their times, and the current: v_mV (traces, time); i_nA (time,)."""

    source: str
    v_mV: np.ndarray
    dt_ms: float
    window_ms: tuple[float, float]
    settings: dict[str, Any] = field(default_factory=dict)
    stimulus_nA: float | None = None
    ipfx: dict[str, Any] = field(default_factory=dict)
    i_nA: np.ndarray | None = None


def with_ipfx_settings(cases: Iterator[Case]) -> Iterator[Case]:
    """The cases, each with the next of IPFX_SETTINGS."""
    for number, case in enumerate(cases):
        yield replace(case, ipfx=IPFX_SETTINGS[number % len(IPFX_SETTINGS)])


def model_cases(individuals: int, seed: int) -> Iterator[Case]:
    """The demo's cell at random points of its space, all its stimuli: as simulated, thinned, cut, as float64."""
    problem = hpcfit.load(ROOT / "data" / "l5pc" / "fit.toml")
    rng = np.random.default_rng(seed)
    for begin in range(0, individuals, _ROWS):
        parameters = problem.space.random(_ROWS, seed=seed * 10_000 + begin)
        responses = hpcfit.simulate(problem.cell, parameters, problem.stimuli, problem.settings.engine)
        for number, stimulus in enumerate(problem.stimuli):
            v_mV, dt_ms, window_ms = responses.v_mV[number][:, 0], responses.dt_ms, stimulus.window_ms
            amplitude_nA = float(stimulus.current_nA(np.array([window_ms[0] + 1]))[0])
            thin = int(rng.choice([1, 1, 2, 4, 8]))
            rows = v_mV[:, ::thin]
            if rng.random() < 0.2:
                rows = rows[:, : int(rng.integers(1, rows.shape[1]))]
            rows = rows.astype(float) if rng.random() < 0.5 else np.ascontiguousarray(rows)
            changed = SETTINGS[rng.integers(len(SETTINGS))] if rng.random() < 0.3 else {}
            i_nA = stimulus.current_nA(np.arange(rows.shape[1]) * dt_ms * thin)
            yield Case("model", rows, dt_ms * thin, window_ms, changed, amplitude_nA, i_nA=i_nA)


def real_cases(path: Path | None, part: int, parts: int) -> Iterator[Case]:
    """Every sweep of a file of recordings, with the window of its step, another window, and cut or thinned."""
    rng = np.random.default_rng(part)
    for sweep in read_sweeps(path)[part - 1 :: parts] if path else ():
        step = step_of(sweep)
        window_ms = (step.start_ms, step.end_ms) if step else (0.2 * sweep.duration_ms, 0.8 * sweep.duration_ms)
        amplitude_nA = step.amplitude_nA if step else None
        yield Case("real", sweep.v_mV[None], sweep.dt_ms, window_ms, {}, amplitude_nA, i_nA=sweep.i_nA)
        thin, changed = int(rng.choice([2, 3])), SETTINGS[rng.integers(len(SETTINGS))]
        thinned = sweep.v_mV[None, ::thin].astype(np.float32)
        i_nA = None if sweep.i_nA is None else sweep.i_nA[::thin]
        yield Case("real", thinned, sweep.dt_ms * thin, window_ms, changed, amplitude_nA, i_nA=i_nA)
        edges = np.sort(rng.uniform(0, sweep.duration_ms, 2))
        cut = int(len(sweep.v_mV) * rng.uniform(0.3, 1))
        yield Case("real", sweep.v_mV[None, :cut], sweep.dt_ms, (float(edges[0]), float(edges[1])))


def synthetic_cases(traces: int, seed: int) -> Iterator[Case]:
    """Noise, silence, bursts, blocks and the rest, in all kinds of sampling, windows and settings."""
    rng = np.random.default_rng(seed)
    for number in range(0, traces, _ROWS):
        dt_ms = float(rng.choice(INTERVALS_MS))
        window_ms = _WINDOWS_MS[rng.integers(len(_WINDOWS_MS))]
        short = rng.random() < 0.1
        count = int(rng.choice(COUNTS)) if short else round(_DURATION_MS / dt_ms)
        every = (*KINDS, *MORE_KINDS)
        kinds = [every[(number + row) % len(every)] for row in range(_ROWS)]
        rows = np.array([synthetic(rng, kind, count, dt_ms, window_ms) for kind in kinds])
        if rng.random() < 0.3:
            rows = rows.astype(np.float32)
        changed = SETTINGS[rng.integers(len(SETTINGS))] if rng.random() < 0.5 else {}
        amplitude_nA = None if rng.random() < 0.3 else float(rng.choice([-0.2, 0.3, 0.0]))
        i_nA = None if rng.random() < 0.1 else chirp_nA(count, dt_ms)
        yield Case("synthetic", rows, dt_ms, window_ms, changed, amplitude_nA, i_nA=i_nA)
