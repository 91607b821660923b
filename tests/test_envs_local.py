"""Does envs/local make, keep, remake and protect the environment as it says?  Tried on a small project."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COREUTILS = ["basename", "cat", "date", "dirname", "ln", "mkdir", "mv", "readlink", "rm", "tail"]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Project:
    """A checkout with envs/local in it."""

    root: Path

    @property
    def wrapper(self):
        return self.root / "envs" / "local"

    @property
    def link(self):
        return self.root / ".venv"

    def environments(self):
        return sorted((self.root / ".venv.d").glob("env-*"))

    def start(self, *args, **env):
        """Start `envs/local ARGS`; a variable given as None is unset."""
        return subprocess.Popen(
            [self.wrapper, *args],
            env={k: str(v) for k, v in {**os.environ, "HPCFIT_ENV": None, **env}.items() if v is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *args, **env):
        """Run `envs/local ARGS`: exit code, stdout, stderr."""
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err


def make_project(root):
    """A project like ours, whose environment takes seconds."""
    (root / "envs").mkdir(parents=True)
    for name in ("local", "lib.sh"):
        shutil.copy2(ROOT / "envs" / name, root / "envs" / name)
    pins = (ROOT / "envs" / "constraints.txt").read_text().splitlines()
    (root / "envs" / "constraints.txt").write_text("\n".join(p for p in pins if p.startswith("setuptools==")) + "\n")
    (root / "setup.cfg").write_text(
        "[metadata]\nname = tiny\nversion = 1\n[options]\npy_modules = tiny\n[options.extras_require]\nlocal =\n"
    )
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    )
    (root / "tiny.py").write_text("word = 'hello'\n")
    return Project(root)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project whose first build was killed and which two processes then started at once; and what the two said."""
    project = make_project(tmp_path_factory.mktemp("envs") / "project")
    killed = project.start("true")
    deadline = time.monotonic() + 60
    while not any((e / "pyvenv.cfg").exists() for e in project.environments()):
        assert killed.poll() is None and time.monotonic() < deadline, killed.communicate()
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert len(project.environments()) == 1 and not project.link.exists()

    both = [project.start("python", "-c", "import sys, tiny; print(tiny.word, sys.prefix)") for _ in range(2)]
    return project, [(*p.communicate(timeout=300), p.returncode) for p in both]


def test_two_starts_at_once_after_a_killed_build_share_one_new_environment(built):
    project, said = built
    environment = project.link.resolve()
    assert [(out, code) for out, _, code in said] == [(f"hello {environment}\n", 0)] * 2
    assert sum("making the Python environment" in err for _, err, _ in said) == 1
    assert project.environments() == [environment], "the killed build was not swept away"


def test_a_later_start_goes_straight_to_the_command(built):
    project, _ = built
    before = project.link.resolve()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert project.run("true") == (0, "", "")
        seconds.append(time.perf_counter() - start)
    assert project.link.resolve() == before
    assert min(seconds) < 0.1


def test_arguments_and_exit_code_pass_unharmed(built):
    project, _ = built
    args = ["two words", "", "*", "$HOME", "a'b\"c", "-x", "back\\slash"]
    code, out, _ = project.run("python", "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", *args)
    assert (code, out) == (7, f"{args}\n")
    assert project.run("no-such-command")[0] == 127


