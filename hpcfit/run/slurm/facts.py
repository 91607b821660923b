"""What SLURM gave this task, how long it lasts and how its steps are launched: what `hpcfit doctor` judges."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from hpcfit.errors import SchedulerError
from hpcfit.run.slurm.commands import ask, indices
from hpcfit.run.slurm.environment import step_tasks, this_job


@dataclass(frozen=True)
class TaskFacts:
    """The job of this process, and its part of it."""

    job: str
    tasks: int
    """Tasks of the step, or of the job in its script."""
    number: int
    """Of this task, as the launcher counts; in the job's script 0."""
    in_step: bool
    """Started by srun, not the job's script."""
    mpi: str
    """What srun was told by --mpi=, or the machine's default; "" when SLURM does not say."""
    cpus_per_task: int
    """0 when nobody asked."""
    cpus_on_node: int
    """That the job has on this node; 0 when unknown."""
    devices: tuple[str, ...]
    """Numbers of the node's devices that this task (of a step without --gpus-per-task: its node) was given."""
    job_devices: tuple[str, ...]
    """Those the job has on its first node."""

    @property
    def speaks(self) -> bool:
        """Is this the process that reports when no task can know of the others?"""
        return self.number == 0


def task_facts(environment: Mapping[str, str] = os.environ) -> TaskFacts | None:
    """What the environment says of this task; None outside a job."""
    job = environment.get("SLURM_JOB_ID", "")
    if not job:
        return None
    return TaskFacts(
        job=job,
        tasks=step_tasks(environment),
        number=_number(environment, "SLURM_PROCID"),
        in_step="SLURM_STEP_ID" in environment and "SLURM_SRUN_COMM_PORT" in environment,
        mpi=environment.get("SLURM_MPI_TYPE", ""),
        cpus_per_task=_number(environment, "SLURM_CPUS_PER_TASK"),
        cpus_on_node=_of_node(environment.get("SLURM_JOB_CPUS_PER_NODE", ""), _number(environment, "SLURM_NODEID")),
        devices=_devices(environment.get("SLURM_STEP_GPUS") or environment.get("SLURM_JOB_GPUS", "")),
        job_devices=_devices(environment.get("SLURM_JOB_GPUS", "")),
    )


def end_time() -> float | None:
    """When the time of this process's job ends, seconds since 1970; None when it has no end or nobody answers."""
    job = this_job()
    return None if job is None else job.ask_end() or job.ends_s


def lead_signal(job: str) -> str | None:
    """What --signal the job's script asks for, e.g. USR1@120; "" when none, None when its script cannot be read.

    A --signal on the command line that submitted it is not seen.
    """
    try:
        script = ask("scontrol", "write", "batch_script", job, "-")
    except SchedulerError:
        return None
    found = re.search(r"^#SBATCH\s.*--signal[= ](\S+)", script, flags=re.MULTILINE)
    return found[1] if found else ""


def mpi_kinds() -> tuple[str, ...]:
    """What this machine's srun takes for --mpi=; empty where there is none."""
    try:
        said = ask("srun", "--mpi=list")
    except SchedulerError:
        return ()
    return tuple(re.findall(r"^(?:srun:)?\s+([a-z]\w*)\s*$", said, flags=re.MULTILINE))


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdigit() else 0


def _of_node(text: str, node: int) -> int:
    """The number of one node out of 64(x3),32; 0 when it is not there."""
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    return counts[node] if node < len(counts) else 0


def _devices(text: str) -> tuple[str, ...]:
    """0,2-3 as ("0", "2", "3")."""
    return tuple(map(str, indices(text))) if text else ()
