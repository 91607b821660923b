"""Does a worker process that overruns, dies or babbles harm anything but its own task, or outlive its parent?"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import services

from hpcfit.errors import EngineError
from hpcfit.population.executor import Fate
from hpcfit.run.processes import Processes

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has /proc and tells a child of its parent's death"
)


def children() -> set[int]:
    """Processes that this one has started, those that have ended but were not asked about too."""
    me = os.getpid()
    return {int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()}


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until(happened: Callable[[], object], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(happened())


def fates(outcomes) -> list[Fate]:
    return [outcome.fate for outcome in outcomes]


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


# What workers print, hold and leave


@LINUX
def test_noise_reaches_neither_terminal_nor_disk(processes, task, capfd):
    executor = processes(1)
    outcomes = executor.map([task("shout", 100, 1.5), task("shout", 0), task("exhausted")])
    assert fates(outcomes) == [Fate.DONE, Fate.DONE, Fate.DIED]
    # Much is thrown away while the task still runs, the rest before the next one.
    assert outcomes[0].value < 2 << 20
    assert outcomes[1].value < 2 << 20
    assert outcomes[2].reason.endswith("it last said: out of patience")
    assert capfd.readouterr() == ("", "")


def test_the_last_words_after_much_noise(processes, task):
    (outcome,) = processes(1).map([task("exhausted", 50)])
    # The log may be shortened in the very moment between the words and the end.
    assert re.fullmatch(r"its process ended with exit code 1(; it last said: out of patience)?", outcome.reason)


@LINUX
def test_nothing_is_left_over_after_many_maps(task):
    before, open_before = children(), handles()
    with Processes({"bench": services.Bench}, 2) as executor:
        executor.map([task("double", 0)] * 2)
        working, open_working = len(children()), handles()
        for i in range(50):
            tasks = [task("double", i)] * 3
            if i % 10 == 0:
                tasks += [task("leave", 1), task("sleep", 9, deadline_s=0.02)]
            assert fates(executor.map(tasks))[:3] == [Fate.DONE] * 3
        assert (len(children()), handles()) == (working, open_working)
    assert (children(), handles()) == (before, open_before)


@LINUX
def test_an_error_in_the_caller_leaves_no_workers(task):
    before, open_before = children(), handles()

    def refuse(done, of):
        raise RuntimeError(f"{done} of {of}")

    executor = Processes({"bench": services.Bench}, 2, on_done=refuse)
    with pytest.raises(RuntimeError, match="1 of 3"):
        executor.map([task("double", 1), task("sleep", 30), task("sleep", 30)])
    assert (children(), handles()) == (before, open_before)


@LINUX
def test_an_interrupt_leaves_no_workers(processes, task, tmp_path):
    before = children()

    def interrupt():
        until((tmp_path / "pid").exists)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    executor = processes(2)
    with pytest.raises(KeyboardInterrupt):
        executor.map([task("report_pid", tmp_path / "pid", 30), task("spin")])
    assert children() == before
    assert executor.map([task("double", 1)])[0].value == 2


def test_progress_counts_every_task_once(processes, task):
    told = []
    executor = processes(2, on_done=lambda done, of: told.append((done, of)))
    executor.map([task("double", 1), task("leave", 1), task("fail", "x"), task("sleep", 9, deadline_s=0.05)])
    assert told == [(i, 4) for i in (1, 2, 3, 4)]


# The caller as a process of its own


SCRIPT = """
import os, sys
from pathlib import Path
from services import Bench
from hpcfit.population.executor import Task
from hpcfit.run.processes import Processes

executor = Processes({"bench": Bench}, 2)
print([outcome.value for outcome in executor.map([Task("bench", "double", (i,)) for i in range(4)])], flush=True)
"""
AT_WORK = (
    SCRIPT
    + """
executor.map([Task("bench", "report_pid", (Path(sys.argv[1]) / name, 60)) for name in ("one", "two")])
"""
)


@pytest.mark.parametrize("way", ["script", "stdin", "argument"])
def test_a_plain_script_needs_no_main_guard(way, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = {"script": ["script.py"], "stdin": ["-"], "argument": ["-c", SCRIPT]}[way]
    source = SCRIPT if way == "stdin" else None
    done = subprocess.run(
        [sys.executable, *arguments], input=source, cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "[0, 2, 4, 6]\n"), done.stderr
    assert done.stderr == ""


def test_files_beside_the_script_do_not_mislead_workers(tmp_path):
    # With the working folder on the path, this would take the place of the standard library's.
    (tmp_path / "pickle.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [sys.executable, "-P", "-"], input=SCRIPT, cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "[0, 2, 4, 6]\n"), done.stderr


@LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_their_parent(tmp_path, number):
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(AT_WORK), tmp_path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with parent:
        names = [tmp_path / "one", tmp_path / "two"]
        assert until(lambda: all(name.exists() for name in names))
        workers = [int(name.read_text()) for name in names]
        assert all(map(alive, workers))
        parent.send_signal(number)
        assert until(lambda: not any(map(alive, workers)), 2.0)
    assert parent.returncode == -number
