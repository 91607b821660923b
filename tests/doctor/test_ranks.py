"""Does the doctor see ranks without cores or devices, and does one report come from all of them?"""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from hpcfit import doctor
from hpcfit.doctor import gather, job, ranks
from hpcfit.doctor.finding import Finding
from hpcfit.doctor.ranks import Rank
from hpcfit.errors import EngineError
from hpcfit.run import mpi_library
from hpcfit.run.comm import dry_run
from hpcfit.run.mpi_library import Library
from hpcfit.run.slurm import facts
from tests.mpi.launch import needs_mpi, on_ranks

R = Rank(0, "node1", (0, 1, 2, 3), processor="model name : one|")


def bad(found):
    return [finding for finding in found if not finding.good]


def two(first, second=None, **both):
    """Ranks 0 and 1 of node1."""
    return [replace(R, **both, **first), replace(R, rank=1, **both, **(first if second is None else second))]


@pytest.mark.parametrize(
    ("there", "says", "cure"),
    [
        (
            two({"cores": (0,)}, {"cores": (1,)}, cpus_per_task=2),
            "rank 0-1 may use one core, and 2 threads",
            "--cpus-per",
        ),
        (two({"cores": (0,)}, {"cores": (1,)}, threads=4), "one core, and 4 threads are asked", "--cpus-per-task"),
        (two({"cores": (0, 1)}, {"cores": (1, 2)}), "ranks 0 (cores 0-1) and 1 (1-2) overlap", "--cpu-bind=cores"),
        (two({"cores": (0,)}), "2 ranks on 1 cores", "fewer ranks"),
        (two({"cores": (0, 1)}, {"cores": (2, 3)}, cpus_per_task=3), "fewer than the 3", "--cpus-per-task"),
        (two({"cores": (0,)}, {"cores": (1,)}, cpus_on_node=64), "2 of the job's 64 cores", "--cpus-per-task"),
    ],
)
def test_masks_that_are_wrong(there, says, cure):
    (finding,) = bad(ranks.judge(there))
    assert says in finding.what and finding.what.startswith("node1: ") and cure in finding.cure


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (two({"cores": (0, 1)}, {"cores": (2, 3)}, cpus_per_task=2, cpus_on_node=4), "cores 0-3, each its own"),
        (two({}, cpus_on_node=4), "cores 0-3, shared evenly"),
        ([R], "node1: rank 0, cores 0-3"),
        (two({"cores": (0,)}, {"cores": (1,), "host": "node2"}), "node2: rank 1, cores 1"),
    ],
)
def test_masks_that_are_right(there, says):
    found = list(ranks.judge(there))
    assert not bad(found) and any(says in finding.what for finding in found)


@pytest.mark.parametrize(
    ("there", "says", "cure"),
    [
        (two({"visible": None}, job_devices=2), "the job has 2 devices, and rank 0 sees none", "--gpus-per-node"),
        (two({"visible": ()}, job_devices=2), "rank 0 sees none", "--gpus-per-node"),
        (
            two({"visible": ("0",), "devices": ("GPU-a",)}, job_devices=4),
            "all 2 ranks use one device (GPU-a) of 4",
            "--gpus",
        ),
    ],
)
def test_devices_that_are_wrong(there, says, cure):
    (finding,) = bad(ranks.judge(there))
    assert says in finding.what and cure in finding.cure


def test_every_task_calls_its_own_device_0():
    own = two({"visible": ("0",), "devices": ("GPU-a",)}, {"visible": ("0",), "devices": ("GPU-b",)}, job_devices=2)
    found = [finding for finding in ranks.judge(own) if "devices" in finding.what]
    assert [(f.good, f.what) for f in found] == [(True, "node1: devices GPU-a, GPU-b")]
    assert "never by the rank's number" in found[0].cure


def test_devices_that_all_ranks_see():
    found = [
        f for f in ranks.judge(two({"visible": ("0", "1"), "devices": ("0", "1")}, job_devices=2)) if "dev" in f.what
    ]
    assert [(f.good, f.what, f.cure) for f in found] == [(True, "node1: devices 0, 1, seen by every rank", "")]


def test_a_rank_sees_part_of_what_the_driver_shows():
    one, other = two({"visible": ("0",)}, {"visible": ("1",)}, devices=("GPU-a", "GPU-b"), job_devices=2)
    found = [finding for finding in ranks.judge([one, other]) if "devices" in finding.what]
    assert [(f.good, f.what, f.cure) for f in found] == [(True, "node1: devices GPU-a, GPU-b", "")]


