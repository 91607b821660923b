"""A SLURM of four nodes on this machine, for the tests of this folder."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(os.environ.get("HPCFIT_SLURM_CLUSTER") or ROOT.parent / "shared" / "slurm" / "cluster")


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One that runs already (CLUSTER_DIR), or one of our own."""
    if not SCRIPT.is_file():
        pytest.skip(f"{SCRIPT} is not there")
    if os.geteuid() != 0 or not (Path("/etc/debian_version").exists() or shutil.which("slurmctld")):
        pytest.skip("no SLURM here: a cluster of one's own needs root and Debian")
    with pytest.MonkeyPatch.context() as patch:
        given = "CLUSTER_DIR" in os.environ
        if not given:
            patch.setenv("CLUSTER_DIR", str(tmp_path_factory.getbasetemp() / "slurm"))
            patch.setenv("CLUSTER_PORT", "17600")
        patch.setenv("SLURM_CONF", f"{os.environ['CLUSTER_DIR']}/slurm.conf")
        subprocess.run(["bash", SCRIPT, "start", "4"], check=True, capture_output=True)
        yield
        if not given:
            subprocess.run(["bash", SCRIPT, "stop"], check=False)


@pytest.fixture
def slurm(_cluster: None) -> Callable[..., subprocess.CompletedProcess[str]]:
    """slurm("sbatch", ...): a command of it."""

    def call(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        given = {"capture_output": True, "text": True, "timeout": 120, "stdin": subprocess.DEVNULL} | options
        return subprocess.run([str(word) for word in command], **given)

    return call
