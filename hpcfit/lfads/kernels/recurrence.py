"""The loops over time by compiled kernels; what they compute is written down in lfads/recurrence.py."""

import ctypes
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import Tensor

from hpcfit.lfads.kernels.build import kernels
from hpcfit.lfads.kernels.decoder import decode
from hpcfit.lfads.kernels.numbers import CompiledNumbers
from hpcfit.lfads.kernels.poisson import poisson
from hpcfit.lfads.kernels.sequence import sequence
from hpcfit.lfads.kernels.structures import present
from hpcfit.lfads.kernels.threads import torch_on_one
from hpcfit.lfads.recurrence import Decoded, DecoderInputs, DecoderWeights, GruWeights


class CompiledRecurrence:
    """Loops in C++, for float32 and float64 on a processor, on torch's number of threads.

    Results do not depend on the number of threads.
    """

    trials_at_once = 64
    """So many trials, with all that is kept of them for the way back, stay in cache."""

    def __init__(self, dtype: torch.dtype = torch.float32, bfloat16: bool = False) -> None:
        """Builds the kernels where the cache has none.

        bfloat16: operands of products are rounded to it; sums, states and weights stay float32.

        Raises EngineError, StorageError.
        """
        built = kernels(dtype, bfloat16)
        kernels(dtype)
        if bfloat16 and built.hpcfit_pair() == 1:
            warnings.warn(
                "this processor has no bfloat16 products: operands are rounded, at float32's speed", stacklevel=2
            )
        self.bfloat16 = bfloat16
        self.numbers = CompiledNumbers()
        _keep_freed_memory()

    def stepping(self) -> AbstractContextManager[None]:
        """See Recurrence.stepping."""
        return torch_on_one()

    def poisson(
        self, factors: Tensor, weight: Tensor, bias: Tensor, target: Tensor, masks: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """See loss.PoissonSums."""
        arrays = present([None if one is None else one.transpose(0, 1) for one in masks], bias)
        sums = poisson(factors, weight, bias, target.transpose(0, 1), arrays, self.bfloat16)[0]
        return sums[0], sums[1].detach()

    def sequence(self, x: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """See Recurrence.sequence."""
        return sequence(x, start, _tensors(weights), clip, [reverse, False, self.bfloat16])[0]

    def last(self, x: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """See Recurrence.last."""
        return sequence(x, start, _tensors(weights), clip, [reverse, True, self.bfloat16])[0]

    def decode(
        self, steps: int, given: DecoderInputs, weights: DecoderWeights, clip: float, least_variance: float
    ) -> Decoded:
        """See Recurrence.decode."""
        tensors = [*_tensors(weights.generator), weights.factors]
        inputs: list[Tensor | None] = [given.generator_start, None, None, None, None, given.states_kept]
        if weights.controller is not None:
            assert weights.to_inputs is not None and weights.to_inputs_bias is not None
            tensors += [*_tensors(weights.controller), weights.to_inputs, weights.to_inputs_bias]
            inputs[1:5] = given.controller_start, given.encoding, given.noise, given.factors_kept
        found = decode(steps, present(inputs, weights.factors), tensors, clip, least_variance, self.bfloat16)
        return Decoded(*found[:5]) if weights.controller is not None else Decoded(*found[:2])


def _tensors(weights: GruWeights) -> list[Tensor]:
    return [weights.input, weights.bias, weights.gates, weights.candidate]


@cache
def _keep_freed_memory() -> None:
    """Have glibc keep what is freed: every step asks for the same blocks, and fresh pages cost more than arithmetic."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, (1 << 31) - 1)
