"""Compile generated source for this machine, once per content, into the cache that all processes share."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from hpcfit.errors import EngineError
from hpcfit.population.files import make_folder, one_at_a_time, storage_error

HERE = Path(__file__).resolve().parent
HEADERS = ("lanes.hpp", "gates.hpp", "block.hpp", "harness.hpp")
# No -ffast-math: it folds away guards and reorders sums that single precision depends on.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-freciprocal-math",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fopenmp",
    "-shared",
    "-fPIC",
)


def library(source: str, folder: Path, target: str = "native") -> ctypes.CDLL:
    """The compiled source.

    source: one translation unit; folder: the cache; target: what -march is given.

    Raises
    ------
    EngineError
        When there is no C++ compiler, or it refuses the source (a defect of ours: the message says where it is kept).
    """
    place = folder / f"{_content_hash(source, target)}.so"
    if not place.exists():
        make_folder(folder)
        with one_at_a_time(place.with_suffix(".lock")):
            if not place.exists():
                _compile(source, place, target)
    return ctypes.CDLL(str(place))


@cache
def compiler() -> str:
    """The C++ compiler: $CXX, else c++, g++ or clang++.  Raises EngineError."""
    for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        if name and (path := shutil.which(name)):
            return path
    raise EngineError(
        "no C++ compiler is found (c++, g++, clang++ or $CXX); install one, or use engine.kind = 'neuron'"
    )


def machine() -> str:
    """What code that is tuned for this machine depends on: the compiler, its version, the processor."""
    return f"{compiler()} {_compiler_version()} {_cpu()}"


def _content_hash(source: str, target: str) -> str:
    digest = hashlib.sha256(f"{compiler()} {_compiler_version()} {target} {' '.join(FLAGS)} {_cpu()}".encode())
    for name in HEADERS:
        digest.update((HERE / name).read_bytes())
    digest.update(source.encode())
    return digest.hexdigest()[:24]


@cache
def _compiler_version() -> str:
    return subprocess.run([compiler(), "-dumpfullversion"], capture_output=True, text=True).stdout.strip()


@cache
def _cpu() -> str:
    """What -march=native depends on: nodes of one machine may share a cache and differ in processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return os.uname().machine


def _compile(source: str, place: Path, target: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{place.stem}.", dir=place.parent) as name:
        work = Path(name)
        try:
            (work / "kernel.cpp").write_text(source)
        except OSError as error:
            raise storage_error(work, error) from error
        command = [compiler(), *FLAGS, f"-march={target}", f"-I{HERE}", "kernel.cpp", "-o", "kernel.so"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            kept = place.with_suffix(".failed.cpp")
            kept.write_text(source)
            said = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
            raise EngineError(f"{kept}: the compiler refuses generated code ({said.strip()}); report it with that file")
        os.replace(work / "kernel.so", place)
