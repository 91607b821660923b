"""Does an installed package have the files that it reads, those of the checkout's folder slurm/ among them?"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "import setuptools.build_meta as backend; print(backend.build_wheel('out'))"


@pytest.mark.slow
def test_a_wheel_holds_the_job_templates_and_finds_them(tiny, tmp_path):
    file, source, place = tiny(), tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "hpcfit", source / "hpcfit", symlinks=True, ignore=ignored)
    shutil.copytree(ROOT / "slurm", source / "slurm")
    built = subprocess.run([sys.executable, "-c", PROGRAM], cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    zipfile.ZipFile(source / "out" / built.stdout.split()[-1]).extractall(place)
    shutil.rmtree(source)
    there = place / "hpcfit" / "run" / "slurm" / "shipped"
    expected = {path.name: path.read_bytes() for path in (ROOT / "slurm").iterdir() if path.suffix in (".toml", ".j2")}
    assert {path.name: path.read_bytes() for path in there.iterdir()} == expected and len(expected) > 3
    command = [sys.executable, "-m", "hpcfit.cli", "submit", str(file), "--site", "perlmutter-cpu", "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(place)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "#SBATCH --constraint=cpu" in ran.stdout, ran.stderr
    assert str(ROOT) not in ran.stdout.replace(sys.executable, "")
