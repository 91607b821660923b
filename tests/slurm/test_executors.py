"""Workers that are SLURM's jobs: do they keep what every executor promises, also when SLURM takes them away?"""

import os
import time
import traceback
from pathlib import Path

import pytest

import hpcfit
from hpcfit.population.ledger import Ledger, same_numbers

RUN = Path(__file__).resolve().parents[1] / "run"
SITE = """\
name = "test"
partition = "{partition}"
cores_per_node = 2
whole_nodes = false
ranks_per_node = 2
time = "10"
lead_s = 60
"""
BATCHED = (
    ("workers = 2", 'kind = "batched"\nworkers = 1'),
    ("parents = 4", "parents = 40"),
    ("offspring = 6", "offspring = 200"),
    # Ranges over generation 0, and of all ranks.
    ('"voltage_base"]\n', '"voltage_base"]\nunit = "range"\n'),
)


@pytest.fixture
def cases(monkeypatch):
    """team_cases.py, as the workers import it too."""
    monkeypatch.syspath_prepend(str(RUN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(RUN), os.environ.get("PYTHONPATH", "")]))
    import team_cases

    return team_cases


@pytest.fixture
def site(tmp_path):
    """site(partition): a site file."""

    def write(partition="regular"):
        path = tmp_path / "site.toml"
        path.write_text(SITE.format(partition=partition))
        return str(path)

    return write


def until(true, what, seconds=120.0):
    """The first true answer."""
    ends = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < ends, what
        time.sleep(0.05)
    return answer


def mine(slurm):
    return slurm.said("squeue", "--noheader", "--states=all", "--array", "--format=%A %T", "--name=run")


def no_jobs(slurm):
    return not slurm.said("squeue", "--noheader", "--name=run")


@pytest.mark.parametrize("kind", ["array", "submitit"])
def test_all_that_every_executor_promises(kind, slurm, cases, site, tmp_path):
    said, failed = [], {}
    with cases.team(kind, tmp_path, 2, said, site()) as link:
        bench = cases.Bench(link, said, cases.KILL[kind])
        for name, case in cases.CASES.items():
            try:
                case(bench)
            except Exception:
                failed[name] = traceback.format_exc()
        bench.close()
    assert not failed, ("\n".join(failed.values()), said)
    until(lambda: no_jobs(slurm), "jobs outlive their team", 30)
    assert not (tmp_path / "run" / "workers").exists()


@pytest.mark.parametrize("how", ["its time is over", "requeue", "cancelled", "preempted"])
def test_a_task_that_slurm_takes_away_comes_again(how, slurm, cases, site, tmp_path):
    said = []
    with cases.team("array", tmp_path, 2, said, site("preemptible")) as link:
        bench = cases.Bench(link, said, None)
        bench.all_ready()
        job, told = bench.heads[1]["job"], []
        other = tmp_path / "other.sh"
        other.write_text("#!/bin/sh\nsleep 3\n")

        def take(done, of):
            if not told:
                command = {
                    "its time is over": ("scancel", "--batch", "--signal=USR1", job),
                    "requeue": ("scontrol", "requeue", job),
                    "cancelled": ("scancel", job),
                    "preempted": (
                        "sbatch",
                        "--partition=regular",
                        "--nodes=4",
                        "--exclusive",
                        "--output=/dev/null",
                        other,
                    ),
                }[how]
                told.append(slurm.said(*command))

        heads = bench.good(cases.rows_of(160, cases.SLOW), take)
        assert told and -1 not in {head["rank"] for head in heads}, "whoever is taken away is not to blame"
        until(lambda: any("rank 1" in line for line in said), "nobody has noticed")
        bench.all_ready()
        assert (bench.heads[1]["job"] == job) == (how == "requeue"), "requeued, or queued anew"
        bench.close()
    until(lambda: no_jobs(slurm), "jobs outlive their team", 30)


def test_submitit_checkpoints_a_worker_and_it_goes_on_as_the_same_rank(slurm, cases, site, tmp_path):
    said = []
    with cases.team("submitit", tmp_path, 2, said, site()) as link:
        bench = cases.Bench(link, said, None)
        bench.all_ready()
        job = bench.heads[1]["job"]
        slurm.said("scancel", "--signal=USR2", job)
        until(lambda: bench.good(cases.rows_of(60, cases.SLOW)) and any("rank 1 leaves" in line for line in said), said)
        bench.all_ready()
        assert bench.heads[1]["job"] == job, "submitit has requeued it"
        assert " Restarts=1 " in slurm.said("scontrol", "--oneliner", "show", "job", job)
        bench.close()
    until(lambda: no_jobs(slurm), "jobs outlive their team", 30)


def test_rank_0_is_not_kept_waiting_by_workers_that_do_not_come(slurm, cases, site, tmp_path):
    said = []
    slurm.said("scontrol", "update", "PartitionName=regular", "State=DOWN")
    try:
        with cases.team("array", tmp_path, 2, said, site()) as link:
            bench = cases.Bench(link, said, None)
            assert {head["rank"] for head in bench.good(cases.rows_of(30))} == {0}
            assert "PENDING" in mine(slurm) and link.awaited() == 2
            slurm.said("scontrol", "update", "PartitionName=regular", "State=UP")
            bench.all_ready()
            bench.close()
    finally:
        slurm.said("scontrol", "update", "PartitionName=regular", "State=UP")
    until(lambda: no_jobs(slurm), "jobs outlive their team", 30)


@pytest.fixture
def same(tiny, monkeypatch):
    """same(run): has it the numbers of the fit on one machine without ranks?"""
    monkeypatch.setattr("hpcfit.jobs.results.write_report", lambda folder: None)

    def compare(run, *changes):
        hpcfit.run(tiny(*changes), "whole")
        assert same_numbers(Ledger.open(Path(run)), Ledger.open(Path("whole"))) == []

    return compare


@pytest.mark.parametrize("executor", ["array", "submitit"])
def test_a_whole_fit(executor, slurm, site, tiny, same, started):
    changes = (*BATCHED, ("generations = 3", "generations = 6"))
    options = ("--executor", executor, "--workers", "3", "--site", site(), "--timeline")
    process = started("fit", tiny(*changes), "--run", "run", *options)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out.count("best score") == 1 and err.count("generation=") == 6
    same("run", *changes)
    until(lambda: no_jobs(slurm), "jobs outlive their run", 30)
    assert not Path("run/workers").exists()


def test_a_killed_rank_0_leaves_workers_that_the_next_one_sends_home(slurm, site, tiny, same, started):
    long = ("generations = 3", "generations = 5000")
    command = ("fit", tiny(*BATCHED, long), "--run", "run", "--executor", "array", "--workers", "2", "--site", site())
    process = started(*command, "--timeline")
    until(
        lambda: Path("run/timeline.jsonl").exists() and '"rank 1"' in Path("run/timeline.jsonl").read_text(), "no work"
    )
    process.kill()
    process.wait()
    (left,) = Path("run/workers").iterdir()
    before = set((left / "jobs.txt").read_text().split())
    there = len(Ledger.open(Path("run")))
    length = ("generations = 3", f"generations = {there + 3}")
    process = started(*command[:1], tiny(*BATCHED, length), *command[2:])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    until(
        lambda: not any(line.split()[0] in before and "RUNNING" in line for line in mine(slurm).splitlines()),
        "old jobs",
    )
    until(lambda: no_jobs(slurm), "jobs outlive their run", 30)
    assert not Path("run/workers").exists()
    same("run", *BATCHED, length)
