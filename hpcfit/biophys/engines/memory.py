"""How much memory will a simulation take, how much is there, and into how many portions must a population be split?"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpcfit.biophys.extract.reading import Reading
from hpcfit.errors import EngineError

Record = Literal["traces", "spikes"] | tuple[Reading, ...]
"""What is kept of a simulation: voltages, spike times, or features, where a simulator reads them on the way."""
_SHARE = 0.8
"""Of the memory that is free when a simulation starts, so much may be taken."""
_GIB = 2.0**30


@dataclass(frozen=True)
class Memory:
    """Bytes that simulating a population takes at most.

    parameters: what the simulator is given; results: voltages, spike times, statuses; work: states, by all threads.
    """

    parameters: int
    results: int
    work: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.results + self.work

    def __str__(self) -> str:
        parts = (("parameters", self.parameters), ("results", self.results), ("work", self.work))
        return f"{gib(self.total)} ({', '.join(f'{name} {gib(size)}' for name, size in parts)})"

    def check(self, limit: int, what: str) -> None:
        """Raises EngineError when it is more than `limit` bytes."""
        if self.total > limit:
            raise EngineError(
                f"{what} needs {self}, but {gib(limit)} may be used; simulate fewer individuals at once, record spikes "
                "or less often (engine.record_dt_ms), or raise engine.memory_GiB"
            )


def gib(size: float) -> str:
    """A size for people."""
    return f"{size / _GIB:.2f} GiB" if size >= 0.1 * _GIB else f"{size / 2**20:.1f} MiB"


def memory_limit(memory_GiB: float | None) -> int:
    """Bytes that may be used: what the settings say, else a share of what is free."""
    return int(memory_GiB * _GIB) if memory_GiB is not None else int(_SHARE * available_bytes())


def available_bytes() -> int:
    """Memory that this process could still get: of the machine, and of the control group it is in."""
    return min(_machine_bytes(), group_bytes(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")))


def _machine_bytes() -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def group_bytes(root: Path, membership: Path) -> int:
    """What the control group of `membership` and those above it leave; SLURM and containers limit jobs so."""
    left = 2**62
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            base = root / "memory" if controllers else root
            place = base / name.lstrip("/")
            limits = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else _SECOND
            for folder in (place, *place.parents):
                left = min(left, _left_in(folder, *limits))
                if folder == base:
                    break
    return left


_SECOND = ("memory.max", "memory.current")


def _left_in(folder: Path, limit: str, usage: str) -> int:
    """What one group leaves; files that the kernel keeps in memory and can drop count as free."""
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
        droppable = next(
            int(line.split()[1])
            for line in (folder / "memory.stat").read_text().splitlines()
            if line.startswith(("inactive_file", "total_inactive_file"))
        )
    except (OSError, ValueError, StopIteration):  # "max", no such group here, or other names
        return 2**62
    return max(0, most - max(0, used - droppable))
