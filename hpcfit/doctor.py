"""What this machine has, what is wrong with it for hpcfit, and how to mend it."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hpcfit.run.processes import available_cores

_ENOUGH_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    good: bool
    what: str
    cure: str = ""

    def line(self) -> str:
        """As a line of text."""
        return f"{'ok  ' if self.good else 'BAD '} {self.what}" + (f"; {self.cure}" if self.cure else "")


def examine() -> list[Finding]:
    """Look at everything that a fit on this machine needs."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        *(_package(name) for name in ("numpy", "h5py", "neuron", "efel", "morphio")),
        _extra,
        _compiler,
        _coreneuron,
        _cores,
        _cache,
        _space,
    )
    return [check() for check in checks]


def _python() -> Finding:
    text = f"Python {sys.version.split()[0]} at {sys.executable}"
    return Finding(sys.version_info >= (3, 11), text, "" if sys.version_info >= (3, 11) else "use 3.11 or newer")


def _package(name: str) -> Callable[[], Finding]:
    def check() -> Finding:
        try:
            return Finding(True, f"{name} {version(name)}")
        except PackageNotFoundError:
            return Finding(False, f"{name} is not installed", f"pip install {name}")

    return check


def _extra() -> Finding:
    there = importlib.util.find_spec("pynwb") is not None
    return Finding(True, "pynwb for NWB recordings" + ("" if there else ": not installed (pip install hpcfit[nwb])"))


def _compiler() -> Finding:
    path = os.environ.get("PATH", "")
    missing = [name for name in ("c++", "make") if shutil.which(name, path=path) is None]
    cures = ["install g++ and make"] if missing else []
    if shutil.which("nrnivmodl", path=os.pathsep.join([str(Path(sys.executable).parent), path])) is None:
        missing.append("nrnivmodl")
        cures.append("pip install neuron")
    if missing:
        cure = f".mod files cannot be compiled; {', '.join(cures)}"
        return Finding(False, f"not found: {', '.join(missing)}", cure)
    return Finding(True, f"C++ compiler {shutil.which('c++')}, make, nrnivmodl")


def _coreneuron() -> Finding:
    """Needed only by engine.kind = "coreneuron", so what it lacks is said and is nothing bad."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    lacks = [] if shutil.which("nrnivmodl-core", path=os.pathsep.join(folders)) else ["nrnivmodl-core (pip's NEURON)"]
    if shutil.which("bash", path=os.environ.get("PATH", "")) is None:
        lacks.append("bash")
    if not lacks:
        return Finding(True, "nrnivmodl-core, for engine.kind = 'coreneuron'")
    return Finding(True, f"engine.kind = 'coreneuron' cannot be used; it needs {' and '.join(lacks)}")


def _cores() -> Finding:
    mine, all_cores = available_cores(), os.cpu_count() or 1
    note = "" if mine == all_cores else f" of {all_cores}: the rest is masked by the system or a batch job"
    return Finding(True, f"{mine} cores{note}")


def _cache() -> Finding:
    # As biophys/engines/mod_files.py has it, which nothing above the biophys room may import.
    chosen = os.environ.get("HPCFIT_CACHE")
    folder = Path(chosen or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpcfit")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            False, f"cache {folder} cannot be written ({error.strerror})", "set HPCFIT_CACHE to a folder of yours"
        )
    return Finding(True, f"cache for compiled mechanisms in {folder}")


def _space() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    return Finding(free > _ENOUGH_BYTES, text, "" if free > _ENOUGH_BYTES else "free some, or run elsewhere")
