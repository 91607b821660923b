"""Which nodes and tasks has SLURM given to this shell, and how are ranks started on some of them?"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Allocation:
    """What a job holds.

    Attributes
    ----------
    job
        Its number.
    nodes
        How many it has.
    tasks
        How many tasks it may run at once, on all nodes together.
    """

    job: str
    nodes: int
    tasks: int

    @property
    def tasks_per_node(self) -> int:
        """Tasks on a node that is full."""
        return -(-self.tasks // self.nodes)

    def nodes_for(self, ranks: int) -> int:
        """Nodes that so many ranks take when each node is filled before the next."""
        return min(self.nodes, -(-ranks // self.tasks_per_node))

    def srun(self, ranks: int, mpi: str, cores: int = 1) -> list[str]:
        """The words before a command that start it on so many ranks, each with so many cores.

        mpi: srun's flavour, e.g. pmi2.  Nodes are filled one after another, so that a rank has as many neighbours
        whatever the number of ranks.
        """
        places = [f"--ntasks={ranks}", f"--nodes={self.nodes_for(ranks)}", f"--cpus-per-task={cores}"]
        return ["srun", f"--mpi={mpi}", *places, "--kill-on-bad-exit=1", "--input=none"]


def allocation(environment: Mapping[str, str] = os.environ) -> Allocation | None:
    """The one this shell is in (salloc, or a batch script); None outside SLURM."""
    job, nodes = environment.get("SLURM_JOB_ID", ""), environment.get("SLURM_JOB_NUM_NODES", "")
    if not (job and nodes.isdigit()):
        return None
    tasks = environment.get("SLURM_NTASKS", "")
    return Allocation(job, int(nodes), int(tasks) if tasks.isdigit() else _sum(environment, int(nodes)))


def inside_step(environment: Mapping[str, str] = os.environ) -> bool:
    """Is this process one of several that srun started?"""
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    return tasks.isdigit() and int(tasks) > 1


def job_words(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What to keep of the job beside a measurement; empty outside SLURM."""
    names = ("JOB_ID", "JOB_PARTITION", "JOB_NUM_NODES", "JOB_NODELIST", "NTASKS", "CPUS_PER_TASK", "CLUSTER_NAME")
    return {name.lower(): environment[f"SLURM_{name}"] for name in names if environment.get(f"SLURM_{name}")}


def _sum(environment: Mapping[str, str], nodes: int) -> int:
    """Of SLURM's 2(x3),1: two tasks on each of three nodes and one on another."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", environment.get("SLURM_TASKS_PER_NODE", ""))
    return sum(int(tasks) * int(times or 1) for tasks, times in found) or nodes
