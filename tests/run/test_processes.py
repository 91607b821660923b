"""Does a worker process that overruns or dies harm anything but its own task?"""

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import services
from watching import LINUX, alive, children, fates, until

from hpcfit.errors import EngineError
from hpcfit.population.executor import Fate
from hpcfit.run.processes import Processes

# Deadlines


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("method", ["spin", "sleep"])
def test_a_deadline_ends_only_the_task_that_overruns(processes, task, workers, method):
    late = task(method, *([30] if method == "sleep" else []), deadline_s=0.4)
    outcomes = processes(workers).map([task("double", 1), late, task("double", 2), task("double", 3, deadline_s=9)])
    assert fates(outcomes) == [Fate.DONE, Fate.DEADLINE, Fate.DONE, Fate.DONE]
    assert outcomes[1].reason == "took longer than 0.4 s"
    assert outcomes[1].seconds == pytest.approx(0.4)
    assert [outcomes[i].value for i in (0, 2, 3)] == [2, 4, 6]


def test_every_task_may_overrun(processes, task):
    outcomes = processes(2).map([task("sleep", 30, deadline_s=0.05)] * 5)
    assert fates(outcomes) == [Fate.DEADLINE] * 5


def test_after_a_deadline_tasks_go_to_a_fresh_process(processes, task):
    executor = processes(1)
    before, _, after = executor.map([task("pid"), task("sleep", 30, deadline_s=0.1), task("pid")])
    assert before.value != after.value
    assert executor.map([task("count", service="counting")])[0].value == (after.value, 1)


def test_building_the_service_does_not_count(processes, task):
    outcomes = processes(2).map([task("double", i, service="slow", deadline_s=0.4) for i in range(4)])
    assert [outcome.value for outcome in outcomes] == [0, 2, 4, 6]


def test_tasks_near_their_deadline_are_done_or_late_and_nothing_else(processes, task):
    outcomes = processes(2).map([task("sleep", 0.1 + 0.002 * (i % 5 - 2), i, deadline_s=0.1) for i in range(16)])
    assert set(fates(outcomes)) <= {Fate.DONE, Fate.DEADLINE}
    assert all(outcome.value == i for i, outcome in enumerate(outcomes) if outcome.fate == Fate.DONE)


def test_large_results_at_their_deadline_are_whole_or_absent(processes, task):
    tasks = [task("double", np.full(400_000, i, float), deadline_s=0.004 * (i + 1)) for i in range(8)]
    for i, outcome in enumerate(processes(2).map(tasks)):
        assert outcome.fate in (Fate.DONE, Fate.DEADLINE)
        assert outcome.fate == Fate.DEADLINE or np.array_equal(outcome.value, np.full(400_000, 2.0 * i))


# Deaths


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("method", "arguments", "reason"),
    [
        ("leave", (3,), "its process ended with exit code 3"),
        ("leave", (0,), "its process ended with exit code 0"),
        ("exhausted", (), "its process ended with exit code 1; it last said: out of patience"),
        ("crash", (), "its process was killed by SIGSEGV"),
        ("kill", (signal.SIGKILL,), "its process was killed by SIGKILL"),
        ("kill", (signal.SIGRTMIN + 3,), f"its process was killed by signal {signal.SIGRTMIN + 3}"),
    ],
    ids=["exit-3", "exit-0", "last-words", "segfault", "kill", "real-time-signal"],
)
def test_a_death_is_the_outcome_of_its_own_task(processes, task, workers, method, arguments, reason):
    outcomes = processes(workers).map([task("double", 1), task(method, *arguments), *[task("double", 2)] * 3])
    assert fates(outcomes) == [Fate.DONE, Fate.DIED, Fate.DONE, Fate.DONE, Fate.DONE]
    assert (outcomes[1].value, outcomes[1].reason) == (None, reason)


def test_every_task_may_die(processes, task):
    executor = processes(2)
    assert fates(executor.map([task("leave", i) for i in range(8)])) == [Fate.DIED] * 8
    assert executor.map([task("double", 1)])[0].value == 2


