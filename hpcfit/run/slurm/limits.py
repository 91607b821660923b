"""What would SLURM refuse, or leave waiting for ever?  Asked of it before anything is queued."""

import difflib
import os
import pwd
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hpcfit.errors import SchedulerError
from hpcfit.run.slurm.commands import ask
from hpcfit.run.slurm.site import Site
from hpcfit.run.slurm.times import UNLIMITED, seconds

_SMALLEST_ARRAY = 1001
"""SLURM's own default of MaxArraySize."""


@dataclass(frozen=True)
class Partition:
    """Of a cluster.  nodes_most: that a job may have; cpus, gpus: of its largest nodes; features: of any of them."""

    name: str
    default: bool
    nodes: int
    nodes_most: float
    time_most_s: float
    features: frozenset[str]
    cpus: int
    gpus: int


def partitions() -> list[Partition]:
    """All that this user may see.  Raises SchedulerError."""
    found: dict[str, Partition] = {}
    for line in ask("sinfo", "--noheader", "--all", "--format=%R|%P|%l|%D|%s|%c|%G|%f").splitlines():
        name, starred, limit, nodes, sizes, cpus, devices, features = (cell.strip() for cell in line.split("|"))
        most = sizes.rpartition("-")[2]
        before = found.get(name)
        found[name] = Partition(
            name,
            starred.endswith("*"),
            int(nodes) + (before.nodes if before else 0),
            float(most) if most.isdigit() else UNLIMITED,
            seconds(limit) if limit != "n/a" else UNLIMITED,
            frozenset(features.split(",")) - {"(null)"} | (before.features if before else frozenset()),
            max(int(cpus.rstrip("+")), before.cpus if before else 0),
            max(_gpus(devices), before.gpus if before else 0),
        )
    return list(found.values())


def _gpus(devices: str) -> int:
    """Of a node: 4 in gpu:a100:4(S:0-3),mps:400."""
    return sum(int(match[1]) for match in re.finditer(r"\bgpu(?::[^:,()]+)?:(\d+)", devices))


def array_size() -> int:
    """SLURM's MaxArraySize: indices are below it.  Raises SchedulerError."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return int(match[1]) if match else _SMALLEST_ARRAY


def mpi_default() -> str:
    """What srun does without --mpi=.  Raises SchedulerError."""
    match = re.search(r"^MpiDefault\s*=\s*(\S+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return match[1] if match else "none"


def mpi_flavours() -> list[str]:
    """What srun --mpi= takes here, versions included.  Raises SchedulerError."""
    found = []
    for line in ask("srun", "--mpi=list").splitlines():
        words = re.sub(r"^srun: ", "", line).rpartition(":")[2]  # "specific pmix plugin versions available: pmix_v4"
        found += re.split(r"[\s,]+", words.strip()) if "types are" not in words else []
    return [word for word in found if word]


def accounts() -> list[str]:
    """Those of this user, as far as the accounting says; none where there is none."""
    try:
        me = pwd.getpwuid(os.getuid()).pw_name
        text = ask("sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={me}", "format=account")
    except (SchedulerError, KeyError):
        return []
    return sorted(set(text.split()))


def refused(site: Site, nodes: int) -> Iterator[str]:
    """Why a job of so many nodes cannot run at that site, a line for each reason; by the site file alone."""
    most = site.limit("nodes_most")
    whose = f"qos {site.qos} of site {site.name}" if site.qos in site.limits else f"site {site.name}"
    if most is not None and nodes > most:
        yield f"--nodes {nodes}: {whose} has at most {most}"
    most = site.limit("time_most")
    if most is not None and site.time is not None and seconds(site.time) > seconds(most):
        yield f"--time {site.time}: {whose} allows at most {most}"
    if site.account and site.account_ends and not site.account.endswith(site.account_ends):
        yield (
            f"--account {site.account}: site {site.name} charges accounts that end in {site.account_ends}; "
            f"say {site.account}{site.account_ends}"
        )


def refused_here(site: Site, nodes: int) -> Iterator[str]:
    """The same, by what this cluster says of itself.  Raises SchedulerError."""
    known = partitions()
    names = [partition.name for partition in known]
    if site.partition is not None and (wrong := [name for name in site.partition.split(",") if name not in names]):
        yield f"--partition {wrong[0]}: this cluster has no such partition{_near(wrong[0], names)}"
        return
    usable = _usable(site, known)
    yield from _too_much(site, nodes, usable)
    features = sorted({feature for partition in usable for feature in partition.features})
    for word in re.findall(r"[A-Za-z_][\w.+:-]*", site.constraint or ""):
        if word not in features:
            where = f"partition {usable[0].name}" if len(usable) == 1 else "this cluster"
            yield f"--constraint {site.constraint}: no node of {where} has the feature {word}{_near(word, features)}"
    mine = accounts() if site.account else []
    if mine and site.account not in mine:
        yield f"--account {site.account}: the accounting has no such account of yours{_near(str(site.account), mine)}"


def _usable(site: Site, known: Sequence[Partition]) -> list[Partition]:
    """Those the job may land in.  Where a quality of service is named, a cluster may choose the partition by it."""
    if site.partition is not None:
        return [partition for partition in known if partition.name in site.partition.split(",")]
    default = [partition for partition in known if partition.default]
    return list(known) if site.qos or not default else default


def _too_much(site: Site, nodes: int, usable: Sequence[Partition]) -> Iterator[str]:
    most = max((min(partition.nodes, partition.nodes_most) for partition in usable), default=UNLIMITED)
    where = f"partition {usable[0].name}" if len(usable) == 1 else "the largest partition"
    if nodes > most:
        yield f"--nodes {nodes}: {where} gives a job at most {most:g}"
    for what, wanted, there, keys in (
        ("CPUs", site.ranks_per_node * site.cpus_per_rank, [one.cpus for one in usable], "cores_per_node"),
        ("GPUs", site.gpus_per_node, [one.gpus for one in usable], "gpus_per_node"),
    ):
        if wanted > max(there, default=wanted):
            yield f"site {site.name} asks for {wanted} {what} of each node ({keys}): {where} has at most {max(there)}"
    limit = max((partition.time_most_s for partition in usable), default=UNLIMITED)
    if site.time is not None and seconds(site.time) > limit:
        yield f"--time {site.time}: {where} allows at most {limit / 60:g} minutes"


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; it has {', '.join(known)}" if known else ""
