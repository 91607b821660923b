"""Is everything installed that a fit imports, and how long does importing it take?"""

import importlib.util
import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version

from hpcfit.doctor.finding import Finding
from hpcfit.run.processes import available_cores

PACKAGES = ("numpy", "h5py", "neuron", "efel", "morphio")
SLOW_IMPORT_S = 10.0
_GIVES_UP_S = 300.0


def python() -> Finding:
    """The interpreter."""
    text = f"Python {sys.version.split()[0]} at {sys.executable}"
    return Finding(sys.version_info >= (3, 11), text, "" if sys.version_info >= (3, 11) else "use 3.11 or newer")


def package(name: str) -> Finding:
    """A package without which no fit runs."""
    try:
        return Finding(True, f"{name} {version(name)}")
    except PackageNotFoundError:
        return Finding(False, f"{name} is not installed", f"pip install {name}")


def extra() -> Finding:
    """What only some fits need."""
    there = importlib.util.find_spec("pynwb") is not None
    return Finding(True, "pynwb for NWB recordings" + ("" if there else ": not installed (pip install hpcfit[nwb])"))


def cores() -> Finding:
    """Cores of this process."""
    mine, all_cores = available_cores(), os.cpu_count() or 1
    note = "" if mine == all_cores else f" of {all_cores}: the rest is masked by the system or a batch job"
    return Finding(True, f"{mine} cores{note}")


def import_seconds() -> float:
    """How long a fresh process takes to start and import what a fit does; infinite when it fails or never ends."""
    began = time.perf_counter()
    try:
        subprocess.run(
            [sys.executable, "-c", "import hpcfit.jobs"], capture_output=True, timeout=_GIVES_UP_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return float("inf")
    return time.perf_counter() - began


def imports(seconds: list[float]) -> Finding:
    """seconds: how long it took on each rank, all at once."""
    slowest = max(seconds)
    if slowest == float("inf"):
        rank = seconds.index(slowest)
        where = f" on rank {rank}" if len(seconds) > 1 else ""
        return Finding(False, f"importing hpcfit fails{where}", 'python -c "import hpcfit.jobs" there says why')
    where = f", on {len(seconds)} ranks at once; the slowest is rank {seconds.index(slowest)}" if seconds[1:] else ""
    text = f"{slowest:.1f} s to start Python and import hpcfit{where}"
    if slowest < SLOW_IMPORT_S:
        return Finding(True, text)
    return Finding(
        False, text, 'the file system is slow with many small files; in the job\'s script: eval "$(hpcfit stage)"'
    )
