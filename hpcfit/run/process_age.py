"""How long ago was this process started?  Loading Python itself counts, which no clock inside Python sees."""

import os
import time
from pathlib import Path

_LOADED_S = time.monotonic()
_STAT = Path("/proc/self/stat")
_START_FIELD = 19
"""Of the fields after the program's name, in parentheses, which may hold anything: proc(5), starttime."""


def age_s() -> float:
    """Seconds since this process was started, to 0.01 s; where /proc is not, since this module was loaded."""
    try:
        fields = _STAT.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        started_s = int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
    except (OSError, IndexError, ValueError, AttributeError):
        return time.monotonic() - _LOADED_S
