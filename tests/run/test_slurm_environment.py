"""What SLURM's variables say about a job, and what its controller is asked; SLURM itself is in tests/slurm."""

from pathlib import Path

import pytest

from hpcfit.run.slurm.environment import Job, step_tasks, this_job


def test_no_job():
    assert this_job({}) is None and step_tasks({}) == 1


def test_a_job_its_restarts_and_its_end():
    said = {"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "3", "SLURM_JOB_END_TIME": "1700000000"}
    assert this_job(said) == Job("12", 3, "12", 1.7e9)
    assert this_job({"SLURM_JOB_ID": "12"}) == Job("12", 0, "12", None)
    assert this_job({"SLURM_JOB_ID": "12", "HPCFIT_SERIES": "7"}) == Job("12", 0, "7", None)


def test_a_task_of_an_array_goes_by_the_array_s_number_and_its_own():
    said = {"SLURM_JOB_ID": "15", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "4"}
    assert this_job(said) == Job("12_4", 0, "12_4", None)


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("echo 1700000000", 1.7e9),
        ("echo NONE", None),
        ("echo 'Invalid job id' >&2; exit 1", None),
        ("sleep 60", None),
        ('[ "$SLURM_TIME_FORMAT $3 $5" = "%s 12_4 %e" ] && echo 5', 5.0),
    ],
)
def test_the_end_of_a_job_is_asked_once_and_not_for_long(tmp_path: Path, monkeypatch, answer, end):
    (tmp_path / "squeue").write_text(f"#!/bin/bash\n{answer}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("hpcfit.run.slurm.environment._ASK_S", 0.3)
    assert Job("12_4").ask_end() == end


def test_no_squeue_no_answer(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Job("12").ask_end() is None
