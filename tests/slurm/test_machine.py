"""On a real SLURM of several nodes: one doctor's report from all ranks, and an environment on every node's own disk."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCTOR = f"{sys.executable} -m hpcfit.cli doctor"
pytestmark = pytest.mark.slow


def script(tmp_path: Path, *lines: str, options: str = "") -> Path:
    """A job of four nodes, one task each, in tmp_path."""
    path = tmp_path / "job.sh"
    head = f"#!/bin/bash\n#SBATCH --nodes=4 --ntasks-per-node=1 --time=5 {options}\n#SBATCH --output={tmp_path}/out\n"
    path.write_text(head + f"cd {tmp_path}\nexport PYTHONPATH={ROOT}\n" + "\n".join(lines) + "\n")
    return path


def test_one_report_from_four_nodes(slurm, tmp_path):
    job = slurm.submit(
        script(
            tmp_path,
            f"timeout -k 1 100 srun --mpi=pmi2 {DOCTOR} --json >said.json",
            options="--gpus-per-node=2 --signal=USR1@60",
        )
    )
    assert slurm.over(job) == "COMPLETED", (tmp_path / "out").read_text()
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["good"] is True
    assert [(rank["rank"], rank["visible"]) for rank in said["ranks"]] == [(number, ["0", "1"]) for number in range(4)]
    assert len({rank["host"] for rank in said["ranks"]}) == 4
    what = "\n".join(finding["what"] for finding in said["findings"])
    for part in (
        "4 tasks under srun --mpi=pmi2; a world of 4",
        "; signal USR1@60 comes first",
        "clocks of 4 machines agree",
        f"run folder {tmp_path} is seen on all 4 machines",
        "on 4 ranks at once",
    ):
        assert part in what
    assert not list(tmp_path.glob(".hpcfit*"))


@pytest.mark.parametrize("kind", ["pmix", "none"])
def test_the_wrong_launcher(slurm, tmp_path, kind):
    job = slurm.submit(script(tmp_path, f"timeout -k 1 100 srun --mpi={kind} {DOCTOR}"))
    assert slurm.over(job) == "FAILED"
    lines = (tmp_path / "out").read_text().splitlines()
    (bad,) = [line for line in lines if line.startswith("BAD")]
    assert bad.startswith("BAD  MPI: MPICH") and "4 tasks" in bad and "; start it by srun --mpi=pmi2, or" in bad
    assert "(this srun has " in bad and "pmi2" in bad.partition("this srun has")[2]
    assert sum("Python 3." in line for line in lines) == 1


def test_a_run_folder_of_one_node(slurm, tmp_path):
    job = slurm.submit(script(tmp_path, f"timeout -k 1 100 srun --mpi=pmi2 {DOCTOR} --run /dev/shm"))
    assert slurm.over(job) == "FAILED"
    (bad,) = [line for line in (tmp_path / "out").read_text().splitlines() if line.startswith("BAD")]
    assert "run folder /dev/shm of rank 0 is not seen on node" in bad and "file system that all nodes share" in bad


def test_the_script_of_a_job_is_not_taken_for_a_rank(slurm, tmp_path):
    job = slurm.submit(script(tmp_path, DOCTOR))
    assert slurm.over(job) == "COMPLETED", (tmp_path / "out").read_text()
    assert "MPI:" not in (tmp_path / "out").read_text()


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="this Python is in no virtual environment")
def test_every_node_imports_from_its_own_disk(slurm, tmp_path):
    modules = "*(module.__file__ for module in (hpcfit, numpy, os))"
    show = f"import hpcfit, numpy, os, sys; print('from', os.uname().nodename, {modules}, sys.prefix)"
    stage = f'eval "$({sys.executable} -m hpcfit.cli stage --to /dev/shm)"'
    job = slurm.submit(
        script(
            tmp_path,
            f"export HPCFIT_CACHE={tmp_path}/cache",
            *(stage, "unset PYTHONPATH", 'echo "place $HPCFIT_STAGED"'),
            f'srun --mpi=none python -c "{show}"',
            'timeout -k 1 100 srun --mpi=pmi2 hpcfit doctor --json >said.json; echo "code $?"',
            "srun --mpi=none rm -rf /dev/shm/hpcfit-*",
        )
    )
    slurm.over(job, 240.0)
    lines = (tmp_path / "out").read_text().splitlines()
    (place,) = [line.split()[1] for line in lines if line.startswith("place ")]
    assert place.startswith(f"/dev/shm/hpcfit-{os.getuid()}/"), lines
    seen = [line.split()[1:] for line in lines if line.startswith("from ")]
    assert len({host for host, *_ in seen}) == 4
    assert all(f"{file}/".startswith(f"{place}/") for _, *files in seen for file in files), seen
    assert "code 0" in lines
    assert f"at {place}/bin/python" in (tmp_path / "said.json").read_text()
    assert not Path(place).exists()  # on this machine, which is none of the nodes
