"""Is a fit the same, bit for bit, whatever shares its work; and what does the command say when it cannot?"""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import hpcfit
from hpcfit.population.ledger import Ledger, same_numbers
from hpcfit.population.timeline import read_timeline

BATCHED = (
    ("workers = 2", 'kind = "batched"\nworkers = 1'),
    ("parents = 4", "parents = 40"),
    ("offspring = 6", "offspring = 200"),
    # Ranges over generation 0, and of all ranks.
    ('"voltage_base"]\n', '"voltage_base"]\nunit = "range"\n'),
)
LONG = ("generations = 3", "generations = 5000")


def workers_of(folder: Path) -> set[str]:
    return {event.who for event in read_timeline(folder) if event.who.startswith("rank")}


def seats(rank_0) -> dict[int, int]:
    """Rank -> process id of the workers that this process has started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"hpcfit.run.team.seat" in words and str(rank_0.pid).encode() in words:
            found[int(words[words.index(b"socket") + 2])] = int(folder.name)
    return found


def until(true, what, seconds=60.0):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.01)


@pytest.fixture
def same(tiny):
    """same(run): has it the numbers of the fit on one machine without ranks?"""

    def compare(run, *changes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hpcfit.jobs.results.write_report", lambda folder: None)
            hpcfit.run(tiny(*changes), "whole")
        assert same_numbers(Ledger.open(Path(run)), Ledger.open(Path("whole"))) == []
        if (Path(run) / "best").exists():
            names = ("best/parameters.toml", "best/model.hoc", "best.h5")
            found = [(Path(run) / name).read_bytes() == (Path("whole") / name).read_bytes() for name in names]
            assert found == [True] * 3

    return compare


@pytest.fixture
def many_ranks(started, tiny):
    """many_ranks(executor): a long fit, of which every one of its three ranks has done a part."""

    def begin(executor):
        command = ("--run", "run", "--executor", executor, "--workers", "2", "--timeline")
        process = started("fit", tiny(*BATCHED, LONG), *command)
        run, everyone = Path("run"), {"rank 0", "rank 1", "rank 2"}
        until(lambda: (run / "timeline.jsonl").exists() and workers_of(run) == everyone, "not all ranks work", 100)
        return process

    return begin


def interrupted(process) -> tuple[str, tuple[str, str]]:
    """What it said, and the change that makes a fit as long as this one became."""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in err, err
    return err, ("generations = 3", f"generations = {len(Ledger.open(Path('run')))}")


@pytest.mark.parametrize("executor", ["processes", "submitit", "ray"])
def test_ledgers_do_not_depend_on_the_executor(executor, many_ranks, same):
    if executor in ("submitit", "ray"):
        pytest.importorskip(executor)
    process = many_ranks(executor)
    _, length = interrupted(process)
    assert not Path("run/workers").exists() and not seats(process)
    same("run", *BATCHED, length)


def test_a_killed_worker_does_not_show_in_the_ledger(many_ranks, same):
    process = many_ranks("processes")
    os.kill(killed := seats(process)[2], signal.SIGKILL)
    until(lambda: seats(process).get(2, killed) != killed, "it does not come again")
    there = len(Ledger.open(Path("run")))
    until(lambda: len(Ledger.open(Path("run"))) > there + 2, "the fit does not go on")
    said, length = interrupted(process)
    assert "note: rank 2 was killed by SIGKILL" in said
    same("run", *BATCHED, length)


def test_deadlines_hold_on_every_rank(hpcfit, tiny):
    # Far less than any takes; those that end just as they are looked after are in time.
    late = ("workers = 2", "workers = 1\ndeadline_s = 1e-6")
    run = ("--executor", "processes", "--workers", 1, "--timeline", "--generations", 1)
    ended = hpcfit("fit", tiny(late, ("offspring = 6", "offspring = 12")), *run)
    assert ended.code == 0, ended.err
    assert "rank 1" in workers_of(Path("runs/tiny")), "rank 0 did it all"
    statuses = np.concatenate([one.arrays["statuses"].ravel() for one in Ledger.open(Path("runs/tiny"))])
    assert set(statuses) <= {0, 2} and np.mean(statuses == 2) > 0.5, statuses


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--executor", "magic"), "--executor magic: must be one of serial, processes, mpi, array, submitit, ray"),
        (("--executor", "array", "--workers", "2"), "--executor array needs --site"),
        (("--executor", "ray", "--mpi"), "--executor ray contradicts --mpi"),
        (("--workers", "2"), "--workers needs --executor"),
        (("--executor", "array", "--workers", "2", "--site", "nowhere"), "--site nowhere: there is no nowhere.toml"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(options, line, hpcfit, tiny):
    ended = hpcfit("fit", tiny(), *options)
    (said,) = ended.err.splitlines()
    assert ended.code == 2 and line in said
    assert not Path("runs").exists()


def test_a_worker_that_cannot_read_the_files_names_them(hpcfit, tiny, monkeypatch):
    from hpcfit.jobs import sharing

    plan_of = sharing.plan_of
    monkeypatch.setattr(sharing, "plan_of", lambda *given: {**plan_of(*given), "base": "/nowhere"})
    ended = hpcfit("fit", tiny(*BATCHED, LONG), "--executor", "processes", "--workers", 1)
    assert ended.code == 2 and "ball.swc" in ended.err and "(rank 1 on" in ended.err
