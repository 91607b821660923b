"""With which words is a program started on so many ranks?  srun inside a SLURM allocation, else mpiexec, else nothing.

Everything that can be known before a rank is started is checked here, once.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hpcfit.errors import ConfigError, EngineError
from hpcfit.run.mpi_asked import flavour, mpi_library
from hpcfit.run.processes import available_cores
from hpcfit.run.slurm.allocation import Allocation, allocation, inside_step

Kind = Literal["auto", "srun", "mpiexec", "none"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Launcher:
    """How ranks are started.

    Attributes
    ----------
    kind
        srun, mpiexec, or none.
    mpi_library
        What ranks talk by; "" where there is only ever one.
    allocation
        Of SLURM.
    flavour
        srun --mpi=
    mpiexec
        The program.
    cores
        For each rank.
    """

    kind: Kind
    mpi_library: str = ""
    allocation: Allocation | None = None
    flavour: str = "none"
    mpiexec: str = ""
    cores: int = 1

    def words(self, ranks: int) -> list[str]:
        """What to write before the command; nothing for one rank on this machine."""
        if self.kind == "srun" and self.allocation is not None:
            return self.allocation.srun(ranks, self.flavour, self.cores)
        if self.kind == "mpiexec" and ranks > 1:
            return [self.mpiexec, "-n", str(ranks)]
        return []

    def nodes(self, ranks: int) -> int:
        """How many machines so many ranks are on; mpiexec's are all on this one."""
        return self.allocation.nodes_for(ranks) if self.kind == "srun" and self.allocation else 1


def launcher(
    ranks: Sequence[int], kind: Kind = "auto", flavour_asked: str = "", cores: int = 1, oversubscribe: bool = False
) -> Launcher:
    """What can start each of these numbers of ranks here.

    flavour_asked: srun --mpi=; "": what fits the MPI library.  cores: for each rank; 0: as many as come to it.
    oversubscribe: more ranks than cores on this machine are meant.

    Raises
    ------
    ConfigError
        When there is no such launcher; this is itself one of several ranks; there are more ranks than places; srun is
        asked for outside an allocation.
    EngineError
        When there is no MPI, or no program to start ranks with.
    """
    if kind not in KINDS:
        raise ConfigError(f"--launcher {kind}: there is no such way to start ranks; there is {', '.join(KINDS)}")
    if inside_step() or _under_mpiexec():
        raise ConfigError(
            "this command was started on several ranks, and each would measure by itself; start it once, without srun "
            "or mpiexec: it starts ranks itself"
        )
    job, most = allocation(), max(ranks)
    if kind == "auto":
        kind = "srun" if job is not None else "mpiexec" if most > 1 else "none"
    if kind == "srun" and job is None:
        raise ConfigError(
            "--launcher srun, but this shell is in no SLURM allocation; get one with salloc, or use a job script"
        )
    if kind == "none" and most > 1:
        raise ConfigError(f"--launcher none starts one rank, not {most}; give --launcher mpiexec or srun")
    each = max(1, cores)
    if kind == "srun" and job is not None:
        _check_places(most, job.tasks, f"the SLURM job {job.job} has {job.tasks} tasks on {job.nodes} nodes", "job")
        library = mpi_library() if most > 1 else ""
        return Launcher("srun", library, job, _flavour(library, flavour_asked, most), cores=each)
    if not oversubscribe:
        there = available_cores() // each
        text = f"this machine has {available_cores()} cores for it" + (f", {each} a rank" if each > 1 else "")
        _check_places(most, there, text, "machine")
    if most == 1:
        return Launcher("none", cores=each)
    return Launcher("mpiexec", mpi_library(), mpiexec=_mpiexec(), cores=each)


def _check_places(ranks: int, places: int, text: str, what: str) -> None:
    if ranks > places:
        cure = "ask SLURM for more" if what == "job" else "say --oversubscribe to let ranks share cores"
        raise ConfigError(f"--ranks asks for {ranks} ranks, but {text}; give at most {places}, or {cure}")


def _flavour(library: str, asked: str, most: int) -> str:
    found = asked or (flavour(library) if most > 1 else "none")
    if not found:
        raise ConfigError(f"which srun --mpi= fits the MPI library is not known ({library}); say --mpi pmi2, pmix ...")
    return found


def _mpiexec() -> str:
    """The one beside this Python, whose library its mpi4py finds first; else that of the PATH."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=places)
    if found is None:
        raise EngineError(
            "there is no mpiexec to start several ranks with; load the machine's MPI module, pip install "
            "'hpcfit[mpich]', or measure one rank, --ranks 1"
        )
    return found


def _under_mpiexec() -> bool:
    return any(os.environ.get(name, "1") not in ("", "1") for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"))
