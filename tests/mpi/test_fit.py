"""Is a fit the same, bit for bit, on any number of ranks, pretended or MPI's; and what if ranks are killed?"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import hpcfit
from hpcfit import jobs
from hpcfit.errors import InputError, MechanismError
from hpcfit.jobs import sharing
from hpcfit.population.ledger import Ledger, same_numbers
from hpcfit.population.timeline import read_timeline
from hpcfit.run.comm import NO_ARRAYS, dry_run

from .launch import needs_mpi, on_ranks

BATCHED = (
    ("workers = 2", 'kind = "batched"\nworkers = 1'),
    ("parents = 4", "parents = 40"),
    ("offspring = 6", "offspring = 200"),
    # Ranges over generation 0, and of all ranks.
    ('"voltage_base"]\n', '"voltage_base"]\nunit = "range"\n'),
)
MANY = ("generations = 3", "generations = 40")
LONG = ("generations = 3", "generations = 5000")


def pretended(ranks: int, file: Path, folder: Path, **changed):
    """The fit on so many pretended ranks, of which all work from generation 1 on."""
    ready = threading.Semaphore(0)
    all_ready = jobs.Calls(on_generation=lambda one, _: one.number or [ready.acquire() for _ in range(1, ranks)])

    class Told:
        """A rank's comm; the test hears when it is ready."""

        def __init__(self, comm):
            self._comm = comm

        def __getattr__(self, name):
            return getattr(self._comm, name)

        def send(self, to, head, arrays=NO_ARRAYS):
            self._comm.send(to, head, arrays)
            if head["kind"] in ("ready", "error"):
                ready.release()

    def main(comm):
        if comm.rank:
            return sharing.serve_rank(Told(comm))
        try:
            return jobs.run_on(comm, file, folder, all_ready, changed)
        finally:
            assert sharing.dismiss(comm)

    return dry_run(ranks, main)[0]


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Drawing takes longer than these fits."""
    monkeypatch.setattr("hpcfit.jobs.results.write_report", lambda folder: None)


def workers_of(folder: Path) -> set[str]:
    return {event.who for event in read_timeline(folder) if event.who.startswith("rank")}


@pytest.fixture
def same(tiny) -> Callable[..., None]:
    """same(run): has it the numbers of the fit on one machine without ranks?"""

    def compare(run: Path, *changes: tuple[str, str]) -> None:
        whole = Path("whole")
        if not whole.exists():
            hpcfit.run(tiny(*changes), whole)
        assert same_numbers(Ledger.open(run), Ledger.open(whole)) == []
        names = ("best/parameters.toml", "best/model.hoc", "best.h5")
        assert [(run / name).read_bytes() == (whole / name).read_bytes() for name in names] == [True] * 3

    return compare


def test_ledgers_do_not_depend_on_the_number_of_ranks(tiny, same):
    for ranks in (1, 2, 3, 8):
        run = Path(f"on{ranks}")
        view = pretended(ranks, tiny(*BATCHED), run, timeline=True, generations=3)
        assert view.best is not None
        assert workers_of(run) == {f"rank {rank}" for rank in range(ranks)}
        same(run, *BATCHED)


def test_a_run_goes_on_on_another_number_of_ranks(tiny, same):
    pretended(3, tiny(*BATCHED), Path("run"), generations=1)
    hpcfit.run(tiny(*BATCHED), "run", generations=2)
    pretended(2, tiny(*BATCHED), Path("run"))
    same(Path("run"), *BATCHED)


def test_neuron_and_its_worker_processes_on_two_ranks(tiny, same):
    pretended(2, tiny(), Path("run"))
    same(Path("run"))


def test_files_that_differ_between_ranks_are_named(tiny, leak, monkeypatch):
    check, file = sharing._built, tiny(*BATCHED)

    def changed(comm, plan):
        file.with_name("ball.swc").write_text(file.with_name("ball.swc").read_text() + "\n")
        return check(comm, plan)

    monkeypatch.setattr(sharing, "_built", changed)
    with pytest.raises(InputError, match=r"ball\.swc: not the same here as on rank 0; .* \(rank 1 on"):
        pretended(2, file, Path("run"), generations=5000)


def test_what_cannot_be_built_is_an_error_of_rank_0_alone(tiny):
    with pytest.raises(MechanismError, match="nax"):
        pretended(3, tiny(("hh", "nax")), Path("run"))
    assert not Path("run").exists()


def fit(ranks: int, *arguments: object):
    return on_ranks(ranks, "-m", "hpcfit.cli", "fit", *arguments)


@needs_mpi
def test_mpiexec(tiny, same):
    file = tiny(*BATCHED, MANY)
    with fit(3, file, "--run", "run") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.count("best score") == 1 and err.count("generation=") == 40 and err.count("generation=39 ") == 1
    same(Path("run"), *BATCHED, MANY)


def until(true: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.005)


def processes(word: str) -> dict[int, int]:
    """MPI rank -> process id of those started with a word in their command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                variables = (folder / "environ").read_bytes().split(b"\0")
                found |= {int(one[9:]): int(folder.name) for one in variables if one.startswith(b"PMI_RANK=")}
        except OSError:
            continue
    return found


@needs_mpi
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_job_and_the_same_command_goes_on(tiny, same, victim, tmp_path):
    run = tmp_path / "killed"
    with fit(2, tiny(*BATCHED, LONG), "--run", run, "--timeline") as process:
        until(lambda: "rank 1" in workers_of(run), "rank 1 has not worked")
        os.kill(processes(str(run))[victim], signal.SIGKILL)
        process.communicate(timeout=30)
    assert process.returncode != 0
    until(lambda: not processes(str(run)), "a rank lives on", 20)
    there = len(Ledger.open(run))
    assert 0 < there < 5000
    length = ("generations = 3", f"generations = {there + 5}")
    with fit(3, tiny(*BATCHED, length), "--run", run) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    same(run, *BATCHED, length)


@needs_mpi
def test_ctrl_c_ends_all_ranks_in_good_order(tiny, tmp_path):
    run = tmp_path / "interrupted"
    with fit(2, tiny(*BATCHED, LONG), "--run", run, "--timeline") as process:
        until(lambda: "rank 1" in workers_of(run), "rank 1 has not worked")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode != 0 and "the same command goes on" in err, err
    until(lambda: not processes(str(run)), "a rank lives on", 20)
    assert '"state": "stopped"' in (run / "status.json").read_text()


@needs_mpi
def test_tasks_that_do_not_know_of_each_other_are_refused_with_the_cure(tiny):
    command = [sys.executable, "-m", "hpcfit.cli", "fit", str(tiny(*BATCHED))]
    lost = subprocess.run(command, env={**os.environ, "SLURM_NTASKS": "4"}, capture_output=True, text=True, timeout=60)
    (line,) = lost.stderr.splitlines()
    assert lost.returncode == 2 and "started 4 tasks" in line and "--mpi=pmi2" in line and "--no-mpi" in line
    assert not Path("runs").exists()
    alone = subprocess.run([*command, "--no-mpi", "--generations", "1"], env={**os.environ, "SLURM_NTASKS": "4"})
    assert alone.returncode == 0


def test_mpi_that_is_not_there_is_one_clear_line(tiny, hpcfit, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    ended = hpcfit("fit", tiny(*BATCHED), "--mpi")
    (line,) = ended.err.splitlines()
    assert ended.code == 2 and "pip install 'hpcfit[mpi]'" in line
    assert not Path("runs").exists()
