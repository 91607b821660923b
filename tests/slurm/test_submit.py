"""Does `hpcfit submit` queue what it says, on a real SLURM: nothing that cannot run, nothing twice, all in the end?"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hpcfit as package
from hpcfit.population.ledger import Ledger, same_numbers
from hpcfit.run.slurm.commands import states
from hpcfit.run.slurm.queue import Queue

from .conftest import until

pytestmark = pytest.mark.slow
BATCHED = (("workers = 2", 'kind = "batched"\nworkers = 1'), ("generations = 3", "generations = 5"))
SITE = """\
name = "lab"
partition = "regular"
time = "5"
cores_per_node = 2
whole_nodes = false
mpi = "pmi2"
lead_s = 20
"""


@pytest.fixture
def site(tmp_path, monkeypatch, hpcfit):
    """site("key = value", ...): writes lab.toml beside the fit file; jobs must find the cache of the tests."""

    def write(*lines: str) -> str:
        keys = [line.partition(" =")[0] for line in lines]
        kept = [line for line in SITE.splitlines() if line.partition(" =")[0] not in keys]
        (tmp_path / "lab.toml").write_text("\n".join([*kept, *lines]) + "\n")
        return "lab"

    return write


@pytest.fixture
def submit(slurm, hpcfit):
    """submit(arguments...): hpcfit submit; what it queues is ended with the test."""

    def call(*arguments):
        ended = hpcfit("submit", *arguments)
        queued = [line.split()[1].rstrip(":") for line in ended.out.splitlines() if line.startswith("job ")]
        slurm.jobs += [job for job in queued if job.isdigit()]
        return ended

    return call


def wrapper(path: Path, text: str) -> Path:
    """A program that runs the command after it, as envs/ has them: here `hpcfit` is the one of these tests."""
    path.write_text(f'#!/bin/sh\nhpcfit() {{ exec {sys.executable} -m hpcfit.cli "$@"; }}\n{text}\n')
    path.chmod(0o755)
    return path


def test_a_fit_on_four_nodes(submit, site, tiny, slurm):
    file = tiny(*BATCHED)
    ended = submit(file, "--site", site(), "--nodes", 4, "--run", "runs/four", "--wait")
    assert ended.code == 0, ended
    (job,) = slurm.jobs
    assert ended.out == f"job {job}: {Path.cwd()}/runs/four\n"
    assert slurm.said("sacct", "-nPX", "-j", job, "-o", "NNodes,AllocCPUS") == "4|8"
    alone = package.run(file, "runs/alone")
    assert same_numbers(Ledger.open(Path("runs/four")), Ledger.open(alone.folder)) == []
    log = Path(f"runs/four/slurm/tiny-{job}.out").read_text()
    assert "results in" in log
    before = slurm.said("sacct", "-nPX", "-o", "JobID")
    again = submit(file, "--site", "lab", "--nodes", 4, "--run", "runs/four", "--wait")
    assert (again.code, again.out) == (0, f"nothing to queue: {Path.cwd()}/runs/four\n")
    assert slurm.said("sacct", "-nPX", "-o", "JobID") == before


def test_an_array_of_seeds(submit, site, tiny, slurm, hpcfit):
    """Eight seeds, two at a time, in arrays of at most five; cancelled tasks are queued again, and only those."""
    arguments = (tiny(*BATCHED), "--site", site("array_most = 5"), "--array", "run.seed=1-8%2")
    assert submit(*arguments).code == 0
    first, second = list(slurm.jobs)
    assert slurm.said("scontrol", "show", "job", second).count(f"afterany:{first}_") == 1
    most = 0

    def busy() -> int:
        return len(slurm.said("squeue", "-h", "-r", "-t", "R,CG", "-j", f"{first},{second}", "-o", "%i").split())

    until(busy, "nothing runs")
    slurm.said("scancel", f"{second}_2")
    shown = hpcfit("status", "runs/tiny")
    assert shown.code == 0 and shown.out.startswith(f"{Path.cwd()}/runs/tiny: 8 runs; ".replace(f"{Path.cwd()}/", ""))
    assert "PENDING" in shown.out
    while slurm.said("squeue", "-h", "-j", f"{first},{second}"):
        most = max(most, busy())
        time.sleep(0.1)
    assert most == 2
    rows = [line.split() for line in hpcfit("status", "runs/tiny").out.splitlines()[2:]]
    assert [row[0] for row in rows] == [f"run.seed={seed}" for seed in range(1, 9)]
    assert [row[1] for row in rows] == [f"{first}_{n}" for n in range(5)] + [f"{second}_{n}" for n in range(3)]
    assert [row[3] for row in rows[:7]] == ["finished"] * 7 and "not begun" in " ".join(rows[7])
    again = submit(*arguments, "--wait")
    assert again.code == 0 and "7 of 8 runs are done already" in again.err
    assert again.out == f"job {slurm.jobs[2]}: 1 runs in {Path.cwd()}/runs/tiny\n"
    assert Path(f"runs/tiny/slurm/jobs/{slurm.jobs[2]}").read_text() == "2 5\n"
    for seed in (1, 8):
        file = tiny(*BATCHED, ("seed = 3", f"seed = {seed}"))
        alone = package.run(file, f"runs/alone_{seed}")
        assert same_numbers(Ledger.open(Path(f"runs/tiny/run.seed={seed}")), Ledger.open(alone.folder)) == []


def test_what_is_queued_already_is_not_queued_again(submit, site, tiny, slurm):
    arguments = (tiny(*BATCHED), "--site", site('options = ["--hold"]'), "--array", "run.seed=1-3")
    assert submit(*arguments).code == 0
    again = submit(*arguments)
    assert again.code == 0 and "3 of 3 are in the queue already" in again.err and again.out.startswith("nothing")
    more = submit(*arguments[:-1], "run.seed=1-4")  # numbers of the others stay what they were
    assert more.out == f"job {slurm.jobs[-1]}: 1 runs in {Path.cwd()}/runs/tiny\n"
    lines = Path("runs/tiny/slurm/tasks.txt").read_text().splitlines()
    assert lines == [f"run.seed={n} --set run.seed={n}" for n in range(1, 5)]
    assert set(states(slurm.jobs)) == {f"{slurm.jobs[0]}_{n}" for n in range(3)} | {f"{slurm.jobs[1]}_3"}


@pytest.mark.parametrize("on", ["requeue", "chain"])
def test_a_job_that_stops_before_its_end_goes_on(submit, site, tiny, on):
    """Tasks of an array whose first start asks, by exit code 75, to be started again."""
    path = wrapper(
        Path("again"), 'mark=$(pwd)/mark-$SLURM_ARRAY_TASK_ID\n[ -e "$mark" ] || { touch "$mark"; exit 75; }\n"$@"'
    )
    name = site(f'environment = "./{path}"', 'environment_around = "rank"', f'on_end = "{on}"')
    ended = submit(tiny(*BATCHED), "--site", name, "--array", "run.seed=1,2", "--wait")
    assert ended.code == 0, ended
    assert sorted(path.name for path in Path().glob("mark-*")) == ["mark-0", "mark-1"]
    assert len(list(Path("runs/tiny/slurm/jobs").iterdir())) == (1 if on == "requeue" else 3)
    assert [len(Ledger.open(Path(f"runs/tiny/run.seed={seed}"))) for seed in (1, 2)] == [5, 5]


def test_wait_ends_with_the_worst_exit_code(submit, site, tiny, hpcfit):
    path = wrapper(Path("worst"), 'exit "$((SLURM_ARRAY_TASK_ID + 2))"')
    name = site(f'environment = "./{path}"', 'environment_around = "rank"')
    assert submit(tiny(*BATCHED), "--site", name, "--array", "run.seed=1,2", "--wait").code == 3
    assert "FAILED (3)" in hpcfit("status", "runs/tiny").out


def test_questions_that_fail_for_a_while(slurm, tmp_path, monkeypatch):
    """The first two questions fail as they do when a controller restarts; jobs seen before stay known."""
    slurm.jobs.append(slurm.said("sbatch", "--parsable", "--hold", "--wrap", "true", "--output=/dev/null"))
    job = slurm.jobs[0]
    queue = Queue()
    real = shutil.which("squeue")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "squeue"
    script.write_text(
        f'#!/bin/sh\necho x >>{tmp_path}/asked\n[ "$(wc -l <{tmp_path}/asked)" -gt 2 ] && exec {real} "$@"\nexit 1\n'
    )
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
        assert [queue.states([job])[job].state for _ in range(3)] == ["UNKNOWN", "UNKNOWN", "PENDING"]
        script.write_text("#!/bin/sh\nexit 1\n")
        assert queue.states([job])[job].state == "PENDING"
    slurm.said("scancel", job)
    assert until(lambda: queue.states([job])[job].state == "CANCELLED", "not cancelled")
    queue.states([job])
    assert queue.over(job)


def test_ended_jobs_are_found_in_the_accounting(slurm, monkeypatch):
    """As when the controller has forgotten them: here it is made to list none."""
    job = slurm.said(
        "sbatch", "--parsable", "--array=0,3-4", "--output=/dev/null", "--wrap", "exit $SLURM_ARRAY_TASK_ID"
    )
    slurm.jobs.append(job)
    until(lambda: all(state.over for state in states([job]).values()) and len(states([job])) == 3, "goes on")
    by_controller = {task: (state.state, state.exit_code) for task, state in states([job]).items()}
    assert by_controller == {f"{job}_0": ("COMPLETED", 0), f"{job}_3": ("FAILED", 3), f"{job}_4": ("FAILED", 4)}
    monkeypatch.setattr("os.getuid", lambda: 54321)  # whose jobs are none
    until(
        lambda: {task: (one.state, one.exit_code) for task, one in states([job]).items()} == by_controller, "sacct lags"
    )


REFUSED = {
    "an unknown partition": (["--partition", "reglar"], "--partition reglar: ", "did you mean regular?"),
    "an unknown feature": (["--constraint", "haswell"], "--constraint haswell: no node of partition regular"),
    "an account that is not mine": (["--account", "m1234"], "--account m1234: ", "it has "),
    "more nodes than there are": (["--nodes", 5], "--nodes 5: partition regular gives a job at most 4"),
    "more time": (["--partition", "debug", "--time", "31"], "--time 31: partition debug allows at most 30 minutes"),
    "an unknown --mpi=": (["--nodes", 2, "--mpi", "pmi3"], "--mpi pmi3: srun here knows ", "pmi2"),
    "an --mpi= of another library": (
        ["--nodes", 2, "--mpi", "pmix"],
        "--mpi pmix: each rank would be alone",
        "--mpi pmi2",
    ),
}


@pytest.mark.parametrize("line", ["cores_per_node = 3", "gpus_per_node = 3"])
def test_nodes_that_the_cluster_does_not_have(submit, site, tiny, line):
    key, _, _ = line.partition(" =")
    ended = submit(tiny(*BATCHED), "--site", site(line))
    assert ended.code == 2 and f"of each node ({key}): partition regular has at most 2" in ended.err, ended
    assert not Path("runs").exists()


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_queued(case, submit, site, tiny, slurm):
    options, *parts = REFUSED[case]
    before = slurm.said("squeue", "-h", "-t", "all", "-o", "%i")
    ended = submit(tiny(*BATCHED), "--site", site(), *options)
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1, ended
    line = ended.err.removeprefix("hpcfit: ")
    assert line.startswith(parts[0]) and all(part in line.lower() for part in parts[1:]), line
    assert slurm.said("squeue", "-h", "-t", "all", "-o", "%i") == before
    assert not Path("runs").exists()


def test_what_only_sbatch_knows(submit, site, tiny, slurm):
    ended = submit(tiny(*BATCHED), "--site", site('options = ["--gres=nonsense:1"]'))
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended
    assert ended.err.startswith("hpcfit: sbatch --parsable: ") and "gres" in ended.err
    assert list(Path("runs/tiny/slurm/jobs").iterdir()) == []


def test_no_mpi_in_the_environment_of_the_job(submit, site, tiny):
    path = Path("bare")
    path.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -S "$@"\n')
    path.chmod(0o755)
    ended = submit(tiny(*BATCHED), "--site", site('environment = "./bare"'), "--nodes", 2)
    assert ended.code == 2 and "the environment of the job has no MPI for 2 ranks" in ended.err, ended
    assert "mpi4py" in ended.err and not Path("runs").exists()


def test_a_dry_run_says_what_this_cluster_would_refuse(submit, tiny, slurm):
    ended = submit(tiny(*BATCHED), "--site", "perlmutter-cpu", "--dry-run")
    assert ended.code == 0 and "note: this cluster would refuse it: --constraint cpu: no node" in ended.err
    assert subprocess.run(["bash", "-n"], input=ended.out, text=True, check=False).returncode == 0
