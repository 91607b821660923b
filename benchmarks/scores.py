"""What do scores cost?  Weighted sums and distances between traces, beside plain implementations of the same.

    envs/local python benchmarks/scores.py [--quick] [--traces N]

`sums`: contributions of 250 individuals x 8 stimuli x 20 score functions, beside a loop over them as BluePyOpt has one.
`distances`: microseconds of processor time a trace, 300 ms at 0.1 ms with ten spikes, as a fit computes each, beside a
plain one: NumPy on one trace at a time (rms, aligned rms), trains convolved at every sample (van Rossum), the
recursion cell by cell (Victor & Purpura), and tslearn's soft-DTW where that is installed, else the recursion.  The
plain ones give the same numbers, which is checked.  `features`: our kernel's twenty defaults on the same traces.
Ours and theirs in turns, in one process on one thread; least of the rounds.  The last line is one JSON object.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable

import numpy as np
from pydantic import TypeAdapter

from hpcfit.biophys.default_features import DEFAULT_FEATURES
from hpcfit.biophys.distances import make_distance
from hpcfit.biophys.distances.soft_dtw import soft_dtw
from hpcfit.biophys.distances.spike_trains import spike_times
from hpcfit.biophys.features import extract
from hpcfit.biophys.score_settings import PenaltySettings, TraceSettings
from hpcfit.biophys.scores import contributions
from hpcfit.biophys.settings import FeatureSettings
from hpcfit.biophys.terms import RecordedTraces, Term

DT_MS, DURATION_MS, THRESHOLD_MV, TAU_MS, COST, GAMMA = 0.1, 300.0, -20.0, 10.0, 0.1, 1.0


def traces_like(count: int) -> np.ndarray:
    """(count, time) step responses with about ten spikes at times of their own, a little noise."""
    rng = np.random.default_rng(1)
    t_ms = np.arange(0, DURATION_MS + DT_MS / 2, DT_MS)
    made = np.full((count, len(t_ms)), -70.0) + 10 * ((t_ms > 30) & (t_ms < 260))
    for row in made:
        for peak in np.sort(rng.uniform(35, 255, rng.integers(8, 13))):
            row += 90 * np.exp(-(((t_ms - peak) / 0.5) ** 2))
    return made + 0.1 * rng.standard_normal(made.shape)


def seconds(call: Callable[[], object]) -> float:
    """Processor seconds of this thread."""
    begun = time.thread_time()
    call()
    return time.thread_time() - begun


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Least seconds of each."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


# The plain ones, of one trace


def plain_rms(v_mV: np.ndarray, reference_mV: np.ndarray) -> float:
    """Root mean square of the difference."""
    return float(np.sqrt(np.mean((v_mV - reference_mV) ** 2)))


def first_ms(v_mV: np.ndarray) -> float:
    """The first upward crossing of the threshold."""
    at = int(np.flatnonzero((v_mV[1:] > THRESHOLD_MV) & (v_mV[:-1] <= THRESHOLD_MV))[0])
    return (at + (THRESHOLD_MV - v_mV[at]) / (v_mV[at + 1] - v_mV[at])) * DT_MS


def plain_aligned(v_mV: np.ndarray, reference_mV: np.ndarray) -> float:
    """The same, after a shift that lays the first spikes upon each other."""
    t_ms = np.arange(len(v_mV)) * DT_MS
    shifted = np.interp(t_ms + first_ms(v_mV) - first_ms(reference_mV), t_ms, v_mV, left=np.nan, right=np.nan)
    return float(np.sqrt(np.nanmean((shifted - reference_mV) ** 2)))


def train_of(v_mV: np.ndarray) -> np.ndarray:
    """Spike times of a trace, ms."""
    return spike_times(v_mV[None, :], DT_MS, THRESHOLD_MV, (0, np.inf))[0][0]


def plain_van_rossum(v_mV: np.ndarray, reference_mV: np.ndarray) -> float:
    """Both trains convolved with an exponential at every sample, ten time constants beyond the end."""
    t_ms = np.arange(0, DURATION_MS + 10 * TAU_MS, DT_MS)
    apart = np.zeros(len(t_ms))
    for train, sign in ((train_of(v_mV), 1.0), (train_of(reference_mV), -1.0)):
        impulses = np.zeros(len(t_ms))
        np.add.at(impulses, np.round(train / DT_MS).astype(int), sign)
        apart += np.convolve(impulses, np.exp(-t_ms[: int(10 * TAU_MS / DT_MS)] / TAU_MS))[: len(t_ms)]
    return float(np.sqrt(np.sum(apart**2) * DT_MS / TAU_MS))


def plain_victor_purpura(v_mV: np.ndarray, reference_mV: np.ndarray) -> float:
    """The recursion, cell by cell."""
    one, other = train_of(v_mV).tolist(), train_of(reference_mV).tolist()
    above = [float(j) for j in range(len(other) + 1)]
    for i, a in enumerate(one, 1):
        row = [float(i)]
        for j, b in enumerate(other, 1):
            row.append(min(above[j - 1] + COST * abs(a - b), above[j] + 1, row[-1] + 1))
        above = row
    return above[-1]


def plain_soft_dtw(x: np.ndarray, y: np.ndarray) -> float:
    """tslearn's, where it is installed; else the recursion in NumPy, cell by cell.  No band."""
    try:
        from tslearn.metrics import soft_dtw as theirs
    except ImportError:
        table = np.full((len(x) + 1, len(y) + 1), np.inf)
        table[0, 0] = 0
        for i in range(1, len(x) + 1):
            for j in range(1, len(y) + 1):
                before = np.array([table[i - 1, j], table[i, j - 1], table[i - 1, j - 1]])
                table[i, j] = (x[i - 1] - y[j - 1]) ** 2 - GAMMA * np.logaddexp.reduce(-before / GAMMA)
        return float(table[-1, -1])
    return float(theirs(x, y, gamma=GAMMA))


