"""On how many threads do kernels work?  On torch's, also while torch itself is held to one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ours: int | None = None


def threads() -> int:
    """How many a kernel takes."""
    return _ours or torch.get_num_threads()


@contextmanager
def torch_on_one() -> Iterator[None]:
    """Torch computes on one thread, kernels on as many as torch had.

    Kernels give the same numbers on any number of threads, torch's own products do not.
    """
    global _ours
    before, had = _ours, torch.get_num_threads()
    _ours = threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _ours = before
        torch.set_num_threads(had)
