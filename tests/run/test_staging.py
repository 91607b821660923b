"""Is a staged environment whole, of its own place, and rid of what is not needed?"""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hpcfit.errors import EngineError, SchedulerError
from hpcfit.jobs import staging as verb
from hpcfit.run import staging
from hpcfit.run.slurm.stage import unpack_here

in_environment = pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="this Python is in no virtual environment")


def test_what_is_needed():
    names = {name.lower() for name in staging.needed()}
    assert {"hpcfit", "numpy", "neuron", "efel", "typer", "contourpy"} <= names
    assert not {"pytest", "ruff", "pyright", "hypothesis"} & names
    assert "pytest" in {name.lower() for name in staging.needed(["pytest"])}
    with pytest.raises(EngineError, match="no-such-package is not installed here, so it cannot be staged"):
        staging.needed(["no-such-package"])


def test_another_content_goes_to_another_place(monkeypatch):
    packages = list(staging.needed().values())
    first = staging.fingerprint(packages)
    assert staging.fingerprint(reversed(packages)) == first
    assert staging.fingerprint(packages[1:]) != first
    own = list(staging._own())
    monkeypatch.setattr(staging, "_own", lambda: own[1:])
    assert staging.fingerprint(packages) != first


@in_environment
@pytest.mark.slow
def test_a_small_environment_runs_at_its_new_place(tmp_path):
    large = {
        "scipy",
        "neuron",
        "mpich",
        "matplotlib",
        "pandas",
        "numpy",
        "h5py",
        "hdmf",
        "pillow",
        "sympy",
        "fonttools",
    }
    packages = [package for name, package in staging.needed().items() if name.lower() not in large]
    place, archive = tmp_path / "here" / "mine" / "env", tmp_path / "env.tar"
    staging.pack(packages, archive, place)
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names)) and staging.COMPLETE in names and not any("__editable__" in n for n in names)
    assert not any(name.startswith("/") or ".." in Path(name).parts for name in names)

    unpack_here(archive, place)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    show = "import hpcfit, os, sys; print(sys.prefix, sys.base_prefix, hpcfit.__file__, os.__file__)"
    done = subprocess.run(
        [place / "bin" / "python", "-Ic", show], env=clean, capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(place)) for path in done.stdout.split()), done.stdout
    script = place / "bin" / "hpcfit"
    if (Path(sys.prefix) / "bin" / "hpcfit").exists():
        assert script.read_text().startswith(f"#!{place}/bin/python")
        assert subprocess.run([script, "--help"], env=clean, capture_output=True).returncode == 0

    before = (place / "pyvenv.cfg").stat().st_mtime_ns
    unpack_here(archive, place)  # is there already
    assert (place / "pyvenv.cfg").stat().st_mtime_ns == before
    assert [path.name for path in place.parent.iterdir()] == ["env"]


def test_a_damaged_archive_leaves_nothing(tmp_path):
    archive = tmp_path / "env.tar"
    archive.write_bytes(b"x" * 5000)
    with pytest.raises(
        SchedulerError, match=r"the environment is not staged: sh: tar: .*; is there space on the nodes"
    ):
        unpack_here(archive, tmp_path / "mine" / "env")
    assert list((tmp_path / "mine").iterdir()) == []


def test_outside_a_virtual_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    with pytest.raises(EngineError, match="is in no virtual environment"):
        staging.pack([], tmp_path / "env.tar", tmp_path / "env")


def test_what_the_shell_is_told(tmp_path):
    place = tmp_path / "two words"
    told = f'{verb.shell(place)}\necho "$HPCFIT_STAGED|$VIRTUAL_ENV|${{PATH%%:*}}"; command -v ls >/dev/null'
    done = subprocess.run(["sh", "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == f"{place}|{place}|{place}/bin\n"
