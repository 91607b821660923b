"""Workers that are jobs of submitit: on SLURM, or processes here by its LocalExecutor, to try what a cluster will do.

Its checkpoint protocol: a job that is preempted or runs out of time is asked for what is to go on in its place.  A
worker says goodbye, so that others do what it had, and is to go on as the same rank; submitit puts that into the
queue.
"""

import math
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError
from submitit.helpers import Checkpointable, DelayedSubmission

from hpcfit.errors import SchedulerError
from hpcfit.run.slurm import commands
from hpcfit.run.slurm.array import BLAMED, as_from_outside, remember, sweep
from hpcfit.run.slurm.queue import Queue, pauses
from hpcfit.run.slurm.site import Site
from hpcfit.run.slurm.times import UNLIMITED, seconds
from hpcfit.run.team.folder import FolderLink
from hpcfit.run.team.parts import End
from hpcfit.run.team.seat import new_life, work

_NO_LIMIT_MIN = 60 * 24 * 365
_UNSAID_MIN = 60
"""A site that says no time: submitit wants one."""
_GOING_S = 5.0
_links: list[FolderLink] = []
"""Of the worker that this process is."""


class Member(Checkpointable):
    """What a job of submitit calls: a worker of the team in `folder`."""

    def __init__(self, folder: str, rank: int) -> None:
        self.folder, self.rank = folder, rank

    def __call__(self) -> int:
        """Until it is dismissed; an exit code."""
        with FolderLink(self.folder, self.rank, new_life()) as link:
            _links[:] = [link]
            return work(link, link.entry)

    def checkpoint(self) -> DelayedSubmission:
        """The same rank, as a new process.  Called by a signal's handler."""
        for link in _links:
            link.send(0, {"kind": "goodbye"})
        return DelayedSubmission(Member(self.folder, self.rank))


class Submitit:
    """See Launcher."""

    def __init__(self, site: Site | None, wrapper: Path | None, folder: Path, name: str) -> None:
        """site: None for processes of this machine; wrapper: of the site's environment.

        Raises
        ------
        SchedulerError
            When a site is given, and there is no SLURM here.
        """
        self._folder, self._site = folder, site
        self._parameters = _parameters(site, name)
        self._python = f"{shlex.quote(str(wrapper))} python" if wrapper else shlex.quote(sys.executable)
        self._executor: submitit.AutoExecutor | None = None
        if site is not None and not commands.available():
            raise SchedulerError(f"--executor submitit --site {site.name}: there is no SLURM here; use a login node")
        self._jobs: dict[int, submitit.Job[int]] = {}
        self._all: list[str] = []
        self._queue = Queue()
        self._changed = False
        self._pauses = pauses(lambda: self._changed)
        self._look_s = 0.0

    def start(self, ranks: Sequence[int], address: Sequence[str]) -> None:
        """See Launcher.start.  On SLURM they are one array."""
        if self._site is not None and not self._all:
            sweep(self._folder.parent, self._folder)
        executor = self._executor = self._executor or self._made()
        if self._site is not None:
            executor.update_parameters(slurm_array_parallelism=len(ranks))
        try:
            with as_from_outside(), executor.batch():
                jobs = [executor.submit(Member(address[1], rank)) for rank in ranks]
        except (FailedJobError, OSError) as error:
            words = "; ".join(str(error).split("\n"))
            raise SchedulerError(f"submitit cannot start workers: {words}") from None
        self._jobs |= dict(zip(ranks, jobs, strict=True))
        if self._site is not None:
            self._all += [job.job_id for job in jobs]
            remember(self._folder, self._all)
        self._pauses = pauses(lambda: self._changed)
        self._look_s = time.monotonic() + (next(self._pauses) if self._site else 0.0)

    def _made(self) -> submitit.AutoExecutor:
        """It makes a folder: not before there is work."""
        place = self._folder / "log" / "%j"
        if self._site is None:
            executor = submitit.AutoExecutor(place, cluster="local")
        else:
            more = {"slurm_python": self._python, "slurm_max_num_timeout": self._site.restarts_most}
            executor = submitit.AutoExecutor(place, cluster="slurm", **more)
        executor.update_parameters(**self._parameters)
        return executor

    def ended(self) -> Mapping[int, End]:
        """See Launcher.ended."""
        now = time.monotonic()
        if now < self._look_s or not self._jobs:
            return {}
        if self._site is None:
            # A worker that was killed has left no result; its controller, which is what submitit looks at, ends well.
            over = {rank: _end(job, job.state, blame=True) for rank, job in self._jobs.items() if job.done()}
        else:
            states = self._queue.states(job.job_id for job in self._jobs.values())
            done = {rank: job for rank, job in self._jobs.items() if self._queue.over(job.job_id)}
            self._changed = bool(done)
            self._look_s = now + next(self._pauses)
            ended = {rank: states[job.job_id].state for rank, job in done.items()}
            over = {rank: _end(done[rank], state, state in BLAMED) for rank, state in ended.items()}
        for rank in over:
            del self._jobs[rank]
        return over

    def hurry(self) -> None:
        """See Launcher.hurry."""
        self._pauses = pauses(lambda: self._changed)
        self._look_s = min(self._look_s, time.monotonic() + next(self._pauses))

    def stop(self, rank: int) -> None:
        """See Launcher.stop."""
        if rank in self._jobs:
            self._jobs[rank].cancel(check=False)

    def close(self) -> None:
        """See Launcher.close."""
        jobs, self._jobs = list(self._jobs.values()), {}
        if self._site is not None:
            commands.cancel([job.job_id for job in jobs])
            return
        ends = time.monotonic() + _GOING_S
        while time.monotonic() < ends and not all(job.done() for job in jobs):
            time.sleep(0.02)
        for job in jobs:
            job.cancel(check=False)  # its controller ends the worker
        for job in jobs:
            process: subprocess.Popen[bytes] = job._process  # type: ignore[attr-defined]
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GOING_S)
            process.kill()
            process.wait()


