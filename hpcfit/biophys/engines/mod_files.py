"""Compile a folder of .mod files for NEURON, once per content, into a cache that any number of processes share."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from hpcfit.errors import EngineError, InputError, MechanismError
from hpcfit.population.compiling import cache_folder
from hpcfit.population.files import make_folder, one_at_a_time, storage_error

_LIBRARY_NAMES = ("libnrnmech.so", "libnrnmech.dylib", ".libs/libnrnmech.so")


def mod_files(folder: Path) -> list[Path]:
    """The .mod files of a folder.  Raises InputError when there is no folder, or none in it."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; cell.mechanisms names a folder of .mod files")
    files = sorted(folder.glob("*.mod"))
    if not files:
        raise InputError(f"{folder}: holds no .mod file; leave cell.mechanisms out if NEURON's own mechanisms do")
    return files


def mechanism_name(path: Path) -> str:
    """What a .mod file's SUFFIX or POINT_PROCESS line names, else the file's own name."""
    text = re.sub(r"\bCOMMENT\b.*?\bENDCOMMENT\b", "", path.read_text(errors="replace"), flags=re.DOTALL)
    found = re.search(r"^[^:?\n]*\b(?:SUFFIX|POINT_PROCESS)\s+(\w+)", text, flags=re.MULTILINE)
    return found.group(1) if found else path.stem


def compiled(folder: Path) -> Path:
    """The library of the folder's mechanisms, compiled if the cache has none for this content.

    Raises
    ------
    InputError
        When there are no .mod files.
    MechanismError
        When one does not compile: its file and line, as the compiler said.
    EngineError
        When there is no nrnivmodl or compiler.
    """
    files = mod_files(folder)
    place = cache_folder() / "mechanisms" / _content_hash(files)
    if (library := _library_in(place)) is None:
        make_folder(place.parent)
        with one_at_a_time(place.with_suffix(".lock")):
            if (library := _library_in(place)) is None:
                _compile(files, place)
                library = _library_in(place)
    if library is None:
        raise EngineError(f"{place}: nrnivmodl made no library, though it reported no error; run it by hand there")
    return library


def _content_hash(files: list[Path]) -> str:
    digest = hashlib.sha256(f"neuron {version('neuron')} {sysconfig.get_platform()} {sys.prefix}".encode())
    for file in files:
        content = file.read_bytes()
        digest.update(f"\n{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:24]


def _library_in(place: Path) -> Path | None:
    folder = place / os.uname().machine
    return next((folder / name for name in _LIBRARY_NAMES if (folder / name).exists()), None)


def _compile(files: list[Path], place: Path) -> None:
    program = shutil.which("nrnivmodl", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None:
        raise EngineError("nrnivmodl is not found; install NEURON (pip install neuron) in this environment")
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as name:
        work = Path(name) / "build"
        work.mkdir()
        try:
            for file in files:
                shutil.copy(file, work)
        except OSError as error:
            raise storage_error(work, error) from error
        done = subprocess.run([program, "."], cwd=work, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            raise _explained(done.stdout + "\n" + done.stderr, files)
        with suppress(OSError):  # another process was first where locks do not work: its library serves as well
            os.rename(work, place)


def _explained(output: str, files: list[Path]) -> MechanismError | EngineError:
    """What nrnivmodl's output means, in one line."""
    folder = files[0].parent
    syntax = re.search(r"(?:Error: (.*)\s+)?at line (\d+) in file (\S+\.mod)\s*\n(.*)", output)
    if syntax:
        said, line, name, text = syntax.groups()
        if said and said != "syntax error" and text.strip() == "^":  # nocmodl points into a line that is not there
            return MechanismError(f"{folder / name}, line {line}: {said}; mend it")
        return MechanismError(f"{folder / name}, line {line}: syntax error at {text.strip()!r}; mend it")
    undefined = re.search(r"(\S+)\.cpp:\d+:\d+: error: (.*)", output)
    if undefined:
        name, message = (
            Path(undefined.group(1)).stem + ".mod",
            undefined.group(2).replace("\N{LEFT SINGLE QUOTATION MARK}", "'"),
        )
        message = message.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        if not re.search(r"\bNEURON\b", (folder / name).read_text(errors="replace")):
            return MechanismError(f"{folder / name}: has no NEURON block, so it is no mechanism; mend or remove it")
        return MechanismError(f"{folder / name}{_line_of(folder / name, message)}: {message}; mend it")
    if re.search(r"(g\+\+|c\+\+|make).*(not found|No such file)", output):
        return EngineError("a C++ compiler and make are needed to compile .mod files; install them (g++, make)")
    said = [
        line.strip()
        for line in output.splitlines()
        if "rror" in line and "NOTE" not in line and "CalledProcess" not in line
    ]
    return MechanismError(f"{folder}: nrnivmodl failed: {said[0] if said else output.strip().splitlines()[-1]}")


def _line_of(file: Path, message: str) -> str:
    """Where the .mod file uses the name that the C++ compiler stumbled over: that compiler's own lines mean nothing."""
    quoted = re.search(r"'(\w+)'", message)
    if not quoted:
        return ""
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        if re.search(rf"\b{re.escape(quoted.group(1))}\b", line.split(":")[0]):
            return f", line {number}"
    return ""
