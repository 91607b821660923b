"""What does SLURM say about the job this process is in?"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

SERIES = "HPCFIT_SERIES"
"""Set by a job for the one chained to it: the job that a person has submitted."""
_ASK_S = 3.0
"""SIGKILL follows a SIGTERM after KillWait, 30 s by default; a controller that is busy must not use that up."""


@dataclass(frozen=True)
class Job:
    """The job this process is in.

    Attributes
    ----------
    id
        As SLURM's commands take it: 123, of an array 123_4.
    restarts
        How often SLURM has started it again.
    series
        The job that a person submitted, of which this one is a restart or the last link of a chain.
    ends_s
        When its time is up, in seconds since 1970, as far as the environment says it.
    """

    id: str
    restarts: int = 0
    series: str = ""
    ends_s: float | None = None

    def ask_end(self) -> float | None:
        """When its time is up by now, in seconds since 1970: preemption moves it.

        One question to the controller; None where it does not answer, or the job has no limit.
        """
        if shutil.which("squeue") is None:
            return None
        command = ["squeue", "--noheader", "--jobs", self.id, "--format", "%e"]
        environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}  # seconds, whatever the time zone of this node
        try:
            said = subprocess.run(
                command, capture_output=True, text=True, timeout=_ASK_S, check=True, env=environment
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return None
        return float(said) if said.strip().isdigit() else None


def this_job(environment: Mapping[str, str] = os.environ) -> Job | None:
    """The job this process is in; None outside SLURM."""
    number = environment.get("SLURM_JOB_ID", "")
    if not number:
        return None
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    name = f"{array}_{task}" if array and task else number
    end = environment.get("SLURM_JOB_END_TIME", "")
    return Job(
        id=name,
        restarts=int(environment.get("SLURM_RESTART_COUNT") or 0),
        series=environment.get(SERIES) or name,
        ends_s=float(end) if end.isdigit() else None,
    )


def step_tasks(environment: Mapping[str, str] = os.environ) -> int:
    """Tasks of the job or of its step; 1 outside SLURM."""
    for name in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return 1