def measured(name: str, ours: Callable, theirs: Callable, traces: np.ndarray, plain: int, rounds: int) -> dict:
    """Microseconds a trace of ours on all traces, of theirs on the first `plain`; and how far the numbers differ."""
    one, other = in_turns(lambda: ours(traces), lambda: [theirs(row) for row in traces[:plain]], rounds)
    apart = np.max(np.abs(ours(traces[:plain]) - np.array([theirs(row) for row in traces[:plain]])))
    row = {"us": 1e6 * one / len(traces), "plain_us": 1e6 * other / plain, "largest_difference": float(apart)}
    row["times"] = row["plain_us"] / row["us"]
    print(f"{name:<28}{row['us']:10.2f}{row['plain_us']:12.1f}{row['times']:10.1f}{row['largest_difference']:12.2g}")
    return row


def distances(traces: np.ndarray, rounds: int) -> dict[str, dict]:
    """All distances, beside plain ones."""
    reference = traces_like(1)[0]
    recorded = RecordedTraces(reference[None, :], DT_MS, (30.0, 260.0), ("s",))

    def made(**table: object) -> Callable:
        settings = TypeAdapter(TraceSettings).validate_python(table)
        return make_distance(settings, recorded, THRESHOLD_MV, "benchmark")

    def beside(plain: Callable) -> Callable:
        return lambda row: plain(row, reference)

    some = max(8, len(traces) // 8)
    rows = {}
    for name, ours, theirs in (
        ("rms", made(kind="rms"), plain_rms),
        ("rms, first spikes aligned", made(kind="rms", align="first_spike"), plain_aligned),
        ("van_rossum", made(kind="van_rossum", tau_ms=TAU_MS), plain_van_rossum),
        ("victor_purpura", made(kind="victor_purpura", cost_per_ms=COST), plain_victor_purpura),
    ):
        rows[name] = measured(name, ours, beside(theirs), traces, some, rounds)
    bins = traces[:, :3000].reshape(len(traces), 300, 10).mean(axis=2)
    y = reference[:3000].reshape(300, 10).mean(axis=1)
    plain_soft_dtw(bins[0], y)  # tslearn compiles at its first call
    rows["soft_dtw, 300 bins, no band"] = measured(
        "soft_dtw, 300 bins, no band", lambda x: soft_dtw(x, y, GAMMA), lambda x: plain_soft_dtw(x, y), bins, 1, 1
    )
    score = made(kind="soft_dtw")
    least = min(seconds(lambda: score(traces)) for _ in range(rounds))
    rows["soft_dtw, as scored"] = {"us": 1e6 * least / len(traces)}
    print(f"{'soft_dtw, as scored':<28}{1e6 * least / len(traces):10.2f}   (1 ms bins, band 20 ms, divergence)")
    return rows


def sums(rounds: int) -> dict[str, float]:
    """Milliseconds for 250 x 8 x 20 contributions, beside a loop."""
    rng = np.random.default_rng(2)
    means, sds = rng.uniform(1, 5, (2, 160)).tolist()
    terms = [Term(f"s{k // 20}", "soma", f"f{k % 20}", means[k], sds[k], 1.0, 1, "t") for k in range(160)]
    values, status = rng.normal(3, 4, (250, 160)), np.zeros((250, 160), int)
    values[rng.random(values.shape) < 0.05] = np.nan
    penalties = PenaltySettings()

    def ours() -> np.ndarray:
        return contributions(values, status, terms, penalties)[0].sum(axis=1)

    def theirs() -> np.ndarray:
        scores = []
        for row in values:
            total = 0.0
            for term, value in zip(terms, row, strict=True):
                apart = 25.0 if np.isnan(value) else min(abs(value - term.mean) / term.sd, 25.0)
                total += term.weight * apart
            scores.append(total)
        return np.array(scores)

    assert np.allclose(ours(), theirs())
    one, other = in_turns(ours, theirs, rounds)
    print(f"sums of 250 x 8 x 20: {1e3 * one:.3g} ms, in a loop {1e3 * other:.3g} ms")
    return {"ms": 1e3 * one, "loop_ms": 1e3 * other, "times": other / one}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64 traces, 3 rounds")
    parser.add_argument("--traces", type=int, default=256)
    arguments = parser.parse_args()
    count, rounds = (64, 3) if arguments.quick else (arguments.traces, 7)
    traces = traces_like(count)
    summed = sums(rounds)
    print(f"{'distance, us a trace':<28}{'ours':>10}{'plain':>12}{'times':>10}{'apart':>12}")
    rows = distances(traces, rounds)

    def read() -> np.ndarray:
        return extract(traces, DT_MS, (30.0, 260.0), DEFAULT_FEATURES, FeatureSettings(), threads=1)

    read()
    features = 1e6 * min(seconds(read) for _ in range(rounds)) / count
    print(f"{'twenty features':<28}{features:10.2f}")
    figures = {"claim": "cost of scores", "traces": count, "samples": traces.shape[1], "sums": summed}
    figures |= {"distances": rows, "features_us": features, "machine": platform.machine()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
