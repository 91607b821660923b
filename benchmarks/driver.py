"""What do driver and evolution cost when simulating costs nothing?  Null work on 2 ranks, population 10,000.

    python benchmarks/driver.py [--ranks 2] [--population 10000] [--generations 200] [--write] [--quick]

Starts itself under mpiexec.  Each row's features are known at once, so a generation is: ask, deal, send, receive,
gather, score (a weighted sum), tell.  Nothing is written, or, with --write, every generation goes into a ledger on disk
by the loop of a real run: its wall time then is what is left when writing goes on beside the next generation, and
write_us what was waited for it.  Processor time is of rank 0 and all its threads; wall time is there too.  The goal is
10 microseconds per individual and generation; DEAP's loop alone takes 40 to 60.  Memory is what is resident, of rank 0
and of all ranks, after a third of the generations and at the end: it must not grow with their number.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

PARAMETERS, FEATURES = 15, 20


def measure(ranks: int, population: int, generations: int, write: bool) -> dict[str, object] | None:
    """One rank's part; rank 0 gives the figures."""
    from hpcfit.evolve.choice import strategy_course
    from hpcfit.jobs import sharing
    from hpcfit.run.driver import Driver, serve
    from hpcfit.run.hand import Answer, Work
    from hpcfit.settings import StrategySettings

    mixing = np.random.default_rng(1).normal(size=(PARAMETERS, FEATURES))
    with sharing.ranks(True) as comm:
        assert comm is not None and comm.size == ranks, (comm and comm.size, ranks)

        def do(rows: np.ndarray) -> Answer:
            arrays = {"features": rows @ mixing, "statuses": np.zeros((len(rows), 8), np.int8)}
            return Answer(arrays, {"rank": comm.rank, "MiB": _memory_MiB()})

        work = Work(do, lambda: None, 16)
        if comm.rank:
            serve(comm, lambda plan: nullcontext(work))
            return None
        settings = StrategySettings(parents=population, offspring=population)
        course = strategy_course(settings, PARAMETERS, 1)
        with Driver(comm, work, {}) as driver:
            record = Record(generations, driver)
            (_written if write else _unwritten)(course, record)
        sizes = {"ranks": ranks, "population": population, "generations": generations, "written": write}
        return sizes | record.figures(population)


class Record:
    """Measures rows on all ranks; keeps what each generation took at rank 0, and what memory each rank had."""

    def __init__(self, generations: int, driver: Any) -> None:
        self.generations, self._third = generations, generations // 3
        self._driver = driver
        self._columns: dict[str, list[float]] = {}
        self._memory: dict[str, dict[int, float]] = {}
        self._now: dict[int, float] = {}
        self._began, self._cpu = time.monotonic(), time.process_time()

    def measured(self, vectors: np.ndarray) -> Any:
        """Evaluation of vectors (n, P): a weighted sum of what all ranks found."""
        from hpcfit.population.loop import Evaluation

        begun = time.monotonic()
        arrays, heads = self._driver.map(vectors)
        self._now |= {head["rank"]: round(head["MiB"], 1) for head in heads} | {0: round(_memory_MiB(), 1)}
        self._add("shared", time.monotonic() - begun)
        return Evaluation(np.abs(arrays["features"]).sum(axis=1), arrays)

    def ended(self, number: int, **seconds: float) -> None:
        """One generation more."""
        self._add("wall", time.monotonic() - self._began)
        self._add("processor", time.process_time() - self._cpu)
        for name, value in seconds.items():
            self._add(name, value)
        if number in (self._third, self.generations - 1):
            self._memory["after_a_third" if number == self._third else "at_the_end"] = dict(self._now)
        self._began, self._cpu = time.monotonic(), time.process_time()

    def late(self, name: str, values: list[float]) -> None:
        """Of the generations after the first third."""
        self._columns[name] = [0.0] * self._third + values

    def _add(self, name: str, value: float) -> None:
        self._columns.setdefault(name, []).append(value)

    def figures(self, population: int) -> dict[str, Any]:
        """Medians after the first third, microseconds per individual; MiB of each rank."""
        late = {name: values[self._third :] for name, values in self._columns.items()}
        medians = {
            f"{name}_us": round(statistics.median(values) * 1e6 / population, 3) for name, values in late.items()
        }
        return medians | {f"memory_MiB_{moment}": of_ranks for moment, of_ranks in self._memory.items()}


def _unwritten(course: Any, record: Record) -> None:
    from hpcfit.population.ledger import Generation

    last = None
    for number in range(record.generations):
        began = time.monotonic()
        offspring = course.offspring(last)
        asked = time.monotonic()
        evaluation = record.measured(offspring["vectors"])
        told = time.monotonic()
        survivors = course.survivors(last, offspring, evaluation)
        last = Generation(number, {**offspring, **evaluation.arrays, "scores": evaluation.scores, **survivors}, {}, {})
        record.ended(number, evolve=time.monotonic() - began - (told - asked))


def _written(course: Any, record: Record) -> None:
    """By the loop of a real run, into a folder here."""
    from hpcfit.population.ledger import Header, Ledger
    from hpcfit.population.loop import run_generations
    from hpcfit.settings import RunSettings

    count = iter(range(record.generations))

    def evaluate(vectors: np.ndarray) -> Any:
        evaluation = record.measured(vectors)
        record.ended(next(count))  # from the end of one sharing to that of the next: all phases are in it once
        return evaluation

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        ledger = Ledger.create(Path(folder) / "run", Header({}, {}, {}))
        run_generations(course, evaluate, ledger, RunSettings(generations=record.generations))
        took = [ledger.read(number).timings_s for number in range(record.generations // 3, record.generations)]
    for name in ("evolve", "write", "write_hidden"):
        record.late(name, [one[name] for one in took])


def _memory_MiB() -> float:
    """Resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Parse, start the ranks, print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--population", type=int, default=10_000)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--write", action="store_true", help="every generation into a ledger, as a run does")
    parser.add_argument("--quick", action="store_true", help="30 generations")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    generations = 30 if given.quick else given.generations
    if given.inside:
        figures = measure(given.ranks, given.population, generations, given.write)
        if figures is not None:
            print(json.dumps(figures))
        return
    beside = str(Path(sys.executable).parent)
    mpiexec = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
    if mpiexec is None:
        sys.exit("no mpiexec: pip install 'hpcfit[mpich]'")
    sizes = ["--ranks", given.ranks, "--population", given.population, "--generations", generations]
    sizes += ["--write"] if given.write else []
    command = [mpiexec, "-n", given.ranks, sys.executable, __file__, "--inside", *sizes]
    sys.exit(subprocess.run([str(word) for word in command]).returncode)


if __name__ == "__main__":
    main()
