"""From a fit file and a site to jobs in SLURM's queue: all is checked first, and only what is not done is queued."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpcfit.biophys.cell import check_morphology
from hpcfit.biophys.problem import Problem
from hpcfit.biophys.settings import FitSettings
from hpcfit.config import read_toml
from hpcfit.errors import ConfigError, SchedulerError, StorageError
from hpcfit.jobs import folder as run_folder
from hpcfit.jobs.arrays import assignments_of, parse_axis, tasks_of, throttle
from hpcfit.jobs.changes import changed_settings, settings_with
from hpcfit.jobs.following import finished
from hpcfit.jobs.words import naming
from hpcfit.population.files import make_folder, one_at_a_time, write_text
from hpcfit.population.ledger import ledger_path
from hpcfit.run.slurm import commands, launch, limits, records
from hpcfit.run.slurm.records import Task
from hpcfit.run.slurm.script import Job, render, wrapper_of
from hpcfit.run.slurm.site import Site, load_site

_NO_ARRAY_LIMIT = 1_000_000


@dataclass(frozen=True)
class Request:
    """What `hpcfit submit` was told.

    Attributes
    ----------
    file, folder
        Fit file; run folder (default: runs/NAME).
    site, changed
        Name or path of a site file, and its keys that are given otherwise.
    nodes
        Of each run.
    axes
        --array, as typed.
    assignments
        --set of every run.
    """

    file: Path
    site: str
    folder: Path | None = None
    nodes: int = 1
    axes: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    changed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Plan:
    """What would be queued.

    Attributes
    ----------
    scripts
        Jobs in the order they are queued, and their texts.
    tasks
        Of an array: all that its folder has ever had, by number; empty for a single run.
    asked
        Numbers of the tasks that were asked for; of a single run (0,).
    left
        Those of them that are queued: not done, and not in the queue already.
    open
        Those of them that are not done.
    behind
        Jobs in the queue that these wait for, so that a throttle holds for all tasks together.
    notes
        What a person should know: what is done already, a scratch that is purged.
    """

    folder: Path
    scripts: tuple[tuple[Job, str], ...]
    tasks: tuple[Task, ...]
    asked: tuple[int, ...]
    left: tuple[int, ...]
    open: tuple[int, ...]
    behind: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plan(request: Request, ask: bool = True) -> Plan:
    """Check everything that can be known before a job is queued, and write the scripts down as text.

    ask: whether to ask this machine's SLURM too; without, nothing of it is needed.

    Raises
    ------
    ConfigError, InputError, MechanismError, LedgerError, StorageError, SchedulerError
        What is wrong with the fit file, the site, the folder or the queue: one line.  Nothing has been written.
    """
    settings = changed_settings(request.file, request.assignments)
    with naming(request.file):
        check_morphology(settings.cell.morphology)
        problem = Problem.of(settings)  # reads what else the fit names, but .mod files: nothing is compiled here
    site, site_file = load_site(request.site, request.file.resolve().parent, request.changed)
    _check_site(site, site_file, request.nodes, ask)
    folder = (request.folder or Path("runs") / settings.name).absolute()
    _check_writable(folder)
    job = Job(settings.name, request.file.resolve(), folder, request.nodes, _sets(request.assignments))
    if not request.axes:
        return _single(job, site, site_file, problem, ask)
    return _array(job, site, site_file, request, ask)


def _single(job: Job, site: Site, site_file: Path, problem: Problem, ask: bool) -> Plan:
    if records.read_tasks(job.folder):
        raise ConfigError(f"{job.folder}: holds the runs of an --array; repeat it, or choose another folder with --run")
    run_folder.check(job.folder, run_folder.header(problem, job.fit.parent), job.fit.parent)
    done = finished(job.folder, problem.settings.run.generations)
    left, _, notes = _left(job.folder, () if done else (0,), 1, ask)
    scripts = ((job, render(site, site_file, job)),) if left else ()
    return Plan(job.folder, scripts, (), (0,), left, () if done else (0,), (), (*notes, *_purge(job.folder, site)))


def _array(job: Job, site: Site, site_file: Path, request: Request, ask: bool) -> Plan:
    if ledger_path(job.folder).exists():
        raise ConfigError(f"{job.folder}: holds a single run; choose another folder for the array with --run")
    axes = [parse_axis(text) for text in request.axes]
    wanted = tasks_of(axes, job.arguments)
    settings = _settings_of(wanted, job.fit, request.file)
    tasks = _with_new(records.read_tasks(job.folder), wanted, job.folder)
    numbers = {task.folder: number for number, task in enumerate(tasks)}
    asked = [numbers[task.folder] for task in wanted]
    pairs = zip(asked, settings, strict=True)
    todo = tuple(n for n, one in pairs if not finished(job.folder / tasks[n].folder, one.run.generations))
    left, queued, notes = _left(job.folder, todo, len(asked), ask)
    most = site.limit("queued_most")
    if most is not None and len(left) > (room := max(0, most - len(queued))):
        notes = (*notes, f"{len(left) - room} runs are left for later, when the same command will queue them: site "
                 f"{site.name} allows {most} in the queue")  # fmt: skip
        left = left[:room]
    size = min(limits.array_size() if ask else _NO_ARRAY_LIMIT, site.limit("array_most") or _NO_ARRAY_LIMIT)
    scripts = []
    for part in records.parts(left, size, throttle(axes)):
        one = Job(job.name, job.fit, job.folder, job.nodes, (), part)
        scripts.append((one, render(site, site_file, one)))
    notes = (*notes, *_purge(job.folder, site))
    behind = tuple(sorted({one.partition("_")[0] for one in queued})) if throttle(axes) else ()
    return Plan(job.folder, tuple(scripts), tuple(tasks), tuple(asked), left, todo, behind, notes)


def _settings_of(tasks: Sequence[Task], fit: Path, named: Path) -> list[FitSettings]:
    """Of every task: a value that a key cannot have is an error before any of them is queued."""
    tables = read_toml(fit)
    return [settings_with(tables, assignments_of(task.arguments), named, fit.parent) for task in tasks]


def _with_new(there: list[Task], wanted: Sequence[Task], folder: Path) -> list[Task]:
    """The tasks that a folder has, and new ones after them: a number means the same run for ever."""
    known = {task.folder: task for task in there}
    for task in wanted:
        before = known.get(task.folder, task)
        if before != task:
            raise ConfigError(
                f"{folder / task.folder}: was submitted with {shlex.join(before.arguments)}, now with "
                f"{shlex.join(task.arguments)}; say the same, put the change into the fit file, or choose another --run"
            )
    return [*there, *(task for task in wanted if task.folder not in known)]


def _left(
    folder: Path, todo: Sequence[int], asked: int, ask: bool
) -> tuple[tuple[int, ...], tuple[str, ...], tuple[str, ...]]:
    """Numbers of the runs to do that are not in the queue, the jobs of those that are, and words for a person."""
    wanted = set(todo)
    latest = {task: job for task, job in records.jobs_by_task(folder).items() if task in wanted}
    states = commands.states(latest.values()) if ask else {}
    queued = {task: job for task, job in latest.items() if job in states and not states[job].over}
    notes = [f"{asked - len(todo)} of {asked} runs are done already"] if len(todo) < asked else []
    notes += [f"{len(queued)} of {asked} are in the queue already: {_some(queued.values())}"] if queued else []
    return tuple(number for number in todo if number not in queued), tuple(sorted(set(queued.values()))), tuple(notes)


def _some(jobs: Any) -> str:
    names = list(jobs)
    return ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")


def _check_site(site: Site, site_file: Path, nodes: int, ask: bool) -> None:
    """Raises ConfigError with the first thing wrong; all that the file alone can tell goes first."""
    wrapper = wrapper_of(site, site_file)
    wrong = [*limits.refused(site, nodes)]
    if ask and not wrong:
        wrong += limits.refused_here(site, nodes)
        wrong += launch.mismatched(site, nodes * site.ranks_per_node, wrapper)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ConfigError(f"{wrong[0]}{more}")


def doubts(request: Request) -> list[str]:
    """What this machine's SLURM would say of a request that is only to be looked at, where there is one."""
    if not commands.available():
        return ["there is no SLURM here, so the script was not compared with a cluster"]
    site, site_file = load_site(request.site, request.file.resolve().parent, request.changed)
    ranks, wrapper = request.nodes * site.ranks_per_node, wrapper_of(site, site_file)
    try:
        wrong = [*limits.refused_here(site, request.nodes), *launch.mismatched(site, ranks, wrapper)]
    except SchedulerError as error:
        return [f"the script was not compared with this cluster: {error}"]
    return [f"this cluster would refuse it: {line}" for line in wrong]


