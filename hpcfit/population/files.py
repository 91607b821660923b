"""The one way a file comes into being: written whole under a temporary name, flushed to disk, then renamed."""

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpcfit.errors import StorageError

_SUFFIX = ".tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well its file takes the place of `path`, else it is removed.

    Raises
    ------
    StorageError
        When the disk is full, or the folder cannot be written.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Replace `path` by a file that holds `text`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Others wait while one works.  Where locks do not work all work at once, so results must be put in place whole."""
    with open(lock, "w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_folder(path: Path) -> Path:
    """The folder, made if need be.  Raises StorageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
    return path


def storage_error(path: Path, error: OSError) -> StorageError:
    """What a failed write means to the user.  HDF5 hides the error number in its message."""
    text = str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "errno = 28" in text:
        return StorageError(f"{path}: no space left on the device; free some and give the same command to go on")
    reason = os.strerror(error.errno) if error.errno else text.partition("\n")[0] or type(error).__name__
    return StorageError(f"{path}: cannot be written: {reason}; whole generations on disk are kept")


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left; only for the one process that writes there."""
    for leftover in folder.rglob(f".*{_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_SUFFIX}")
    try:
        temporary.open("xb").close()
    except OSError as error:
        raise storage_error(path, error) from error
    return temporary


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot flush a folder; the rename itself is still atomic there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
