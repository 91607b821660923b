"""Compile a folder of .mod files for CoreNEURON, beside NEURON's own library and without disturbing it.

NEURON builds the cell and starts the simulation with the library that engines/mod_files.py makes; CoreNEURON takes over
with the one made here, which NEURON finds through the environment variable CORENEURONLIB.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from hpcfit.biophys.codegen.build import compiler, machine
from hpcfit.biophys.engines.mod_files import cache_folder, compiled, mod_files
from hpcfit.errors import EngineError, MechanismError
from hpcfit.population.files import make_folder, one_at_a_time, storage_error

_LIBRARY_NAMES = ("libcorenrnmech.so", "libcorenrnmech.dylib")
_FAST = ["-O3", "-ffast-math", "-fopenmp-simd"]
# Without finite-math-only, so that the guards of rate tables see a diverged (NaN) voltage and do not index with it;
# glibc declares its vector exp only where this macro is set, which that flag takes away: half of the speed.
_NAN_SAFE = ["-fno-finite-math-only", "-D__FAST_MATH__=1"]
_REFUSED = {
    "VERBATIM": "is C code for NEURON's own memory layout, which CoreNEURON does not have; write it in NMODL",
    "POINTER": "reaches into NEURON's memory, which CoreNEURON does not share; use an ion or a RANGE variable",
    "BBCOREPOINTER": "needs C code of its own to be copied to CoreNEURON; use an ion or a RANGE variable",
    "EXTERNAL": "reaches into another mechanism's memory; use an ion or a RANGE variable",
}
_OR_NEURON = "or use engine.kind = 'neuron'"


def compiled_for_coreneuron(folder: Path, gpu: bool = False) -> Path:
    """CoreNEURON's library of the folder's mechanisms, compiled if the cache has none for this content and machine.

    gpu: for a NEURON that was built with GPU support, whose compiler's own flags then serve.

    Raises
    ------
    InputError
        When there are no .mod files.
    MechanismError
        When CoreNEURON cannot take one: its file, line and what to do.
    EngineError
        When a tool is missing.
    """
    files = mod_files(folder)
    for file in files:
        _check(file)
    flags = [] if gpu else [*_FAST, *_NAN_SAFE, _tuning()]
    neurons = compiled(folder).relative_to(cache_folder() / "mechanisms").parts[0]  # the name says the content
    recipe = " ".join([neurons, *flags, machine()])
    place = cache_folder() / "coreneuron" / hashlib.sha256(recipe.encode()).hexdigest()[:24]
    if (library := _library_in(place)) is None:
        make_folder(place.parent)
        with one_at_a_time(place.with_suffix(".lock")):
            if (library := _library_in(place)) is None:
                _compile(files, place, flags)
                library = _library_in(place)
    if library is None:
        raise EngineError(f"{place}: nrnivmodl-core made no library, though it reported no error; run it by hand there")
    return library


def _tuning() -> str:
    return "-march=native" if os.uname().machine == "x86_64" else "-mcpu=native"


def _check(file: Path) -> None:
    """Raises MechanismError at the first construct that CoreNEURON cannot take."""
    inside_comment = False
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        words = re.split(r"[:?]", line)[0].split()
        first = words[0] if words else ""
        if first in ("COMMENT", "ENDCOMMENT"):
            inside_comment = first == "COMMENT"
        elif not inside_comment and (word := next((word for word in words if word in _REFUSED), None)):
            raise MechanismError(f"{file}, line {number}: {word} {_REFUSED[word]}, {_OR_NEURON}")


def _library_in(place: Path) -> Path | None:
    folder = place / os.uname().machine
    return next((folder / name for name in _LIBRARY_NAMES if (folder / name).exists()), None)


def _script() -> tuple[Path, dict[str, str]]:
    """nrnivmodl-core, and the environment it needs.

    Of a wheel that is the script inside the package: the command on PATH wraps a program that only nrnivmodl makes.
    """
    spec = importlib.util.find_spec("neuron")
    if spec is not None and spec.origin is not None:
        data = Path(spec.origin).parent / ".data"
        if (script := data / "bin" / "nrnivmodl-core").exists():
            places = {name: str(data) for name in ("CORENRNHOME", "NRNHOME", "NMODLHOME")}
            return script, {**places, "CORENRN_PYTHONEXE": sys.executable, **_python_library()}
    program = shutil.which(
        "nrnivmodl-core", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if program is None:
        raise EngineError(
            "nrnivmodl-core is not found: this NEURON was built without CoreNEURON; install NEURON's own wheel "
            f"(pip install neuron), {_OR_NEURON}"
        )
    return Path(program), {}


def _python_library() -> dict[str, str]:
    """Where libpython is, which NMODL loads for sparse and derivimplicit; not every Python has one."""
    with suppress(ImportError):
        from find_libpython import find_libpython

        if found := find_libpython():
            return {"NMODL_PYLIB": found}
    return {}


def _compile(files: list[Path], place: Path, flags: list[str]) -> None:
    script, variables = _script()
    if shutil.which("make") is None:
        raise EngineError(f"make is not found, which compiles .mod files for CoreNEURON; install it, {_OR_NEURON}")
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as name:
        work = Path(name) / "build"
        try:
            (work / "mod").mkdir(parents=True)
            for file in files:
                shutil.copy(file, work / "mod")
        except OSError as error:
            raise storage_error(work, error) from error
        done = subprocess.run(
            ["bash", str(script), "-p", "2", "-i", " ".join(flags), "mod"],
            cwd=work,
            env={**os.environ, **variables, "CXX": os.environ.get("CXX") or compiler()},
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            raise _explained(done.stdout + "\n" + done.stderr, files)
        with suppress(OSError):  # another process was first where locks do not work: its library serves as well
            os.rename(work, place)


def _explained(output: str, files: list[Path]) -> MechanismError | EngineError:
    """What nrnivmodl-core's output means, in one line."""
    folder = files[0].parent
    if "NMODL_PYLIB" in output:
        return EngineError(
            f"{folder}: CoreNEURON's compiler needs Python's shared library (libpython) to solve sparse or "
            f"derivimplicit methods, and this Python has none; use one built with --enable-shared, {_OR_NEURON}"
        )
    found = re.search(r"Code Incompatibility :: (.*?)\s+(?:found )?at \[(\d+)[.\d-]*\](.*)", output)
    if found:
        what, line, rest = found.groups()
        name = re.search(r'"(\w+)"', what)
        file = _holding(files, int(line), name.group(1) if name else "")
        where = f"{file}, line {line}" if file else str(folder)
        return MechanismError(f"{where}: CoreNEURON: {what}{rest}; mend it, {_OR_NEURON}")
    said = [line.strip() for line in output.splitlines() if re.search(r"\berror\b", line, flags=re.IGNORECASE)]
    return MechanismError(
        f"{folder}: CoreNEURON cannot compile these mechanisms: "
        f"{said[0] if said else output.strip().splitlines()[-1]}; mend them, {_OR_NEURON}"
    )


def _holding(files: list[Path], line: int, name: str) -> Path | None:
    """The file that has the name in this line: the compiler runs on several at once and says only the line."""
    for file in files:
        lines = file.read_text(errors="replace").splitlines()
        if line <= len(lines) and re.search(rf"\b{re.escape(name)}\b", lines[line - 1]):
            return file
    return None
