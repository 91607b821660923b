"""Do the wrappers of sites load modules, build mpi4py with the machine's MPI, and never build in a task of a job?

`module` is a shell function that keeps a list, cc a program that compiles nothing, mpi4py a package that remembers what
it was built with.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WRAPPERS = ("cori", "perlmutter")

MODULE = """\
module() {
    echo "$*" >>"$MODULE_LOG"
    case $2 in missing*) return 0 ;; esac
    LOADEDMODULES="${LOADEDMODULES:+$LOADEDMODULES:}$2/1.0"
    export LOADEDMODULES
}
"""
MPI4PY = """\
import os
from setuptools import setup
open("mpi4py.py", "w").write(f"built_with = {os.environ.get('MPICC')!r}\\n")
setup(name="mpi4py", version="999", py_modules=["mpi4py"])
"""


class Site:
    """A checkout with the wrappers, and a machine with modules."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, root / "modules.log"
        (root / "envs").mkdir(parents=True)
        for name in (*WRAPPERS, "lib.sh"):
            shutil.copy2(ROOT / "envs" / name, root / "envs" / name)
        pins = (ROOT / "envs" / "constraints.txt").read_text().splitlines()
        pins = [pin for pin in pins if pin.startswith("setuptools==")]
        (root / "envs" / "constraints.txt").write_text("\n".join(pins) + "\n")
        (root / "setup.cfg").write_text(
            "[metadata]\nname = tiny\nversion = 1\n[options]\npy_modules = tiny\n"
            "[options.extras_require]\nsite =\n    mpi4py\n"
        )
        (root / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        )
        (root / "tiny.py").write_text("word = 'hello'\n")
        (root / "modules" / "init").mkdir(parents=True)
        (root / "modules" / "init" / "sh").write_text(MODULE)
        (root / "bin").mkdir()
        (root / "bin" / "cc").write_text("#!/bin/sh\n")
        (root / "bin" / "cc").chmod(0o755)
        source = root / "mpi4py-999"
        source.mkdir()
        (source / "setup.py").write_text(MPI4PY)
        (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: mpi4py\nVersion: 999\n")
        (root / "wheels").mkdir()
        with tarfile.open(root / "wheels" / "mpi4py-999.tar.gz", "w:gz") as tar:
            tar.add(source, "mpi4py-999")

    def run(self, wrapper: str, *args: object, **env: object) -> tuple[int, str, str]:
        """Run `envs/WRAPPER ARGS`: exit code, stdout, stderr; a variable given as None is unset."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "HPCFIT_"))}
        mine = {
            "MODULESHOME": self.root / "modules",
            "MODULE_LOG": self.log,
            "LOADEDMODULES": None,
            "PIP_NO_INDEX": "0",
            "PIP_FIND_LINKS": f"{os.environ.get('PIP_FIND_LINKS', '')} {self.root / 'wheels'}".strip(),
            "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            [self.root / "envs" / wrapper, *map(str, args)],
            env={name: str(value) for name, value in {**clean, **mine, **env}.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Site:
    """A site on which the first task of a job, and then a person, started a command."""
    site = Site(tmp_path_factory.mktemp("site") / "checkout")
    assert not shutil.which("module")
    return site


SHOW = "import mpi4py, sys, tiny; print(tiny.word, mpi4py.built_with, sys.prefix)"


@pytest.mark.slow
def test_a_task_builds_nothing_and_a_person_builds_with_the_machines_compiler(site):
    link = site.root / ".venv-perlmutter"
    code, out, err = site.run("perlmutter", "true", SLURM_PROCID=0)
    assert (code, out) == (2, "") and not link.exists() and not (site.root / ".venv-perlmutter.d").exists()
    assert err.splitlines()[-1] == (
        f"envs/perlmutter: {link} is not made yet, or setup.cfg changed since; make it first, on a login node: "
        f"{site.root}/envs/perlmutter true"
    )

    code, out, err = site.run("perlmutter", "python", "-c", SHOW)
    assert (code, out) == (0, f"hello cc -shared {link.resolve()}\n"), err
    loaded = site.log.read_text().splitlines()[-4:]
    assert loaded == ["load PrgEnv-gnu", "load cray-mpich", "load python", "load cudatoolkit"]

    # Tasks: the same environment, no look at what it is made of, no module loaded twice.
    setup = site.root / "setup.cfg"
    before, modules = setup.read_text(), site.log.read_text()
    try:
        setup.write_text(before + "# changed\n")
        code, out, err = site.run(
            "perlmutter",
            "python",
            "-c",
            SHOW,
            SLURM_PROCID=5,
            LOADEDMODULES="PrgEnv-gnu/8:cray-mpich:python/3:cudatoolkit/12",
        )
    finally:
        setup.write_text(before)
    assert (code, out, err) == (0, f"hello cc -shared {link.resolve()}\n", "")
    assert site.log.read_text() == modules


@pytest.mark.slow
def test_another_compiler_makes_another_environment_and_the_old_one_is_kept(site):
    places = site.root / ".venv-cori.d"
    assert site.run("cori", "python", "-c", SHOW)[1].startswith("hello cc -shared ")
    (site.root / "bin" / "mpicc").symlink_to("cc")
    code, out, err = site.run("cori", "python", "-c", SHOW, HPCFIT_MPICC="mpicc -shared", HPCFIT_MODULES="PrgEnv-gnu")
    assert code == 0 and out.startswith("hello mpicc -shared "), err
    (site.root / "setup.cfg").touch()
    assert site.run("cori", "python", "-c", SHOW)[1].startswith("hello cc -shared ")
    assert len(list(places.glob("env-*"))) == 2


def test_a_staged_environment_is_used_where_it_is(site, tmp_path):
    staged = tmp_path / "staged" / "bin"
    staged.mkdir(parents=True)
    (staged / "python").symlink_to(sys.executable)
    (staged / "who").write_text("#!/bin/sh\necho staged $VIRTUAL_ENV\n")
    (staged / "who").chmod(0o755)
    for wrapper in WRAPPERS:
        code, out, err = site.run(wrapper, "who", HPCFIT_STAGED=tmp_path / "staged", SLURM_PROCID=0)
        assert (code, out) == (0, f"staged {tmp_path / 'staged'}\n"), err


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_missing_is_said_in_one_line(site, wrapper, tmp_path):
    code, out, err = site.run(wrapper, "true", HPCFIT_MODULES="missing-one")
    assert (code, out) == (2, "")
    assert err == (
        f"envs/{wrapper}: module load missing-one does not work here; look at `module avail missing-one`, and set "
        "HPCFIT_MODULES\n"
    )
    code, out, err = site.run(wrapper, "true", MODULESHOME=tmp_path, HPCFIT_ENV=tmp_path / "env")
    if not any(Path(place).exists() for place in ("/etc/profile.d/modules.sh", "/etc/profile.d/lmod.sh")):
        assert (code, err.count("\n")) == (2, 1) and "there is no `module` command here" in err
    code, out, err = site.run(wrapper, "true", HPCFIT_MPICC="no-such-cc -shared", HPCFIT_ENV=tmp_path / "env")
    assert code == 2 and err.splitlines()[-1].startswith(
        f"envs/{wrapper}: this machine lacks: no-such-cc, the MPI compiler that mpi4py is built with"
    )
    assert site.run(wrapper) == (2, "", f"envs/{wrapper}: usage: envs/{wrapper} CMD [ARG...]\n")


def test_shellcheck():
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("no shellcheck here")
    files = [str(path) for folder in ("envs", "containers") for path in sorted((ROOT / folder).iterdir())]
    scripts = [file for file in files if Path(file).read_bytes().startswith((b"#!/bin/sh", b"# shellcheck"))]
    assert len(scripts) >= 7
    done = subprocess.run([program, "-x", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
