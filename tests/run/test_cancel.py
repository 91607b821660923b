"""Can work in worker processes be called off from another thread, leaving nothing behind?"""

import threading
import time
from itertools import pairwise

import pytest
import services
from watching import LINUX, children, handles, until

from hpcfit.errors import EngineError
from hpcfit.run.processes import Processes


@LINUX
@pytest.mark.parametrize("workers", [1, 3])
def test_a_map_at_work_leaves_soon_and_takes_its_workers_along(task, tmp_path, workers):
    before, open_before = children(), handles()
    executor = Processes({"bench": services.Bench}, workers)

    def cancel():
        until((tmp_path / "pid").exists)
        executor.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(EngineError, match="cancelled"):
        executor.map([task("report_pid", tmp_path / "pid", 30), *[task("sleep", 30)] * 4])
    thread.join()
    assert (children(), handles()) == (before, open_before)
    assert executor.map([task("double", 1)])[0].value == 2
    executor.close()


@LINUX
def test_a_map_of_tasks_that_are_all_at_work_does_not_call_them_dead(task, tmp_path):
    executor = Processes({"bench": services.Bench}, 2)
    thread = threading.Thread(target=lambda: (until((tmp_path / "pid").exists), executor.cancel()))
    thread.start()
    with pytest.raises(EngineError, match="cancelled"):
        executor.map([task("report_pid", tmp_path / "pid", 30)])
    thread.join()


def test_cancelled_before_it_begins(processes, task):
    executor = processes(1)
    executor.cancel()
    with pytest.raises(EngineError, match="cancelled"):
        executor.map([task("double", 1)])
    assert executor.map([task("double", 1)])[0].value == 2


def test_closing_forgets_it(processes, task):
    executor = processes(1)
    executor.cancel()
    executor.close()
    assert executor.map([task("double", 1)])[0].value == 2


def test_who_worked_from_when_to_when(task):
    worked = []
    begun = time.monotonic()
    with Processes({"bench": services.Bench}, 2, on_worked=lambda *one: worked.append(one)) as executor:
        executor.map([task("sleep", 0.2), task("sleep", 0.2), task("fail", "x"), task("leave", 3)])
    ended = time.monotonic()
    assert {worker for worker, *_ in worked} == {0, 1}
    assert len(worked) == 4
    assert all(begun <= start and start + seconds <= ended for _, start, seconds in worked)
    assert sum(seconds >= 0.2 for *_, seconds in worked) >= 2
    for worker in (0, 1):  # one thing at a time
        own = sorted((start, start + seconds) for who, start, seconds in worked if who == worker)
        assert all(one[1] <= two[0] for one, two in pairwise(own))
