"""Will srun's --mpi= start the MPI library that the job will use as one world?  The wrong one starts worlds of one."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpcfit.run.mpi_asked import asked
from hpcfit.run.slurm.limits import mpi_default, mpi_flavours
from hpcfit.run.slurm.site import Site

# First words of a library's version -> the kinds of --mpi= that start it, tried on SLURM 22.05; those not named here
# (Intel MPI, MVAPICH: it depends on how they were built) are not judged.
_STARTED_BY = {"CRAY MPICH": ("cray_shasta", "pmi2"), "MPICH": ("pmi2",), "Open MPI": ("pmix",)}


def mpi_library(wrapper: Path | None) -> tuple[str, str]:
    """The first line of the version of mpi4py's MPI in that environment, and what is wrong where there is none."""
    return asked([str(wrapper), "python"] if wrapper else [sys.executable])[1:]


def mismatched(site: Site, ranks: int, wrapper: Path | None) -> Iterator[str]:
    """Why the ranks of a job would not find each other, as far as this machine can say.  Raises SchedulerError."""
    flavours = mpi_flavours()
    if site.mpi is not None and site.mpi not in flavours:
        yield f"--mpi {site.mpi}: srun here knows {', '.join(flavours)}; give one of these"
        return
    if ranks == 1 or (wrapper is None and site.modules):  # alone, or the modules may bring another library
        return
    library, wrong = mpi_library(wrapper)
    if wrong:
        yield (
            f"the environment of the job has no MPI for {ranks} ranks ({wrong}); install hpcfit[mpi] there, or "
            "hpcfit[mpich] where the cluster has no MPI of its own, or ask for one rank"
        )
    kinds = next((kinds for name, kinds in _STARTED_BY.items() if library.startswith(name)), None)
    flavour = site.mpi or mpi_default()
    if site.mpi is None and library.startswith("CRAY"):  # such machines' srun starts it whatever the default is called
        return
    if kinds and not _is(flavour, kinds):
        usable = [one for one in flavours if _is(one, kinds)]
        cure = f"say --mpi {usable[0]}" if usable else "this srun has none that does; use the cluster's own MPI"
        said = f"--mpi {flavour}" if site.mpi else f"--mpi is not given, and this cluster's default is {flavour}"
        yield f"{said}: each rank would be alone, for {library} is started by {' or '.join(kinds)}; {cure}"


def _is(flavour: str, kinds: Sequence[str]) -> bool:
    """pmix_v4 is pmix."""
    return flavour.partition("_v")[0] in kinds
