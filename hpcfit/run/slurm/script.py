"""What does the job script say?  slurm/job.sh.j2 with the values of a site and a job."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from hpcfit.errors import ConfigError
from hpcfit.run.slurm.commands import ranges
from hpcfit.run.slurm.site import SHIPPED, Site


@dataclass(frozen=True)
class Array:
    """Tasks of one array job: task OFFSET + INDEX for each of SLURM's indices.

    most: how many run at once; None: as many as there is room for.
    """

    indices: tuple[int, ...]
    offset: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Job:
    """One fit, or an array of them.

    Attributes
    ----------
    name
        In SLURM's lists.
    fit, folder
        Fit file and run folder (of an array: of all its runs), absolute.
    nodes
        Of each run.
    arguments
        What every `hpcfit fit` is told besides.
    array
        None: one run.
    """

    name: str
    fit: Path
    folder: Path
    nodes: int = 1
    arguments: tuple[str, ...] = ()
    array: Array | None = None

    @property
    def place(self) -> Path:
        """The folder of what belongs to SLURM: scripts, logs, lists of tasks and jobs."""
        return self.folder / "slurm"

    @property
    def script(self) -> Path:
        """Where the job script lies; each part of an array that had to be split has its own."""
        return self.place / (f"job-{self.array.offset}.sh" if self.array and self.array.offset else "job.sh")

    @property
    def tasks(self) -> Path:
        """A line for each task of the array."""
        return self.place / "tasks.txt"

    @property
    def jobs(self) -> Path:
        """A file for each job, named by its id."""
        return self.place / "jobs"


def render(site: Site, site_file: Path, job: Job) -> str:
    """The script, as text.  site_file: where a path in site.environment starts.

    Raises
    ------
    ConfigError
        When the site's environment does not exist.
    """
    loader = jinja2.FileSystemLoader(SHIPPED)
    environment = jinja2.Environment(
        loader=loader,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # sh, not HTML: `quote` is what must not be forgotten
    )
    environment.filters["quote"] = shlex.quote
    wrapper = wrapper_of(site, site_file)
    return environment.get_template("job.sh.j2").render(
        site=site,
        job=job,
        array=job.array,
        title=f"{len(job.array.indices)} fits of {job.fit.name}" if job.array else f"The fit of {job.fit.name}",
        options=_options(site, job),
        modules=() if wrapper and wrapper.parent.name == "envs" else site.modules,  # these wrappers load their own
        cache=f"{site.scratch}/hpcfit/cache" if site.scratch else "$HOME/.cache/hpcfit",
        tasks=str(job.tasks),
        jobs=str(job.jobs),
        command=_command(site, job, wrapper),
        on=site.on_end,
        script=str(job.script),
    )


def wrapper_of(site: Site, site_file: Path) -> Path | None:
    """What the commands of a job are prefixed with; None: nothing, they run in this Python.

    Raises
    ------
    ConfigError
        When a path is given and there is nothing that can be executed.
    """
    if site.environment is None:
        return None
    if "/" not in site.environment:  # a wrapper of a checkout, if this is one
        path = SHIPPED.resolve().parent / "envs" / site.environment
        return path if os.access(path, os.X_OK) else None
    path = (site_file.parent / os.path.expandvars(site.environment)).resolve()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ConfigError(
            f"{site_file}: environment = {site.environment!r}: {path} is no program; give an executable file that runs "
            "the command after it, or leave environment out"
        )
    return path


def program(wrapper: Path | None) -> list[str]:
    """The command line of hpcfit, inside the wrapper, or in this Python."""
    return ["hpcfit"] if wrapper else [sys.executable, "-m", "hpcfit.cli"]


def _options(site: Site, job: Job) -> list[str]:
    """Of sbatch, each a line."""
    array, ranks = job.array, job.nodes * site.ranks_per_node
    log = f"{str(job.place).replace('%', '%%')}/{'%x-%A_%a' if array else '%x-%j'}.out"
    asked = {
        "nodes": job.nodes,
        "ntasks": ranks,
        "ntasks-per-node": site.ranks_per_node,
        "cpus-per-task": site.cpus_per_rank,
        "gpus-per-node": site.gpus_per_node or None,
        "mem": f"{round(site.memory_GiB * 1024)}M" if site.memory_GiB else None,
        "time": site.time,
        "partition": site.partition,
        "qos": site.qos,
        "constraint": site.constraint,
        "account": site.account,
        "signal": f"USR1@{site.lead_s}",
        "output": log,
        "open-mode": "append",
    }
    lines = [f"--{key}={shlex.quote(str(value))}" for key, value in asked.items() if value is not None]
    lines += ["--exclusive"] if site.whole_nodes else []
    lines += ["--requeue" if site.on_end == "requeue" else "--no-requeue", *site.options]
    if array is not None:
        lines.append(f"--array={ranges(array.indices)}{f'%{array.most}' if array.most else ''}")
    return lines


def _command(site: Site, job: Job, wrapper: Path | None) -> str:
    """The line that starts all ranks; in later SLURMs srun does not take over --cpus-per-task by itself."""
    start = [
        "srun",
        f"--ntasks={job.nodes * site.ranks_per_node}",
        f"--ntasks-per-node={site.ranks_per_node}",
        f"--cpus-per-task={site.cpus_per_rank}",
        *([f"--mpi={site.mpi}"] if site.mpi else []),
        "--kill-on-bad-exit=1",
        "--cpu-bind=cores",
    ]
    fit = [*program(wrapper), "fit", str(job.fit)]
    prefix = [str(wrapper)] if wrapper else []
    before, within = (prefix, []) if site.environment_around == "job" else ([], prefix)
    return f'{_quoted([*before, *start])} \\\n    {_quoted([*within, *fit])} --run "$run" "$@"'


def _quoted(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
