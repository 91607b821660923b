"""Can .mod files and kernels be compiled here, and for which instructions?"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hpcfit.doctor.finding import Finding

_WIDTHS = (("__AVX512F__", "AVX-512"), ("__AVX2__", "AVX2"), ("__ARM_FEATURE_SVE", "SVE"), ("__ARM_NEON", "NEON"))
_ANSWERS_WITHIN_S = 60.0


def compiler() -> Finding:
    """What nrnivmodl and the batched engine call."""
    path = os.environ.get("PATH", "")
    missing = [name for name in ("c++", "make") if shutil.which(name, path=path) is None]
    cures = ["install g++ and make"] if missing else []
    if shutil.which("nrnivmodl", path=os.pathsep.join([str(Path(sys.executable).parent), path])) is None:
        missing.append("nrnivmodl")
        cures.append("pip install neuron")
    if missing:
        cure = f".mod files cannot be compiled; {', '.join(cures)}"
        return Finding(False, f"not found: {', '.join(missing)}", cure)
    program = _kernel_compiler()
    if why := _refuses(program):
        return Finding(
            False,
            f"{program} does not compile a shared library with -fopenmp ({why})",
            "load the machine's compiler module, or set CXX to a compiler that works (g++ does)",
        )
    return Finding(True, f"C++ compiler {program} {_version(program)}, for {_instructions(program)}; make, nrnivmodl")


def coreneuron() -> Finding:
    """Needed only by engine.kind = "coreneuron", so what it lacks is said and is nothing bad."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    lacks = [] if shutil.which("nrnivmodl-core", path=os.pathsep.join(folders)) else ["nrnivmodl-core (pip's NEURON)"]
    if shutil.which("bash", path=os.environ.get("PATH", "")) is None:
        lacks.append("bash")
    if not lacks:
        return Finding(True, "nrnivmodl-core, for engine.kind = 'coreneuron'")
    return Finding(True, f"engine.kind = 'coreneuron' cannot be used; it needs {' and '.join(lacks)}")


def nvcc() -> Finding:
    """Needed by nothing but kernels for GPUs."""
    path = shutil.which("nvcc", path=os.environ.get("PATH", ""))
    if path is None:
        return Finding(True, "no nvcc: no kernels for NVIDIA GPUs are compiled here")
    release = [line for line in _said([path, "--version"]).splitlines() if "release" in line]
    return Finding(True, f"nvcc at {path}, {release[0].partition(',')[2].strip() if release else 'version unknown'}")


def processor() -> str:
    """What code that is tuned for this processor depends on: its model and instructions, as one word to compare."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return os.uname().machine
    wanted = ("model name", "flags", "Features", "CPU part")
    return "|".join(next((line for line in lines if line.startswith(word)), "") for word in wanted)


def processor_name(processor: str) -> str:
    """What to call it."""
    model = processor.partition("|")[0].partition(":")[2].strip()
    return model or processor.strip("|").partition("|")[0] or "unknown"


def _kernel_compiler() -> str:
    # As biophys/codegen/build.py has it, which nothing above the biophys room may import.
    for name in (os.environ.get("CXX", ""), "c++"):
        if name and (path := shutil.which(name)):
            return path
    return "c++"


def _version(program: str) -> str:
    said = _said([program, "--version"]).partition("\n")[0].split()
    return next((word for word in reversed(said) if word[0].isdigit()), "of unknown version")


def _instructions(program: str) -> str:
    macros = _said([program, "-march=native", "-dM", "-E", "-x", "c++", os.devnull])
    return next((name for macro, name in _WIDTHS if f" {macro} " in macros), "the plain instructions of its target")


def _refuses(program: str) -> str:
    """Why it does not compile what the engine's flags need, its own words; "" when it does."""
    with tempfile.TemporaryDirectory(prefix="hpcfit-") as name:
        source = Path(name) / "kernel.cpp"
        source.write_text("#include <omp.h>\n#include <cmath>\nint f() { return omp_get_max_threads(); }\n")
        command = [program, "-std=c++17", "-fopenmp", "-shared", "-fPIC", source.name, "-o", "kernel.so"]
        try:
            done = subprocess.run(
                command, cwd=name, capture_output=True, text=True, errors="replace", timeout=_ANSWERS_WITHIN_S
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no message")


def _said(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_ANSWERS_WITHIN_S
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