def test_killed_from_outside_at_work(processes, task, tmp_path):
    def kill():
        until((tmp_path / "pid").exists)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = processes(2).map([task("double", 1), task("report_pid", tmp_path / "pid", 30), task("double", 2)])
    killer.join()
    assert fates(outcomes) == [Fate.DONE, Fate.DIED, Fate.DONE]
    assert outcomes[1].reason.startswith("its process was killed by SIGKILL")


@LINUX
@pytest.mark.parametrize("workers", [1, 3, 6])
def test_killed_while_idle(processes, task, workers):
    # More workers than false starts are allowed: a batch system's memory limit may take them all at once.
    executor = processes(workers)
    before = children()
    executor.map([task("sleep", 0.05)] * workers)
    mine = children() - before
    assert len(mine) == workers
    for pid in mine:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(alive, mine)))
    assert [outcome.value for outcome in executor.map([task("double", i) for i in range(8)])] == list(range(0, 16, 2))
    assert not children() & mine


def test_a_process_that_closes_its_connection_but_stays(processes, task, monkeypatch):
    monkeypatch.setattr("hpcfit.run.processes._EXIT_S", 0.3)
    outcomes = processes(1).map([task("close_connection"), task("double", 1)])
    assert fates(outcomes) == [Fate.DIED, Fate.DONE]
    assert outcomes[0].reason == "its process closed its connection and went on"


def test_what_a_worker_started_does_not_hide_its_death(processes, task):
    start = time.monotonic()
    outcomes = processes(1).map([task("start_and_die"), task("double", 1)])
    assert fates(outcomes) == [Fate.DIED, Fate.DONE]
    assert time.monotonic() - start < 10


def test_a_value_that_cannot_be_sent_is_a_failure(processes, task):
    outcomes = processes(1).map([task("unsendable"), task("double", 1)])
    assert fates(outcomes) == [Fate.FAILED, Fate.DONE]
    assert outcomes[0].reason.startswith("its value cannot be sent: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_to_the_whole_job_are_for_the_parent(processes, task, number):
    assert processes(1).map([task("kill", number)])[0].value == "still there"


# Deaths before the task begins


def test_killed_once_while_building_its_service(processes, task, tmp_path):
    executor = processes(1, once=partial(services.fatal_once, tmp_path / "mark"))
    outcomes = executor.map([task("double", i, service="once", deadline_s=5) for i in range(3)])
    assert [outcome.value for outcome in outcomes] == [0, 2, 4]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_whenever_it_builds_its_service(processes, task, workers):
    executor = processes(workers)
    with pytest.raises(EngineError, match=r"end before they begin a task: .* killed by SIGKILL.*memory limit"):
        executor.map([task("double", 1, service="fatal")] * 4)
    assert executor.map([task("double", 1)])[0].value == 2


def test_a_service_that_cannot_be_built_is_noticed_though_others_work(processes, task):
    start = time.monotonic()
    work = [task("sleep", 0.05)] * 1000
    with pytest.raises(EngineError, match="killed by SIGKILL"):
        processes(2).map([*work[:5], task("double", 1, service="fatal"), *work])
    assert time.monotonic() - start < 15


def test_false_starts_of_different_tasks_do_not_add_up(processes, task, tmp_path):
    once = {f"once_{i}": partial(services.fatal_once, tmp_path / f"{i}") for i in range(10)}
    executor, tasks = processes(1, **once), [task("double", i, service=name) for i, name in enumerate(once)]
    together = executor.map(tasks[:5])
    one_by_one = [executor.map([each])[0] for each in tasks[5:]]
    assert [outcome.value for outcome in together + one_by_one] == [2 * i for i in range(10)]


def test_a_factory_that_workers_cannot_import(task, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with (
        Processes({"bench": services.Bench}, 1) as executor,
        pytest.raises(EngineError, match="it last said: ModuleNotFoundError: No module named 'services'"),
    ):
        executor.map([task("double", 1)])


def test_no_process_can_be_started(task, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with (
        Processes({"bench": services.Bench}, 1) as executor,
        pytest.raises(EngineError, match=r"a worker process cannot be started: .*No such file"),
    ):
        executor.map([task("double", 1)])
