"""Does anything of a worker reach the terminal, fill the disk or stay when its work, or its parent, is at an end?"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
import services
from watching import LINUX, alive, children, fates, handles, until

from hpcfit.population.executor import Fate
from hpcfit.run.processes import Processes


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
