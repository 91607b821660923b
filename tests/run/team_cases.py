"""What every executor promises, as functions that rank 0 calls; and the work of the others.

    python team_cases.py RESULTS mpi | array SITE | submitit SITE      all cases; which failed, as a JSON file

A row is (number, what happens to whoever works on it).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from hpcfit.errors import InputError
from hpcfit.run.comm import SerialComm
from hpcfit.run.driver import Driver, serve
from hpcfit.run.hand import Answer, Work

ENTRY = "team_cases:main"
SLOW, DIE, USERS_ERROR, MISTAKE = 1, 2, 3, 4
PATIENCE_S = 120.0
PLAN = {"factor": 3}


def rows_of(number, action=0, columns=3):
    rows = np.arange(float(number * columns)).reshape(number, columns)
    rows[:, 1] = action
    return rows


def answer_of(rows, factor=3):
    """The oracle: what each row gives, from the row alone."""
    return {"times": factor * rows, "first": rows[:, 0].astype(np.int32), "cube": np.ones((len(rows), 2, 2), np.int8)}


class Worker:
    """A rank's work.  Rank 0 is calm: nothing happens to it but that it is slow where all are."""

    def __init__(self, rank):
        self.rank = rank
        self.leave = threading.Event()
        self.seen = []
        self.work = Work(self.do, self.leave.set, 1, self.failed)

    def do(self, rows):
        self.leave.clear()
        self.seen += rows[:, 0].tolist()
        for action in rows[:, 1].astype(int):
            if action and self.leave.wait(0.05):
                raise RuntimeError("left")
            if self.rank and action == DIE:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.rank and action == USERS_ERROR:
                raise InputError("cell.swc: gone")
            if self.rank and action == MISTAKE:
                raise ZeroDivisionError("by nought")
        whose = {"rank": self.rank, "pid": os.getpid(), "job": slurm_task()}
        return Answer(answer_of(rows), {**whose, "rows": len(rows)})

    def failed(self, rows, why):
        failed = {name: np.zeros_like(array) for name, array in answer_of(rows).items()}
        return Answer(failed, {"rank": -1, "pid": 0, "rows": len(rows), "why": why})


def main(link, leave):
    """What workers do: see run/team/seat.py."""
    serve(link, lambda plan: nullcontext(Worker(link.rank).work), leave)


class Bench:
    """Rank 0, to be tried.

    said: notes of the team; kill(head of an answer): kills who gave it; None where that ends the job.
    """

    def __init__(self, link, said, kill):
        self.link, self.said, self.kill = link, said, kill
        self.worker = Worker(0)
        self.driver = Driver(link, self.worker.work, PLAN)
        self.heads = {}

    def map(self, rows, on_done=lambda done, of: None):
        arrays, heads = self.driver.map(rows, on_done)
        assert sum(head["rows"] for head in heads) == len(rows)
        self.heads |= {head["rank"]: head for head in heads}
        return arrays, heads

    def good(self, rows, on_done=lambda done, of: None):
        arrays, heads = self.map(rows, on_done)
        check(arrays, rows)
        return heads

    def all_ready(self):
        """Small generations until every rank has worked on one."""
        ends, seen = time.monotonic() + PATIENCE_S, set()
        while seen != set(range(self.link.size)):
            assert time.monotonic() < ends, (seen, self.said)
            seen = {head["rank"] for head in self.good(rows_of(8 * self.link.size, SLOW))}

    def close(self):
        self.driver.__exit__()


def check(arrays, rows):
    wanted = answer_of(rows)
    assert list(arrays) == list(wanted)
    for name, array in wanted.items():
        assert arrays[name].dtype == array.dtype and arrays[name].tobytes() == array.tobytes(), name


def case_rows_come_back_in_order_from_all_ranks(bench):
    bench.all_ready()
    for number in (1, 2, 7, 100, 1000):
        bench.good(rows_of(number))


def case_no_rows(bench):
    assert bench.map(rows_of(0)) == ({}, [])


def case_large_arrays_both_ways(bench):
    bench.all_ready()
    wide = rows_of(4 * bench.link.size, columns=500_000)  # 4 MB a row, as the weights of a network
    wide[:, 1] = 0
    bench.good(wide)


