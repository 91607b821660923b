"""How many times faster than IPFX are its features read?

    envs/local python benchmarks/features_ipfx.py [--quick] [--spikes N]

IPFX has to be installed ('pip install --no-deps ipfx' and pandas).  1,000 traces of 3 s at 0.1 ms, one core: our kernel
on all of them, and IPFX's SpikeFeatureExtractor and SpikeTrainFeatureExtractor on twenty, without its filter, which
cannot be at this sampling.  Ours reads all the features that the two give.  Rounds of each alternate, in processor
time; the least of each counts.  Before that, values are compared trace by trace.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable

import numpy as np
from features import DT_MS, DURATION_MS, GOAL, WINDOW_MS, responses
from ipfx.feature_extractor import (  # pyright: ignore[reportMissingImports]
    SpikeFeatureExtractor,
    SpikeTrainFeatureExtractor,
)

from hpcfit.biophys.extract import extract, feature_names
from hpcfit.biophys.ipfx_backend import lists_by_ipfx

EXTRA = ("n_pauses", "pause_frac", "max_burstiness_index", "num_bursts", "tau", "input_resistance", "peak_deflect")
EXTRA += ("v_baseline", "sag")
NAMES = tuple(name for name in feature_names("ipfx") if name.removeprefix("ipfx:") not in EXTRA)
"""What IPFX's two extractors give when nothing extra is asked for."""


def main() -> None:
    """Compare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 traces, 5 of them by IPFX, two rounds")
    parser.add_argument("--spikes", type=int, default=20, help="in each trace")
    arguments = parser.parse_args()
    traces, by_ipfx, rounds = (200, 5, 2) if arguments.quick else (1000, 20, 5)
    v_mV = responses(traces, arguments.spikes)
    single = v_mV.astype(np.float32)
    compared = agree(v_mV[:by_ipfx])
    runs: dict[str, tuple[int, Callable[[], object]]] = {
        "ours_float64": (traces, lambda: extract(v_mV, DT_MS, WINDOW_MS, NAMES, threads=1)),
        "ours_float32": (traces, lambda: extract(single, DT_MS, WINDOW_MS, NAMES, threads=1)),
        "read_float64": (traces, lambda: float(v_mV.max())),
        "ipfx": (by_ipfx, lambda: ipfx_batch(v_mV[:by_ipfx])),
    }
    us = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, (count, run) in runs.items():
            begun = time.process_time()
            run()
            us[name] = min(us[name], 1e6 * (time.process_time() - begun) / count)
    for name, each in us.items():
        print(f"{name:14} {each:10.1f} us a trace")
    figures = {
        "claim": f"{len(NAMES)} features, {DURATION_MS / 1e3:g} s at {DT_MS} ms, one core: IPFX's time / ours",
        "ratio": round(us["ipfx"] / us["ours_float64"], 1),
        "goal": GOAL,
        "ratio_float32": round(us["ipfx"] / us["ours_float32"], 1),
        "times_reading": round(us["ours_float64"] / us["read_float64"], 2),
        "us_per_trace": {name: round(each, 2) for name, each in us.items()},
        "compared": compared,
        "spikes": arguments.spikes,
        "traces": traces,
        "machine": platform.machine(),
        "cores_used": 1,
    }
    print(json.dumps(figures))


def agree(v_mV: np.ndarray) -> int:
    """How many values of these traces are the same to 1e-6; raises when one is not."""
    table, t_ms, compared = extract(v_mV, DT_MS, WINDOW_MS, NAMES), np.arange(v_mV.shape[1]) * DT_MS, 0
    columns = {name: table.values(name) for name in NAMES}
    for row, trace in enumerate(v_mV):
        theirs = lists_by_ipfx(trace, t_ms, WINDOW_MS, list(NAMES))
        for name, (values, offsets) in columns.items():
            ours, expected = values[offsets[row] : offsets[row + 1]], theirs[name]
            expected = np.empty(0) if expected is None else expected
            if len(ours) != len(expected) or not np.allclose(ours, expected, rtol=1e-6, atol=1e-9):
                raise SystemExit(f"{name} of trace {row} differs from IPFX's: nothing is measured")
            compared += len(ours)
    return compared


def ipfx_batch(v_mV: np.ndarray) -> object:
    """Spike and spike train features of all traces by IPFX."""
    start_s, end_s = WINDOW_MS[0] / 1e3, WINDOW_MS[1] / 1e3
    spikes = SpikeFeatureExtractor(start=start_s, end=end_s, filter=None)
    trains = SpikeTrainFeatureExtractor(start_s, end_s)
    t_s = np.arange(v_mV.shape[1]) * DT_MS / 1e3
    found = []
    for row in v_mV:
        each = spikes.process(t_s, row, None)
        found.append((each, trains.process(t_s, row, None, each)))
    return found


if __name__ == "__main__":
    main()
