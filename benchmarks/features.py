"""How many times faster than eFEL are features read, and how near is that to reading the traces once?

    envs/local python benchmarks/features.py [--quick] [--spikes N] [--features all]

1,000 traces of 3 s at 0.1 ms with the twenty default features, or all that need no current, on one core: our kernel on
all of them and eFEL called once with a batch of the same traces (`get_feature_values`, all features in one call: its
best case).  Rounds of ours, eFEL and a plain read of the same memory alternate; the least CPU time of each counts.
Before that, values are compared trace by trace.  IPFX: features_ipfx.py.
"""

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable

import numpy as np

from hpcfit.biophys.default_features import DEFAULT_FEATURES
from hpcfit.biophys.extract import extract, feature_names
from hpcfit.biophys.features import extract as by_backend
from hpcfit.biophys.settings import FeatureSettings

WINDOW_MS = (700.0, 2700.0)
DT_MS, DURATION_MS = 0.1, 3000.0
GOAL = 300


def main() -> None:
    """Compare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 traces, 5 of them by eFEL, two rounds")
    parser.add_argument("--spikes", type=int, default=20, help="in each trace")
    parser.add_argument("--features", choices=("default", "all"), default="default", help="which of them")
    arguments = parser.parse_args()
    traces, by_efel, rounds = (200, 5, 2) if arguments.quick else (1000, 20, 5)
    v_mV = responses(traces, arguments.spikes)
    single = v_mV.astype(np.float32)
    names = DEFAULT_FEATURES
    if arguments.features == "all":
        names = tuple(name for name in feature_names() if not name.startswith("ohmic_input_resistance"))
    compared = agree(v_mV[:by_efel], names)
    runs: dict[str, Callable[[], object]] = {
        "ours_float64": lambda: extract(v_mV, DT_MS, WINDOW_MS, names, threads=1),
        "ours_float32": lambda: extract(single, DT_MS, WINDOW_MS, names, threads=1),
        "read_float64": lambda: float(v_mV.max()),
        "read_float32": lambda: float(single.max()),
        "efel": lambda: efel_batch(v_mV[:by_efel], names),
    }
    for run in runs.values():
        run()  # compiles, fills caches
    counts = {name: by_efel if name == "efel" else traces for name in runs}
    us = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.thread_time()
            run()
            us[name] = min(us[name], 1e6 * (time.thread_time() - begun) / counts[name])
    report(us, compared, arguments.spikes, traces, len(names))


def report(us: dict[str, float], compared: int, spikes: int, traces: int, features: int) -> None:
    """A table, and one JSON object in the last line."""
    size = DURATION_MS / DT_MS
    for name, each in us.items():
        width = 4 if name.endswith("32") else 8
        print(f"{name:14} {each:10.1f} us a trace {size * width / each / 1e3:8.2f} GB/s")
    figures = {
        "claim": f"{features} features of 3 s at 0.1 ms, one core: eFEL's time / ours (float64)",
        "ratio": round(us["efel"] / us["ours_float64"], 1),
        "goal": GOAL,
        "ratio_float32": round(us["efel"] / us["ours_float32"], 1),
        "times_reading": round(us["ours_float64"] / us["read_float64"], 2),
        "us_per_trace": {name: round(each, 2) for name, each in us.items()},
        "compared": compared,
        "spikes": spikes,
        "traces": traces,
        "machine": platform.machine(),
        "cores_used": 1,
    }
    print(json.dumps(figures))


def responses(count: int, spikes: int) -> np.ndarray:
    """Step responses with spikes and a little noise: (count, time)."""
    rng, t_ms = np.random.default_rng(1), np.arange(round(DURATION_MS / DT_MS)) * DT_MS
    inside = (t_ms >= WINDOW_MS[0]) & (t_ms < WINDOW_MS[1])
    base_mV = -75 + 15 * inside * (1 - np.exp(-(t_ms - WINDOW_MS[0]) / 10))
    shape_ms = np.arange(-3, 60, DT_MS)
    late_ms = np.maximum(shape_ms - 1, 0)
    spike_mV = 95 * np.exp(-((shape_ms / 0.6) ** 2)) - 9 * (np.exp(-late_ms / 15) - np.exp(-late_ms / 2))
    v_mV = np.tile(base_mV, (count, 1)) + rng.normal(0, 0.02, (count, len(t_ms)))
    for row in v_mV:
        for at_ms in np.linspace(720, 2600, spikes) + rng.uniform(-10, 10, spikes):
            begin = round((at_ms - 3) / DT_MS)
            row[begin : begin + len(spike_mV)] += spike_mV
    return v_mV


def agree(v_mV: np.ndarray, names: tuple[str, ...]) -> int:
    """How many features of these traces are the same to 1e-6; raises when one is not."""
    ours, theirs = (
        by_backend(v_mV, DT_MS, WINDOW_MS, names, FeatureSettings(backend=backend)) for backend in ("hpcfit", "efel")
    )
    if not np.allclose(ours, theirs, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise SystemExit("our features differ from eFEL's: nothing is measured")
    return ours.size


def efel_batch(v_mV: np.ndarray, names: tuple[str, ...]) -> object:
    """All features of all traces in one call of eFEL."""
    import efel

    t_ms = np.arange(v_mV.shape[1]) * DT_MS
    shared = {"T": t_ms, "stim_start": [WINDOW_MS[0]], "stim_end": [WINDOW_MS[1]]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return efel.get_feature_values([{**shared, "V": row} for row in v_mV], list(names))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
