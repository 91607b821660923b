"""`python -m hpcfit.run.mpi_first MODULE ARGUMENT...`: run a module as a rank, with MPI initialised before its imports.

Why before: see mpi_library.initialised.
"""

import runpy
import sys
from contextlib import suppress

from hpcfit.errors import EngineError


def initialise_if(wanted: bool | None) -> None:
    """Initialise MPI where it will be asked for: by the user (True), or, None, since a launcher started several of us.

    What is wrong with it is said by who asks for it.
    """
    if wanted is False:
        return
    from hpcfit.run.mpi import launched_ranks

    if wanted or launched_ranks() > 1:
        from hpcfit.run.mpi_library import initialised

        with suppress(EngineError):
            initialised()


if __name__ == "__main__":
    initialise_if(None)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
