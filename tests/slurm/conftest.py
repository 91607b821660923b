"""A real SLURM of four nodes on this machine, one for the whole test session."""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(os.environ.get("HPCFIT_SLURM_CLUSTER") or ROOT.parent / "shared" / "slurm" / "cluster")
NODES = 4


def until(true: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """The first true answer."""
    ends = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < ends, what
        time.sleep(0.02)
    return answer


@dataclass
class Slurm:
    """The cluster's commands."""

    folder: Path
    jobs: list[str] = field(default_factory=list)

    def __call__(self, *command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        given = {"capture_output": True, "text": True, "timeout": 120, "stdin": subprocess.DEVNULL} | options
        return subprocess.run([str(word) for word in command], **given)

    def said(self, *command: object) -> str:
        done = self(*command)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout.strip()


def _why_not() -> str:
    """Why there can be no SLURM here; "" when there can."""
    if not SCRIPT.is_file():
        return f"{SCRIPT} is not there"
    if os.geteuid() != 0:
        return "a cluster of one's own needs root"
    if not Path("/etc/debian_version").exists() and not shutil.which("slurmctld"):
        return "no SLURM here, and not Debian, so it cannot be installed"
    return ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the session, with a cluster: one that runs already (CLUSTER_DIR), or one of our own."""
    if why := _why_not():
        pytest.skip(why)
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        given = "CLUSTER_DIR" in os.environ
        if not given:
            patch.setenv("CLUSTER_DIR", str(folder / "slurm"))
            patch.setenv("CLUSTER_PORT", os.environ.get("CLUSTER_PORT", "17600"))
        patch.setenv("SLURM_CONF", f"{os.environ['CLUSTER_DIR']}/slurm.conf")
        for name in [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]:
            patch.delenv(name)  # of a job that these tests may run in
        users = folder / "slurm-users"
        with _locked(folder / "slurm-start"):
            users.write_text(str(int(users.read_text()) + 1 if users.exists() else 1))
            started = subprocess.run(["bash", SCRIPT, "start", str(NODES)], capture_output=True, text=True)
        if started.returncode:
            pytest.skip(f"no cluster: {started.stderr[-300:]}")
        yield folder
        with _locked(folder / "slurm-start"):
            users.write_text(str(left := int(users.read_text()) - 1))
            if not left and not given:
                subprocess.run(["bash", SCRIPT, "stop"], check=False)


@pytest.fixture
def slurm(_cluster: Path, tmp_path: Path) -> Iterator[Slurm]:
    """The cluster, all of it: tests take turns."""
    with _locked(_cluster / "slurm-turn"):
        commands = Slurm(tmp_path)
        yield commands
        for job in commands.jobs:
            commands("scancel", "--signal=KILL", "--full", job)
            commands("scancel", job)
        mine = f"--jobs={','.join(commands.jobs)}"
        until(lambda: not commands.jobs or not commands.said("squeue", "--noheader", mine), "jobs do not end", 60)
