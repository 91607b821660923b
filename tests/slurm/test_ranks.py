"""Ranks under a real srun: how many there are does not show in the numbers, and wrong starts are one clear error."""

import sys

import pytest

from hpcfit.population.timeline import read_timeline

from .conftest import GENERATIONS

pytestmark = pytest.mark.slow
HPCFIT = (sys.executable, "-m", "hpcfit.cli")


def test_1_2_3_and_8_ranks_on_up_to_4_nodes(fit, same):
    home = fit.run
    for ranks, nodes in ((1, 1), (2, 2), (3, 2), (8, 4)):
        fit.run = home.with_name(f"on{ranks}")
        # So slow that all ranks are there long before the end.
        fit.submit(f"--nodes={nodes}", ranks=ranks, on="none", pace=(0.004 * ranks, 0.0))
        (start,) = fit.finished(starts=1)
        assert start.ranks == ranks
        worked = {event.who for event in read_timeline(fit.run)}
        if ranks > 1:
            assert {f"rank {rank}" for rank in range(ranks)} <= worked
        same(fit.run)


def test_srun_by_hand(fit, same):
    """Without a job script, as in a terminal: it makes the allocation too."""
    done = fit.slurm("srun", "--nodes=2", "--ntasks=2", "--mpi=pmi2", "--time=5", *HPCFIT, "fit", fit.file,
                     "--run", fit.run)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best score") == 1 and done.stderr.count(f"generation={GENERATIONS - 1} ") == 1
    same()


def test_the_wrong_mpi_flavour_is_one_error(fit):
    """--mpi=none: each task is a world of its own.  All find out, none writes."""
    done = fit.slurm("srun", "--ntasks=2", "--mpi=none", "--time=5", *HPCFIT, "fit", fit.file, "--run", fit.run)
    lines = [line for line in done.stderr.splitlines() if line.startswith("hpcfit: ")]
    assert done.returncode == 2 and 1 <= len(lines) <= 2 and len(set(lines)) == 1, done.stderr
    assert "started 2 tasks, but for MPI each is alone" in lines[0] and "--mpi=pmi2" in lines[0]
    assert not fit.run.exists()


def test_more_ranks_than_tasks_is_slurm_s_own_error(fit):
    script = fit.run.with_suffix(".sh")
    script.write_text(f"#!/bin/bash\n#SBATCH --ntasks=2 --output={fit.run.with_suffix('.log')}\n"
                      f"srun --ntasks=3 --mpi=pmi2 {' '.join(HPCFIT)} fit {fit.file} --run {fit.run}\n")  # fmt: skip
    job = fit.slurm.submit(script)
    assert fit.slurm.over(job) == "FAILED"
    assert "More processors requested than permitted" in fit.log
    assert not fit.run.exists()


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_user_s_error_is_not_started_again(fit, ranks):
    fit.file.write_text(fit.file.read_text().replace("g_pas", "g_nowhere"))
    fit.submit(ranks=ranks)
    assert fit.slurm.over(fit.job) == "FAILED" and fit.slurm.exit_code(fit.job) == "2:0", fit.log
    assert fit.log.count("g_nowhere") >= 1 and "is queued again" not in fit.log
