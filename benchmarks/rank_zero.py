"""What does rank 0 do alone, for a thousand ranks?  Dealing, survivors, a large ledger: each beside how it was before.

    python benchmarks/rank_zero.py [--ranks 1024] [--per-rank 250] [--rows 100000]

Dealing: the driver's own code with so many ranks that answer at once and no network (run/prediction/messages.py).  Its
earlier form, which asked for every idle rank at every message, took 14.7 s a generation with 512 ranks and 188 s with
1,024.  Survivors: one of each cell of the grid, by hashes and, as before, by sorting rows.  Ledger: a generation of
160 score functions, by plain I/O beside HDF5 and, as before, by HDF5 in memory; and the longest that another thread was
held up meanwhile, since rank 0 deals in one.  In turns, medians.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

TERMS, STIMULI, PARAMETERS = 160, 8, 15


def dealing(ranks: int, per_rank: int) -> dict[str, float]:
    """Seconds of a generation, and microseconds of a block."""
    from hpcfit.run.prediction.messages import dealing_cost

    answer = {"features": np.zeros(2 * TERMS), "statuses": np.zeros(STIMULI, np.int8)}
    seconds, blocks = dealing_cost(ranks, per_rank, 16, answer)
    return {"s": round(seconds, 4), "blocks": blocks, "us_a_block": round(1e6 * seconds / blocks, 1)}


def survivors(rows: int) -> dict[str, float]:
    """Seconds to find the first of equal rows, a quarter of which are there twice."""
    from hpcfit.evolve.ga import _first_of_each

    cells = np.floor(np.random.default_rng(1).random((rows, PARAMETERS)) / 0.05)
    cells[-rows // 4 :] = cells[: rows // 4]
    whole = cells.astype(np.int64)
    now = timed(lambda: _first_of_each(whole))
    before = timed(lambda: np.unique(cells, axis=0, return_index=True))
    assert sorted(_first_of_each(whole)) == sorted(np.unique(cells, axis=0, return_index=True)[1])
    return {"s": round(now, 4), "before_s": round(before, 4)}


def timed(work: Callable[[], object], repeats: int = 3) -> float:
    """Median seconds."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def ledger(rows: int) -> dict[str, object]:
    """Seconds to append a generation, and the longest hold-up of another thread, of both ways, in turns."""
    from hpcfit.population import ledger as module
    from hpcfit.population.ledger import Generation, Header, Ledger, same_numbers

    rng = np.random.default_rng(1)
    arrays = {name: rng.random((rows, TERMS)) for name in ("features", "contributions")}
    arrays |= {name: rng.random((rows, PARAMETERS)) for name in ("vectors", "parameters", "survivor_vectors")}
    arrays |= {"scores": rng.random(rows), "statuses": np.zeros((rows, STIMULI), np.int8)}
    ways = {"now": module._LARGE_BYTES, "before": 1 << 60}
    took: dict[str, list[float]] = {way: [] for way in ways}
    held: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        ledgers = {way: Ledger.create(Path(folder) / way, Header({}, {}, {})) for way in ways}
        for number in range(3):
            for way, large in ways.items():
                module._LARGE_BYTES = large
                begun = time.perf_counter()
                held[way].append(held_up(lambda way=way, n=number: ledgers[way].append(Generation(n, arrays))))
                took[way].append(time.perf_counter() - begun)
        assert same_numbers(ledgers["now"], ledgers["before"]) == []
    size = sum(array.nbytes for array in arrays.values())
    figures = {f"{way}_s": round(statistics.median(times), 4) for way, times in took.items()}
    return {"MB": round(size / 1e6), **figures, **{f"{w}_held_up_s": round(max(t), 4) for w, t in held.items()}}


def held_up(work: Callable[[], object]) -> float:
    """While another thread does the work, the longest that this one could not run, s."""
    other, longest = threading.Thread(target=work), 0.0
    other.start()
    while other.is_alive():
        begun = time.perf_counter()
        time.sleep(1e-4)
        longest = max(longest, time.perf_counter() - begun)
    return longest


def main() -> None:
    """Parse, measure, print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=1024)
    parser.add_argument("--per-rank", type=int, default=250)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    found = {
        "dealing": dealing(given.ranks, given.per_rank),
        "survivors": survivors(2 * given.rows),
        "ledger": ledger(given.rows),
    }
    sizes = {"ranks": given.ranks, "individuals_per_rank": given.per_rank, "rows": given.rows}
    print(json.dumps({"claim": "what rank 0 does alone, now and before", **sizes, **found}))


if __name__ == "__main__":
    main()
