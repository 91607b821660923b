"""What the tests of worker processes look at: processes, file descriptors, fates."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hpcfit.population.executor import Fate, Outcome

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has /proc and tells a child of its parent's death"
)


def children() -> set[int]:
    """Processes that this one has started, those that have ended but were not asked about too."""
    me = os.getpid()
    return {int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()}


def handles() -> int:
    """File descriptors that this process has open."""
    return len(os.listdir("/proc/self/fd"))


def alive(pid: int) -> bool:
    """Does the process still run?  One that has ended but was not asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until(happened: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait for something; has it happened?"""
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(happened())


def fates(outcomes: Sequence[Outcome]) -> list[Fate]:
    return [outcome.fate for outcome in outcomes]
