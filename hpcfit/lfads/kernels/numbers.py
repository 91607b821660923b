"""Random numbers by identity, drawn by a compiled kernel; lfads/numbers.py says what they are."""

import ctypes
from math import prod

import torch
from torch import Tensor

from hpcfit.lfads.kernels.build import kernels
from hpcfit.lfads.kernels.structures import DrawCall
from hpcfit.lfads.kernels.threads import threads
from hpcfit.lfads.numbers import ARRAYS, Stream


class CompiledNumbers:
    """The numbers of PlainNumbers: masks bit by bit, normal ones to the rounding of logarithm and cosine."""

    def kept(
        self, stream: Stream, array: str, shape: tuple[int, ...], rate: float, like: Tensor, first: int = 0
    ) -> Tensor:
        """See Numbers.kept."""
        return _draw("kept", stream, array, shape, rate, like, first)

    def normal(self, stream: Stream, array: str, shape: tuple[int, ...], like: Tensor, first: int = 0) -> Tensor:
        """See Numbers.normal."""
        return _draw("normal", stream, array, shape, 0.0, like, first)


def _draw(
    what: str, stream: Stream, array: str, shape: tuple[int, ...], rate: float, like: Tensor, first: int
) -> Tensor:
    to = torch.empty(shape, dtype=like.dtype)
    index, numbers, ours = ARRAYS.index(array), prod(shape[1:]), threads()
    call = DrawCall(stream.key, index, first, shape[0], numbers, ours, rate, to.data_ptr())
    getattr(kernels(like.dtype), f"hpcfit_draw_{what}")(ctypes.byref(call))
    return to
