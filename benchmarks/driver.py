"""What do driver and evolution cost when simulating costs nothing?  Null work on 2 ranks, population 10,000.

    python benchmarks/driver.py [--ranks 2] [--population 10000] [--generations 200] [--quick]

Starts itself under mpiexec.  Each row's features are known at once, so a generation is: ask, deal, send, receive,
gather, score (a weighted sum), tell.  Nothing is written.  Processor time is of rank 0 and all its threads; wall time
is there too.  The goal is 10 microseconds per individual and generation; DEAP's loop alone takes 40 to 60.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np

PARAMETERS, FEATURES = 15, 20


def measure(ranks: int, population: int, generations: int) -> dict[str, object] | None:
    """One rank's part; rank 0 gives the figures."""
    from hpcfit.evolve.choice import strategy_course
    from hpcfit.jobs import sharing
    from hpcfit.population.ledger import Generation
    from hpcfit.population.loop import Evaluation
    from hpcfit.run.driver import Driver, serve
    from hpcfit.run.hand import Answer, Work
    from hpcfit.settings import StrategySettings

    mixing = np.random.default_rng(1).normal(size=(PARAMETERS, FEATURES))

    def do(rows: np.ndarray) -> Answer:
        return Answer(
            {"features": rows @ mixing, "statuses": np.zeros((len(rows), 8), np.int8)}, {"reason": "", "unread": 0}
        )

    work = Work(do, lambda: None, 16)
    with sharing.ranks(True) as comm:
        assert comm is not None and comm.size == ranks, (comm and comm.size, ranks)
        if comm.rank:
            serve(comm, lambda plan: nullcontext(work))
            print(f"memory {json.dumps(_grown_MiB())}", file=sys.stderr)
            return None
        settings = StrategySettings(parents=population, offspring=population)
        course = strategy_course(settings, PARAMETERS, 1)
        last, walls, evolves, cpus, memory = None, [], [], [], []
        with Driver(comm, work, {}) as driver:
            for number in range(generations):
                began, cpu = time.monotonic(), time.process_time()
                offspring = course.offspring(last)
                asked = time.monotonic()
                arrays, _ = driver.map(offspring["vectors"])
                told = time.monotonic()
                scores = np.abs(arrays["features"]).sum(axis=1)
                evaluation = Evaluation(scores, arrays)
                survivors = course.survivors(last, offspring, evaluation)
                last = Generation(number, {**offspring, **arrays, "scores": scores, **survivors}, {}, {})
                ended = time.monotonic()
                walls.append(ended - began)
                evolves.append(ended - began - (told - asked))
                cpus.append(time.process_time() - cpu)
                memory.append(_memory_MiB())
        third = generations // 3
        each_us = 1e6 / population
        return {
            "ranks": ranks,
            "population": population,
            "generations": generations,
            "wall_us": round(statistics.median(walls[third:]) * each_us, 3),
            "processor_us": round(statistics.median(cpus[third:]) * each_us, 3),
            "evolve_us": round(statistics.median(evolves[third:]) * each_us, 3),
            "memory_MiB_after_a_third": round(memory[third], 1),
            "memory_MiB_at_the_end": round(memory[-1], 1),
        }


def _memory_MiB() -> float:
    """Resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _grown_MiB() -> dict[str, float]:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"now_MiB": round(_memory_MiB(), 1), "most_MiB": round(most, 1)}


def main() -> None:
    """Parse, start the ranks, print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--population", type=int, default=10_000)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="30 generations")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    generations = 30 if given.quick else given.generations
    if given.inside:
        figures = measure(given.ranks, given.population, generations)
        if figures is not None:
            print(json.dumps(figures))
        return
    beside = str(Path(sys.executable).parent)
    mpiexec = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
    if mpiexec is None:
        sys.exit("no mpiexec: pip install 'hpcfit[mpich]'")
    sizes = ["--ranks", given.ranks, "--population", given.population, "--generations", generations]
    command = [mpiexec, "-n", given.ranks, sys.executable, __file__, "--inside", *sizes]
    sys.exit(subprocess.run([str(word) for word in command]).returncode)


if __name__ == "__main__":
    main()
