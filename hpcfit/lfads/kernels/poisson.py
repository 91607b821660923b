"""The custom op hpcfit::poisson: rates read out, their masked likelihood and its gradient in one pass (poisson.hpp)."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from hpcfit.lfads.kernels.build import kernels
from hpcfit.lfads.kernels.structures import Array, PoissonCall, dense, split
from hpcfit.lfads.kernels.threads import threads


@torch.library.custom_op("hpcfit::poisson", mutates_args=(), device_types="cpu")
def poisson(
    factors: Tensor, weight: Tensor, bias: Tensor, target: Tensor, masks: list[Tensor], bfloat16: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums (2,) of exp(raw) - x raw + log x! over counted and over held-out elements, raw = weight factors + bias; and
    the first's gradients of factors, weight and bias.

    factors: (T, B, F); target and masks: (T, B, N).  masks: counted, empty for all; learned, whose elements have a
    gradient, empty for those that count; held out, empty for none.
    """
    weight, bias = weight.contiguous(), bias.contiguous()
    call = PoissonCall()
    (call.steps, call.trials, call.factors), call.neurons = factors.shape, len(bias)
    call.threads, call.weight, call.bias = threads(), weight.data_ptr(), bias.data_ptr()
    arrays = [dense(one) for one in (factors, target, *masks)]
    for name, one in zip(("read", "target", "counted", "learned", "held_out"), arrays, strict=True):
        setattr(call, name, Array.of(one))
    d_factors, sums = factors.new_empty(factors.shape), bias.new_empty(2)
    flat = bias.new_empty(weight.numel() + len(bias))
    call.d_read, call.gradient, call.sums = Array.of(d_factors), flat.data_ptr(), sums.data_ptr()
    kernels(factors.dtype, bfloat16).hpcfit_poisson(ctypes.byref(call))
    return sums, d_factors, *split(flat, [tuple(weight.shape), tuple(bias.shape)])  # pyright: ignore[reportReturnType]


@poisson.register_fake
def _(factors, weight, bias, target, masks, bfloat16):
    return (bias.new_empty(2), *(one.new_empty(one.shape) for one in (factors, weight, bias)))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[1:])
    ctx.masks = len(inputs[4])
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, d_sums: Tensor | None, *_: None) -> tuple[Any, ...]:
    found = [None if d_sums is None else one * d_sums[0] for one in ctx.saved_tensors]
    return *found, None, [None] * ctx.masks, None


poisson.register_autograd(_backward, setup_context=_setup)
