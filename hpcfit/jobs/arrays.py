"""Which runs does --array ask for?  Every combination of its keys' values, each a run with its own folder."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from hpcfit.errors import ConfigError
from hpcfit.jobs.changes import split_assignment
from hpcfit.run.slurm.records import Task

_MOST_TASKS = 100_000
_LONGEST_NAME = 200
_RANGE = re.compile(r"(\d+)-(\d+)(?::(\d+))?")


@dataclass(frozen=True)
class Axis:
    """A key of the fit file, and its values as text."""

    key: str
    values: tuple[str, ...]
    most: int | None = None
    """How many tasks may run at once."""


def parse_axis(text: str) -> Axis:
    """run.seed=1-8%2, strategy.offspring=1000,5000, stimuli=low,high,low+high, KEY=[1,2],[3,4].

    Raises
    ------
    ConfigError
        When it is written otherwise, or a value is there twice.
    """
    key, rest = split_assignment(text, "--array")
    rest, percent, most = rest.partition("%")
    if percent and not (most.isdigit() and int(most) > 0):
        raise ConfigError(f"--array {text!r}: after % comes how many may run at once, a whole number of at least 1")
    values = [value for part in _split(rest) for value in _range(text, part)]
    for value, times in Counter(values).items():
        if not value:
            raise ConfigError(f"--array {text!r}: a value is empty; write KEY=1,2,3 or KEY=1-8")
        if times > 1:
            raise ConfigError(f"--array {text!r}: {value} is there twice; the same run again gives the same numbers")
    return Axis(key, tuple(values), int(most) if percent else None)


def _split(text: str) -> list[str]:
    """At commas, but not at those within brackets, braces or quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _range(text: str, part: str) -> list[str]:
    """1-8 or 1-9:2 as its numbers; anything else as it is."""
    match = _RANGE.fullmatch(part)
    if match is None:
        return [part]
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if last < first or step < 1:
        raise ConfigError(f"--array {text!r}: {part} is empty; write the smaller number first")
    if (last - first) // step >= _MOST_TASKS:
        raise ConfigError(f"--array {text!r}: {part} is more than {_MOST_TASKS} values")
    return [str(number) for number in range(first, last + 1, step)]


def throttle(axes: Sequence[Axis]) -> int | None:
    """How many tasks of all together may run at once."""
    return min((axis.most for axis in axes if axis.most is not None), default=None)


def tasks_of(axes: Sequence[Axis], arguments: Sequence[str] = ()) -> list[Task]:
    """A task for each combination; the last key varies fastest.  arguments: that every one has besides.

    Raises
    ------
    ConfigError
        When a key is given twice, there are too many, or two would have the same folder.
    """
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"--array {key} is given twice; put its values into one, with commas")
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > _MOST_TASKS:
        raise ConfigError(f"--array: {count} runs are more than {_MOST_TASKS}; make it several folders (--run)")
    tasks = []
    for values in product(*(axis.values for axis in axes)):
        assignments = [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
        sets = [word for assignment in assignments for word in ("--set", assignment)]
        tasks.append(Task(_folder(assignments), (*sets, *arguments)))
    name, times = Counter(task.folder for task in tasks).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"--array: two runs would have the folder {name}; give values that differ in their letters")
    return tasks


def _folder(assignments: Sequence[str]) -> str:
    """run.seed=3,strategy.kind=ibea, less what a shell, SLURM or a file system might take amiss."""
    name = re.sub(r"[^\w.=+,\[\]-]", "_", ",".join(assignments))
    if len(name) > _LONGEST_NAME:
        raise ConfigError(f"--array: {name[:60]}... is too long for a folder's name; vary fewer keys at once")
    return name


def assignments_of(arguments: Sequence[str]) -> list[str]:
    """The KEY=VALUE after each --set."""
    return [word for before, word in pairwise(arguments) if before == "--set"]
