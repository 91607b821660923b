"""Do locks work in a folder?  Run as a process of its own, which can be ended where a lock never comes back.

    python -m hpcfit.doctor.lock_probe hdf5|flock FOLDER

Prints nothing and exits with 0 when they do; else one line says what happened, and the exit code is 1 (fails), 3 (this
file system has none) or 4 (granted twice).
"""

import errno
import fcntl
import os
import sys
import tempfile

FAILS, NONE, TWICE = 1, 3, 4


def hdf5(folder: str) -> int:
    """Write and read an HDF5 file as HDF5_USE_FILE_LOCKING says."""
    import h5py

    with tempfile.TemporaryDirectory(prefix=".hpcfit-doctor-", dir=folder) as name:
        path = os.path.join(name, "locks.h5")
        try:
            with h5py.File(path, "w") as file:
                file["x"] = [1.0, 2.0]
            with h5py.File(path, "r") as file:
                list(file)
        except OSError as error:
            print(str(error).partition("\n")[0])
            return FAILS
    return 0


def flock(folder: str) -> int:
    """Lock a file twice: the second must be refused."""
    with tempfile.NamedTemporaryFile(prefix=".hpcfit-doctor-", dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            print(os.strerror(error.errno or 0))
            return NONE if error.errno in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL) else FAILS
        with open(file.name) as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
        print("a second process gets the lock as well")
        return TWICE


if __name__ == "__main__":
    sys.exit({"hdf5": hdf5, "flock": flock}[sys.argv[1]](sys.argv[2]))