def _parameters(site: Site | None, name: str) -> dict[str, Any]:
    """As AutoExecutor takes them."""
    if site is None:
        return {"timeout_min": _NO_LIMIT_MIN, "name": name}
    share = 1 if site.whole_nodes else site.ranks_per_node
    limit_s = seconds(site.time) if site.time else 60.0 * _UNSAID_MIN
    asked = {
        "slurm_partition": site.partition,
        "slurm_qos": site.qos,
        "slurm_constraint": site.constraint,
        "slurm_account": site.account,
        "slurm_mem": f"{round(site.memory_GiB * 1024 / share)}M" if site.memory_GiB else None,
        "slurm_gpus_per_node": site.gpus_per_node // share or None,
        "slurm_setup": [f"module load {shlex.quote(module)}" for module in site.modules] or None,
        "slurm_exclusive": True if site.whole_nodes else None,
    }
    return {
        "name": name,
        "nodes": 1,
        "tasks_per_node": 1,
        "cpus_per_task": site.cores_per_node // share * site.threads_per_core,
        "timeout_min": _NO_LIMIT_MIN if limit_s == UNLIMITED else math.ceil(limit_s / 60.0),
        "slurm_signal_delay_s": site.lead_s,
        **{key: value for key, value in asked.items() if value is not None},
    }


def _end(job: "submitit.Job[int]", state: str, blame: bool) -> End:
    """Where the worker has come to an end of its own, what submitit has written says so."""
    if job.paths.result_pickle.exists():
        with suppress(Exception):  # whatever submitit makes of a file that is not whole
            if (error := job.exception()) is not None:
                return End(f"ended by an error: {str(error).strip().splitlines()[-1]}", blame=True)
            return End("ended", blame=job.result() > 0)
        blame = True
    return End(f"ended: submitit's job {job.job_id} is {state}", blame)
