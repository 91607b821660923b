"""Does a fit whose processes are killed, or whose files are damaged, go on with the same numbers?"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpcfit.biophys.engines.interface import Status
from hpcfit.population.ledger import Ledger, same_numbers

MANY = ("generations = 3", "generations = 45")
SOME = ("generations = 3", "generations = 14")


def workers(parent: int) -> list[int]:
    """Process ids of the living children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(ppid) == parent and state != "Z":
            found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.005)


def lines(run: Path) -> int:
    return (run / "log.txt").read_text().count("\n") if (run / "log.txt").exists() else 0


def killed(process: subprocess.Popen[str]) -> None:
    """Kill -9 of the process alone: its workers must notice by themselves."""
    children = workers(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not any(alive(child) for child in children), f"workers {children} live on", seconds=10)


@pytest.fixture
def equals_whole(tiny, hpcfit) -> Callable[[Path, tuple[str, str]], None]:
    """equals_whole(run, MANY): has it the numbers and the log of a run that nothing happened to?"""

    def compare(run: Path, length: tuple[str, str]) -> None:
        whole = Path("whole")
        if not whole.exists():
            assert hpcfit("fit", tiny(length), "--run", whole).code == 0
        assert same_numbers(Ledger.open(run), Ledger.open(whole)) == []
        numbers = [line.split()[1] for line in (run / "log.txt").read_text().splitlines()]
        assert numbers == [f"generation={number}" for number in range(len(Ledger.open(whole)))]
        assert not list(run.rglob("*.tmp"))

    return compare


@pytest.mark.slow
def test_killed_ten_times(tiny, hpcfit, started, equals_whole):
    random, run, moments = np.random.default_rng(5), Path("run"), []
    for kill in range(10):
        process = started("fit", tiny(MANY), "--run", run)
        if kill % 4 == 0:  # at any moment of the start
            time.sleep(random.uniform(0.0, 2.0))
        else:  # after a few generations, at any moment of the next one
            wanted = lines(run) + int(random.integers(1, 5))
            until(lambda run=run, wanted=wanted: lines(run) >= wanted, "no progress")
            time.sleep(random.uniform(0.0, 0.05))
        assert process.poll() is None, process.communicate()
        killed(process)
        moments.append(len(Ledger.open(run)) if (run / "ledger.h5").exists() else 0)
    assert moments == sorted(moments) and moments[-1] < 45 and len(set(moments)) >= 5
    assert "died (process" in hpcfit("status", run).out
    assert hpcfit("fit", tiny(MANY), "--run", run).code == 0
    equals_whole(run, MANY)


@pytest.mark.slow
def test_damaged_files(tiny, hpcfit, started, equals_whole):
    process = started("fit", tiny(SOME), "--run", "killed")
    until(lambda: lines(Path("killed")) >= 6, "no progress")
    killed(process)
    there = len(Ledger.open(Path("killed")))
    journal = sorted(Path("killed/journal").glob("[0-9]*.h5"))
    assert 6 <= len(journal) == there < 14  # nothing is in ledger.h5 yet
    for name in ("ledger.h5", f"journal/{journal[-1].name}", "journal/000003.h5"):
        run = Path("damaged-" + name.replace("/", "-"))
        shutil.copytree("killed", run)
        os.truncate(run / name, (run / name).stat().st_size // 2)
        kept = {"ledger.h5": there, "journal/000003.h5": 3}.get(name, there - 1)
        assert len(Ledger.open(run)) == kept, name
        assert hpcfit("fit", tiny(SOME), "--run", run).code == 0, name
        equals_whole(run, SOME)


def test_damaged_ledger_of_a_finished_run(tiny, hpcfit, equals_whole):
    run = Path("damaged")
    assert hpcfit("fit", tiny(SOME), "--run", run, "--generations", 11).code == 0
    os.truncate(run / "ledger.h5", (run / "ledger.h5").stat().st_size // 2)
    assert hpcfit("fit", tiny(SOME), "--run", run).code == 0
    equals_whole(run, SOME)


def test_a_worker_that_is_killed_is_replaced_and_its_simulation_counts_as_crashed(tiny, started):
    # Half a second a simulation, one worker: whenever it is killed after the first generation, it simulates.
    long = (("duration_ms = 50", "duration_ms = 4000"), ("duration_ms = 30", "duration_ms = 3900"))
    process = started("fit", tiny(*long, ("workers = 2", "workers = 1")), "--run", "run")
    until(lambda: lines(Path("run")) >= 1, "no progress")
    time.sleep(0.1)
    (worker,) = workers(process.pid)
    os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    statuses = [generation.arrays["statuses"] for generation in Ledger.open(Path("run"))]
    crashed = [int(np.sum(status == Status.CRASHED)) for status in statuses]
    assert crashed == [0, 1, 0] and sum(np.sum(status != Status.OK) for status in statuses) == 1
    assert [line.split("failed=")[1][0] for line in err.splitlines()] == ["0", "1", "0"]
    generation = Ledger.open(Path("run")).read(1)
    row = int(np.flatnonzero(statuses[1][:, 0])[0])
    assert generation.arrays["scores"][row] == 150.0  # 3 terms of penalties.failed_simulation
    assert "best score" in out
