"""What `hpcfit status` says of a run in each state."""

import json
import os
import socket
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from hpcfit.errors import LedgerError
from hpcfit.report.run_view import open_run
from hpcfit.report.status import status_text
from hpcfit.report.words import duration, improvement


def _say(folder, **said):
    defaults = {
        "state": "running",
        "reason": "",
        "generation": 3,
        "generations": 10,
        "evaluations": 85,
        "best_score": 1.0,
        "started": "2026-01-01T00:00:00",
        "updated": (datetime.now() - timedelta(seconds=65)).isoformat(),
        "seconds_per_generation": 20.0,
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }
    (folder / "status.json").write_text(json.dumps(defaults | said))


def _rows(text):
    lines = text.split("\nlast lines:")[0].splitlines()
    return {line.split(":", 1)[0]: line.split(":", 1)[1].strip() for line in lines}


def test_running(make_run):
    folder = make_run()
    _say(folder)
    rows, view = _rows(status_text(folder)), open_run(folder)
    assert rows["state"].startswith(f"running (process {os.getpid()} on ")
    assert "last sign of life 1 min 05 s ago" in rows["state"]
    assert rows["generations"] == "4 of 10"
    assert rows["evaluations"] == "85"
    assert rows["best score"].startswith(f"{view.best.score:.6g} ")
    factor = view.best_scores()[0] / view.best.score
    assert rows["improvement"] == f"{factor:.3g} times lower; generation 0 had {view.best_scores()[0]:.6g}"
    assert rows["pace"] == "20 s per generation"
    assert rows["to the end"] == "2 min 00 s (6 generations)"
    assert f"{view.counts()['diverged'].sum()} diverged, 2 deadline" in rows["failures"]


def test_died(make_run):
    folder = make_run()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    _say(folder, pid=gone.pid)
    state = _rows(status_text(folder))["state"]
    assert state.startswith(f"died (process {gone.pid} on ")
    assert state.endswith("give the same command to go on from generation 4")


def test_a_process_on_another_host_is_not_called_dead(make_run):
    folder = make_run()
    _say(folder, pid=2**22 + 1, host="some.other.node")
    assert _rows(status_text(folder))["state"].startswith("running, says status.json (process")


@pytest.mark.parametrize(("state", "reason"), [("finished", ""), ("stopped", "wall_clock_s reached")])
def test_ended(make_run, state, reason):
    folder = make_run()
    _say(folder, state=state, reason=reason, pid=1)
    rows = _rows(status_text(folder))
    assert rows["state"] == (f"{state} ({reason})" if reason else state)
    assert "to the end" not in rows


def test_without_status_file(make_run):
    text = status_text(make_run())
    assert _rows(text)["state"] == "unknown (no status.json)"
    assert _rows(text)["generations"] == "4 of 10"
    assert _rows(text)["pace"] == "10 s per generation"
    assert "generation=3 evaluations=20" in text.splitlines()[-1]


def test_without_status_file_but_complete(make_run):
    assert _rows(status_text(make_run(generations=10, n=8)))["state"].startswith("finished")


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"state": "running", "pid": null, "updated": "yesterday"}'])
def test_a_broken_status_file_hides_nothing(make_run, content):
    folder = make_run()
    (folder / "status.json").write_text(content)
    assert _rows(status_text(folder))["generations"] == "4 of 10"


def test_no_generation_yet(make_run):
    folder = make_run(generations=0)
    _say(folder)
    rows = _rows(status_text(folder))
    assert rows["generations"] == "0 of 10"
    assert rows["note"] == "no generation has been finished yet"
    assert rows["state"].startswith("running")


def test_last_lines_of_the_log(make_run):
    folder = make_run()
    (folder / "log.txt").write_text("\n".join(f"line {i}" for i in range(9)) + "\n")
    assert status_text(folder).endswith("last lines:\n  line 6\n  line 7\n  line 8")


def test_no_run(tmp_path):
    with pytest.raises(LedgerError, match="give the folder of a run"):
        status_text(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "0.5 s"),
        (9.99, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (273600, "3 d 04 h"),
        (float("nan"), "unknown"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_improvements():
    assert improvement(10.0, 2.5) == "4 times lower"
    assert improvement(10.0, 10.0) == "no better"
    assert improvement(10.0, 0.0) == "down to nothing"
    assert improvement(float("inf"), 1.0) == "no comparison"
