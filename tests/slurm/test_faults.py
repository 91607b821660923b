"""Whatever happens to a job: is the run, once it is through, the one that nothing happened to, bit for bit?"""

import os
import signal
import time

import pytest

from .conftest import GENERATIONS, MOMENT, kill, until

pytestmark = pytest.mark.slow


def test_the_lead_signal_and_requeue(fit, same):
    fit.submit().working()
    before = fit.generations
    fit.slurm.said("scancel", "--signal=USR1", fit.job)
    first, second = fit.finished(starts=2)
    assert first.ended == "left" and "SIGUSR1" in first.reason and not first.had_its_time
    assert first.generations >= before + 1, "the job had 9 minutes left, and the generation in hand was dropped"
    assert second.generation == first.generations and second.restarts == 1 and second.series == fit.job
    assert f"job {fit.job} is queued again (exit code 75)" in fit.log
    same()


def test_a_generation_that_would_not_end_in_time_is_dropped(fit, same):
    """On the lead signal, when what is left of the job is less than what is left of the generation."""
    fit.submit("--time=1", pace=(30.0 * 60 / 100, 0.0))
    until(lambda: (fit.run / "starts.jsonl").exists(), "no start")
    time.sleep(1.0)
    told = time.monotonic()
    fit.slurm.said("scancel", "--signal=USR1", fit.job)
    until(lambda: fit.starts[0].ended, "goes on", 20)
    assert time.monotonic() - told < 5 and "dropped" in fit.starts[0].reason
    assert '"state": "waiting"' in (fit.run / "status.json").read_text() or len(fit.starts) > 1
    fit.finished(starts=2)
    same()


def test_its_own_clock(fit, same):
    """No signal: it leaves, because another generation might not end before the job does."""
    fit.submit("--time=1", lead="", pace=(2 * 7.0 / 100, 0.0))
    first, second = fit.finished(starts=2)
    assert first.ended == "left" and "the job ends in" in first.reason and first.had_its_time, first
    assert 2 <= first.generations < 8 and second.generation == first.generations
    same()


def test_chained_jobs(fit, same):
    fit.submit(on="chain").working()
    fit.slurm.said("scancel", "--signal=USR1", fit.job)
    assert fit.slurm.over(fit.job) == "FAILED" and fit.slurm.exit_code(fit.job) == "75:0"
    first, fit.job = fit.job, fit.log.partition("goes on in job ")[2].split()[0]
    fit.slurm.jobs.append(fit.job)
    _, second = fit.finished(starts=2)
    assert first != fit.job == second.job and second.series == first and second.restarts == 0
    same()


def test_preemption(fit, same):
    """A job of a better partition needs the nodes: the run is told, writes, and goes on when they are free again."""
    fit.submit("--partition=preemptible", "--nodes=4", "--exclusive").working()
    wrapped = ("--wrap", "sleep 2")
    other = fit.slurm.said("sbatch", "--parsable", "--partition=regular", "--nodes=4", "--exclusive", *wrapped)
    fit.slurm.jobs.append(other)
    first, second = fit.finished(starts=2)
    assert fit.slurm.over(other) == "COMPLETED"
    assert first.ended == "left" and "SIGUSR1" in first.reason and not first.had_its_time
    assert second.generation == first.generations < GENERATIONS
    same()


def test_preemption_without_a_signal_of_its_own(fit, same):
    """SIGTERM, and a grace time."""
    fit.submit("--partition=preemptible", "--nodes=4", "--exclusive", lead="").working()
    wrapped = ("--wrap", "sleep 2")
    other = fit.slurm.said("sbatch", "--parsable", "--partition=regular", "--nodes=4", "--exclusive", *wrapped)
    fit.slurm.jobs.append(other)
    first, _ = fit.finished(starts=2)
    assert first.ended == "left" and "SIGTERM" in first.reason
    same()


def test_requeue_in_the_middle_of_a_generation(fit, same):
    fit.submit().working()
    fit.slurm.said("scontrol", "requeue", fit.job)
    first, second = fit.finished(starts=2)
    assert first.ended in ("", "left") and 3 <= second.generation < GENERATIONS
    same()


def test_a_killed_rank(fit, same):
    fit.submit().working()
    kill(fit.pid(1))
    first, second = fit.finished(starts=2)
    # Rank 0 may learn of it by the SIGTERM that ends the step, and leave in good order.
    assert first.ended in ("", "left") and 3 <= second.generation < GENERATIONS
    same()


