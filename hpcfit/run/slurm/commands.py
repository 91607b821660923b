"""How is SLURM told and asked?  Thin wrappers of its commands; the only place that runs them.

Nothing that changes the queue is tried twice: a submission whose answer was lost may have been heard.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcfit.errors import SchedulerError

_ANSWER_S = 120.0
"""SLURM's own commands give up after MessageTimeout, 10 to 100 s."""
_ENDED = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "REVOKED"),
    *("NODE_FAIL", "PREEMPTED"),  # for a moment also those of a job that is about to be requeued
}
_FORMAT = (("JobArrayID", 50), ("State", 30), ("exit_code", 20), ("Reason", 200))


@dataclass(frozen=True)
class JobState:
    """Where a job, or a task of an array, stands.

    Attributes
    ----------
    state
        SLURM's word: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT, NODE_FAIL, PREEMPTED ...
    exit_code
        Of the job script; 128 + signal where one ended it; None before its end.
    reason
        Why it waits, or why it ended, in SLURM's word.
    """

    state: str
    exit_code: int | None = None
    reason: str = ""

    @property
    def over(self) -> bool:
        """Has it ended?  NODE_FAIL and PREEMPTED may be followed by a requeue; `Queue` looks twice."""
        return self.state in _ENDED

    @property
    def verdict(self) -> int:
        """As an exit code: 0 only where the job completed."""
        return self.exit_code or (0 if self.state == "COMPLETED" else 1)


def available() -> bool:
    """Are SLURM's commands here?"""
    return shutil.which("sbatch") is not None


def submit(script: Path, options: Sequence[str] = ()) -> str:
    """Queue a job script; gives the job's id.  options: more of sbatch's, which go before the script's own.

    Raises
    ------
    SchedulerError
        When SLURM is not here, or refuses: its words.
    """
    said = _run("sbatch", "--parsable", *options, str(script))
    job = said.strip().rpartition("\n")[2].partition(";")[0]
    if not job.isdigit():
        raise SchedulerError(f"sbatch {script}: gave no job id but {said.strip()!r}; see squeue --me")
    return job


def states(jobs: Iterable[str]) -> dict[str, JobState]:
    """Where jobs (ID) and tasks of arrays (ARRAY_INDEX) stand, those that SLURM knows of; an array's ID: all its tasks.

    One question about all of them (this user's jobs, which the controller looks up without walking over everybody's),
    and a second one, to the accounting, about those that the controller has forgotten.

    Raises
    ------
    SchedulerError
        When the controller does not answer.
    """
    wanted = set(jobs)
    if not wanted:
        return {}
    columns = ",".join(f"{name}:{width}" for name, width in _FORMAT)
    text = _run("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", f"--Format={columns}")
    listed = dict(map(_row, text.splitlines()))
    forgotten = wanted - listed.keys() - {_base(job) for job in listed}
    # Of an array tasks are forgotten one by one; one that is cancelled as it waits, by everybody and at once.
    forgotten |= {job for job in wanted if "_" in job and job not in listed}
    known = (_accounted(sorted({_base(job) for job in forgotten})) if forgotten else {}) | listed
    return {job: state for job, state in known.items() if job in wanted or _base(job) in wanted}


def _row(line: str) -> tuple[str, JobState]:
    cells, start = [], 0
    for _, width in _FORMAT:
        cells.append(line[start : start + width].strip())
        start += width
    job, word, status, reason = cells
    return job, _state(word, _exit_code(int(status)) if status.isdigit() else None, "" if reason == "None" else reason)


def _exit_code(status: int) -> int:
    """Of what wait(2) gave: the signal in the low bits, the exit code above."""
    return 128 + (status & 0x7F) if status & 0x7F else status >> 8


def _accounted(jobs: Sequence[str]) -> dict[str, JobState]:
    """What the accounting remembers; nothing where there is none.  It lags by seconds."""
    try:
        text = _run("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={','.join(jobs)}",
                    "--format=JobID,State,ExitCode")  # fmt: skip
    except SchedulerError:
        return {}
    found = {}
    for line in text.splitlines():
        job, word, ended = line.split("|")
        code, _, number = ended.partition(":")
        state = _state(word.split()[0], 128 + int(number) if number not in ("", "0") else int(code or 0))
        found |= dict.fromkeys(_tasks(job), state)
    return found


def _state(word: str, code: int | None, reason: str = "") -> JobState:
    state = JobState(word, code, reason)
    return state if state.over else JobState(word, None, reason)


def _tasks(job: str) -> list[str]:
    """1_[0,3-5%2], as tasks that wait together are written, as 1_0, 1_3, 1_4, 1_5."""
    base, _, rest = job.partition("_")
    if not rest.startswith("["):
        return [job]
    return [f"{base}_{index}" for index in indices(rest.strip("[]").partition("%")[0])]


def indices(text: str) -> list[int]:
    """0,3-5 as numbers."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as 0,3-5: what `indices` reads."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in parts)


def _base(job: str) -> str:
    return job.partition("_")[0]


def cancel(jobs: Sequence[str]) -> None:
    """End jobs, or tasks of arrays; those that have ended are passed over.  Raises SchedulerError."""
    if jobs:
        _run("scancel", *jobs)


def requeue(job: str) -> None:
    """Put a running job back into the queue under its own id.  Raises SchedulerError."""
    _run("scontrol", "requeue", job)


def ask(command: str, *arguments: str) -> str:
    """What a command that only asks (sinfo, scontrol show, sacctmgr show, srun --mpi=list) says.

    Raises
    ------
    SchedulerError
        When it is not here, or fails: its words.
    """
    assert command in ("sinfo", "scontrol", "sacctmgr", "srun"), command
    return _run(command, *arguments)


def _run(*command: str) -> str:
    """What it printed.

    From inside a job its SLURM_* variables would go on into the next one and contradict its script.
    """
    clean = {key: value for key, value in os.environ.items() if key == "SLURM_CONF" or not key.startswith("SLURM_")}
    try:
        ended = subprocess.run(command, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                               timeout=_ANSWER_S, check=False)  # fmt: skip
    except FileNotFoundError:
        raise SchedulerError(
            f"{command[0]}: not found; SLURM's commands are not on the PATH of this machine: use a login node of the "
            "cluster, or look at the job script with --dry-run"
        ) from None
    except subprocess.TimeoutExpired:
        raise SchedulerError(f"{command[0]}: no answer within {_ANSWER_S:g} s; is the controller up?") from None
    if ended.returncode:
        words = "; ".join(re.sub(r"^\w+: (error: )?", "", line) for line in ended.stderr.strip().splitlines())
        raise SchedulerError(f"{' '.join(command[:2])}: {words or f'failed with exit code {ended.returncode}'}")
    return ended.stdout + (ended.stderr if command[:2] == ("srun", "--mpi=list") else "")
