"""Services for the tests of executors: modest work, and every way in which a worker can go wrong."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from hpcfit.errors import InputError


class Bench:
    """Does what it is told."""

    def double(self, value):
        return value * 2

    def shape(self, *arrays):
        return [array.shape for array in arrays]

    def fail(self, text):
        raise ZeroDivisionError(text)

    def complain(self, text):
        raise InputError(text)

    def unsendable(self):
        return lambda: None

    def sleep(self, seconds, value=None):
        time.sleep(seconds)
        return value

    def spin(self):
        while True:
            ctypes.CDLL(None).getppid()

    def pid(self):
        return os.getpid()

    def leave(self, code):
        os._exit(code)

    def exhausted(self, megabytes=0):
        os.write(2, b"x" * (megabytes * 1_000_000) + b"\nout of patience\n")
        os._exit(1)

    def crash(self):
        ctypes.string_at(0)

    def kill(self, number):
        os.kill(os.getpid(), number)
        return "still there"

    def close_connection(self):
        for handle in range(3, 64):
            try:
                os.close(handle)
            except OSError:
                continue
        time.sleep(30)

    def start_and_die(self):
        """A process of its own that outlives the worker."""
        subprocess.Popen(["sleep", "20"], close_fds=False)
        os.kill(os.getpid(), signal.SIGKILL)

    def report_pid(self, path, seconds):
        partial = Path(f"{path}.part")
        partial.write_text(str(os.getpid()))
        partial.rename(path)
        time.sleep(seconds)
        return os.getpid()

    def shout(self, megabytes, rest_s=0.0):
        block = b"x" * 99 + b"\n"
        for _ in range(megabytes):
            os.write(1, block * 10_000)
        time.sleep(rest_s)
        print("and again, by way of Python")
        print("on stderr", file=sys.stderr)
        return os.fstat(1).st_size

    def noise(self, seed, n):
        return np.random.default_rng(seed).normal(size=n)


class Counting:
    """Counts what it was asked, to tell one process's service from another's."""

    def __init__(self):
        self.calls = 0

    def count(self):
        self.calls += 1
        return os.getpid(), self.calls


def slow_bench(seconds):
    """A service that takes long to build."""
    time.sleep(seconds)
    return Bench()


def fatal_bench():
    """A service whose building always kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def fatal_once(path):
    """A service whose building kills the first time: `path` remembers."""
    try:
        Path(path).open("x").close()
    except FileExistsError:
        return Bench()
    os.kill(os.getpid(), signal.SIGKILL)


def fatal_unless_first(path):
    """A service that one process can build, and no other."""
    try:
        Path(path).open("x").close()
    except FileExistsError:
        os.kill(os.getpid(), signal.SIGKILL)
    return Bench()


def refused():
    """A service that the user's input does not allow."""
    raise InputError("cell.asc: no such file")


def broken():
    """A service with a mistake in it."""
    raise KeyError("soma")
