"""The custom op hpcfit::sequence: a GRU over time, with its hand-written way back (sequence.hpp)."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hpcfit.lfads.kernels.build import kernels
from hpcfit.lfads.kernels.structures import Array, Gru, SequenceCall, dense, split
from hpcfit.lfads.kernels.threads import threads


def _call(x: Tensor, start: Tensor, weights: Sequence[Tensor], clip: float, how: Sequence[bool]) -> SequenceCall:
    call = SequenceCall()
    call.steps, call.trials = x.shape[:2]
    call.reverse, call.last_only = how[:2]
    call.clip, call.threads = clip, threads()
    call.weights, call.x, call.start = Gru.of(weights), Array.of(x), Array.of(start)
    return call


def _found(x: Tensor, start: Tensor, how: Sequence[bool]) -> tuple[Tensor, Tensor]:
    """Room for the states, and for what the way back needs."""
    (steps, trials), units, tile = x.shape[:2], start.shape[1], kernels(x.dtype, how[2]).hpcfit_tile()
    states = x.new_empty((trials, units) if how[1] else (steps, trials, units))
    return states, x.new_empty(-(-trials // tile), steps, 4 * units, tile)


@torch.library.custom_op("hpcfit::sequence", mutates_args=(), device_types="cpu")
def sequence(x: Tensor, start: Tensor, weights: list[Tensor], clip: float, how: list[bool]) -> tuple[Tensor, Tensor]:
    """States (T, B, H) of a GRU that reads x (T, B, inputs) from start (B, H); and what the way back needs.

    weights: as in GruWeights.  how: reverse? only the last state (B, H)? products in bfloat16?
    """
    x, start, weights = dense(x), dense(start), [one.contiguous() for one in weights]
    call = _call(x, start, weights, clip, how)
    states, kept = _found(x, start, how)
    call.states, call.kept = Array.of(states), kept.data_ptr()
    kernels(x.dtype, how[2]).hpcfit_sequence_forward(ctypes.byref(call))
    return states, kept


@torch.library.custom_op("hpcfit::sequence_backward", mutates_args=(), device_types="cpu")
def sequence_backward(
    d_states: Tensor,
    kept: Tensor,
    x: Tensor,
    start: Tensor,
    weights: list[Tensor],
    clip: float,
    how: list[bool],
    wants_x: bool,
) -> list[Tensor]:
    """Gradients of x (empty unless wanted), start and weights."""
    x, start, d_states, weights = dense(x), dense(start), dense(d_states), [one.contiguous() for one in weights]
    call = _call(x, start, weights, clip, how)
    found = x.new_empty(sum(one.numel() for one in weights))
    d_start, d_x = x.new_empty(start.shape), x.new_empty(x.shape if wants_x else 0)
    call.kept, call.d_states, call.d_start = kept.data_ptr(), Array.of(d_states), Array.of(d_start)
    call.d_x = Array.of(d_x if wants_x else None)
    call.gradient.input = found.data_ptr()
    kernels(x.dtype, how[2]).hpcfit_sequence_backward(ctypes.byref(call))
    return [d_x, d_start, *split(found, [tuple(one.shape) for one in weights])]


@sequence.register_fake
def _(x, start, weights, clip, how):
    return _found(x, start, how)


@sequence_backward.register_fake
def _(d_states, kept, x, start, weights, clip, how, wants_x):
    return [x.new_empty(x.shape if wants_x else 0), *(one.new_empty(one.shape) for one in (start, *weights))]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, start, weights, clip, how = inputs
    ctx.save_for_backward(output[1], x, start, *weights)
    ctx.scalars = clip, how
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, d_states: Tensor | None, _: None) -> tuple[Any, ...]:
    kept, x, start, *weights = ctx.saved_tensors
    if d_states is None:
        return None, None, [None] * len(weights), None, None
    wants_x = bool(ctx.needs_input_grad[0])
    d_x, d_start, *d_weights = sequence_backward(d_states, kept, x, start, weights, *ctx.scalars, wants_x)
    return d_x if wants_x else None, d_start, d_weights, None, None


sequence.register_autograd(_backward, setup_context=_setup)
