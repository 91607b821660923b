"""Does `hpcfit fit` leave when told to, or when its job ends, with exit code 75, and go on with the same numbers?"""

import json
import signal
import time
from pathlib import Path

import pytest

import hpcfit as package
from hpcfit.jobs.starts import read_starts
from hpcfit.population.ledger import Ledger, same_numbers
from hpcfit.report.status import status_text

BATCHED = (
    ("workers = 2", 'kind = "batched"\nworkers = 1'),
    # A quarter of a second per generation.
    ("duration_ms = 50", "duration_ms = 2000"),
    ("offspring = 6", "offspring = 100"),
)
LONG = ("generations = 3", "generations = 5000")
RUN = Path("run")


def until(true, what, seconds=60.0):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.01)


def generations():
    return (RUN / "log.txt").read_text().count("\n") if (RUN / "log.txt").exists() else 0


def goes_on(tiny, hpcfit, there):
    """The same command, two generations further, gives what a run gives that was never told."""
    length = ("generations = 3", f"generations = {there + 2}")
    assert hpcfit("fit", tiny(*BATCHED, length), "--run", RUN).code == 0
    package.run(tiny(*BATCHED, length), "whole")
    assert same_numbers(Ledger.open(RUN), Ledger.open(Path("whole"))) == []
    assert [start.ended for start in read_starts(RUN)] == ["left", "finished"]


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Drawing takes longer than these fits."""
    monkeypatch.setattr("hpcfit.jobs.results.write_report", lambda folder: None)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """job(end): as in a SLURM job whose end its controller gives, in seconds from now."""

    def pretend(seconds, **variables):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / "squeue").write_text(f"#!/bin/sh\necho {int(time.time() + seconds)}\n")
        (tmp_path / "bin" / "squeue").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        monkeypatch.setenv("SLURM_JOB_ID", "12")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return pretend


@pytest.mark.parametrize("told", ["SIGUSR1", "SIGTERM in a job"])
def test_told(tiny, hpcfit, started, job, monkeypatch, told):
    if told != "SIGUSR1":
        job(600)
    process = started("fit", tiny(*BATCHED, LONG), "--run", RUN)
    until(lambda: generations() >= 2, "no progress")
    process.send_signal(getattr(signal, told.split()[0]))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert err.splitlines()[-1].startswith(f"hpcfit: told to leave by {told.split()[0]}")
    status = json.loads((RUN / "status.json").read_text())
    assert status["state"] == "waiting" and told.split()[0] in status["reason"]
    assert "waiting (told to leave" in status_text(RUN)
    there = len(Ledger.open(RUN))
    assert there == generations() >= 2
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    goes_on(tiny, hpcfit, there)


def test_its_own_clock(tiny, hpcfit, job, monkeypatch):
    job(6)
    ended = hpcfit("fit", tiny(*BATCHED, LONG), "--run", RUN)
    assert ended.code == 75 and "another generation may take" in ended.err, ended.err
    (start,) = read_starts(RUN)
    assert start.had_its_time and start.generations >= 2 and 4 < start.time_s <= 6
    monkeypatch.delenv("SLURM_JOB_ID")
    goes_on(tiny, hpcfit, len(Ledger.open(RUN)))


def test_a_generation_that_outlasts_two_jobs_is_dropped_twice_and_given_up(tiny, hpcfit, job):
    longer = (("workers = 2", "workers = 1"), ("duration_ms = 50", "duration_ms = 60000"))  # half a minute in NEURON
    for code in (75, 1):
        job(5)
        began = time.monotonic()
        ended = hpcfit("fit", tiny(*longer), "--run", RUN)
        assert ended.code == code and time.monotonic() - began < 15, ended.err
    assert "did not finish generation 0" in ended.err and "--time" in ended.err
    assert json.loads((RUN / "status.json").read_text())["state"] == "stopped"


def test_restarts_are_limited(tiny, hpcfit, job, monkeypatch):
    job(600)
    file = tiny(*BATCHED)
    assert hpcfit("fit", file, "--run", RUN, "--generations", 1).code == 0
    assert hpcfit("fit", file, "--run", RUN, "--generations", 2, "--restarts", 1).code == 0
    ended = hpcfit("fit", file, "--run", RUN, "--generations", 3, "--restarts", 1)
    assert ended.code == 1 and "started again 1 times" in ended.err
    monkeypatch.setenv("HPCFIT_RESTARTS_MOST", "1")
    assert hpcfit("fit", file, "--run", RUN, "--generations", 3).code == 1
    assert hpcfit("fit", file, "--run", RUN, "--generations", 3, "--restarts", 2).code == 0
    assert hpcfit("fit", file, "--run", RUN, "--restarts", "-1").code == 2
