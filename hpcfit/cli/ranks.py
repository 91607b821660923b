"""MPI before large imports: the one thing of run/ that verbs call themselves (run/mpi_library.py says why)."""

from hpcfit.run.mpi_first import initialise_if as mpi_first

__all__ = ["mpi_first"]
