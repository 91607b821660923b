"""How does a file get from the shared file system to every node of the job, and an environment out of it?"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hpcfit.errors import SchedulerError
from hpcfit.run.staging import COMPLETE

# $1: the archive, on this node; $2: the place.  Whole or not at all, by one job at a time or by several; the folder
# above must be this user's, for anybody may make one in /tmp.
_UNPACK = f"""
set -eu
umask 077
above=$(dirname "$2")
mkdir -p "$above"
[ -O "$above" ] || {{ echo "$above belongs to somebody else; say --to" >&2; exit 1; }}
if [ ! -e "$2/{COMPLETE}" ]; then
    new=$(mktemp -d "$2.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    tar -xf "$1" -C "$new"
    mv -T "$new" "$2" 2>/dev/null || [ -e "$2/{COMPLETE}" ]
fi
"$2/bin/python" -Ic 'import hpcfit'
"""
_MOST_S = 1800.0


def unpack_here(archive: Path, place: Path) -> None:
    """On this machine alone.  Raises SchedulerError with what went wrong."""
    _run(["sh", "-c", _UNPACK, "unpack", str(archive), str(place)])


def unpack_on_nodes(archive: Path, place: Path, environment: Mapping[str, str] = os.environ) -> int:
    """On every node of this process's job: the archive goes through SLURM's tree, not through the file system.

    The number of nodes.

    Raises
    ------
    SchedulerError
        When a node has no space, or SLURM refuses: its words.
    """
    nodes = environment.get("SLURM_JOB_NUM_NODES", "1")
    copy = place.parent.parent / f".{place.parent.name}-{place.name}-{environment['SLURM_JOB_ID']}.tar"
    one_each = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--overlap", "--mpi=none"]
    if _all_have(place, one_each):
        return int(nodes)
    _run(["sbcast", "--force", str(archive), str(copy)])
    try:
        _run([*one_each, "sh", "-c", _UNPACK, "unpack", str(copy), str(place)])
    finally:
        _run([*one_each, "rm", "-f", str(copy)])
    return int(nodes)


def _all_have(place: Path, one_each: list[str]) -> bool:
    try:
        _run([*one_each, "test", "-O", str(place / COMPLETE)])
    except SchedulerError:
        return False
    return True


def job_is_here(environment: Mapping[str, str] = os.environ) -> bool:
    """Is this the script of a job, or a shell in one?"""
    return "SLURM_JOB_ID" in environment


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_MOST_S
        )
    except FileNotFoundError:
        raise SchedulerError(f"{command[0]}: not found; SLURM's commands are not on the PATH of this node") from None
    except subprocess.TimeoutExpired:
        raise SchedulerError(f"{command[0]} takes longer than {_MOST_S:g} s; the environment is not staged") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise SchedulerError(
            f"the environment is not staged: {command[0]}: {lines[0] if lines else f'exit code {done.returncode}'}; is "
            "there space on the nodes? --to names another folder"
        )
