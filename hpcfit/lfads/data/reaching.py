"""Simulated reaches to targets, as motor cortex and hand might show them: a recording in the layout of MC_Maze.

Delayed reaches: a target appears, a go cue follows, the hand starts to move after a reaction time and follows a minimum
jerk path (Flash & Hogan 1985), straight or curved.  Latent states: preparation for the target; a rotation that begins
with the movement (Churchland et al. 2012); velocity and speed of the hand 0.1 s later.  Logarithms of rates are linear
in them, spikes are Poisson.
"""

from dataclasses import dataclass

import numpy as np

from hpcfit.lfads.data.recording import Recording, Signal
from hpcfit.lfads.data.settings import ReachingSettings

_DISTANCE_MM = 100.0
_BOW_MM = 40.0
_LEAD_MS = 100
_AFTER_ONSET_MS = 850


@dataclass(frozen=True)
class _Trial:
    """Moments in ms from the trial's start, and what the hand does."""

    target_on: int
    go: int
    onset: int
    end: int
    angle: float
    bow: float
    reach_mm: float
    duration_ms: float


def reaching(settings: ReachingSettings) -> Recording:
    """The recording: units with held-out ones, trials with their split, hand_pos (mm) and hand_vel (mm/s) at 1 kHz.

    As in MC_Maze only the trials were recorded, not the time between them.  True rates go along.
    """
    rng = np.random.default_rng(settings.seed)
    kinds = [(target, version) for target in range(settings.targets) for version in range(settings.versions)]
    order = rng.permutation(np.repeat(np.arange(len(kinds)), settings.trials_per_condition))
    weights = rng.standard_normal((8, settings.units)) * np.asarray([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.6, 0.4])[:, None]
    base = np.log(settings.base_rate_Hz) + 0.5 * rng.standard_normal(settings.units)
    table: dict[str, list[float | str | bool]] = {name: [] for name in _COLUMNS}
    pieces: dict[str, list[np.ndarray]] = {"times": [], "pos": [], "vel": [], "rates": []}
    now = 0
    for kind in order:
        target, version = kinds[kind]
        trial = _drawn(rng, 2 * np.pi * target / settings.targets, (0.0, _BOW_MM, -_BOW_MM)[version])
        hand = _hand(trial)
        velocity = np.gradient(hand, 1e-3, axis=0)
        latents = _latents(trial, velocity)
        pieces["times"].append(now + np.arange(trial.end))
        pieces["pos"].append(hand[: trial.end])
        pieces["vel"].append(velocity[: trial.end])
        pieces["rates"].append(np.exp(np.minimum(base + latents @ weights, np.log(200.0))).astype(np.float32))
        marks = (0, trial.end, trial.end, trial.target_on, trial.go, trial.onset)
        for name, mark in zip(_COLUMNS, marks, strict=False):
            table[name].append(1e-3 * (now + mark))
        table["trial_type"].append(target)
        table["trial_version"].append(version)
        now += trial.end + int(rng.integers(100, 301))
    number = len(order)
    validate = rng.permutation(number)[: max(round(settings.validation_part * number), 1)]
    split = np.full(number, "train", object)
    split[validate] = "val"
    joined = {name: np.concatenate(parts) for name, parts in pieces.items()}
    times_s = joined["times"] / 1000.0
    columns = {name: np.asarray(values) for name, values in table.items()}
    held_out = np.zeros(settings.units, bool)
    held_out[rng.permutation(settings.units)[: max(round(settings.held_out * settings.units), 1)]] = True
    return Recording(
        "reaching",
        _spikes(rng, joined["times"], joined["rates"]),
        tuple(str(unit) for unit in range(settings.units)),
        held_out,
        0.0,
        float(columns["stop_time"][-1]),
        np.stack([columns["start_time"], columns["stop_time"]], 1),
        {**columns, "split": split, "success": np.ones(number, bool)},
        {"hand_pos": Signal(times_s, joined["pos"]), "hand_vel": Signal(times_s, joined["vel"])},
        Signal(times_s, joined["rates"]),
    )


_COLUMNS = (
    "start_time",
    "stop_time",
    "end_time",
    "target_on_time",
    "go_cue_time",
    "move_onset_time",
    "trial_type",
    "trial_version",
)


def _drawn(rng: np.random.Generator, angle: float, bow: float) -> _Trial:
    target_on = 250
    go = target_on + int(rng.integers(400, 701))
    onset = go + max(int(250 + 40 * rng.standard_normal()), 150)
    duration = 400.0 * np.exp(0.1 * rng.standard_normal())
    reach = _DISTANCE_MM + 5.0 * rng.standard_normal()
    return _Trial(target_on, go, onset, onset + _AFTER_ONSET_MS, angle, bow, reach, duration)


def _hand(trial: _Trial) -> np.ndarray:
    """(ms, 2) positions, mm, to _LEAD_MS after the trial's end."""
    since = (np.arange(trial.end + _LEAD_MS) - trial.onset) / trial.duration_ms
    along = np.clip(since, 0.0, 1.0)
    part = along**3 * (10.0 - 15.0 * along + 6.0 * along**2)
    ahead = np.asarray([np.cos(trial.angle), np.sin(trial.angle)])
    aside = np.asarray([-ahead[1], ahead[0]])
    bow = trial.bow * (4.0 * part * (1.0 - part)) ** 2
    return trial.reach_mm * part[:, None] * ahead + bow[:, None] * aside


def _latents(trial: _Trial, velocity: np.ndarray) -> np.ndarray:
    """(ms, 8): preparation (2) and the path's bow (1), rotation (2), velocity (2) and speed (1) of the hand to come."""
    ms = np.arange(trial.end)
    ready = _step(ms - trial.target_on - 100, 30.0) * (1.0 - _step(ms - trial.onset + 50, 30.0))
    direction = np.asarray([np.cos(trial.angle), np.sin(trial.angle)])
    envelope = np.exp(-0.5 * ((ms - trial.onset - 50) / 120.0) ** 2)
    phase = trial.angle + 2 * np.pi * 2.0 * 1e-3 * (ms - trial.onset)
    coming = velocity[_LEAD_MS : _LEAD_MS + trial.end] / 400.0
    return np.column_stack(
        [
            ready[:, None] * direction,
            ready * trial.bow / _BOW_MM,
            envelope * np.cos(phase),
            envelope * np.sin(phase),
            coming,
            np.linalg.norm(coming, axis=1),
        ]
    )


def _step(ms: np.ndarray, width: float) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(ms / width, -50.0, 50.0)))


def _spikes(rng: np.random.Generator, times_ms: np.ndarray, rates_Hz: np.ndarray) -> tuple[np.ndarray, ...]:
    """Times of Poisson spikes, s, of each unit; rates_Hz: (ms, units)."""
    found = []
    for unit in range(rates_Hz.shape[1]):
        counts = rng.poisson(1e-3 * rates_Hz[:, unit])
        at = np.repeat(times_ms, counts) + rng.random(int(counts.sum()))
        found.append(1e-3 * np.sort(at))
    return tuple(found)