def _check_writable(folder: Path) -> None:
    """Raises StorageError; makes nothing."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StorageError(f"{folder}: cannot be written ({there}); choose another run folder with --run")


def _purge(folder: Path, site: Site) -> tuple[str, ...]:
    scratch = os.path.expandvars(site.scratch or "")
    if not site.purge_days or not scratch or "$" in scratch or not folder.is_relative_to(scratch):
        return ()
    return (f"{folder} lies on a scratch that is purged: copy it away within {site.purge_days} days of its last use",)


def _sets(assignments: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for assignment in assignments for word in ("--set", assignment))


def queue(planned: Plan) -> list[str]:
    """Write scripts and tasks into the run folder, and queue the jobs; gives their ids.

    Of an array that was split and is throttled each part waits for the one before, so that the throttle holds for all.

    Raises
    ------
    StorageError
        When the run folder cannot be written: nothing was queued.
    SchedulerError
        When SLURM refuses a job; those before it are queued.
    """
    identities: list[str] = []
    if not planned.scripts:
        return identities
    place = make_folder(planned.scripts[0][0].jobs).parent
    with one_at_a_time(place / "lock"):
        if planned.tasks:
            records.write_tasks(planned.folder, planned.tasks)
        for job, text in planned.scripts:
            write_text(job.script, text)
        behind = planned.behind
        for job, _ in planned.scripts:
            identity = commands.submit(job.script, [f"--dependency=afterany:{':'.join(behind)}"] if behind else [])
            records.note_job(job, identity)
            identities.append(identity)
            if job.array is not None and job.array.most is not None:
                behind = (identity,)
    return identities
