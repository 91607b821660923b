"""Which MPI library would a job use?  Asked without starting MPI in this process.

A process that has started MPI cannot start ranks of its own under every launcher, so another one is asked.
"""

import json
import subprocess
import sys

from hpcfit.errors import EngineError

_ASK = """
import json, mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print(json.dumps([mpi4py.__version__, MPI.Get_library_version()]))
"""
_LONGEST_S = 60.0
FLAVOURS = {"open mpi": "pmix", "mpich": "pmi2", "intel": "pmi2", "mvapich": "pmi2"}
"""What srun --mpi= is to be for a library whose name holds this."""


def mpi_library() -> str:
    """Name and version of mpi4py and of the library that it finds.

    Raises
    ------
    EngineError
        When one of them is missing: the cure.
    """
    try:
        asked = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=_LONGEST_S)
    except subprocess.TimeoutExpired:
        raise EngineError(f"loading the MPI library takes more than {_LONGEST_S:g} s; ask for another one") from None
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(
            f"several ranks need MPI, and mpi4py cannot be used here ({why}); pip install 'hpcfit[mpi]', and where the "
            "machine has no MPI of its own: pip install 'hpcfit[mpich]'; or measure one rank, --ranks 1"
        )
    mpi4py, library = json.loads(asked.stdout.splitlines()[-1])
    return f"mpi4py {mpi4py}, {' '.join(library.strip(chr(0)).splitlines()[0].split())}"


def flavour(library: str) -> str | None:
    """What srun --mpi= fits a library of that name; None when it is not known."""
    return next((kind for name, kind in FLAVOURS.items() if name in library.lower()), None)