def test_a_killed_rank_0(fit, same):
    fit.submit().working()
    kill(fit.pid(0))
    first, second = fit.finished(starts=2)
    assert not first.ended and 3 <= second.generation < GENERATIONS
    same()


def test_a_rank_that_is_gone_and_nobody_notices(fit, same):
    """Others do its work; at the end it is waited for, and the job is ended.  The next start finds all done."""
    fit.submit(pace=(MOMENT / 3, 0.0)).working()
    os.kill(fit.pid(1), signal.SIGSTOP)
    first, second = fit.finished(starts=2)
    assert first.ended == "finished" and first.generations == second.generation == GENERATIONS
    assert "a rank does not answer" in fit.log
    same()


def test_a_node_that_fails(fit, same):
    fit.submit("--nodelist=node3,node4", "--nodes=2").working()
    try:
        fit.slurm.cluster("fail", "node4")
        until(lambda: fit.slurm.state(fit.job) == "PENDING", "is not queued again")
    finally:
        fit.slurm.cluster("restore", "node4")
    first, second = fit.finished(starts=2)
    assert first.ended in ("", "left") and 3 <= second.generation < GENERATIONS
    same()


def test_a_full_disk(fit, same):
    srun = ("srun", "--overlap", "--nodes=1", "--ntasks=1", "--nodelist=node1")
    folder = fit.run.with_name("small") / "run"
    fit.slurm.said(*srun, "mkdir", folder.parent)
    fit.slurm.said(*srun, "mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder.parent)
    try:
        more = f"--run {folder}"
        fit.submit("--nodelist=node[1-2]", "--nodes=2", more=more)
        assert fit.slurm.over(fit.job) == "FAILED" and fit.slurm.exit_code(fit.job) == "2:0", fit.log
        assert fit.log.count("no space left on the device; free some") == 1, fit.log
        fit.slurm.said(*srun, "mount", "-o", "remount,size=60m", folder.parent)
        fit.submit("--nodelist=node[1-2]", "--nodes=2", more=more)
        assert fit.slurm.over(fit.job) == "COMPLETED", fit.log
        fit.slurm.said(*srun, "cp", "-r", folder, fit.run)
    finally:
        fit.slurm.said(*srun, "umount", folder.parent)
    first, second = fit.starts
    assert first.ended in ("error", "") and 0 < second.generation < GENERATIONS
    same()


def test_truncated_files(fit, same):
    fit.submit(on="none").working(generations=5)
    fit.slurm.said("scancel", "--signal=USR1", fit.job)
    assert fit.slurm.over(fit.job) == "FAILED" and fit.slurm.exit_code(fit.job) == "75:0"
    there = fit.starts[0].generations
    latest = sorted((fit.run / "journal").glob("[0-9]*.h5"))[-1]
    for path in (latest, fit.run / "ledger.h5"):
        os.truncate(path, path.stat().st_size // 2)
    _, second = fit.submit(on="none").finished(starts=2)
    assert second.generation == there - 1
    same()


def test_another_number_of_ranks(fit, same):
    for ranks in (3, 2):
        fit.submit(on="none", ranks=ranks, pace=(MOMENT, MOMENT)).working(generations=fit.generations + 3)
        fit.slurm.said("scancel", "--signal=USR1", fit.job)
        assert fit.slurm.over(fit.job) == "FAILED", fit.log
    starts = fit.submit(on="none", ranks=1).finished(starts=3)
    assert [start.ranks for start in starts] == [3, 2, 1]
    same()


def test_a_task_of_an_array_goes_on_alone(fit, same):
    home = fit.run
    runs = [home.with_name(f"run{task}") for task in (0, 1)]
    fit.submit("--array=0-1", more=f"--run {home}$SLURM_ARRAY_TASK_ID")
    job = fit.job
    for task, fit.run in enumerate(runs):
        fit.job = f"{job}_{task}"
        fit.working()
    fit.slurm.said("scancel", "--signal=USR1", f"{job}_1")
    for task, fit.run in enumerate(runs):
        fit.job = f"{job}_{task}"
        assert {start.series for start in fit.finished(starts=1 + task)} == {fit.job}
        same(fit.run)


def test_a_cancelled_job_stays_cancelled(fit):
    fit.submit().working()
    fit.slurm.said("scancel", fit.job)
    assert fit.slurm.over(fit.job) == "CANCELLED"
    until(lambda: "is not started again" in fit.log, "the script says nothing", 20)
    time.sleep(1.0)
    assert fit.slurm.state(fit.job) == "CANCELLED" and len(fit.starts) == 1
