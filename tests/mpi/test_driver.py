"""Do ranks that share work give what one alone gives, whoever is slow, stuck or wrong?  Pretended ranks, null work."""

import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.errors import InputError
from hpcfit.run.comm import dry_run
from hpcfit.run.driver import Driver, dismiss, serve
from hpcfit.run.hand import Answer, Work

PLAN = {"factor": 3}


def rows(number, columns=3):
    return np.arange(float(number * columns)).reshape(number, columns)


def answer_of(values, factor=3):
    """The oracle: what each row gives, from the row alone."""
    return {"tripled": factor * values, "first": values[:, 0].astype(np.int8), "cube": np.zeros((len(values), 2, 2))}


class Worker:
    """One rank's work, with what is to go wrong in it."""

    def __init__(self, quantum=4, pauses=(), stuck=(), error=None, deaf=False):
        self.pauses, self.stuck, self.error, self.deaf = list(pauses), set(stuck), error, deaf
        self.begun = self.cancelled = 0
        self.rows: list[float] = []
        self.leave = threading.Event()
        self.work = Work(self.do, self.cancel, quantum)

    def do(self, values):
        self.leave.clear()
        self.begun += 1
        if self.pauses:
            time.sleep(self.pauses[self.begun % len(self.pauses)])
        if self.begun in self.stuck and self.leave.wait(2.0 if self.deaf else 60.0):
            raise RuntimeError("left")
        if self.error is not None:
            raise self.error
        self.rows += values[:, 0].tolist()
        return Answer(answer_of(values), {"count": len(values)})

    def cancel(self):
        self.cancelled += 1
        if not self.deaf:
            self.leave.set()


def shared(workers, generations, on_done=lambda done, of: None):
    """What Driver.map gives for each generation (rows), by so many pretended ranks."""

    def main(comm):
        worker = workers[comm.rank]
        if comm.rank:
            return serve(comm, lambda plan: nullcontext(worker.work))
        try:
            with Driver(comm, worker.work, PLAN) as driver:
                return [driver.map(values, on_done) for values in generations]
        finally:
            assert dismiss(comm)

    return dry_run(len(workers), main)[0]


def check(found, values):
    arrays, heads = found
    wanted = answer_of(values)
    assert list(arrays) == list(wanted)
    for name, array in wanted.items():
        assert arrays[name].dtype == array.dtype and arrays[name].tobytes() == array.tobytes(), name
    assert sum(head["count"] for head in heads) == len(values)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=3),
    pauses=st.lists(st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.01]), max_size=4), min_size=1, max_size=8),
    quantum=st.integers(1, 33),
)
def test_any_number_of_ranks_at_any_speed_gives_the_same_arrays(sizes, pauses, quantum):
    generations = [rows(size) for size in sizes]
    for found, values in zip(shared([Worker(quantum, one) for one in pauses], generations), generations, strict=True):
        check(found, values)


def test_every_rank_works_and_a_slow_one_gets_less():
    workers = [Worker(1, [0.002]), Worker(1, [0.002]), Worker(1, [0.06])]
    (found,) = shared(workers, [rows(400)])
    check(found, rows(400))
    counts = [len(worker.rows) for worker in workers]
    assert min(counts) > 0 and counts[2] < 0.7 * min(counts[:2]), counts


def test_progress_is_told():
    told = []
    shared([Worker(), Worker()], [rows(100)], lambda done, of: told.append((done, of)))
    assert [of for _, of in told] == [100] * len(told) and told[-1][0] == 100
    assert [done for done, _ in told] == sorted({done for done, _ in told})


@pytest.mark.parametrize("straggler", [0, 1])
def test_the_block_of_a_rank_that_is_stuck_is_dealt_again_and_that_rank_freed(straggler):
    workers = [Worker(2, [0.01]), Worker(2, [0.01]), Worker(2, [0.01])]
    workers[straggler].stuck = {2}
    generations = [rows(60), rows(80), rows(40)]
    start = time.monotonic()
    for found, values in zip(shared(workers, generations), generations, strict=True):
        check(found, values)
    assert time.monotonic() - start < 20
    assert workers[straggler].cancelled >= 1 and workers[straggler].begun > 2, "it did not go on"
    assert all(worker.cancelled == 0 for number, worker in enumerate(workers) if number != straggler)


def test_a_rank_that_does_not_leave_holds_up_nobody_and_its_late_answer_counts_nowhere():
    workers = [Worker(2, [0.01]), Worker(2, [0.01], stuck={2}, deaf=True)]
    generations = [rows(60), rows(80) + 1000, rows(40)]
    moments = []
    start = time.monotonic()
    found = shared(workers, generations, lambda done, of: moments.append(time.monotonic() - start))
    for one, values in zip(found, generations, strict=True):
        check(one, values)
    assert moments[-1] < 2.0, "waited for it"


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_users_error_on_any_rank_is_raised_at_rank_0(wrong):
    workers = [Worker(1, [0.01]) for _ in range(3)]
    workers[wrong].error = InputError("cell.swc: gone")
    with pytest.raises(InputError, match=r"cell\.swc: gone" + (r" \(rank 2 on \S+\)" if wrong else "$")):
        shared(workers, [rows(60)])


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_mistake_on_any_rank_ends_all(wrong):
    workers = [Worker(1, [0.01]) for _ in range(3)]
    workers[wrong].error = ZeroDivisionError("by nought")
    with pytest.raises(ZeroDivisionError, match="by nought"):
        shared(workers, [rows(60)])


def test_a_rank_that_cannot_be_built_is_the_users_error():
    def build(plan):
        raise InputError(f"factor {plan['factor']}: no such file")

    def main(comm):
        if comm.rank:
            return serve(comm, build)
        try:
            with Driver(comm, Worker(1, [0.02]).work, PLAN) as driver:
                driver.map(rows(100))
        finally:
            assert dismiss(comm)

    with pytest.raises(InputError, match=r"factor 3: no such file \(rank [12] on"):
        dry_run(3, main)
