"""Is there space for a run, do locks work where it goes, and will its files still be there next month?"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hpcfit.doctor.finding import Finding
from hpcfit.doctor.lock_probe import NONE, TWICE

ENOUGH_BYTES = 1 << 30
ENOUGH_FILES = 10_000
PURGED_SOON = 0.75
"""Of the days after which a site removes a file."""
_LOCK_COMES_WITHIN_S = 20.0
_DAY_S = 86400.0
_MOST_FILES = 100_000


def cache_folder() -> Path:
    """As biophys/engines/mod_files.py has it, which nothing above the biophys room may import."""
    chosen = os.environ.get("HPCFIT_CACHE")
    return Path(chosen or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpcfit")


def cache() -> Finding:
    """Can the cache of compiled mechanisms be written?"""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            False, f"cache {folder} cannot be written ({error.strerror})", "set HPCFIT_CACHE to a folder of yours"
        )
    return Finding(True, f"cache for compiled mechanisms in {folder}")


def places(run: Path) -> dict[str, Path]:
    """The folders a fit writes into: the nearest that exist."""
    return {
        "run folder": _existing(run),
        "compiled code": _existing(cache_folder()),
        "TMPDIR": _existing(Path(tempfile.gettempdir())),
    }


def space(folders: Mapping[str, Path]) -> Iterator[Finding]:
    """Bytes and files free; one finding for each file system."""
    by_device: dict[int, list[str]] = {}
    for what, folder in folders.items():
        by_device.setdefault(folder.stat().st_dev, []).append(what)
    for names in by_device.values():
        folder = folders[names[0]]
        free, counts = shutil.disk_usage(folder).free, os.statvfs(folder)
        # Some file systems make room for files as they come, and count none.
        files = f" and {counts.f_favail:,} files" if counts.f_files else ""
        text = f"{free / 2**30:.1f} GiB{files} free in {folder} ({file_system(folder)}; {', '.join(names)})"
        enough = free > ENOUGH_BYTES and (not counts.f_files or counts.f_favail > ENOUGH_FILES)
        yield Finding(enough, text, "" if enough else _elsewhere(names))


def _elsewhere(names: list[str]) -> str:
    cures = {
        "run folder": "run elsewhere (--run)",
        "compiled code": "set HPCFIT_CACHE to another folder",
        "TMPDIR": "set TMPDIR to another folder",
    }
    return "free some, or " + ", ".join(cures[name] for name in names)


def quota(folder: Path) -> Finding:
    """What is left of the user's quota there, where a command tells."""
    user = os.environ.get("USER") or str(os.getuid())
    kind = file_system(folder)
    command = (
        ["lfs", "quota", "-h", "-u", user, str(folder)]
        if kind == "lustre"
        else ["quota", "-s", "-w", "-f", str(folder)]
    )
    if shutil.which(command[0]) is None:
        return Finding(True, f"quota in {folder}: unknown, there is no `{command[0]}` here")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_LOCK_COMES_WITHIN_S)
    except (OSError, subprocess.SubprocessError):
        return Finding(True, f"quota in {folder}: `{command[0]}` does not answer")
    rows = [line.split() for line in done.stdout.splitlines()]
    over = [row for row in rows if any(word.endswith("*") and word[:1].isdigit() for word in row)]
    said = " ".join(rows[-1]) if rows and rows[-1] else "none"
    if over:  # both commands mark with * what is over its limit
        return Finding(False, f"quota in {folder} is used up: {' '.join(over[0])}", "remove files, or run elsewhere")
    return Finding(True, f"quota in {folder}: {said}")


def locks(folder: Path) -> Iterator[Finding]:
    """HDF5's locks and flock, each tried by a process that is ended when it does not come back."""
    setting = os.environ.get("HDF5_USE_FILE_LOCKING")
    shown = "" if setting is None else f" with HDF5_USE_FILE_LOCKING={setting}"
    where = f"{folder} ({file_system(folder)})"
    if why := _probe("hdf5", folder)[1]:
        without = _probe("hdf5", folder, HDF5_USE_FILE_LOCKING="FALSE")[1]
        cure = "export HDF5_USE_FILE_LOCKING=FALSE" if not without else f"run elsewhere: without locks {without}"
        yield Finding(False, f"HDF5 cannot write and read in {where}{shown}: {why}", cure)
    else:
        yield Finding(True, f"HDF5 writes and reads in {where}{shown}")
    code, why = _probe("flock", folder)
    if not why:
        yield Finding(True, f"flock works in {where}")
    elif code in (NONE, TWICE):
        yield Finding(True, f"no flock in {where}: {why}", "nothing tells when a run is started twice; start it once")
    else:
        yield Finding(False, f"flock fails in {where}: {why}", "put the run on another file system (--run)")


def _probe(kind: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Exit code and words of hpcfit/doctor/lock_probe.py; ("" when all is well)."""
    command = [sys.executable, "-m", "hpcfit.doctor.lock_probe", kind, str(folder)]
    # Not subprocess.run: what waits for a lock on a dead server cannot be killed, and must not be waited for either.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
    )
    try:
        out, err = process.communicate(timeout=_LOCK_COMES_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return -1, f"no answer in {_LOCK_COMES_WITHIN_S:g} s"
    if process.returncode == 0:
        return 0, ""
    return process.returncode, out.strip() or (err.strip().splitlines() or ["no message"])[-1]


def purge(run: Path, scratch: Path | None, days: float | None) -> Finding | None:
    """Does the site remove what lies in the run folder?  None when it is not on scratch.

    scratch: the site's, or the user's $SCRATCH; days: after which files that nobody used are removed, None unknown.
    """
    if scratch is None or not run.resolve().is_relative_to(scratch.resolve()):
        return None
    if days is None:
        return Finding(
            True, f"{run} is on {scratch}, which most sites purge", "hpcfit doctor --site SITE says after how many days"
        )
    ages = sorted(((age, path) for age, path in _ages_days(run)), reverse=True)
    old = [path for age, path in ages if age > PURGED_SOON * days]
    cure = f"copy what you want to keep: cp -a {run} SOME_PLACE_THAT_IS_KEPT"
    if not old:
        oldest = f"; the oldest file of it is {ages[0][0]:.0f} days old" if ages else ""
        return Finding(True, f"{run} is on {scratch}: files are removed after {days:g} days{oldest}", cure)
    text = f"{len(old)} files in {run} have not been used for {ages[0][0]:.0f} days, and {scratch} is purged after "
    return Finding(False, f"{text}{days:g} (first {old[0].relative_to(run)})", cure)


def user_scratch() -> Path | None:
    """$SCRATCH, as most sites call it."""
    found = os.environ.get("SCRATCH") or os.environ.get("PSCRATCH")
    return Path(found) if found else None


def file_system(folder: Path) -> str:
    """ext4, lustre, nfs4 ...: the kind of the file system of a folder that exists."""
    try:
        mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    place, best = folder.resolve(), ("", "unknown")
    for _, point, kind in mounts:
        point = point.replace("\\040", " ")
        if place.is_relative_to(point) and len(point) >= len(best[0]):  # of several on one point the last is on top
            best = (point, kind)
    return best[1]


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _ages_days(run: Path) -> Iterator[tuple[float, Path]]:
    now = time.time()
    for count, (folder, _, names) in enumerate(os.walk(run)):
        if count > _MOST_FILES:
            return
        for name in names:
            path = Path(folder) / name
            try:
                status = path.lstat()
            except OSError:
                continue
            yield (now - max(status.st_atime, status.st_mtime)) / _DAY_S, path
