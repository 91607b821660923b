import os, subprocess, pytest
from pathlib import Path


class Slurm:
    def __call__(self, *c):
        return subprocess.run(
            [str(w) for w in c], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
        )

    def said(self, *c):
        d = self(*c)
        assert d.returncode == 0, (c, d.stderr)
        return d.stdout.strip()


@pytest.fixture
def slurm(monkeypatch):
    monkeypatch.setenv("SLURM_CONF", os.environ["CLUSTER_DIR"] + "/slurm.conf")
    yield Slurm()
