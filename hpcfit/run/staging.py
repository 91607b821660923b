"""How does an environment get into one file, and out of it at another place?

Thousands of ranks that import from one file system wait for it: each opens thousands of small files.  So what hpcfit
needs goes into one archive, which each node unpacks on its own disk.  A virtual environment says in many files where it
is; these are written anew for the place it will have.  Python's own library comes along, as it is imported first.
"""

import hashlib
import io
import os
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from hpcfit.errors import EngineError
from hpcfit.population.files import make_folder, replacing

EXTRAS = ("mpi", "mpich", "nwb", "slurm")
"""Of hpcfit, those that are installed."""
COMPLETE = ".complete"
_NOT_OF_THE_LIBRARY = (
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
)
_MOST_TEXT_BYTES = 1 << 20


def needed(more: Iterable[str] = ()) -> dict[str, Distribution]:
    """The installed packages that hpcfit needs, and those that are named, with all that they need.

    Raises EngineError when one that is named is not installed.
    """
    from packaging.requirements import Requirement

    found: dict[str, Distribution] = {}
    waiting: list[tuple[str, frozenset[str], bool]] = [("hpcfit", frozenset(EXTRAS), True)]
    waiting += [(name, frozenset(), True) for name in more]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras, must = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            if must:
                raise EngineError(f"{name} is not installed here, so it cannot be staged; pip install {name}") from None
            continue
        found[package.metadata["Name"]] = package
        for text in package.requires or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append((one.name, frozenset(one.extras), False))
    return found


def fingerprint(packages: Iterable[Distribution]) -> str:
    """Changes when anything that is packed does: packages, their versions, hpcfit's own files, the interpreter."""
    digest = hashlib.sha256(f"{sys.version}\n{sys.prefix}\n{sys.base_prefix}\n".encode())
    for package in sorted(packages, key=lambda one: str(one.metadata["Name"])):
        digest.update(f"{package.metadata['Name']} {package.version}\n".encode())
    for path, name in _own():
        status = path.stat()
        digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def pack(packages: Iterable[Distribution], archive: Path, place: Path) -> None:
    """Write a tar archive whose content, unpacked as `place`, is an environment of these packages.

    Raises
    ------
    EngineError
        When this Python runs in no virtual environment.
    StorageError
        When the archive cannot be written.
    """
    if sys.prefix == sys.base_prefix:
        raise EngineError(f"{sys.executable} is in no virtual environment, and only these are staged; use one (envs/)")
    make_folder(archive.parent)
    with replacing(archive) as temporary, tarfile.open(temporary, "w") as tar:
        for path, name in sorted(_files(packages), key=lambda item: item[1]):
            _add(tar, path, name, place)
        _add_text(tar, "pyvenv.cfg", _settings(place))
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        _add(tar, Path(getattr(sys, "_base_executable", sys.executable)).resolve(), f"base/bin/{version}", place)
        for name in ("python", "python3", version):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, f"../base/bin/{version}"
            tar.addfile(link)
        _add_text(tar, COMPLETE, f"{place}\n")


def _files(packages: Iterable[Distribution]) -> Iterator[tuple[Path, str]]:
    """(file, name in the archive) of all that is copied; each name once."""
    prefix, names = Path(sys.prefix).resolve(), set()
    for package in packages:
        for file in package.files or ():
            path = Path(os.path.normpath(str(package.locate_file(file))))
            try:
                name = str(path.parent.resolve().relative_to(prefix) / path.name)
            except ValueError:
                continue  # an editable install's entry that is not in the environment
            if path.is_file() and name not in names and not path.name.startswith("__editable__"):
                names.add(name)
                yield path, name
    site = Path(sysconfig.get_path("purelib")).resolve().relative_to(prefix)
    for path, name in _own():
        if (whole := str(site / name)) not in names:
            yield path, whole
    library = Path(sysconfig.get_path("stdlib"))
    for folder, inner, files in os.walk(library):
        # In a test folder deep down lies nothing that is imported either.
        inner[:] = [one for one in inner if one not in _NOT_OF_THE_LIBRARY and not one.startswith("config-")]
        for file in files:
            path = Path(folder) / file
            yield path, str(Path("base/lib") / library.name / path.relative_to(library))


def _own() -> Iterator[tuple[Path, str]]:
    """The package's own files, which an editable install has elsewhere."""
    package = Path(__file__).resolve().parents[1]
    for folder, inner, files in os.walk(package, followlinks=True):
        inner[:] = sorted(one for one in inner if one not in ("__pycache__", "x86_64", "aarch64"))
        for file in sorted(files):
            path = Path(folder) / file
            yield path, str(Path(package.name) / path.relative_to(package))


def _add(tar: tarfile.TarFile, path: Path, name: str, place: Path) -> None:
    """One file, its own place in it replaced by the one it will have."""
    entry = tar.gettarinfo(str(path), name)
    if not entry.isfile() and not entry.issym():
        entry = tar.gettarinfo(str(path.resolve()), name)
    if entry.issym():
        target = path.resolve()
        entry = tar.gettarinfo(str(target), name)
        path = target
    entry.type, entry.linkname = tarfile.REGTYPE, ""  # no hard links: the archive may leave one of two out
    entry.size = path.stat().st_size
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    content = path.read_bytes() if _may_say_where(name, entry.size) else None
    if content is not None and b"\0" not in content and (moved := _moved(content, place)) != content:
        content = moved
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
        return
    with open(path, "rb") as file:
        tar.addfile(entry, file)


def _moved(content: bytes, place: Path) -> bytes:
    # An environment may be known by a link as well; the longer name first, as the other may be the start of it.
    for old in sorted({sys.prefix, os.path.realpath(sys.prefix)}, key=len, reverse=True):
        content = content.replace(old.encode(), str(place).encode())
    return content


def _may_say_where(name: str, size: int) -> bool:
    return size < _MOST_TEXT_BYTES and (name.startswith(("bin/", "etc/")) or name.endswith((".pth", ".pc", ".cfg")))


def _settings(place: Path) -> str:
    """pyvenv.cfg: `home` is where Python looks for its own library."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"home = {place}/base/bin\ninclude-system-site-packages = false\nversion = {version}\n"


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))