def test_identifiers_of_devices():
    assert ranks.identifiers("GPU 0: NVIDIA X (UUID: GPU-1-a)\nGPU 1: NVIDIA X (UUID: GPU-2-b)\n") == (
        "GPU-1-a",
        "GPU-2-b",
    )
    split = "GPU 0: NVIDIA X (UUID: GPU-1-a)\n  MIG 1g.10gb Device 0: (UUID: MIG-7-c)\n"
    assert ranks.identifiers(split) == ("MIG-7-c",)


def test_two_kinds_of_processor():
    (finding,) = bad(ranks.judge([R, replace(R, rank=1, host="node2", processor="model name : other|")]))
    assert "one (node1)" in finding.what and "other (node2)" in finding.what and "--constraint" in finding.cure


def test_a_rank_survives_its_message():
    me = ranks.this_rank(3, {"CUDA_VISIBLE_DEVICES": "0,1", "OMP_NUM_THREADS": "4"})
    assert Rank.from_json(me.as_json()) == me and me.visible == ("0", "1") and me.threads == 4


TASK = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_ID": "0",
    "SLURM_SRUN_COMM_PORT": "1",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "3",
    "SLURM_NODEID": "1",
    "SLURM_MPI_TYPE": "pmi2",
    "SLURM_CPUS_PER_TASK": "4",
    "SLURM_JOB_CPUS_PER_NODE": "64(x2),32",
    "SLURM_STEP_GPUS": "1",
    "SLURM_JOB_GPUS": "0,2-3",
}


def test_what_slurm_says_of_a_task():
    found = facts.task_facts(TASK)
    assert found == facts.TaskFacts("7", 8, 3, True, "pmi2", 4, 64, ("1",), ("0", "2", "3"))
    assert facts.task_facts({}) is None
    last = facts.task_facts({**TASK, "SLURM_NODEID": "2"})
    assert last and last.cpus_on_node == 32 and not last.speaks
    script = facts.task_facts({name: TASK[name] for name in ("SLURM_JOB_ID", "SLURM_NTASKS")})
    assert script and not script.in_step and script.speaks


@pytest.mark.parametrize(
    ("version", "protocol", "cure"),
    [
        ("MPICH Version:      5.0.2", "PMI", ""),
        ("MPICH Version:      5.0.2", "PMIx", "--mpi=pmi2"),
        ("MPICH Version:      5.0.2", "", "--mpi=pmi2"),
        ("Open MPI v5.0.11, package: x", "PMI", "--mpi=pmix"),
        ("Open MPI v5.0.11, package: x", "PMIx", ""),
        ("Open MPI v5.0.11, package: x", "mpirun", ""),
        ("MPI VERSION    : CRAY MPICH version 8.1.30.8", "", ""),
        ("Intel(R) MPI Library 2021.1", "PMI", ""),
    ],
)
def test_library_and_launcher(version, protocol, cure):
    library = Library(version, mpi_library.family(version))
    said = mpi_library.misunderstanding(library, protocol)
    assert bool(said) is bool(cure) and cure in said


def test_a_world_of_one(monkeypatch):
    monkeypatch.setattr(mpi_library, "library", lambda: Library("MPICH 5", "MPICH"))
    monkeypatch.setattr(mpi_library, "spoken", lambda: "PMI")
    launched = job.launch(8, facts.task_facts(TASK))
    assert launched.usable and "MPICH 5, 8 tasks under srun --mpi=pmi2" in launched.finding.what
    assert job.world_size(8, 8, launched).good
    wrong = job.world_size(1, 8, launched)
    assert not wrong.good and wrong.what.endswith("but a world of 1") and "--mpi=pmi2 for MPICH" in wrong.cure


def test_no_mpi_at_all(monkeypatch):
    def none():
        raise EngineError("mpi4py cannot be imported (no); pip install it")

    monkeypatch.setattr(mpi_library, "library", none)
    launched = job.launch(8, None)
    assert not launched.usable and launched.finding == Finding(
        False, "8 tasks, and mpi4py cannot be imported (no)", "pip install it"
    )


