"""Compile C++ for this machine, once per content, into the cache that all processes share."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hpcfit.errors import EngineError, StorageError
from hpcfit.population.files import one_at_a_time

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


@dataclass(frozen=True)
class Headers:
    """What a source may include: files of a folder, by name."""

    folder: Path
    names: tuple[str, ...]


def library(
    source: str, headers: Headers, folder: Path, target: str = "native", flags: tuple[str, ...] = FLAGS
) -> ctypes.CDLL:
    """The compiled source.

    source: one translation unit; folder: the cache; target: what -march is given; flags: the compiler's others.

    Raises
    ------
    EngineError
        When there is no C++ compiler, it refuses the source (a defect of ours: the message says where it is kept), or
        what it made cannot be loaded.
    StorageError
        When the cache cannot be written.
    """
    place = folder / f"{_content_hash(source, headers, target, flags)}.so"
    if not place.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(place.with_suffix(".lock")):
                if not place.exists():
                    _compile(source, headers, place, target, flags)
        except OSError as error:
            raise StorageError(
                f"{folder}: compiled kernels cannot be kept here ({os.strerror(error.errno or 0)}); free some space, "
                "or set HPCFIT_CACHE to a folder that can be written"
            ) from error
    try:
        return ctypes.CDLL(str(place))
    except OSError as error:
        said = str(error).removeprefix(f"{place}: ")
        raise EngineError(
            f"{place}: the compiled kernel cannot be loaded ({said}); remove it if it is damaged, or set HPCFIT_CACHE "
            "to a folder whose files may be executed"
        ) from None


def cache_folder() -> Path:
    """Where compiled code is kept: HPCFIT_CACHE, else hpcfit in the user's cache folder."""
    chosen = os.environ.get("HPCFIT_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpcfit"


@cache
def compiler() -> str:
    """The C++ compiler: $CXX, else c++, g++ or clang++.  Raises EngineError."""
    for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        if name and (path := shutil.which(name)):
            return path
    raise EngineError("no C++ compiler is found (c++, g++, clang++ or $CXX); install one")


@cache
def vector_bytes(target: str = "native") -> int:
    """How wide this target's vector registers are.  Wider lanes than that compile to something slow.

    Raises EngineError when there is no compiler.
    """
    command = [compiler(), f"-march={target}", "-dM", "-E", "-x", "c++", os.devnull]
    macros = subprocess.run(command, capture_output=True, text=True, errors="replace").stdout
    return next((width for macro, width in (("__AVX512F__", 64), ("__AVX2__", 32)) if f" {macro} " in macros), 16)


def machine() -> str:
    """What code that is tuned for this machine depends on: the compiler, its version, the processor."""
    return f"{compiler()} {_compiler_version()} {_cpu()}"


def _content_hash(source: str, headers: Headers, target: str, flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256(f"{compiler()} {_compiler_version()} {target} {' '.join(flags)} {_cpu()}".encode())
    for name in headers.names:
        digest.update((headers.folder / name).read_bytes())
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


def _compile(source: str, headers: Headers, place: Path, target: str, flags: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{place.stem}.", dir=place.parent) as name:
        work = Path(name)
        (work / "kernel.cpp").write_text(source)
        command = [compiler(), *flags, f"-march={target}", f"-I{headers.folder}", "kernel.cpp", "-o", "kernel.so"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            kept = place.with_suffix(".failed.cpp")
            kept.write_text(source)
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            said = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no message")
            raise EngineError(
                f"{kept}: {compiler()} does not compile this generated code ({said}); if the compiler works and there "
                "is memory and space enough, report it with that file"
            )
        os.replace(work / "kernel.so", place)
