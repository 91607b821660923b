"""`hpcfit` at a pace of the test's own: each block of individuals takes so many seconds more, and the same numbers.

A fit that simulates for long would do too, but not on the two cores that all ranks of a test share.
Usage: paced.py SECONDS_PER_INDIVIDUAL ARGUMENTS...
"""

import sys
import time
from dataclasses import replace

from hpcfit.run.mpi_first import initialise_if

initialise_if(None)  # as `hpcfit fit` does, before large imports

import numpy as np  # noqa: E402

from hpcfit import cli  # noqa: E402
from hpcfit.jobs import sharing  # noqa: E402
from hpcfit.run.hand import Answer, Work  # noqa: E402


def main() -> None:
    pace_s = float(sys.argv.pop(1))
    measuring = sharing.Measuring.work

    def slow(self: sharing.Measuring, forget=None) -> Work:
        work = measuring(self, forget)
        left = False

        def do(rows: np.ndarray) -> Answer:
            nonlocal left
            left = False
            ends = time.monotonic() + pace_s * len(rows)
            while time.monotonic() < ends and not left:
                time.sleep(0.005)
            return work.do(rows)

        def cancel() -> None:
            nonlocal left
            left = True
            work.cancel()

        return replace(work, do=do, cancel=cancel)

    sharing.Measuring.work = slow  # type: ignore[method-assign]
    cli.main()


if __name__ == "__main__":
    main()