def test_command_sees_the_environment_first_and_no_foreign_python_paths(built):
    project, _ = built
    names = ["VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "OPENBLAS_CORETYPE"]
    show = f"import os; print([os.environ.get(k) for k in {names}])"
    code, out, err = project.run(
        "python", "-c", show, PYTHONPATH="/elsewhere", PYTHONHOME="/nowhere", OPENBLAS_CORETYPE="Haswell"
    )
    assert (code, out) == (0, f"{[str(project.link.resolve()), None, None, 'Haswell']}\n"), err
    assert project.run("sh", "-c", "command -v python")[1] == f"{project.link.resolve()}/bin/python\n"


def test_works_through_a_link_from_another_directory(built, tmp_path):
    project, _ = built
    (tmp_path / "here").symlink_to(project.wrapper)
    done = subprocess.run([tmp_path / "here", "pwd"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path.resolve()}\n", "")


def test_a_running_command_holds_its_environment(built):
    project, _ = built
    job = project.start("python", "-c", "print('up', flush=True); input()")
    assert job.stdout is not None and job.stdout.readline() == "up\n"
    with (project.link / "recipe").open("r+") as recipe:
        with pytest.raises(BlockingIOError):
            fcntl.flock(recipe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        job.communicate("\n")
        fcntl.flock(recipe, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_changed_setup_makes_a_new_environment_and_changing_back_is_free(built):
    project, _ = built
    first = project.link.resolve()
    idle, busy = (project.root / ".venv.d" / f"env-{name}" for name in ("idle", "busy"))
    for old in (idle, busy):
        old.mkdir()
        (old / "recipe").write_text("of an older checkout\n")
    setup = project.root / "setup.cfg"
    before = setup.read_text()

    with (busy / "recipe").open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        setup.write_text(before.replace("version = 1", "version = 2"))
        show = ["python", "-c", "from importlib.metadata import version; print(version('tiny'))"]
        code, out, err = project.run(*show)
        assert (code, out) == (0, "2\n"), err
    second = project.link.resolve()
    assert second != first
    assert set(project.environments()) == {first, second, busy}, "only what nobody uses may go"

    setup.write_text(before)
    assert project.run(*show) == (0, "1\n", "")
    assert project.link.resolve() == first


def test_a_failed_build_shows_the_end_of_the_log_and_where_it_is(tmp_path):
    project = make_project(tmp_path / "broken")
    (project.root / "envs" / "constraints.txt").write_text("not a requirement\n")
    code, out, err = project.run("true")
    log = project.root / ".venv.d" / "build.log"
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"envs/local: could not make the environment; the whole log is {log}"
    assert "not a requirement" in err and "not a requirement" in log.read_text()
    assert not project.environments() and not project.link.is_symlink()


def test_a_foreign_directory_in_the_place_of_the_link_is_left_alone(tmp_path):
    project = make_project(tmp_path / "occupied")
    project.link.mkdir()
    code, _, err = project.run("true")
    assert code == 2
    assert (
        err
        == f"envs/local: {project.link} was not made by envs/local; move it away or set HPCFIT_ENV to another path\n"
    )
    assert project.link.is_dir() and not project.link.is_symlink()


def test_a_place_where_nrnivmodl_cannot_run_is_refused(tmp_path):
    project = make_project(tmp_path / "a project")
    code, _, err = project.run("true")
    assert code == 2
    assert err == (
        f"envs/local: nrnivmodl cannot run from {project.link}, it has a space; set HPCFIT_ENV to a path without\n"
    )


@pytest.fixture
def bare_path(tmp_path):
    """A function that makes a PATH of coreutils, a python3 (a script, a real program or none) and other programs."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(python3, *programs):
        for name in [*COREUTILS, *programs]:
            found = shutil.which(name)
            assert found is not None, name
            (folder / name).symlink_to(found)
        if isinstance(python3, Path):
            (folder / "python3").write_text(f'#!/bin/sh\nexec "{python3}" "$@"\n')
        elif python3 is not None:
            (folder / "python3").write_text(f"#!/bin/sh\n{python3}\n")
        if python3 is not None:
            (folder / "python3").chmod(0o755)
        return str(folder)

    return make


@pytest.mark.parametrize(
    ("python3", "programs", "lacks"),
    [
        (None, ["g++", "make"], "python3 >= 3.11"),
        ('[ "$1" = -V ] && echo Python 3.8.18', ["g++", "make"], "python3 >= 3.11 (PATH finds Python 3.8.18)"),
        (Path(sys.executable), ["g++"], "make"),
        (Path(sys.executable), ["make"], "a C++ compiler (g++, clang++ or CXX)"),
        (None, [], "python3 >= 3.11; a C++ compiler (g++, clang++ or CXX); make"),
    ],
)
def test_what_a_machine_lacks_is_said_in_one_line(tmp_path, bare_path, python3, programs, lacks):
    project = make_project(tmp_path / "project")
    said = project.run("true", PATH=bare_path(python3, *programs), CXX=None)
    assert said == (2, "", f"envs/local: this machine lacks: {lacks}\n")
    assert not (project.root / ".venv.d").exists()


def test_a_python_without_venv_is_named(tmp_path, bare_path):
    project = make_project(tmp_path / "project")
    no_venv = f'case "$2" in *venv*) exit 1;; *sys.executable*) echo "$0";; *) exec {sys.executable} "$@";; esac'
    code, out, err = project.run("true", PATH=bare_path(no_venv, "g++", "make"))
    assert (code, out) == (2, "")
    assert err.startswith("envs/local: this machine lacks: the modules venv and ensurepip of ") and err.count("\n") == 1


def test_no_command_is_a_usage_line(tmp_path):
    assert make_project(tmp_path / "project").run() == (2, "", "envs/local: usage: envs/local CMD [ARG...]\n")
