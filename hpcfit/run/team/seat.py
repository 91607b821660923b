"""A worker of a team, as a process: finds rank 0, and does what the team is there for.

    python -m hpcfit.run.team.seat socket PATH RANK SIZE CORES NEIGHBOURS ENTRY PARENT
    python -m hpcfit.run.team.seat folder PATH RANK

ENTRY is MODULE:FUNCTION, called with the worker's link and a question: has it been told, by others than rank 0, to go?
"""

import importlib
import os
import signal
import sys
import uuid
from collections.abc import Callable
from typing import Any

from hpcfit.errors import HpcfitError
from hpcfit.run.comm import Link
from hpcfit.run.driver import mistake
from hpcfit.run.team.folder import FolderLink
from hpcfit.run.team.sockets import SocketLink
from hpcfit.run.worker import die_with_parent

Entry = Callable[[Link, Callable[[], bool]], Any]
_LEFT_TO_RANK_0 = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""A terminal or a batch system sends these to all processes of a job."""
_LEAVE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""A worker that is a job of its own is told so that its time is over."""


def new_life() -> str:
    """An id for a process that takes a seat."""
    return uuid.uuid4().hex[:12]


def entry(name: str) -> Entry:
    """MODULE:FUNCTION, imported."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def work(link: Link, name: str, leave: Callable[[], bool] = lambda: False) -> int:
    """Do what the team is there for; an exit code.  What is no user's error is told to rank 0, which ends the run."""
    try:
        entry(name)(link, leave)
    except HpcfitError as error:
        print(f"hpcfit: rank {link.rank}: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        link.send(0, mistake(error))
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def main(arguments: list[str]) -> int:
    """See above."""
    form, path, rank, *rest = arguments
    if form == "socket":
        *sizes, name, parent = rest
        die_with_parent(int(parent))
        for number in _LEFT_TO_RANK_0:
            signal.signal(number, lambda number, frame: None)  # not SIG_IGN, which what this starts would inherit
        size, cores, neighbours = map(int, sizes)
        link = SocketLink(path, int(rank), new_life(), (size, cores, neighbours))
        try:
            return work(link, name)
        finally:
            link.close()
    told: list[int] = []
    for number in _LEAVE:
        signal.signal(number, lambda number, frame: told.append(number))
    try:
        with FolderLink(path, int(rank), new_life()) as member:
            return work(member, member.entry, lambda: bool(told))
    except HpcfitError as error:
        print(f"hpcfit: rank {rank}: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread deep in work that cannot be left must not hold it up
