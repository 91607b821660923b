"""Which MPI library would a job use?  Asked without starting MPI in this process.

A process that has started MPI cannot start ranks of its own under every launcher, so another one is asked.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from hpcfit.errors import EngineError

_ASK = """
import json, mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print("hpcfit: " + json.dumps([mpi4py.__version__, MPI.Get_library_version()]))
"""
_ANSWER = "hpcfit: "  # a module may greet, too
_LONGEST_S = 60.0
FLAVOURS = {"open mpi": "pmix", "mpich": "pmi2", "intel": "pmi2", "mvapich": "pmi2"}
"""What srun --mpi= is to be for a library whose name holds this."""


def asked(python: Sequence[str]) -> tuple[str, str, str]:
    """What that Python says: mpi4py's version, the library's own first line, and what is wrong where there is none.

    All are empty when it cannot be asked.
    """
    try:
        done = subprocess.run(
            [*python, "-c", _ASK], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LONGEST_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", "", ""
    lines = [line.removeprefix(_ANSWER) for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if done.returncode or not lines:
        return "", "", (done.stderr.strip().splitlines() or ["no message"])[-1]
    version, library = json.loads(lines[-1])
    return version, " ".join(library.strip("\0\n ").splitlines()[0].split()), ""


def mpi_library() -> str:
    """Name and version of mpi4py and of the library that it finds.

    Raises
    ------
    EngineError
        When one of them is missing: the cure.
    """
    version, library, wrong = asked([sys.executable])
    if wrong:
        raise EngineError(
            f"several ranks need MPI, and mpi4py cannot be used here ({wrong}); pip install 'hpcfit[mpi]', and where "
            "the machine has no MPI of its own: pip install 'hpcfit[mpich]'; or measure one rank, --ranks 1"
        )
    if not library:
        raise EngineError(f"loading the MPI library takes more than {_LONGEST_S:g} s; ask for another one")
    return f"mpi4py {version}, {library}"


def flavour(library: str) -> str | None:
    """What srun --mpi= fits a library of that name; None when it is not known."""
    return next((kind for name, kind in FLAVOURS.items() if name in library.lower()), None)
