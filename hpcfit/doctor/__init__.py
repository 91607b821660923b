"""What this machine, and this job, has, what is wrong with it for hpcfit, and how to mend it."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpcfit.doctor import compilers, gather, installed, job, storage
from hpcfit.doctor.finding import Finding
from hpcfit.doctor.ranks import Rank, judge, this_rank
from hpcfit.errors import EngineError, HpcfitError
from hpcfit.run.comm import Comm
from hpcfit.run.mpi import launched_ranks
from hpcfit.run.mpi_library import spoken
from hpcfit.run.slurm.facts import task_facts

__all__ = ["Finding", "Patient", "Rank", "attend", "examine", "examine_ranks", "report"]


@dataclass(frozen=True)
class Patient:
    """What is looked at beside the machine."""

    run: Path = Path()
    """Run folder; it need not exist yet."""
    scratch: Path | None = None
    """Where the site removes what nobody used for so many days: None when unknown."""
    purge_days: float | None = None

    @classmethod
    def of(cls, run: Path, site: str | None) -> "Patient":
        """A run folder on a site: its name, or the path of its file.  Raises ConfigError when there is no such site."""
        if site is None:
            return cls(run)
        from hpcfit.run.slurm.site import load_site

        found, _ = load_site(site, Path())
        scratch = Path(os.path.expandvars(found.scratch)) if found.scratch else None
        return cls(run, scratch, found.purge_days)


Say = Callable[[Finding], None]


def examine(patient: Patient = Patient()) -> Iterator[Finding]:
    """Look at everything that a fit on this machine needs."""
    yield installed.python()
    yield from (installed.package(name) for name in installed.PACKAGES)
    yield installed.extra()
    yield compilers.compiler()
    yield compilers.coreneuron()
    yield compilers.nvcc()
    yield installed.cores()
    yield storage.cache()
    folders = storage.places(patient.run)
    yield from storage.space(folders)
    yield storage.quota(folders["run folder"])
    yield from storage.locks(folders["run folder"])
    with suppress(StopIteration):
        scratch = patient.scratch or storage.user_scratch()
        yield from filter(None, [storage.purge(patient.run.absolute(), scratch, patient.purge_days)])
    if facts := task_facts():
        yield job.clock(facts)


def report(run: Path, site: str | None, say: Say, say_rank: Callable[[Rank], None], mpi: bool | None = None) -> bool:
    """Say each finding as it is made, and each rank; whether all is good.

    mpi: whether to ask MPI for the other ranks; None: when a launcher started several and it seems safe to.  Only one
    task of a job speaks.  Raises ConfigError when there is no such site.
    """
    tasks, facts = launched_ranks(), task_facts()
    if facts and not facts.in_step and not spoken():
        tasks = 1  # the job's script: it may hold many tasks, but nothing has started them
    if not (tasks > 1 if mpi is None else mpi):
        return _say_all(_alone(Patient.of(run, site)), say)
    launched = job.launch(tasks, facts)
    comm = _world() if launched.usable or mpi else None
    if comm is not None and comm.rank:
        attend(comm)
        comm.barrier()
        return True
    if comm is None:
        # No task knows of the others: one of them speaks.  The others leave well, else srun might end that one.
        if facts and not facts.speaks:
            return True
        found = job.world_size(1, tasks, launched) if launched.usable else launched.finding
        return _say_all((found, *_alone(Patient.of(run, site))), say)
    return _report_of_ranks(comm, run, site, say, say_rank, job.world_size(comm.size, tasks, launched))


def _world() -> Comm | None:
    """The ranks, or None when each is alone.  Before other imports: see mpi_library.initialised."""
    from hpcfit.run import mpi, mpi_library

    mpi_library.initialised()
    try:
        return mpi.world()
    except EngineError:
        return None


def _report_of_ranks(
    comm: Comm, run: Path, site: str | None, say: Say, say_rank: Callable[[Rank], None], world: Finding
) -> bool:
    try:
        patient = Patient.of(run, site)
    except HpcfitError:
        gather.Asked(comm).leave()
        comm.barrier()
        raise
    good = _say_all((world, *examine(patient)), say)
    good = _say_all(examine_ranks(comm, patient, say_rank), say) and good
    comm.barrier()
    return good


def attend(comm: Comm) -> None:
    """What every rank but 0 does, until rank 0 sends it home."""
    answers: dict[str, gather.Do] = {
        "say": lambda _: this_rank(comm.rank).as_json(),
        "machine": lambda _: {"findings": [finding.as_json() for finding in _of_machine()]},
        "import": lambda _: {"seconds": installed.import_seconds()},
    }
    gather.attend(comm, answers)


def _of_machine() -> Iterator[Finding]:
    """What may differ from one node to the next, and be missing on one only."""
    yield compilers.compiler()
    yield from storage.space({"TMPDIR": storage.places(Path())["TMPDIR"]})


def examine_ranks(comm: Comm, patient: Patient, say_rank: Callable[[Rank], None]) -> Iterator[Finding]:
    """What rank 0 finds out from all: the others `attend`.  Every rank is told to `say_rank` as well."""
    asked = gather.Asked(comm)
    try:
        said = asked.of_all("say", lambda: this_rank(0).as_json())
        ranks = {number: Rank.from_json(head) for number, head in said.items()}
        for rank in ranks.values():
            say_rank(rank)
        if len(ranks) < comm.size:
            silent = sorted(set(range(comm.size)) - set(ranks))
            yield Finding(
                False, f"ranks {silent} do not answer", "look at their nodes (sinfo), and start again without them"
            )
            return
        yield from judge(list(ranks.values()))
        machines = gather.leaders(ranks)
        yield gather.clocks(asked, machines)
        folders = storage.places(patient.run)
        yield from gather.visibility(asked, machines, {"run folder": folders["run folder"]})
        for host, number in machines.items():
            if number and (answer := asked.of_one(number, "machine")):
                found = (Finding(**head) for head in answer["findings"])
                yield from (Finding(False, f"{host}: {one.what}", one.cure) for one in found if not one.good)
        times = asked.of_all("import", lambda: {"seconds": installed.import_seconds()})
        yield installed.imports([answer["seconds"] for answer in times.values()])
    finally:
        asked.leave()


def _alone(patient: Patient) -> Iterator[Finding]:
    yield from examine(patient)
    me = this_rank(0)
    yield from (found for found in judge([me]) if me.visible is not None or not found.good)
    yield installed.imports([installed.import_seconds()])


def _say_all(findings: Iterable[Finding], say: Say) -> bool:
    good = True
    for finding in findings:
        say(finding)
        good = good and finding.good
    return good
