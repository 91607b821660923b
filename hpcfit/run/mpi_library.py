"""Which MPI library does mpi4py load, and does the launcher of this process speak its language?

Asked before MPI is initialised: with the wrong launcher some libraries abort the job then, and others, worse, give
every task a world of its own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpcfit.errors import EngineError

SPOKEN = {"PMI": "PMI_SIZE", "PMIx": "PMIX_RANK", "mpirun": "OMPI_COMM_WORLD_SIZE"}
"""What a launcher of each protocol sets for its tasks."""
_CURES = {
    "MPICH": "start it by srun --mpi=pmi2, or by the mpiexec of that MPICH",
    "Open MPI": "start it by srun --mpi=pmix, or by the mpirun of that Open MPI",
}


@dataclass(frozen=True)
class Library:
    """An MPI library: `version` in its own words, `family` MPICH, Cray MPICH, Open MPI or other."""

    version: str
    family: str


def library() -> Library:
    """The library that mpi4py loads; MPI is not initialised by asking, nor by importing mpi4py later on.

    Raises EngineError when there is no mpi4py or it finds no library.
    """
    mpi = _mpi4py()
    said = " ".join(mpi.Get_library_version().strip("\0\n ").splitlines()[0].split())
    return Library(said, family(said))


def initialised() -> Any:
    """The module mpi4py.MPI, after MPI_Init if nobody has called it: what `library` put off.  May end the job.

    Call it before large imports.  MPICH 5 tells the other nodes, by SLURM's PMI, also some memory beside its own, zeros
    made short; where that has been used by others the message becomes longer than SLURM (22.05) reads, and the job
    hangs.  On four nodes 8 of 24 starts did after `import hpcfit.jobs`, none of 20 before it.
    """
    mpi = _mpi4py()
    if not mpi.Is_initialized():
        mpi.Init_thread(mpi.THREAD_FUNNELED)
    return mpi


def family(version: str) -> str:
    """MPICH and what speaks like it, Cray MPICH (has a launcher of its own), Open MPI or other."""
    text = version.lower()
    if "cray" in text:
        return "Cray MPICH"
    if "mpich" in text or "mvapich" in text:
        return "MPICH"
    return "Open MPI" if "open mpi" in text else "other"


def spoken(environment: Mapping[str, str] = os.environ) -> str:
    """The protocol of the launcher of this process: PMI (1 and 2), PMIx, mpirun (Open MPI's) or ""."""
    return next((protocol for protocol, name in SPOKEN.items() if name in environment), "")


def misunderstanding(of: Library, protocol: str) -> str:
    """Why tasks of a launcher of this protocol cannot form a world with this library, and the cure; "" if they can.

    Only what is known to fail is said: an MPICH or another library may have been built with more.
    """
    fits = {"MPICH": ("PMI",), "Open MPI": ("PMIx", "mpirun")}.get(of.family)
    if fits is None or protocol in fits:
        return ""
    heard = f"speaks {protocol}" if protocol else "speaks no PMI"
    return (
        f"its library is {of.family} and the launcher {heard}: each task would be alone, or abort; {_CURES[of.family]}"
    )


def _mpi4py() -> Any:
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        mpi4py.rc.initialize = False
        mpi4py.rc.finalize = True
        from mpi4py import MPI
    except ImportError as error:
        raise EngineError(
            f"mpi4py cannot be imported ({error}), and several tasks need it to share a fit; pip install "
            "'hpcfit[mpi]', and where the machine has no MPI of its own: pip install 'hpcfit[mpich]'"
        ) from None
    except RuntimeError as error:
        raise EngineError(
            f"mpi4py finds no MPI library ({str(error).splitlines()[0]}); load the machine's MPI module, or pip "
            "install mpich"
        ) from None
    return MPI
