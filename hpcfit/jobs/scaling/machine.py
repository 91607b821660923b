"""Where were timings taken?  Machine, versions, job and commit: what a reader needs to compare them."""

import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

from hpcfit import __version__
from hpcfit.jobs import folder as run_folder
from hpcfit.run.launch import Launcher
from hpcfit.run.slurm.allocation import job_words

SAME = ("processor", "cores", "hpcfit", "commit", "packages")
"""What must be alike for timings to be of one machine and one program; ..."""
SAME_MPI = ("mpi", "launcher")
"""... and that, where there are several ranks."""


def environment(launcher: Launcher) -> dict[str, Any]:
    """Of the command that measures; ranks tell their own hosts and cores.  load: of the last minute."""
    known = run_folder.environment()
    return {
        "host": socket.gethostname(),
        "processor": processor(),
        "cores": known["cores"],
        "memory_GiB": _memory_GiB(),
        "load": round(os.getloadavg()[0], 2),
        "system": known["system"],
        "python": known["python"],
        "packages": known["packages"],
        "hpcfit": __version__,
        "commit": _commit(),
        "compiler": _first_line("c++", "--version"),
        "mpi": launcher.mpi_library,
        "launcher": " ".join(Path(word).name for word in launcher.words(2)[:1]) or "none",
        "slurm": job_words(),
        "started": known["started"],
    }


def processor() -> str:
    """Its name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_GiB() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _commit() -> str:
    """Of the checkout that runs, with + where files differ from it; "" where it is none."""
    place = str(Path(__file__).parents[2])
    found = _first_line("git", "-C", place, "rev-parse", "--short=12", "HEAD")
    return found + ("+" if found and _first_line("git", "-C", place, "status", "--porcelain", "--", place) else "")


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else ""
