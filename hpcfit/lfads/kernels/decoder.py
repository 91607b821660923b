"""The custom op hpcfit::decode: the joint loop of controller, sample, generator and factors (decoder.hpp)."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hpcfit.lfads.kernels.build import kernels
from hpcfit.lfads.kernels.structures import (
    DECODER_FOUND,
    DECODER_INPUTS,
    DECODER_STARTS,
    Array,
    DecoderCall,
    Gru,
    dense,
    present,
    split,
)
from hpcfit.lfads.kernels.threads import threads

WEIGHTS = 5
"""Tensors of weights without a controller: the generator's four and the factors'; with it six more."""


def _call(steps: int, given: Sequence[Tensor], weights: Sequence[Tensor], clip: float, least: float) -> DecoderCall:
    call = DecoderCall()
    call.steps, call.trials, call.factors = steps, len(given[0]), len(weights[4])
    call.clip, call.least_variance, call.threads = clip, least, threads()
    call.generator, call.to_factors = Gru.of(weights[:4]), weights[4].data_ptr()
    if len(weights) > WEIGHTS:
        call.inputs, call.told = weights[0].shape[1], given[2].shape[2]
        call.controller = Gru.of(weights[5:9])
        call.to_inputs, call.to_inputs_bias = weights[9].data_ptr(), weights[10].data_ptr()
    for name, tensor in zip(DECODER_INPUTS, given, strict=True):
        setattr(call, name, Array.of(tensor))
    return call


def _found(steps: int, given: Sequence[Tensor], weights: Sequence[Tensor], bfloat16: bool) -> list[Tensor]:
    """Room for states, factors, means, logarithms of variances, samples, and for what the way back needs."""
    start, controller, encoding = given[:3]
    inputs, factors, kept = 0, len(weights[4]), 4 * start.shape[1]
    if len(weights) > WEIGHTS:
        inputs = weights[0].shape[1]
        kept += 4 * controller.shape[1] + encoding.shape[2] + factors + 3 * inputs
    found = [start.new_empty(steps, len(start), size) for size in (start.shape[1], factors, inputs, inputs, inputs)]
    tile = kernels(start.dtype, bfloat16).hpcfit_tile()
    return [*found, start.new_empty(-(-len(start) // tile), steps, kept, tile)]


@torch.library.custom_op("hpcfit::decode", mutates_args=(), device_types="cpu")
def decode(
    steps: int, given: list[Tensor], weights: list[Tensor], clip: float, least: float, bfloat16: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See Recurrence.decode; the last tensor is what the way back needs.

    given: in the order of DECODER_INPUTS, empty where there is none; weights: generator, factors, then controller,
    to_inputs and its bias.
    """
    given, weights = [dense(one) for one in given], [one.contiguous() for one in weights]
    call = _call(steps, given, weights, clip, least)
    *found, kept = _found(steps, given, weights, bfloat16)
    built = kernels(kept.dtype, bfloat16)
    assert built.hpcfit_decoder_kept_units(ctypes.byref(call)) == kept.shape[2]
    for name, tensor in zip(DECODER_FOUND, found, strict=True):
        setattr(call, name, Array.of(tensor))
    call.kept = kept.data_ptr()
    built.hpcfit_decoder_forward(ctypes.byref(call))
    return (*found, kept)  # pyright: ignore[reportReturnType]


@torch.library.custom_op("hpcfit::decode_backward", mutates_args=(), device_types="cpu")
def decode_backward(
    gradients: list[Tensor],
    kept: Tensor,
    given: list[Tensor],
    weights: list[Tensor],
    clip: float,
    least: float,
    bfloat16: bool,
) -> list[Tensor]:
    """Gradients of the generator's start, the controller's, and the encoding (empty without), then of the weights.

    gradients: of what decode found, empty where there is none.
    """
    given, weights = [dense(one) for one in given], [one.contiguous() for one in weights]
    gradients = [dense(one) for one in gradients]
    call = _call(kept.shape[1], given, weights, clip, least)
    for name, tensor in zip(DECODER_FOUND, gradients, strict=True):
        setattr(call, f"d_{name}", Array.of(tensor))
    starts = [one.new_empty(one.shape) for one in given[:3]]
    for name, tensor in zip(DECODER_STARTS, starts, strict=True):
        setattr(call, f"d_{name}", Array.of(tensor))
    flat = kept.new_empty(sum(one.numel() for one in weights))
    call.kept, call.gradient = kept.data_ptr(), flat.data_ptr()
    kernels(kept.dtype, bfloat16).hpcfit_decoder_backward(ctypes.byref(call))
    # The kernel's order: generator, controller, factors, to_inputs.
    order = [*range(4), *range(5, 9), 4, 9, 10] if len(weights) > WEIGHTS else [*range(WEIGHTS)]
    parts = dict(zip(order, split(flat, [tuple(weights[i].shape) for i in order]), strict=True))
    return [*starts, *(parts[i] for i in range(len(weights)))]


@decode.register_fake
def _(steps, given, weights, clip, least, bfloat16):
    return tuple(_found(steps, given, weights, bfloat16))


@decode_backward.register_fake
def _(gradients, kept, given, weights, clip, least, bfloat16):
    return [one.new_empty(one.shape) for one in [*given[:3], *weights]]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, given, weights, *ctx.scalars = inputs
    ctx.save_for_backward(output[-1], *given, *weights)
    ctx.mark_non_differentiable(output[-1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
    kept, *rest = ctx.saved_tensors
    number = len(DECODER_INPUTS)
    given, weights = rest[:number], rest[number:]
    found = decode_backward(present(gradients[:5], kept), kept, given, weights, *ctx.scalars)
    without: list[None] = [None] * (number - len(DECODER_STARTS))
    starts = len(DECODER_STARTS)
    return None, [*found[:starts], *without], found[starts:], None, None, None


decode.register_autograd(_backward, setup_context=_setup)
