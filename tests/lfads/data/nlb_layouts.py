"""Small recordings in the layouts of the Neural Latents Benchmark, with random contents.

Only `random()` and `integers()` of numpy's generator are drawn, whose streams do not change between versions: what
nlb_tools makes of these files is kept in tests/golden/nlb_arrays.h5.
"""

import numpy as np

from hpcfit.lfads.data.recording import Recording, Signal


def maze() -> Recording:
    """Trials of different length with gaps between them; nothing was recorded in the gaps."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(1300, 1700, 12)
    begin = 0.001 * np.concatenate([[0], np.cumsum(lengths + rng.integers(80, 200, 12))[:-1]])
    end = begin + 0.001 * lengths
    onset = begin + 0.001 * rng.integers(300, 500, 12) + 0.0003
    onset[4] = np.nan
    table = {
        "start_time": begin,
        "stop_time": end,
        "move_onset_time": onset,
        "split": _words(rng, 12, ("train", "val", "none")),
        "trial_type": rng.integers(0, 2, 12),
        "trial_version": rng.integers(0, 2, 12),
    }
    table["split"][4] = "none"  # nlb_tools cannot leave such a trial out of behaviour
    return _recording(rng, "maze", table, np.stack([begin, end], 1), "hand_vel", 8)


def rtt() -> Recording:
    """Continuous, in two stretches; windows that adjoin."""
    rng = np.random.default_rng(2)
    begin = np.concatenate([0.6 * np.arange(8), 7.0 + 0.6 * np.arange(6)])
    table = {"start_time": begin, "stop_time": begin + 0.6, "split": _words(rng, 14, ("train", "val"))}
    return _recording(rng, "rtt", table, np.asarray([[0.0, 5.2], [7.0, 11.0]]), "finger_vel", 6)


def bump() -> Recording:
    """Onsets between the milliseconds; windows that overlap; a lag that looks back."""
    rng = np.random.default_rng(3)
    begin = 0.5 + 0.9 * np.arange(10) + 0.4 * rng.random(10)
    table = {
        "start_time": begin - 0.1,
        "stop_time": begin + 0.7,
        "move_onset_time": begin + 0.05 * rng.random(10),
        "split": _words(rng, 10, ("train", "val")),
        "cond_dir": 90.0 * rng.integers(0, 4, 10),
        "ctr_hold_bump": rng.random(10) < 0.5,
    }
    return _recording(rng, "bump", table, np.asarray([[0.0, 12.0]]), "hand_vel", 5)


def rsg() -> Recording:
    """Windows that end with the go cue, moved at random; behaviour is in the trial table."""
    rng = np.random.default_rng(4)
    begin = 2.0 + 3.0 * np.arange(9)
    produced = 500.0 + 1000.0 * rng.random(9)
    go = begin + 1.7
    go[2] = np.nan
    table = {
        "start_time": begin - 0.2,
        "stop_time": begin + 2.5,
        "set_time": go - 0.8,
        "go_time": go,
        "split": _words(rng, 9, ("train", "val")),
        "is_eye": rng.integers(0, 2, 9),
        "theta": 180.0 * rng.integers(0, 2, 9),
        "is_short": rng.integers(0, 2, 9),
        "ts": 1000.0 + 100.0 * rng.integers(0, 3, 9),
        "tp": produced,
        "is_outlier": np.zeros(9, int),
    }
    return _recording(rng, "rsg", table, np.asarray([[0.0, 30.0]]), None, 6)


LAYOUTS = {"mc_maze": (maze, (0.005, 0.02)), "mc_rtt": (rtt, (0.005, 0.02)), "area2_bump": (bump, (0.005,)),
           "dmfc_rsg": (rsg, (0.005, 0.02))}  # fmt: skip
"""By the benchmark's name: the recording, and the widths of bins that are tried."""


def _words(rng: np.random.Generator, number: int, words: tuple[str, ...]) -> np.ndarray:
    chosen = rng.integers(0, len(words), number)
    chosen[: len(words)] = np.arange(len(words))
    return np.asarray([words[place] for place in chosen], object)


def _recording(
    rng: np.random.Generator,
    name: str,
    table: dict[str, np.ndarray],
    observed: np.ndarray,
    signal: str | None,
    units: int,
) -> Recording:
    stop = float(observed[-1, 1])
    spikes = []
    for unit in range(units):
        times = np.sort(stop * rng.random(int((5 + 5 * unit) * stop)))
        inside = ((times[:, None] >= observed[:, 0]) & (times[:, None] < observed[:, 1])).any(1)
        spikes.append(times[inside])
    signals = {}
    if signal is not None:
        ms = np.arange(round(1000 * stop))
        inside = ((ms[:, None] >= 1000 * observed[:, 0] - 1e-6) & (ms[:, None] < 1000 * observed[:, 1] - 1e-6)).any(1)
        walk = np.cumsum(rng.random((len(ms), 2)) - 0.5, 0)
        signals[signal] = Signal(ms[inside] / 1000.0, walk[inside])
    held_out = np.arange(units) % 3 == 1
    names = tuple(map(str, range(units)))
    return Recording(name, tuple(spikes), names, held_out, 0.0, stop, observed, table, signals)
