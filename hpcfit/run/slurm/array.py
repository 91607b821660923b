"""Workers that are tasks of SLURM job arrays: they come when the queue starts them and go when it ends them.

Rank 0 asks for all of them in one job (in several, where MaxArraySize is less), asks about all in one question ever
more seldom, and queues those again that have ended.  Those that SLURM requeues come again by themselves.
"""

import os
import shlex
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jinja2

from hpcfit.errors import SchedulerError
from hpcfit.population.files import write_text
from hpcfit.run.processes import last_words
from hpcfit.run.slurm import commands
from hpcfit.run.slurm.commands import JobState, ranges
from hpcfit.run.slurm.limits import array_size, refused, refused_here
from hpcfit.run.slurm.queue import Queue, pauses
from hpcfit.run.slurm.script import wrapper_of
from hpcfit.run.slurm.site import SHIPPED, Site
from hpcfit.run.team.parts import End

_JOBS = "jobs.txt"
BLAMED = ("FAILED", "OUT_OF_MEMORY")
"""How a task ends that may have died of its work; all others were ended, or told to go."""


class SlurmArray:
    """See Launcher."""

    def __init__(self, site: Site, site_file: Path, folder: Path, name: str) -> None:
        """folder: of the team; name: in SLURM's lists.

        Raises
        ------
        ConfigError
            When the site's environment does not exist.
        SchedulerError
            When there is no SLURM here.
        """
        self._site, self._wrapper, self._folder, self._name = site, wrapper_of(site, site_file), folder, name
        self._most = min(array_size() - 1, site.limit("array_most") or sys.maxsize)
        self._tasks: dict[int, str] = {}
        self._jobs: list[str] = []
        self._queue = Queue()
        self._states: dict[str, JobState] = {}
        self._changed = False
        self._pauses = pauses(lambda: self._changed)
        self._look_s = 0.0

    def start(self, ranks: Sequence[int], address: Sequence[str]) -> None:
        """See Launcher.start."""
        if not self._jobs:
            sweep(self._folder.parent, self._folder)
        parts: dict[int, list[int]] = defaultdict(list)
        for rank in ranks:
            parts[(rank - 1) // self._most * self._most].append(rank)
        for offset, members in parts.items():
            script = self._folder / f"workers-{offset}.sh"
            write_text(script, self._script(offset, address[1]))
            job = commands.submit(script, [f"--array={ranges(rank - offset for rank in members)}"])
            self._jobs.append(job)
            remember(self._folder, self._jobs)
            self._tasks |= {rank: f"{job}_{rank - offset}" for rank in members}
        self._pauses = pauses(lambda: self._changed)
        self._look_s = time.monotonic() + next(self._pauses)

    def ended(self) -> Mapping[int, End]:
        """See Launcher.ended.  Raises SchedulerError when SLURM has been away for long."""
        now = time.monotonic()
        if now < self._look_s or not self._tasks:
            return {}
        states = self._queue.states(self._tasks.values())
        over = {rank: task for rank, task in self._tasks.items() if self._queue.over(task)}
        self._changed = bool(over) or states != self._states
        self._states = states
        self._look_s = now + next(self._pauses)
        for rank in over:
            del self._tasks[rank]
        return {rank: self._end(task, states[task]) for rank, task in over.items()}

    def hurry(self) -> None:
        """See Launcher.hurry."""
        self._pauses = pauses(lambda: self._changed)
        self._look_s = min(self._look_s, time.monotonic() + next(self._pauses))

    def stop(self, rank: int) -> None:
        """See Launcher.stop."""
        if rank in self._tasks:
            commands.cancel([self._tasks[rank]])

    def close(self) -> None:
        """See Launcher.close."""
        jobs, self._jobs = self._jobs, []
        self._tasks.clear()
        commands.cancel(jobs)

    def _script(self, offset: int, path: str) -> str:
        """Of tasks OFFSET + INDEX."""
        site, wrapper = self._site, self._wrapper
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(SHIPPED),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            undefined=jinja2.StrictUndefined,
            autoescape=False,
        )
        environment.filters["quote"] = shlex.quote
        python = [str(wrapper), "python"] if wrapper else [sys.executable]
        return environment.get_template("workers.sh.j2").render(
            title=f"Workers of {self._name}",
            site=site,
            name=self._name,
            options=self._options(),
            modules=() if wrapper and wrapper.parent.name == "envs" else site.modules,
            cache=f"{site.scratch}/hpcfit/cache" if site.scratch else "$HOME/.cache/hpcfit",
            command=shlex.join([*python, "-P", "-m", "hpcfit.run.team.seat", "folder", path]),
            offset=offset,
        )

    def _options(self) -> list[str]:
        """Of sbatch, each a line: one node, or one rank's part of it, for each task."""
        site = self._site
        share = 1 if site.whole_nodes else site.ranks_per_node
        log = str(self._folder.absolute() / "log").replace("%", "%%")
        asked: dict[str, Any] = {
            "nodes": 1,
            "ntasks": 1,
            "cpus-per-task": site.cores_per_node // share * site.threads_per_core,
            "gpus-per-node": site.gpus_per_node // share or None,
            "mem": f"{round(site.memory_GiB * 1024 / share)}M" if site.memory_GiB else None,
            "time": site.time,
            "partition": site.partition,
            "qos": site.qos,
            "constraint": site.constraint,
            "account": site.account,
            "signal": f"B:USR1@{site.lead_s}",
            "output": f"{log}/%A_%a.out",
            "open-mode": "append",
        }
        lines = [f"--{key}={shlex.quote(str(value))}" for key, value in asked.items() if value is not None]
        return [*lines, *(["--exclusive"] if site.whole_nodes else []), "--requeue", *site.options]

    def _end(self, task: str, state: JobState) -> End:
        words = ""
        with suppress(OSError), open(self._folder / "log" / f"{task}.out", "rb") as log:
            words = last_words(log)
        code = f", exit code {state.exit_code}" if state.exit_code else ""
        return End(f"ended: SLURM's task {task} is {state.state}{code}{words}", state.state in BLAMED)


def refusals(site: Site, workers: int) -> Iterator[str]:
    """Why such workers would never run, as far as it can be known: by the site file, then by this cluster.

    Raises
    ------
    SchedulerError
        When there is no SLURM here.
    """
    most = site.limit("nodes_most")
    if site.whole_nodes and most is not None and workers > most:
        yield f"--workers {workers}: each takes a node, and {site.name} has at most {most}"
    yield from refused(site, 1)
    yield from refused_here(site, 1)


def inside_job(environment: Mapping[str, str] = os.environ) -> bool:
    """Or on a machine that others use too?"""
    return "SLURM_JOB_ID" in environment


@contextmanager
def as_from_outside() -> Iterator[None]:
    """What a job was told about itself would go on into those that it queues; where SLURM is, it must still know."""
    names = [name for name in os.environ if name.startswith(("SLURM_", "SUBMITIT_")) and name != "SLURM_CONF"]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


def remember(folder: Path, jobs: Sequence[str]) -> None:
    """For `sweep`, should rank 0 be killed."""
    write_text(folder / _JOBS, "\n".join(jobs) + "\n")


def sweep(folder: Path, but: Path) -> None:
    """End what earlier teams of this run have left, whose rank 0 was killed."""
    for old in folder.iterdir():
        if old == but or not old.is_dir():
            continue
        with suppress(OSError, SchedulerError):
            commands.cancel((old / _JOBS).read_text().split())
        shutil.rmtree(old, ignore_errors=True)
