"""Do both recipes make the same image, with what setup.cfg says, and does envs/container start it by any engine?"""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTAINERS = ROOT / "containers"
CONTAINERFILE = (CONTAINERS / "Containerfile").read_text()
DEFINITION = (CONTAINERS / "hpcfit.def").read_text()


def steps(text: str, word: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(word + " ")]


def section(name: str) -> list[str]:
    found = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", DEFINITION, flags=re.DOTALL | re.MULTILINE)
    assert found, name
    return [line.strip() for line in found[1].splitlines() if line.strip()]


def test_both_run_one_script_and_nothing_else():
    assert steps(CONTAINERFILE, "RUN") == section("post") == ["sh /opt/hpcfit/containers/install.sh"]


def test_both_copy_the_same_files():
    docker = set()
    for step in steps(CONTAINERFILE, "COPY"):
        *sources, to = step.split()
        docker |= {(one, to + Path(one).name if to.endswith("/") else to) for one in sources}
    assert docker == {tuple(line.split()) for line in section("files")}
    for source, to in docker:
        assert (ROOT / source).exists() and to == f"/opt/hpcfit/{source}"
    kept = {line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == {source for source, _ in docker}


def test_both_start_alike_from_the_same_base():
    assert steps(CONTAINERFILE, "ENTRYPOINT") == ['["sh", "/opt/hpcfit/containers/enter.sh"]']
    assert section("runscript") == ['exec sh /opt/hpcfit/containers/enter.sh "$@"']
    assert section("environment") == ["export PATH=/opt/hpcfit/venv/bin:$PATH"]
    assert steps(CONTAINERFILE, "ENV") == ["PATH=/opt/hpcfit/venv/bin:$PATH"]
    assert section("arguments") == steps(CONTAINERFILE, "ARG") and steps(CONTAINERFILE, "FROM") == ["$BASE"]


@pytest.fixture
def programs(tmp_path):
    """A function that writes a fake program, which notes its words, first on a PATH; and that folder."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(name: str, text: str = "") -> Path:
        (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$0 $*" >>{tmp_path}/said\n{text}\n')
        (folder / name).chmod(0o755)
        return folder

    return make


def test_the_script_installs_the_extra_of_setup_cfg_with_its_pins(tmp_path, programs):
    root = tmp_path / "opt"
    for name in ("setup.cfg", "envs", "hpcfit"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, _made(root) / name)
    # A python3 whose venv holds itself: what it is told to install is what matters here.
    venv = f"mkdir -p {root}/venv/bin; cp \"$0\" {root}/venv/bin/python; printf '#!/bin/sh\n' >{root}/venv/bin/hpcfit"
    fake = f'case "$*" in "-m venv "*) {venv}; chmod +x {root}/venv/bin/hpcfit ;; esac'
    folder = programs("python3", fake)
    for name in ("c++", "make"):
        programs(name)
    done = subprocess.run(
        ["sh", CONTAINERS / "install.sh"],
        env={"PATH": f"{folder}:/usr/bin:/bin", "HPCFIT_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    installed = [line for line in (tmp_path / "said").read_text().splitlines() if " pip install " in line]
    assert [line.split("-c ")[1] for line in installed] == [
        "envs/constraints.txt setuptools",
        "envs/constraints.txt --no-build-isolation .[container]",
    ]
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    assert extras["container"].split() == ["hpcfit[lfads,mpich,slurm]"]
    assert extras["site"].split() == ["hpcfit[lfads,mpi,slurm]"]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_base_without_what_is_needed(tmp_path, programs):
    folder = programs("python3", "exit 1")
    done = subprocess.run(
        ["/bin/sh", CONTAINERS / "install.sh"], env={"PATH": str(folder)}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == (
        "install.sh: this base image lacks python3 python3-venv g++ make, and has no apt-get to get them with\n"
    )


ENGINES = {
    "shifter": "--image=hpcfit:latest sh {enter} -- {cmd}",
    "podman-hpc": "run --rm --mpi --env-host --workdir={pwd} --entrypoint=sh {volumes} hpcfit:latest {enter} -- {cmd}",
    "apptainer": "exec --pwd {pwd} {binds} {image} sh {enter} -- {cmd}",
    "singularity": "exec --pwd {pwd} {binds} {image} sh {enter} -- {cmd}",
    "ch-run": "--cd={pwd} --set-env=HPCFIT_IMAGE={image} {binds} {image} -- sh {enter} -- {cmd}",
    "podman": "run --rm --network=host --ipc=host --env-host --workdir={pwd} --entrypoint=sh {volumes} "
    "hpcfit:latest {enter} -- {cmd}",
}


def engine_path(folder: Path) -> str:
    """A PATH with what the wrapper itself calls, and the fakes of `folder` only."""
    for name in ("dirname", "readlink", "id", "env", "sed", "sh"):
        if not (folder / name).exists():
            (folder / name).symlink_to(str(shutil.which(name)))
    return str(folder)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_gets_its_own_words(tmp_path, programs, engine):
    folder, image = programs(engine), tmp_path / "image.sif"
    image.write_text("")
    needs_file = "{image}" in ENGINES[engine]
    home, data = _made(tmp_path / "home"), _made(tmp_path / "data")
    environment = {"PATH": engine_path(folder), "HOME": str(home), "HPCFIT_BIND": str(data)}
    if needs_file:
        environment["HPCFIT_IMAGE"] = str(image)
    done = subprocess.run(
        [ROOT / "envs" / "container", "hpcfit", "fit", "two words.toml"],
        env=environment, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = (tmp_path / "said").read_text().strip().removeprefix(f"{folder}/{engine} ")
    order = [data, home, tmp_path]
    assert said == ENGINES[engine].format(
        enter="/opt/hpcfit/containers/enter.sh",
        cmd="hpcfit fit two words.toml",
        pwd=tmp_path,
        image=image,
        binds=" ".join(f"--bind {folder}:{folder}" for folder in order),
        volumes=" ".join(f"--volume {folder}:{folder}" for folder in order),
    )


def test_docker_passes_the_variables_of_the_launcher(tmp_path, programs):
    environment = {
        "PATH": engine_path(programs("docker")),
        "PMI_RANK": "3",
        "SECRET": "no",
        "HPCFIT_CACHE": str(tmp_path),
    }
    subprocess.run([ROOT / "envs" / "container", "true"], env=environment, cwd=tmp_path, check=True)
    said = (tmp_path / "said").read_text()
    assert "--env=PMI_RANK " in said and "--env=HPCFIT_CACHE " in said and "SECRET" not in said
    assert f"--user={os.getuid()}:{os.getgid()} " in said


@pytest.mark.parametrize(
    ("engines", "environment", "says"),
    [
        ([], {}, "no container engine here"),
        (["podman"], {"HPCFIT_ENGINE": "docker"}, "HPCFIT_ENGINE=docker is not on PATH"),
        (["podman", "lxc"], {"HPCFIT_ENGINE": "lxc"}, "HPCFIT_ENGINE=lxc is unknown"),
        (["apptainer"], {"HPCFIT_IMAGE": "/no/such.sif"}, "there is no image /no/such.sif; make it"),
        (["podman"], {"HPCFIT_BIND": "/no/such"}, "HPCFIT_BIND: there is no folder /no/such"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, programs, engines, environment, says):
    folder = programs("unused")
    for engine in engines:
        programs(engine)
    done = subprocess.run(
        [ROOT / "envs" / "container", "true"],
        env={"PATH": engine_path(folder), **environment}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"envs/container: {says}")


def test_the_entry_point_takes_the_machines_mpi(tmp_path, programs):
    folder = programs("hpcfit", 'echo "$MPI4PY_LIBMPI"')
    enter = ["sh", str(CONTAINERS / "enter.sh")]
    library = tmp_path / "libmpi.so.12"
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "HPCFIT_MPI_LIBRARY": str(library)}
    refused = subprocess.run([*enter, "fit"], env=environment, capture_output=True, text=True)
    assert refused.returncode == 2 and f"{library} is not in the container; bind its folder" in refused.stderr
    library.write_text("")
    taken = subprocess.run([*enter, "fit"], env=environment, capture_output=True, text=True)
    assert (taken.returncode, taken.stdout) == (0, f"{library}\n")
    other = subprocess.run(
        [*enter, "--", sys.executable, "-c", "print(1)"], env=environment, capture_output=True, text=True
    )
    assert other.stdout == "1\n"
