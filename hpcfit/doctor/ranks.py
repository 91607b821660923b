"""Do the ranks of a job have the cores and devices that were asked for?  Judged from what each says of itself."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hpcfit.doctor.compilers import processor, processor_name
from hpcfit.doctor.finding import Finding
from hpcfit.run.slurm.commands import ranges
from hpcfit.run.slurm.facts import task_facts

_VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_ANSWERS_WITHIN_S = 20.0


@dataclass(frozen=True)
class Rank:
    """What one rank has."""

    rank: int
    host: str
    cores: tuple[int, ...]
    """Its CPU mask."""
    visible: tuple[str, ...] | None = None
    """Devices as its program numbers them; None when nothing is set."""
    devices: tuple[str, ...] = ()
    """The same ones as the node numbers them, or their own identifiers (UUID) where the driver tells."""
    job_devices: int = 0
    """Devices of the job on a node."""
    cpus_per_task: int = 0
    """That were asked for; 0: nobody asked."""
    threads: int = 0
    """OMP_NUM_THREADS; 0 when not set."""
    cpus_on_node: int = 0
    """Of the job, on its node."""
    processor: str = ""

    def as_json(self) -> dict[str, Any]:
        """As a message's head."""
        return asdict(self)

    @classmethod
    def from_json(cls, head: Mapping[str, Any]) -> "Rank":
        """The inverse of as_json."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in head.items()}
        return cls(**plain)

    def line(self) -> str:
        """One line of the table."""
        seen = "none" if self.visible is None else ",".join(self.visible) or "none"
        named = f" ({', '.join(self.devices)})" if self.devices and self.devices != self.visible else ""
        return f"rank {self.rank:<4} {self.host}  cores {ranges(self.cores)}  devices {seen}{named}"


def this_rank(rank: int, environment: Mapping[str, str] = os.environ) -> Rank:
    """What this process has."""
    facts = task_facts(environment)
    setting = next((environment[name] for name in _VISIBLE if name in environment), None)
    threads = environment.get("OMP_NUM_THREADS", "")
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return Rank(
        rank=rank,
        host=socket.gethostname(),
        cores=tuple(sorted(cores)),
        visible=None if setting is None else tuple(filter(None, setting.split(","))),
        devices=_identifiers() or (facts.devices if facts else ()),
        job_devices=len(facts.job_devices) if facts else 0,
        cpus_per_task=facts.cpus_per_task if facts else 0,
        threads=int(threads) if threads.isdigit() else 0,
        cpus_on_node=facts.cpus_on_node if facts else 0,
        processor=processor(),
    )


def identifiers(said: str) -> tuple[str, ...]:
    """UUIDs out of what `nvidia-smi -L` prints; those of instances (MIG) where a device is split."""
    found = re.findall(r"\(UUID: ([^)]+)\)", said)
    instances = [uuid for uuid in found if uuid.startswith("MIG-")]
    return tuple(instances or found)


def _identifiers() -> tuple[str, ...]:
    """What a rank may really use: nvidia-smi sees what the job's cgroup leaves, whatever CUDA_VISIBLE_DEVICES says."""
    if (program := shutil.which("nvidia-smi")) is None:
        return ()
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S)
    except (OSError, subprocess.SubprocessError):
        return ()
    return identifiers(done.stdout) if done.returncode == 0 else ()


def judge(ranks: Sequence[Rank]) -> Iterator[Finding]:
    """Findings about cores, devices and processors of all ranks."""
    by_host: dict[str, list[Rank]] = {}
    for rank in ranks:
        by_host.setdefault(rank.host, []).append(rank)
    for host, there in by_host.items():
        yield from _cores(host, there)
    for host, there in by_host.items():
        yield from _devices(host, there)
    yield _processors(ranks)


