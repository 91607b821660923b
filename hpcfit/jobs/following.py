"""How do the runs of a folder stand, and their jobs?  For `hpcfit status` and `hpcfit submit --wait`."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcfit.errors import LedgerError, SchedulerError
from hpcfit.population.ledger import ledger_path
from hpcfit.run.slurm import commands, records
from hpcfit.run.slurm.commands import JobState
from hpcfit.run.slurm.queue import Queue, pauses


def said(folder: Path) -> dict[str, Any]:
    """What status.json of a run says; nothing when there is none."""
    try:
        found = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def finished(folder: Path, generations: int) -> bool:
    """Has a run that is to have so many generations ended as it should?  One that is extended has not."""
    status = said(folder)
    return status.get("state") == "finished" and int(status.get("generations") or 0) >= generations


@dataclass(frozen=True)
class Row:
    """A run, and the job that has or had it."""

    folder: str
    job: str
    state: JobState | None
    status: Mapping[str, Any]

    @property
    def word(self) -> str:
        """How the run stands, by its own status; one whose job has ended runs no more, whatever that says."""
        word = str(self.status.get("state", "not begun"))
        return "died" if word == "running" and self.state is not None and self.state.over else word

    def cells(self) -> tuple[str, ...]:
        """As text."""
        done, of = self.status.get("generation"), self.status.get("generations")
        best = self.status.get("best_score")
        state = ("not known" if self.job else "") if self.state is None else self.state.state
        if self.state is not None and self.state.exit_code:
            state += f" ({self.state.exit_code})"
        elif self.state is not None and state == "PENDING" and self.state.reason:
            state += f" ({self.state.reason})"
        return (
            self.folder,
            self.job,
            state,
            self.word,
            f"{done + 1} of {of}" if isinstance(done, int) else "",
            f"{best:.6g}" if isinstance(best, int | float) else "",
        )


_AGAIN_S = 2.0
"""When all seem to have ended: one that was preempted may be about to be requeued."""
_HEAD = ("run", "job", "SLURM", "state", "generations", "best score")


def has_runs(folder: Path) -> bool:
    """Is it a folder of runs, not a run?"""
    return not begun(folder) and (bool(records.read_tasks(folder)) or bool(_inside(folder)))


def begun(folder: Path) -> bool:
    """Has a run a ledger?"""
    return ledger_path(folder).exists()


def _inside(folder: Path) -> list[str]:
    """Names of the runs right below."""
    return sorted(path.parent.name for path in folder.glob("*/ledger.h5"))


def runs_text(folder: Path) -> str:
    """A table of all runs of a folder; one question to SLURM about all their jobs, where it is here.

    Raises
    ------
    LedgerError
        When there are none, or the list of an array's tasks is damaged.
    """
    tasks = [task.folder for task in records.read_tasks(folder)]
    names = [*tasks, *(name for name in _inside(folder) if name not in tasks)]
    if not names:
        raise LedgerError(f"{folder}: holds no run; give the folder of one, or of several")
    jobs = records.jobs_by_task(folder)
    states, note = _states(jobs)
    rows = [
        Row(name, jobs.get(number, "") if number < len(tasks) else "", states.get(number), said(folder / name))
        for number, name in enumerate(names)
    ]
    counts = Counter(row.word for row in rows)
    counted = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    return "\n".join(
        [f"{folder}: {len(rows)} runs; {counted}", *note, *_table([_HEAD, *(row.cells() for row in rows)])]
    )


def job_text(folder: Path) -> str:
    """The job of a single run in a line; nothing where it has none."""
    jobs = records.jobs_by_task(folder)
    if 0 not in jobs or records.read_tasks(folder):
        return ""
    states, note = _states(jobs)
    if 0 not in states:
        return f"job {jobs[0]}: {note[0] if note else 'SLURM no longer knows it'}"
    state = states[0]
    words = [str(state.exit_code)] if state.exit_code else []
    words += [state.reason] if state.reason else []
    return f"job {jobs[0]}: {state.state}" + (f" ({', '.join(words)})" if words else "")


def _states(jobs: Mapping[int, str]) -> tuple[dict[int, JobState], list[str]]:
    """Of the tasks' jobs, and why they are not known where SLURM cannot be asked."""
    if not jobs:
        return {}, []
    try:
        found = commands.states(jobs.values())
    except SchedulerError as error:
        return {}, [f"the state of its jobs is not known: {error}"]
    return {task: found[job] for task, job in jobs.items() if job in found}, []


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def wait(
    folder: Path,
    tasks: Sequence[int],
    say: Callable[[str], Any],
    pause: Callable[[float], Any] = time.sleep,
) -> int:
    """Wait until the jobs of these tasks have ended, whoever goes on with them; gives the worst of their exit codes.

    Raises
    ------
    SchedulerError
        When SLURM has not answered for ten minutes.
    """
    queue, before, wanted = Queue(), "", set(tasks)
    change: list[bool] = [False]
    for seconds in pauses(lambda: change[0]):
        latest = {task: job for task, job in records.jobs_by_task(folder).items() if task in wanted}
        states = queue.states(latest.values())
        counts = Counter(state.state for state in states.values())
        text = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        change[0] = text != before
        if change[0]:
            say(text)
        before = text
        if all(queue.over(job) for job in latest.values()):
            return max((states[job].verdict for job in latest.values()), default=0)
        pause(min(seconds, _AGAIN_S) if all(state.over for state in states.values()) else seconds)
    raise AssertionError("pauses end")
