"""How do the sets of the Neural Latents Benchmark become trials?  Pei et al. 2021; rules of nlb_tools' make_tensors.

Only names and numbers: a recording in one of these layouts is cut by the same code as any other.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """What the benchmark does with one of its sets; seconds.

    Attributes
    ----------
    align, window_s
        A trial's bins are those that begin in this window about the time in this column of the trial table.
    signals, lag_s
        Behaviour that is decoded, and how much later (negative: earlier) than the spikes its window lies.
    columns
        Columns of the trial table that take the place of a signal.
    conditions
        Columns whose values make a condition.
    jitter
        Whether training windows are moved later at random, by at most 0.3 s and no further than 1.5 s less the
        produced interval (column tp, ms), so that dynamics are not locked to the window's end.
    forward_s
        How long after a window spikes are to be predicted.
    """

    align: str
    window_s: tuple[float, float]
    signals: tuple[str, ...] = ()
    lag_s: float = 0.0
    columns: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    jitter: str = "none"
    forward_s: float = 0.2


def _maze(lag_s: float) -> Layout:
    return Layout("move_onset_time", (-0.25, 0.45), ("hand_vel",), lag_s, (), ("trial_type", "trial_version"))


_RSG = ("is_eye", "theta", "is_short", "ts")

LAYOUTS = {
    "mc_maze": _maze(0.1),
    "mc_maze_large": _maze(0.12),
    "mc_maze_medium": _maze(0.12),
    "mc_maze_small": _maze(0.12),
    "mc_rtt": Layout("start_time", (0.0, 0.6), ("finger_vel",), 0.14),
    "area2_bump": Layout(
        "move_onset_time", (-0.1, 0.5), ("hand_vel",), -0.02, ("ctr_hold_bump",), ("cond_dir", "ctr_hold_bump")
    ),
    "dmfc_rsg": Layout("go_time", (-1.5, 0.0), (), 0.0, (*_RSG, "tp", "is_outlier"), _RSG, jitter="nlb"),
}
"""By the name of the set."""
