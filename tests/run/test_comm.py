"""Do all forms of Comm keep the same promise?  comm_cases.py says which."""

import json
import threading
import time
from pathlib import Path

import pytest

from hpcfit.errors import EngineError
from hpcfit.run.comm import Aborted, SerialComm, dry_run
from hpcfit.run.mpi import launched_ranks

from ..mpi.launch import needs_mpi, on_ranks
from .comm_cases import CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_alone(case):
    case(SerialComm())


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_pretended(case, size):
    dry_run(size, case)


@needs_mpi
@pytest.mark.parametrize("size", [1, 2, 3])
def test_mpi(size, tmp_path):
    with on_ranks(size, Path(__file__).with_name("comm_cases.py"), tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    said = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert said == [{"size": size, "failed": {}}] * size


@needs_mpi
@pytest.mark.parametrize("how", ["comm.abort(7)", "raise ValueError('unforeseen')"])
def test_one_rank_ends_them_all(how, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import time\nfrom hpcfit.jobs.sharing import ranks\nwith ranks(True) as comm:\n    if comm.rank == 1:\n"
        f"        {how}\n    time.sleep(60)\n"
    )
    start = time.monotonic()
    with on_ranks(3, program) as process:
        _, err = process.communicate(timeout=50)
    assert process.returncode != 0, err  # which number is the launcher's to choose
    assert time.monotonic() - start < 40
    assert ("ValueError: unforeseen" in err and "rank 1 of 3 aborts" in err) == ("unforeseen" in how)


def test_a_pretended_rank_ends_them_all():
    started = threading.Barrier(4)

    def main(comm):
        started.wait(10)
        if comm.rank == 2:
            comm.abort()
        comm.barrier() if comm.rank else comm.receive(60)

    start = time.monotonic()
    with pytest.raises(Aborted):
        dry_run(4, main)
    assert time.monotonic() - start < 10


def test_what_a_pretended_rank_raises_is_raised():
    def main(comm):
        if comm.rank == 1:
            raise EngineError("out of luck")
        comm.receive(60)

    with pytest.raises(EngineError, match="out of luck"):
        dry_run(3, main)


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({}, 1),
        ({"SLURM_NTASKS": "8"}, 8),
        ({"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"}, 1),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "PMI_SIZE": "4"}, 4),
        ({"SLURM_NTASKS": "8", "PMI_SIZE": "1"}, 1),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, 3),
        ({"SLURM_NTASKS": "many"}, 1),
    ],
)
def test_the_launcher_says_how_many_it_started(environment, ranks):
    assert launched_ranks(environment) == ranks