def case_progress_is_told(bench):
    told = []
    bench.good(rows_of(60), lambda done, of: told.append((done, of)))
    assert {of for _, of in told} == {60} and told[-1][0] == 60
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def case_a_killed_rank_costs_nothing_but_time(bench):
    if bench.link.size == 1 or bench.kill is None:
        pytest.skip("has no rank that may be killed (MPI ends the job: tests/mpi/test_fit.py)")
    bench.all_ready()
    victim = bench.link.size - 1
    before, done_at_kill = bench.heads[victim], []

    def kill(done, of):
        if not done_at_kill:
            done_at_kill.append(done)
            bench.kill(before)

    rows = rows_of(40 * bench.link.size, SLOW)
    heads = bench.good(rows, kill)
    assert done_at_kill[0] < len(rows)
    assert -1 not in {head["rank"] for head in heads}
    ends = time.monotonic() + PATIENCE_S
    while not any(f"rank {victim}" in line for line in bench.said):
        assert time.monotonic() < ends, "its death is not known"
        bench.good(rows_of(4 * bench.link.size, SLOW))
    bench.all_ready()  # it has come again
    assert bench.heads[victim]["pid"] != before["pid"] or before["job"]  # nodes have process ids of their own


def case_a_row_that_ranks_die_of_is_found_and_failed(bench):
    if bench.link.size == 1 or bench.kill is None:
        pytest.skip("has no rank that may be killed (MPI ends the job: tests/mpi/test_fit.py)")
    bench.all_ready()
    rows = rows_of(12 * bench.link.size, SLOW)
    rows[1, 1] = DIE  # in the first block, which the last rank gets
    bench.worker.seen.clear()
    arrays, heads = bench.map(rows)
    others = np.arange(len(rows)) != 1
    wanted = answer_of(rows)
    assert all(np.array_equal(arrays[name][others], wanted[name][others]) for name in wanted)
    assert not arrays["cube"][1].any()
    (failed,) = (head for head in heads if head["rank"] == -1)
    assert failed["rows"] == 1 and "ranks died while they had it" in failed["why"]
    assert rows[1, 0] not in bench.worker.seen, "rank 0 was let near it"
    bench.good(rows_of(50))


def case_a_users_error_is_raised_with_its_rank(bench):
    if bench.link.size == 1:
        pytest.skip("no other rank")
    bench.all_ready()
    with pytest.raises(InputError, match=r"cell\.swc: gone \(rank [1-9] on \S+\)"):
        bench.map(rows_of(20 * bench.link.size, USERS_ERROR))


CASES = {name: case for name, case in list(globals().items()) if name.startswith("case_")}


def slurm_task():
    """ARRAY_INDEX; SLURM_JOB_ID of the last task is that of the whole array."""
    return "_".join(filter(None, map(os.environ.get, ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"))))


def kill_process(head):
    os.kill(head["pid"], signal.SIGKILL)


def kill_task(head):
    """Of an array: the batch step is the worker."""
    subprocess.run(["scancel", "--batch", "--signal=KILL", head["job"]], check=True)


def kill_step(head):
    """Of submitit: srun starts the worker."""
    subprocess.run(["scancel", "--signal=KILL", head["job"]], check=True)


KILL = {"mpi": None, "array": kill_task, "submitit": kill_step}
"""By executors of a cluster."""


@contextmanager
def team(kind: str, folder: Path, workers: int, said: list, site: str | None = None) -> Iterator[object]:
    """The link of an executor, as the command line makes it."""
    from hpcfit.jobs.executors import Choice, ranks

    given = None if kind in ("serial", "mpi") else workers
    with ranks(Choice(kind, given, site), folder / "fit.toml", folder / "run", said.append, ENTRY) as link:
        yield link or SerialComm()


def program(results: str, kind: str, *site: str) -> None:
    """All cases by one executor; rank 0 writes which failed, and why."""
    failed, skipped, said = {}, [], []
    folder = Path(results).parent
    with team(kind, folder, 2, said, *site) as link:
        if link.rank:
            return main(link, lambda: False)
        bench = Bench(link, said, KILL[kind])
        for name, case in CASES.items():
            try:
                case(bench)
            except pytest.skip.Exception:
                skipped.append(name)
            except Exception:
                failed[name] = traceback.format_exc()
        bench.close()
    left = [str(path) for path in (folder / "run").rglob("*")]
    Path(results).write_text(json.dumps({"failed": failed, "skipped": skipped, "said": said, "left": left}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    program(*sys.argv[1:])
