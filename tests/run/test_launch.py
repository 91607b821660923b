"""Are ranks started by what there is, and is what cannot work said before anything is started?"""

import os
from pathlib import Path

import pytest

from hpcfit.errors import ConfigError, EngineError
from hpcfit.run.launch import launcher
from hpcfit.run.mpi_asked import flavour
from hpcfit.run.process_age import age_s
from hpcfit.run.processes import available_cores
from hpcfit.run.slurm.allocation import Allocation, allocation, job_words

JOB = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "4", "SLURM_NTASKS": "8", "SLURM_JOB_PARTITION": "regular"}


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    """No launcher and no job, whatever the tests run in."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "PMI_", "OMPI_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def library(monkeypatch):
    """library("MPICH Version: 5"): which MPI there is."""

    def there(name: str) -> None:
        monkeypatch.setattr("hpcfit.run.launch.mpi_library", lambda: name)

    there("mpi4py 4, MPICH Version: 5.0.2")
    return there


@pytest.fixture
def job(monkeypatch):
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)


def test_one_rank_needs_nothing(monkeypatch):
    monkeypatch.setattr("hpcfit.run.launch.mpi_library", lambda: pytest.fail("MPI is asked for one rank"))
    found = launcher([1])
    assert found.words(1) == [] and found.nodes(1) == 1


def test_mpiexec_on_one_machine(library):
    found = launcher([1, 4], oversubscribe=True)
    program, *words = found.words(4)
    assert Path(program).name == "mpiexec" and words == ["-n", "4"]
    assert found.words(1) == [] and found.nodes(4) == 1


def test_srun_in_a_job_fills_nodes_one_after_another(library, job):
    found = launcher([1, 2, 3, 8], cores=2)
    assert found.words(3) == [
        *("srun", "--mpi=pmi2", "--ntasks=3", "--nodes=2", "--cpus-per-task=2", "--kill-on-bad-exit=1"),
        "--input=none",
    ]
    assert [found.nodes(ranks) for ranks in (1, 2, 3, 8)] == [1, 1, 2, 4]
    assert found.words(1)[0] == "srun"  # the shell of a job may be on another machine than its nodes
    assert launcher([2], flavour_asked="cray_shasta").words(2)[1] == "--mpi=cray_shasta"
    library("mpi4py 4, Open MPI v5.0.11")
    assert launcher([2]).words(2)[1] == "--mpi=pmix"


def test_what_a_job_holds():
    assert allocation({}) is None
    assert allocation(JOB) == Allocation("7", 4, 8)
    uneven = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "4", "SLURM_TASKS_PER_NODE": "2(x3),1"}
    assert allocation(uneven) == Allocation("7", 4, 7)
    assert allocation(uneven).nodes_for(3) == 2
    assert job_words(JOB)["job_partition"] == "regular" and job_words({}) == {}


def test_more_ranks_than_places(library, monkeypatch):
    most = available_cores()
    with pytest.raises(ConfigError, match=f"asks for {most + 1} ranks, but this machine has {most} cores .* --oversub"):
        launcher([1, most + 1])
    with pytest.raises(ConfigError, match=f"at most {most // 2}"):
        launcher([most], cores=2)
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"asks for 9 ranks, but the SLURM job 7 has 8 tasks on 4 nodes; .*ask SLURM"):
        launcher([1, 9])


def test_started_by_a_launcher_itself(monkeypatch):
    for name in ("SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "4")
            with pytest.raises(ConfigError, match="start it once, without srun or mpiexec"):
                launcher([1])


def test_launchers_that_do_not_fit(library):
    with pytest.raises(ConfigError, match="in no SLURM allocation"):
        launcher([2], "srun")
    with pytest.raises(ConfigError, match="starts one rank, not 2"):
        launcher([2], "none")
    with pytest.raises(ConfigError, match=r"--launcher jsrun: there is no such way .* auto, srun, mpiexec, none"):
        launcher([2], "jsrun")  # type: ignore[arg-type]


def test_a_library_that_is_not_known_needs_a_word(library, job):
    library("mpi4py 4, Some vendor's 3.1")
    with pytest.raises(ConfigError, match=r"not known \(mpi4py 4, Some vendor's 3.1\); say --mpi"):
        launcher([2])
    assert flavour("Intel(R) MPI Library 2021.9") == "pmi2"


def test_no_mpi(tmp_path, monkeypatch):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    with pytest.raises(EngineError, match=r"\(ImportError: not installed\); pip install 'hpcfit\[mpi\]'.* --ranks 1"):
        launcher([2], oversubscribe=True)


def test_no_mpiexec(library, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(EngineError, match="no mpiexec"):
        launcher([2], oversubscribe=True)


def test_age_of_a_process_counts_from_its_start():
    import subprocess
    import sys
    import time

    program = "import time; time.sleep(0.3)\nfrom hpcfit.run.process_age import age_s\nprint(age_s())"
    begun = time.monotonic()
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert 0.29 < float(said) < time.monotonic() - begun + 0.02
    one = age_s()
    time.sleep(0.05)
    assert 0.04 < age_s() - one < 5
