"""A real SLURM of four nodes on this machine, one for the whole test session, and fits that run as its jobs."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pytest

import hpcfit
from hpcfit.jobs.starts import Start, read_starts
from hpcfit.population.ledger import Ledger, same_numbers

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(os.environ.get("HPCFIT_SLURM_CLUSTER") or ROOT.parent / "shared" / "slurm" / "cluster")
NODES = 4
GENERATIONS = 30
CHANGES = (
    ("workers = 2", 'kind = "batched"\nworkers = 1'),
    ("parents = 4", "parents = 40"),
    ("offspring = 6", "offspring = 100"),
    ("generations = 3", f"generations = {GENERATIONS}"),
    # Ranges over generation 0, and of all ranks.
    ('"voltage_base"]\n', '"voltage_base"]\nunit = "range"\n'),
)
MOMENT = 0.01
"""Seconds per individual: a generation takes half a second on two ranks."""
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY"}


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

    def cluster(self, *words: str) -> None:
        done = self("bash", SCRIPT, *words)
        assert done.returncode == 0, done.stderr

    def submit(self, script: Path, *options: str) -> str:
        self.jobs.append(self.said("sbatch", "--parsable", *options, script))
        return self.jobs[-1]

    def state(self, job: str) -> str:
        return self.said("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")

    def over(self, job: str, seconds: float = 120.0) -> str:
        """The state that a job ends in."""
        return until(lambda: (state := self.state(job)) in OVER and state, f"job {job} goes on", seconds)

    def exit_code(self, job: str) -> str:
        return self.said("scontrol", "--oneliner", "show", "job", job).partition(" ExitCode=")[2].split()[0]


@dataclass
class Fit:
    """A fit as a job, and its run folder."""

    slurm: Slurm
    file: Path
    run: Path
    job: str = ""

    @property
    def log(self) -> str:
        path = self.run.with_suffix(".log")
        return path.read_text() if path.exists() else ""

    @property
    def generations(self) -> int:
        log = self.run / "log.txt"
        return log.read_text().count("\n") if log.exists() else 0

    @property
    def starts(self) -> list[Start]:
        return read_starts(self.run)

    def submit(
        self,
        *options: str,
        ranks: int = 2,
        on: str = "requeue",
        pace: tuple[float, float] = (MOMENT, 0.0),
        lead: str = "--signal=USR1@20",
        more: str = "",
    ) -> "Fit":
        """Queue it.  pace: in its first start, and in the later ones; lead: its signal; more: for `hpcfit fit`."""
        script = self.run.with_suffix(".sh")
        paced = f"{sys.executable} {Path(__file__).with_name('paced.py')}"
        srun = f"srun --mpi=pmi2 --kill-on-bad-exit=1 {paced} $pace fit {self.file} --run {self.run} --timeline {more}"
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(ROOT / "slurm"), trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
        environment.filters["quote"] = str
        body = environment.get_template("run.sh.j2").render(command=srun, on=on, script=str(script))
        head = [
            "#!/bin/bash",
            f"#SBATCH --ntasks={ranks} --time=10 {lead} --requeue --open-mode=append",
            f"#SBATCH --output={self.run.with_suffix('.log')}",
            "set -u",
            f'pace={pace[0]}; [ -z "${{SLURM_RESTART_COUNT:-}}${{HPCFIT_SERIES:-}}" ] || pace={pace[1]}',
        ]
        script.write_text("\n".join([*head, body]))
        self.job = self.slurm.submit(script, *options)
        return self

    def working(self, generations: int = 3, ranks: int = 2) -> "Fit":
        """Wait until all its ranks work, in the middle of a generation beyond so many."""
        timeline = self.run / "timeline.jsonl"

        def work() -> bool:
            assert self.slurm.state(self.job) not in OVER, self.log
            words = timeline.read_text() if self.generations >= generations and timeline.exists() else ""
            return all(f'"rank {rank}"' in words for rank in range(ranks))

        until(work, "no progress")
        time.sleep(0.05)
        return self

    def pid(self, rank: int) -> int:
        """The process of a rank: nodes are namespaces of this machine."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                variables = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(self.run).encode() in words and b"PMI_RANK=%d" % rank in variables and b"srun" not in words[0]:
                return int(folder.name)
        raise AssertionError(f"no rank {rank}")

    def finished(self, starts: int | None = None, seconds: float = 120.0) -> list[Start]:
        """Wait for its end: completed, and so often started; gives the starts."""
        assert self.slurm.over(self.job, seconds) == "COMPLETED", self.log
        there = self.starts
        assert there[-1].ended == "finished" and there[-1].generations == GENERATIONS, self.log
        assert starts is None or len(there) == starts, (there, self.log)
        return there


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
        if os.environ.get("CI") == "true" and SCRIPT.is_file():
            pytest.fail(why)
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
            why = f"no cluster: {started.stderr[-300:]}"
            pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
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


@pytest.fixture(scope="session")
def whole(_cluster: Path) -> Iterator[Callable[[Path], Path]]:
    """whole(fit file): the folder of the run that nothing happened to, made once, without ranks."""

    def make(file: Path) -> Path:
        folder = _cluster / "whole"
        with _locked(_cluster / "whole-made"), pytest.MonkeyPatch.context() as patch:
            patch.setattr("hpcfit.jobs.results.write_report", lambda folder: None)
            if not (folder / "best.h5").exists():
                hpcfit.run(file, folder)
        return folder

    yield make


@pytest.fixture
def fit(slurm: Slurm, tiny, tmp_path: Path) -> Fit:
    """The fit of these tests."""
    return Fit(slurm, tiny(*CHANGES), tmp_path / "run")


@pytest.fixture
def same(fit: Fit, whole) -> Callable[[], None]:
    """same(): has the fit's run the numbers of the run that nothing happened to, and nothing left over?"""

    def compare(run: Path | None = None) -> None:
        run = run or fit.run
        reference = whole(fit.file)
        assert len(Ledger.open(run)) == GENERATIONS
        assert same_numbers(Ledger.open(run), Ledger.open(reference)) == []
        names = ("best/parameters.toml", "best/model.hoc", "best.h5")
        assert [(run / name).read_bytes() == (reference / name).read_bytes() for name in names] == [True] * 3
        numbers = [line.split()[1] for line in (run / "log.txt").read_text().splitlines()]
        assert numbers == [f"generation={number}" for number in range(GENERATIONS)]
        assert not list(run.rglob("*.tmp"))

    return compare


def kill(pid: int) -> None:
    """As the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)
