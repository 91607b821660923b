#!/bin/sh
# The image's entry point: `hpcfit ARG...`, with the machine's own MPI in the place of the image's where one is given.
#
# The image has MPICH 5 (libmpi.so.12, the common ABI of MPICH).  HPCFIT_MPI_LIBRARY, the path of another library of
# that ABI as the container sees it (Cray MPICH, MVAPICH2, Intel MPI), is what mpi4py loads instead: that one knows
# the machine's network.
set -eu
export PATH="/opt/hpcfit/venv/bin:$PATH"
if [ -n "${HPCFIT_MPI_LIBRARY:-}" ]; then
    [ -r "$HPCFIT_MPI_LIBRARY" ] ||
        { echo "hpcfit: HPCFIT_MPI_LIBRARY=$HPCFIT_MPI_LIBRARY is not in the container; bind its folder" >&2; exit 2; }
    export MPI4PY_LIBMPI="$HPCFIT_MPI_LIBRARY"
fi
# Compiled mechanisms go where the person can write: the image is read-only on most machines.
if [ "${1:-}" = -- ]; then shift; exec "$@"; fi
exec hpcfit "$@"
