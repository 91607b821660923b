"""Does the launcher suit the MPI library, and how long does the job last?"""

import time
from dataclasses import dataclass

from hpcfit.doctor.finding import Finding
from hpcfit.errors import EngineError
from hpcfit.run import mpi_library
from hpcfit.run.slurm.facts import TaskFacts, end_time, lead_signal, mpi_kinds

_ENDS_SOON_S = 60.0


@dataclass(frozen=True)
class Launch:
    """What is known before MPI is initialised: `usable` false when that would abort or give worlds of one."""

    usable: bool
    finding: Finding


def launch(tasks: int, facts: TaskFacts | None) -> Launch:
    """Can so many tasks become one world?"""
    try:
        library = mpi_library.library()
    except EngineError as error:
        what, _, cure = str(error).rpartition("; ")
        return Launch(False, Finding(False, f"{tasks} tasks, and {what}", cure))
    asked = f" under srun --mpi={facts.mpi}" if facts and facts.mpi else ""
    text = f"MPI: {library.version}, {tasks} tasks{asked}"
    why = mpi_library.misunderstanding(library, mpi_library.spoken())
    if why:
        reason, _, cure = why.rpartition("; ")
        kinds = mpi_kinds()
        return Launch(
            False, Finding(False, f"{text}: {reason}", cure + (f" (this srun has {', '.join(kinds)})" * bool(kinds)))
        )
    return Launch(True, Finding(True, text))


def world_size(size: int, tasks: int, launched: Launch) -> Finding:
    """MPI's world against what was started.  Call it when MPI runs."""
    if size == tasks:
        return Finding(True, f"{launched.finding.what}; a world of {size}")
    return Finding(
        False,
        f"{launched.finding.what}; but a world of {size}",
        "the launcher does not suit this library: --mpi=pmi2 for MPICH, --mpi=pmix for Open MPI, or its own mpiexec",
    )


def clock(facts: TaskFacts) -> Finding:
    """When the job ends, and who is told before."""
    ends, signal = end_time(), lead_signal(facts.job)
    if signal is None:
        told = "its script cannot be read, so whether a signal comes first is not known"
    elif signal:
        told = f"signal {signal} comes first"
    else:
        told = "no signal comes first: the fit stops by its own clock"
    if ends is None:
        return Finding(True, f"job {facts.job} has no end that SLURM tells; {told}")
    left = ends - time.time()
    text = f"job {facts.job} ends in {max(0.0, left) / 60:.0f} min; {told}"
    if signal and signal.upper().startswith("B:"):
        return Finding(False, text, "B: sends it to the job's script alone, and no rank hears it; leave B: out")
    if left < _ENDS_SOON_S:
        return Finding(False, text, "ask for more time (--time)")
    return Finding(True, text)
