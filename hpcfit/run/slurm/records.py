"""What does a run folder remember of its jobs?  RUN/slurm: the tasks of an array by number, and who has which of them.

tasks.txt has a line for each task, in sh's words: its folder, then what its fit is told besides.  Lines are only added,
so a number means the same run for ever.  jobs/ID is a file for each job, written by whoever queued it (the job before
it, where a site chains them), so that nobody ever writes where another does: the indices of its tasks, and the offset
of the first.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcfit.errors import LedgerError
from hpcfit.population.files import make_folder, write_text
from hpcfit.run.slurm.commands import indices, ranges
from hpcfit.run.slurm.script import Array, Job


@dataclass(frozen=True)
class Task:
    """One run of an array: its folder inside the array's, and what its fit is told besides."""

    folder: str
    arguments: tuple[str, ...]

    @property
    def line(self) -> str:
        """In tasks.txt."""
        return shlex.join([self.folder, *self.arguments])


def read_tasks(folder: Path) -> list[Task]:
    """The tasks of an array's run folder, in order; none where there is no array.

    Raises
    ------
    LedgerError
        When tasks.txt is damaged.
    """
    path = Job("", Path(), folder).tasks
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}") from None
    tasks = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            name, *arguments = shlex.split(line)
        except ValueError:
            raise LedgerError(f"{path}, line {number}: {line!r} is no task; put the line back as it was") from None
        tasks.append(Task(name, tuple(arguments)))
    return tasks


def write_tasks(folder: Path, tasks: Sequence[Task]) -> None:
    """Raises StorageError."""
    path = Job("", Path(), folder).tasks
    make_folder(path.parent)
    write_text(path, "".join(f"{task.line}\n" for task in tasks))


def note_job(job: Job, identity: str) -> None:
    """Remember that a job was queued.  Raises StorageError."""
    make_folder(job.jobs)
    array = job.array
    write_text(job.jobs / identity, f"{ranges(array.indices)} {array.offset}\n" if array else "\n")


def jobs_by_task(folder: Path) -> dict[int, str]:
    """The latest job of each task, as SLURM names it: number of the task -> ARRAY_INDEX.

    A single run is task 0, and its job ID alone.
    """
    found: dict[int, str] = {}
    paths = (path for path in Job("", Path(), folder).jobs.glob("*") if path.name.isdigit())
    for path in sorted(paths, key=lambda path: int(path.name)):
        words = path.read_text(encoding="utf-8").split()
        if not words:
            found[0] = path.name
            continue
        offset = int(words[1]) if len(words) > 1 else 0
        found |= {offset + index: f"{path.name}_{index}" for index in indices(words[0])}
    return found


def parts(numbers: Sequence[int], size: int, most: int | None) -> list[Array]:
    """Tasks with these numbers as arrays whose indices are below `size`; the cut is always at the same numbers."""
    offsets = sorted({number // size * size for number in numbers})
    return [
        Array(tuple(number - offset for number in numbers if number // size * size == offset), offset, most)
        for offset in offsets
    ]