@pytest.mark.parametrize(
    ("left_s", "signal", "good", "says"),
    [
        (600, "USR1@120", True, "ends in 10 min; signal USR1@120 comes first"),
        (600, "", True, "its own clock"),
        (600, None, True, "not known"),
        (600, "B:USR1@120", False, "B:USR1@120"),
        (20, "USR1@120", False, "ends in 0 min"),
        (None, "", True, "no end that SLURM tells"),
    ],
)
def test_the_clock_of_the_job(monkeypatch, left_s, signal, good, says):
    monkeypatch.setattr(job, "end_time", lambda: None if left_s is None else time.time() + left_s + 1)
    monkeypatch.setattr(job, "lead_signal", lambda _: signal)
    task = facts.task_facts(TASK)
    assert task
    finding = job.clock(task)
    assert finding.good is good and says in finding.what and (good or finding.cure)


def test_one_report_from_pretended_ranks(monkeypatch, tmp_path):
    lines = []

    def main(comm):
        if comm.rank:
            doctor.attend(comm)
            return None
        return list(doctor.examine_ranks(comm, doctor.Patient(tmp_path), lambda rank: lines.append(rank.rank)))

    monkeypatch.setattr(doctor.installed, "import_seconds", lambda: 0.5)
    findings = dry_run(2, main)[0]
    assert lines == [0, 1]
    said = [finding.what for finding in findings]
    assert any("ranks 0-1" in what for what in said)
    assert "one machine, one clock" in said and any("on 2 ranks at once" in what for what in said)
    assert list(tmp_path.iterdir()) == []


def two_machines(monkeypatch, ask):
    """What `ask(asked, machines)` finds, of two machines that are threads."""

    def main(comm):
        if comm.rank:
            gather.attend(comm, {})
            return None
        asked = gather.Asked(comm)
        try:
            return ask(asked, {"node1": 0, "node2": 1})
        finally:
            asked.leave()

    monkeypatch.setattr(gather, "_APPEARS_WITHIN_S", 0.2)
    return dry_run(2, main)[0]


def test_clocks(monkeypatch):
    finding = two_machines(monkeypatch, gather.clocks)
    assert finding.good and "clocks of 2 machines agree" in finding.what
    right = time.time
    monkeypatch.setattr(gather, "remote_time", lambda: right() + 90)
    finding = two_machines(monkeypatch, gather.clocks)
    assert not finding.good and "the clock of node2 is +90.0 s" in finding.what


def test_a_folder_that_another_machine_does_not_see(monkeypatch, tmp_path):
    folders = {"run folder": tmp_path}
    (finding,) = two_machines(monkeypatch, lambda *a: list(gather.visibility(*a, folders)))
    assert finding.good and finding.what.endswith("is seen on all 2 machines, and its locks")
    see = gather._see
    monkeypatch.setattr(gather, "_see", lambda about: see({"path": about["path"] + ".not"}))
    (finding,) = two_machines(monkeypatch, lambda *a: list(gather.visibility(*a, folders)))
    assert not finding.good and "is not seen on node2" in finding.what
    monkeypatch.setattr(gather, "_see", lambda about: {"there": True, "locked_too": True})
    (finding,) = two_machines(monkeypatch, lambda *a: list(gather.visibility(*a, folders)))
    assert finding.good and "each alone (node2)" in finding.what and "start it once" in finding.cure
    assert list(tmp_path.iterdir()) == []


@needs_mpi
@pytest.mark.slow
def test_ranks_of_mpi(tmp_path):
    with on_ranks(2, "-m", "hpcfit.cli", "doctor", "--run", tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert out.count("a world of 2") == out.count("Python 3.") == 1
    assert "rank 0 " in out and "rank 1 " in out and "on 2 ranks at once" in out


def test_tasks_that_are_alone_end_in_one_report(tmp_path):
    several = {**os.environ, **{name: value for name, value in TASK.items() if name != "SLURM_JOB_GPUS"}}
    for rank, code, lines in (("0", 1, 1), ("3", 0, 0)):
        done = subprocess.run(
            [sys.executable, "-m", "hpcfit.cli", "doctor", "--run", tmp_path],
            env={**several, "SLURM_PROCID": rank, "PMIX_RANK": rank, "MPI4PY_RC_RECV_MPROBE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        found = [
            line for line in done.stdout.splitlines() if line.startswith("BAD  MPI: ") or "tasks, and mpi4py" in line
        ]
        assert len(found) == lines