def _cores(host: str, there: Sequence[Rank]) -> Iterator[Finding]:
    union = {core for rank in there for core in rank.cores}
    who = f"rank {there[0].rank}" if len(there) == 1 else f"ranks {ranges([rank.rank for rank in there])}"
    starved = [rank for rank in there if 1 == len(rank.cores) < max(rank.cpus_per_task, rank.threads)]
    short = [rank for rank in there if len(rank.cores) < rank.cpus_per_task and rank not in starved]
    pair = _partly_overlapping(there)
    if starved:
        first = starved[0]
        asked = max(first.cpus_per_task, first.threads)
        yield Finding(
            False,
            f"{host}: rank {ranges([r.rank for r in starved])} may use one core, and {asked} threads are asked for",
            "srun does not take --cpus-per-task from the job: srun --cpus-per-task=N, or export SRUN_CPUS_PER_TASK",
        )
    elif short:
        yield Finding(
            False,
            f"{host}: rank {short[0].rank} may use cores {ranges(short[0].cores)}, fewer than the "
            f"{short[0].cpus_per_task} that were asked",
            "srun --cpus-per-task=N --cpu-bind=cores",
        )
    elif pair:
        one, other = pair
        yield Finding(
            False,
            f"{host}: ranks {one.rank} (cores {ranges(one.cores)}) and {other.rank} ({ranges(other.cores)}) overlap",
            "they wait for each other; srun --cpu-bind=cores",
        )
    elif len(there) > len(union):
        yield Finding(
            False, f"{host}: {len(there)} ranks on {len(union)} cores", "start fewer ranks, or ask for more cores"
        )
    elif 2 * len(union) < there[0].cpus_on_node:
        yield Finding(
            False,
            f"{host}: {who} may use {len(union)} of the job's {there[0].cpus_on_node} cores there",
            "srun --cpus-per-task=N gives a rank more; or start more ranks",
        )
    else:
        each = "each its own" if len(there) > 1 and _disjoint(there) else "shared evenly" if len(there) > 1 else ""
        yield Finding(True, f"{host}: {who}, cores {ranges(sorted(union))}" + (f", {each}" if each else ""))


def _partly_overlapping(there: Sequence[Rank]) -> tuple[Rank, Rank] | None:
    """Two ranks whose masks are neither the same (then they share evenly, see Comm.cores) nor apart."""
    for index, one in enumerate(there):
        for other in there[index + 1 :]:
            if one.cores != other.cores and set(one.cores) & set(other.cores):
                return one, other
    return None


def _disjoint(there: Sequence[Rank]) -> bool:
    return sum(len(rank.cores) for rank in there) == len({core for rank in there for core in rank.cores})


def _devices(host: str, there: Sequence[Rank]) -> Iterator[Finding]:
    given = max(rank.job_devices for rank in there)
    blind = [rank for rank in there if given and not rank.visible]
    seen = {device for rank in there for device in _usable(rank)}
    if not given and not seen:
        return
    if blind:
        yield Finding(
            False,
            f"{host}: the job has {given} devices, and rank {blind[0].rank} sees none",
            "srun --gpus-per-node=N, or --gres=gpu:N where that is how the job asked",
        )
        return
    alike = len(there) > 1 and len({_usable(rank) for rank in there}) == 1
    if alike and len(seen) == 1 and given > 1:
        yield Finding(
            False,
            f"{host}: all {len(there)} ranks use one device ({', '.join(seen)}) of {given}",
            "start the job's steps with all devices of the node (srun --gpus-per-node), or one for each task "
            "(--gpus-per-task=1)",
        )
        return
    trap = not alike and len(there) > 1 and len({rank.visible for rank in there}) == 1
    text = f"{host}: devices {', '.join(sorted(seen))}" + (", seen by every rank" if alike and len(there) > 1 else "")
    note = "each rank calls its own one 0: take a device from the list, never by the rank's number" if trap else ""
    yield Finding(True, text, note)


def _usable(rank: Rank) -> tuple[str, ...]:
    """What tells a rank's devices from another's: the node's numbers, or identifiers, of those that it sees."""
    if rank.visible is None:
        return ()
    if len(rank.devices) == len(rank.visible):
        return rank.devices
    picked = [rank.devices[int(n)] for n in rank.visible if n.isdigit() and int(n) < len(rank.devices)]
    return tuple(picked) if len(picked) == len(rank.visible) else rank.visible


def _processors(ranks: Sequence[Rank]) -> Finding:
    kinds = {rank.processor: rank for rank in reversed(ranks)}
    if len(kinds) == 1:
        return Finding(True, f"all ranks on one kind of processor: {processor_name(ranks[0].processor)}")
    named = "; ".join(f"{processor_name(kind)} ({rank.host})" for kind, rank in kinds.items())
    return Finding(
        False,
        f"ranks are on {len(kinds)} kinds of processor: {named}",
        "a fit gives the same numbers bit for bit on one kind only; ask for it with --constraint",
    )
